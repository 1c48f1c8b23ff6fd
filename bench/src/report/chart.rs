//! Charts, as SVG.

use std::fmt::Write;

use super::html::escape;
use super::number;
use crate::statistics::Estimate;

/// A bar with its whisker.
pub(super) struct Bar {
    pub(super) title: String,
    pub(super) estimate: Estimate,
    pub(super) is_ours: bool,
    /// Said at the end of the line.
    pub(super) note: Option<String>,
}

/// Latency by percentile.
pub(super) struct Curve<'a> {
    pub(super) title: String,
    pub(super) points: &'a [(f64, f64)],
    pub(super) is_ours: bool,
}

const OURS: &str = "var(--ours)";
const OTHER: &str = "var(--other)";
const COLOURS: [&str; 8] =
    ["#d1603d", "#3b6fb6", "#8a5fbf", "#b58900", "#5b8c3e", "#c2477f", "#555f6d", "#2aa1b3"];
const LINE_HEIGHT: f64 = 20.0;

/// Horizontal bars from zero.
pub(super) fn bars(bars: &[Bar]) -> String {
    horizontal(bars, 190.0, 560.0, None)
}

/// Horizontal bars of ratios, with a line where ours is.
pub(super) fn ratios(bars: &[Bar]) -> String {
    horizontal(bars, 130.0, 380.0, Some(1.0))
}

fn horizontal(bars: &[Bar], left: f64, width: f64, reference: Option<f64>) -> String {
    let most = bars.iter().map(|bar| bar.estimate.median).fold(reference.unwrap_or(0.0), f64::max);
    let room = width - left - if reference.is_some() { 50.0 } else { 150.0 };
    let scale = room / most.max(f64::MIN_POSITIVE);
    let at = |value: f64| left + (value * scale).clamp(0.0, room * 1.06);
    let height = LINE_HEIGHT * bars.len() as f64 + 4.0;
    let mut svg = open(width, height);
    for (index, bar) in bars.iter().enumerate() {
        let top = LINE_HEIGHT * index as f64;
        let middle = top + LINE_HEIGHT / 2.0;
        let colour = if bar.is_ours { OURS } else { OTHER };
        let Estimate { median, low, high, .. } = bar.estimate;
        let note = bar.note.as_deref().map(escape).unwrap_or_default();
        let _ = write!(
            svg,
            "<text x='{tx}' y='{ty}' text-anchor='end'>{title}</text>\
             <rect x='{left}' y='{by}' width='{bw:.1}' height='12' rx='2' fill='{colour}'/>\
             <path d='M{lo:.1} {middle}H{hi:.1}M{lo:.1} {w0}V{w1}M{hi:.1} {w0}V{w1}' \
             stroke='#1c2430' stroke-width='1' fill='none'/>\
             <text x='{nx:.1}' y='{ty}'>{value}<tspan class='dim' dx='6'>{note}</tspan></text>",
            tx = left - 6.0,
            ty = middle + 4.0,
            title = escape(&bar.title),
            by = middle - 6.0,
            bw = (at(median) - left).max(1.0),
            lo = at(low),
            hi = at(high),
            w0 = middle - 3.0,
            w1 = middle + 3.0,
            nx = at(median).max(at(high)) + 6.0,
            value = number(median),
        );
    }
    if let Some(reference) = reference {
        let x = at(reference);
        let _ = write!(
            svg,
            "<path d='M{x:.1} 0V{height}' stroke='{OURS}' stroke-width='1.5' \
             stroke-dasharray='3 2'/>"
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Curves over percentiles, as far apart as their rarity: 90, 99, 99.9 at equal steps. Both axes
/// are logarithmic.
pub(super) fn latency(curves: &[Curve<'_>]) -> String {
    const WIDTH: f64 = 600.0;
    const HEIGHT: f64 = 250.0;
    const LEFT: f64 = 52.0;
    const RIGHT: f64 = 375.0;
    const TOP: f64 = 8.0;
    const BOTTOM: f64 = 222.0;
    /// One in ten thousand.
    const RAREST: f64 = 4.0;
    let x = |percentile: f64| {
        let rarity = -(1.0 - percentile / 100.0).max(1e-9).log10();
        LEFT + (RIGHT - LEFT) * (rarity / RAREST).clamp(0.0, 1.0)
    };
    let shown = |points: &'_ [(f64, f64)]| -> Vec<(f64, f64)> {
        points
            .iter()
            .copied()
            .filter(|(percentile, _)| (10.0..=99.99).contains(percentile))
            .collect()
    };
    let all: Vec<f64> =
        curves.iter().flat_map(|curve| shown(curve.points)).map(|(_, us)| us.max(0.1)).collect();
    let least = all.iter().copied().fold(f64::INFINITY, f64::min).log10() - 0.05;
    let most = all.iter().copied().fold(0.1, f64::max).log10() + 0.05;
    let y = |us: f64| BOTTOM - (BOTTOM - TOP) * (us.max(0.1).log10() - least) / (most - least);
    let mut svg = open(WIDTH, HEIGHT);
    for percentile in [50.0, 90.0, 99.0, 99.9, 99.99] {
        let _ = write!(
            svg,
            "<path d='M{x:.1} {TOP}V{BOTTOM}' stroke='var(--line)'/>\
             <text x='{x:.1}' y='{ty}' text-anchor='middle' class='dim'>{percentile}</text>",
            x = x(percentile),
            ty = BOTTOM + 16.0,
        );
    }
    for us in ticks(least, most) {
        let _ = write!(
            svg,
            "<path d='M{LEFT} {y:.1}H{RIGHT}' stroke='var(--line)'/>\
             <text x='{tx}' y='{ty:.1}' text-anchor='end' class='dim'>{us}</text>",
            y = y(us),
            tx = LEFT - 6.0,
            ty = y(us) + 4.0,
            us = number(us),
        );
    }
    let mut colours = COLOURS.iter().cycle();
    for (index, curve) in curves.iter().enumerate() {
        let colour = if curve.is_ours { OURS } else { colours.next().copied().unwrap_or(OTHER) };
        let path: Vec<String> = shown(curve.points)
            .iter()
            .map(|(percentile, us)| format!("{:.1} {:.1}", x(*percentile), y(*us)))
            .collect();
        let (legend, thick) = (20.0 + 17.0 * index as f64, if curve.is_ours { 2.6 } else { 1.4 });
        let _ = write!(
            svg,
            "<path d='M{path}' fill='none' stroke='{colour}' stroke-width='{thick}'/>\
             <path d='M{x0} {legend}h14' stroke='{colour}' stroke-width='3'/>\
             <text x='{x1}' y='{ty}'>{title}</text>",
            path = path.join("L"),
            x0 = RIGHT + 14.0,
            x1 = RIGHT + 34.0,
            ty = legend + 4.0,
            title = escape(&curve.title),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// 1, 2, 5, 10, ... between two powers of ten; fewer where there are many.
fn ticks(least: f64, most: f64) -> Vec<f64> {
    let steps: &[f64] = if most - least > 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let powers = (-1..8).flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
    powers.filter(|us| (least..=most).contains(&us.log10())).collect()
}

fn open(width: f64, height: f64) -> String {
    format!("<svg viewBox='0 0 {width} {height}' xmlns='http://www.w3.org/2000/svg' role='img'>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_lie_inside() {
        assert_eq!(ticks(1.9, 3.1), [100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(ticks(0.9, 3.1), [10.0, 100.0, 1000.0]);
    }

    #[test]
    fn a_whisker_that_is_out_of_the_picture_is_cut() {
        let estimate = Estimate { median: 1.0, low: 0.5, high: 1e9, count: 7 };
        let bar = Bar { title: "a".to_owned(), estimate, is_ours: false, note: None };
        let svg = bars(&[bar]);
        assert!(!svg.contains("e9") && !svg.contains("1000000"), "{svg}");
    }
}
