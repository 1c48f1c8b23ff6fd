//! Figures that stand by themselves: what tables cost, and instruction counts.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use crate::results::{Figure, Results, ResultsError};

mod gateway;
pub(crate) mod instructions;
mod tables;

/// Adds them to results, in place of earlier ones.
///
/// # Errors
/// The results cannot be read or written.
pub(crate) fn add_to(path: &Path, sluice: &Path) -> Result<(), ResultsError> {
    let mut results = Results::read(path)?;
    results.figures = measure(sluice);
    results.write(path)
}

/// Measures all of them. What cannot be measured here is said, and left out.
fn measure(sluice: &Path) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (what, measured) in [
        ("tables", tables::measure()),
        ("the gateway's memory", gateway::measure(sluice)),
        ("instruction counts", instructions::measure()),
    ] {
        match measured {
            Ok(measured) => figures.extend(measured),
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "left out: {what}: {error}");
            }
        }
    }
    figures
}

type Measured = Result<Vec<Figure>, Box<dyn Error>>;

fn figure(name: &str, title: &str, unit: &str, values: Vec<f64>) -> Figure {
    let [name, title, unit] = [name, title, unit].map(str::to_owned);
    Figure { name, title, unit, values }
}
