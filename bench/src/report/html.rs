//! One page that stands by itself: no script, no font, no picture from elsewhere.

use std::fmt::{self, Write};

use super::chart::{self, Bar, Curve};
use super::number;
use crate::check::{Line, Targets, Verdict, check};
use crate::results::{Cell, Metric, Results, RowResult};
use crate::statistics::{Estimate, ratio};
use crate::workload::matches;

const OURS: &str = "sluice";
const STYLE: &str = include_str!("page.css");
/// Peers of the overview, each with the peers of which it takes the best.
const FAMILIES: [(&str, &str); 5] = [
    ("floor (best)", "floor-*"),
    ("HAProxy (best mode)", "haproxy*"),
    ("nginx (best mode)", "nginx*"),
    ("Envoy", "envoy"),
    ("tokio-uring relay", "tokio-uring"),
];

/// The results as a page, with the targets they are held to.
pub(crate) fn html(results: &Results, targets: &Targets) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, results, targets);
    page
}

fn write_page(page: &mut String, results: &Results, targets: &Targets) -> fmt::Result {
    writeln!(page, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">")?;
    writeln!(page, "<meta name=\"viewport\" content=\"width=device-width\">")?;
    writeln!(page, "<title>Sluice, measured</title>\n<style>\n{STYLE}</style>\n<body>")?;
    writeln!(page, "<h1>Sluice, measured side by side</h1>")?;
    write_setting(page, results)?;
    writeln!(page, "<h2>CPU and memory of others, ours being 1</h2>")?;
    writeln!(
        page,
        "<p class=\"lead\">CPU per unit of work (bytes per session for idle ones): how many times \
         ours. Whiskers are 95 % intervals of the ratio, round by round.</p>"
    )?;
    write_overview(page, results)?;
    write_figures(page, results)?;
    writeln!(page, "<h2>Row by row</h2>")?;
    for row in &results.rows {
        write_row(page, results, row)?;
    }
    writeln!(page, "<h2>Targets</h2>")?;
    write_targets(page, &check(results, targets))?;
    writeln!(page, "</body>\n</html>")
}

fn write_setting(page: &mut String, results: &Results) -> fmt::Result {
    let (machine, settings) = (&results.machine, &results.settings);
    writeln!(
        page,
        "<p class=\"lead\">{}: {} × {}, {} GiB, {}, Linux {}, TCP {}. Proxies on CPU {:?}, load \
         generator and backend on CPU {}. {} interleaved rounds of {} s; every peer is started \
         anew for each, every transfer is compared byte by byte.</p>\n<ul class=\"peers\">",
        settings.started,
        machine.cpu_count,
        escape(&machine.cpu),
        machine.memory_mib / 1024,
        escape(&machine.system),
        escape(&machine.kernel),
        escape(&machine.congestion_control),
        machine.proxy_cpus,
        machine.load_cpu,
        settings.rounds,
        settings.seconds,
    )?;
    for peer in results.peers.values().filter(|peer| !peer.version.is_empty()) {
        writeln!(page, "<li><b>{}</b> {}</li>", escape(&peer.title), escape(&peer.version))?;
    }
    for (peer, why) in &results.skipped {
        writeln!(page, "<li class=\"bad\"><b>{peer}</b> left out: {}</li>", escape(why))?;
    }
    writeln!(page, "</ul>")
}

fn write_overview(page: &mut String, results: &Results) -> fmt::Result {
    writeln!(page, "<div class=\"grid\">")?;
    for row in &results.rows {
        let Some(ours) = row.cell(OURS) else { continue };
        let metric = main_metric(row);
        let bars: Vec<Bar> = FAMILIES
            .into_iter()
            .filter_map(|(title, pattern)| {
                let best = best_of(row, pattern, metric)?;
                let ratio = ratio(best.values(metric), ours.values(metric))?;
                Some(Bar { title: title.to_owned(), estimate: ratio, is_ours: false, note: None })
            })
            .collect();
        if !bars.is_empty() {
            writeln!(page, "<figure><figcaption>{}</figcaption>", escape(&row.title))?;
            writeln!(page, "{}</figure>", chart::ratios(&bars))?;
        }
    }
    writeln!(page, "</div>")
}

fn write_targets(page: &mut String, lines: &[Line]) -> fmt::Result {
    writeln!(page, "<table><tr><th>target</th><th>bound</th><th>measured</th><th></th></tr>")?;
    let is_measured = |line: &&Line| !matches!(line.verdict, Verdict::Unknown(_));
    for line in lines.iter().filter(is_measured) {
        let shown = |estimate: &Estimate| {
            let [median, low, high] = [estimate.median, estimate.low, estimate.high].map(number);
            format!("{median} <span class=\"dim\">[{low}–{high}]</span>")
        };
        let (class, word, found) = match &line.verdict {
            Verdict::Met(estimate) => ("good", "met", shown(estimate)),
            Verdict::Undecided(estimate) => ("fair", "within spread", shown(estimate)),
            Verdict::Missed(estimate) => ("bad", "missed", shown(estimate)),
            Verdict::Failed(why) => ("bad", "failed", escape(why)),
            Verdict::Unknown(_) => continue,
        };
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{found}</td><td class=\"{class}\">{word}</td></tr>",
            escape(&line.what),
            line.bound
        )?;
    }
    writeln!(page, "</table>")?;
    let unknown = lines.iter().filter(|line| !is_measured(line)).count();
    if unknown > 0 {
        writeln!(page, "<p class=\"dim\">{unknown} more targets were not measured.</p>")?;
    }
    Ok(())
}

fn write_figures(page: &mut String, results: &Results) -> fmt::Result {
    if results.figures.is_empty() {
        return Ok(());
    }
    writeln!(page, "<h2>Single figures</h2>\n<table>")?;
    for figure in &results.figures {
        let Some(estimate) = Estimate::of(&figure.values) else { continue };
        let (title, unit) = (escape(&figure.title), escape(&figure.unit));
        writeln!(page, "<tr><td>{title}</td><td>{} {unit}</td></tr>", number(estimate.median))?;
    }
    writeln!(page, "</table>")
}

fn write_row(page: &mut String, results: &Results, row: &RowResult) -> fmt::Result {
    writeln!(page, "<section id=\"{}\">", row.name)?;
    writeln!(page, "<h3>{} <code>{}</code></h3>", escape(&row.title), row.name)?;
    for note in &row.notes {
        writeln!(page, "<p class=\"dim\">{}</p>", escape(note))?;
    }
    let metric = main_metric(row);
    let is_ours = |cell: &Cell| cell.peer == OURS;
    let bars: Vec<Bar> = row
        .cells
        .iter()
        .filter_map(|cell| {
            let title = results.title(&cell.peer).to_owned();
            let note = cell.estimate(Metric::Rate).map(|rate| {
                let mark = if cell.is_load_bound() { " ¹" } else { "" };
                format!("{}/s{mark}", number(rate.median))
            });
            Some(Bar { title, estimate: cell.estimate(metric)?, is_ours: is_ours(cell), note })
        })
        .collect();
    writeln!(page, "<div class=\"pair\">")?;
    let label = match metric {
        Metric::RssBytesPerSession => "resident bytes per session".to_owned(),
        _ => format!("CPU nanoseconds per {}", row.unit),
    };
    writeln!(page, "<figure><figcaption>{label}</figcaption>{}</figure>", chart::bars(&bars))?;
    let curves: Vec<Curve> = row
        .cells
        .iter()
        .filter(|cell| !cell.latency.is_empty() && is_of_curves(cell))
        .map(|cell| Curve {
            title: results.title(&cell.peer).to_owned(),
            points: &cell.latency,
            is_ours: is_ours(cell),
        })
        .collect();
    if !curves.is_empty() {
        writeln!(page, "<figure><figcaption>latency, µs, by percentile</figcaption>")?;
        writeln!(page, "{}</figure>", chart::latency(&curves))?;
    }
    writeln!(page, "</div>")?;
    for cell in row.cells.iter().filter(|cell| !cell.errors.is_empty()) {
        let first = cell.errors.first().map_or("", String::as_str);
        let (count, title) = (cell.errors.len(), escape(results.title(&cell.peer)));
        writeln!(page, "<p class=\"bad\">{count} × failed: {title}: {}</p>", escape(first))?;
    }
    if row.cells.iter().any(Cell::is_load_bound) {
        writeln!(page, "<p class=\"dim\">¹ the load generator was busier than 90 %: a floor</p>")?;
    }
    writeln!(page, "</section>")
}

/// Curves of all bare relays would hide the others.
fn is_of_curves(cell: &Cell) -> bool {
    !cell.peer.starts_with("floor-") || cell.peer == "floor-poll-hybrid"
}

fn best_of<'a>(row: &'a RowResult, pattern: &str, metric: Metric) -> Option<&'a Cell> {
    let cells = row.cells.iter().filter(|cell| matches(pattern, &cell.peer));
    let medians = cells.filter_map(|cell| Some((cell.estimate(metric)?.median, cell)));
    medians.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, cell)| cell)
}

fn main_metric(row: &RowResult) -> Metric {
    if row.unit == "session" { Metric::RssBytesPerSession } else { Metric::CpuNs }
}

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample::results;

    #[test]
    fn a_page_stands_by_itself_and_shows_what_failed() {
        let cells: [(&str, &[f64]); 3] =
            [("sluice", &[10.0, 11.0]), ("envoy", &[20.0, 22.0]), ("nginx", &[])];
        let mut results = results(&cells);
        results.rows[0].title = "a <b> row".to_owned();
        let page = html(&results, &Targets { targets: Vec::new() });
        assert!(page.contains("a &lt;b&gt; row") && !page.contains("<b> row"));
        assert!(page.contains("failed: nginx: it broke"), "{page}");
        for elsewhere in ["http://", "https://", "src=", "@import", "url("] {
            let found = page.matches(elsewhere).count();
            let namespaces = page.matches("http://www.w3.org").count();
            assert_eq!(found, if elsewhere == "http://" { namespaces } else { 0 }, "{elsewhere}");
        }
    }
}
