//! Latency curves in the form that HdrHistogram's tools print and plot (.hgrm).

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::results::Results;

/// Writes one file for each curve, `ROW-PEER.hgrm`.
///
/// # Errors
/// The folder or a file cannot be written.
pub(crate) fn write_all(results: &Results, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for row in &results.rows {
        for cell in row.cells.iter().filter(|cell| !cell.latency.is_empty()) {
            let count = cell.latency_count;
            let file = folder.join(format!("{}-{}.hgrm", row.name, cell.peer));
            fs::write(file, curve(&cell.latency, count))?;
        }
    }
    Ok(())
}

/// Value, percentile, how many are not above it, and 1/(1-percentile). Values are microseconds.
fn curve(points: &[(f64, f64)], count: u64) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for (percentile, us) in points {
        let share = percentile / 100.0;
        let total = (share * count as f64).round();
        let _ = if *percentile < 100.0 {
            writeln!(text, "{us:>12.3} {share:>14.12} {total:>10.0} {:>14.2}", 1.0 / (1.0 - share))
        } else {
            writeln!(text, "{us:>12.3} {share:>14.12} {total:>10.0}")
        };
    }
    let _ = writeln!(text, "#[Total count    = {count:>12}]");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_as_the_tools_expect() {
        let text = curve(&[(50.0, 100.0), (100.0, 250.5)], 1000);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["100.000", "0.500000000000", "500", "2.00"]);
        assert_eq!(lines[3], ["250.500", "1.000000000000", "1000"]);
    }
}
