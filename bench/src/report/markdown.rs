//! A table for each row.

use std::fmt::Write;

use super::number;
use crate::results::{Cell, Metric, Results, RowResult};
use crate::statistics::{Estimate, ratio};

/// Whose figures others are compared with.
const OURS: &str = "sluice";

/// The results as Markdown.
pub(crate) fn markdown(results: &Results) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, results);
    page
}

fn write_page(page: &mut String, results: &Results) -> std::fmt::Result {
    let (machine, settings) = (&results.machine, &results.settings);
    writeln!(page, "# Measured on {}\n", settings.started)?;
    writeln!(
        page,
        "{} × {}, {} GiB, {}, Linux {}, TCP {}; proxy on CPU {:?}, load on {}. \
         {} rounds of {} s, interleaved; medians, and 95 % intervals in brackets.\n",
        machine.cpu_count,
        machine.cpu,
        machine.memory_mib / 1024,
        machine.system,
        machine.kernel,
        machine.congestion_control,
        machine.proxy_cpus,
        machine.load_cpu,
        settings.rounds,
        settings.seconds,
    )?;
    for (name, peer) in results.peers.iter().filter(|(_, peer)| !peer.version.is_empty()) {
        writeln!(page, "* {} (`{name}`): {}", peer.title, peer.version)?;
    }
    for (peer, why) in &results.skipped {
        writeln!(page, "* `{peer}` was left out: {why}")?;
    }
    for row in &results.rows {
        write_row(page, results, row)?;
    }
    if !results.figures.is_empty() {
        writeln!(page, "\n## Single figures\n\n| figure | median | unit |\n|---|---|---|")?;
        for figure in &results.figures {
            let median = Estimate::of(&figure.values).map(|estimate| number(estimate.median));
            let median = median.unwrap_or_default();
            writeln!(page, "| {} | {median} | {} |", figure.title, figure.unit)?;
        }
    }
    Ok(())
}

fn write_row(page: &mut String, results: &Results, row: &RowResult) -> std::fmt::Result {
    writeln!(page, "\n## {} (`{}`)\n", row.title, row.name)?;
    for note in &row.notes {
        writeln!(page, "* {note}")?;
    }
    if !row.notes.is_empty() {
        writeln!(page)?;
    }
    let shown: Vec<(Metric, &str)> = columns(&row.unit)
        .into_iter()
        .filter(|(metric, _)| row.cells.iter().any(|cell| !cell.values(*metric).is_empty()))
        .collect();
    write!(page, "| |")?;
    shown.iter().try_for_each(|(_, title)| write!(page, " {title} |"))?;
    writeln!(page, " ÷ ours |")?;
    writeln!(page, "|---|{}---|", "---|".repeat(shown.len()))?;
    for cell in &row.cells {
        let mark = if cell.is_load_bound() { " ¹" } else { "" };
        write!(page, "| {}{mark} |", results.title(&cell.peer))?;
        for (metric, _) in &shown {
            write!(page, " {} |", figure(cell, *metric))?;
        }
        writeln!(page, " {} |", compared(row, cell))?;
    }
    for cell in row.cells.iter().filter(|cell| !cell.errors.is_empty()) {
        let (count, first) = (cell.errors.len(), cell.errors.first());
        let first = first.map_or("", String::as_str);
        writeln!(page, "\n**FAILED** {count} × {}: {first}", results.title(&cell.peer))?;
    }
    if row.cells.iter().any(Cell::is_load_bound) {
        writeln!(page, "\n¹ The load generator was busier than 90 %: the rate is a floor.")?;
    }
    Ok(())
}

/// The columns of a row, by what it counts.
fn columns(unit: &str) -> Vec<(Metric, &'static str)> {
    let mut columns = vec![(
        Metric::CpuNs,
        match unit {
            "connection" => "CPU ns per connection",
            "MiB" => "CPU ns per MiB",
            "session" => "CPU ns to open a session",
            _ => "CPU ns per request",
        },
    )];
    if unit == "session" {
        columns.push((Metric::RssBytesPerSession, "RSS bytes per session"));
        columns.push((Metric::PssBytesPerSession, "PSS bytes per session"));
    } else {
        columns.push((Metric::Rate, if unit == "MiB" { "MiB/s" } else { "per second" }));
    }
    columns.extend([
        (Metric::P50Us, "p50 µs"),
        (Metric::P99Us, "p99 µs"),
        (Metric::P999Us, "p99.9 µs"),
        (Metric::SideRate, "beside, MiB/s"),
        (Metric::RssBytes, "RSS KiB"),
        (Metric::Turns, "turns"),
        (Metric::Completions, "completions"),
        (Metric::Syscalls, "system calls"),
        (Metric::ContextSwitches, "switches"),
        (Metric::ProxyUse, "proxy's CPU"),
        (Metric::LoadUse, "load's CPU"),
    ]);
    columns
}

fn figure(cell: &Cell, metric: Metric) -> String {
    let Some(estimate) = cell.estimate(metric) else { return "n/a".to_owned() };
    let is_main = matches!(metric, Metric::CpuNs | Metric::RssBytesPerSession | Metric::P99Us);
    let shown = match metric {
        Metric::RssBytes => number(estimate.median / 1024.0),
        _ => number(estimate.median),
    };
    if is_main && estimate.count > 1 {
        format!("{shown} [{}–{}]", number(estimate.low), number(estimate.high))
    } else {
        shown
    }
}

/// How a peer's main figure compares with ours, paired by rounds.
fn compared(row: &RowResult, cell: &Cell) -> String {
    let metric = if row.unit == "session" { Metric::RssBytesPerSession } else { Metric::CpuNs };
    let Some(ours) = row.cell(OURS).filter(|ours| ours.peer != cell.peer) else {
        return String::new();
    };
    ratio(cell.values(metric), ours.values(metric))
        .map(|ratio| format!("{:.2} [{:.2}–{:.2}]", ratio.median, ratio.low, ratio.high))
        .unwrap_or_default()
}
