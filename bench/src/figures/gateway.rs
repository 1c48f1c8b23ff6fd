//! What a gateway with 10,000 services takes of memory.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Measured, figure, tables};
use crate::run::ports;
use crate::run::process::Tree;

const MIB: f64 = 1_048_576.0;

pub(super) fn measure(sluice: &Path) -> Measured {
    const START: Duration = Duration::from_secs(20);
    const SETTLE: Duration = Duration::from_secs(3);
    let file = std::env::temp_dir().join(format!("sluice-bench-{}.toml", std::process::id()));
    fs::write(&file, tables::routes_file())?;
    let address = ports::free_address()?;
    let spawned = Command::new(sluice)
        .args(["run", "--admin-bind", "off", "--workers", "2", "--log-level", "warn", "--bind"])
        .arg(address.to_string())
        .arg("--routes")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let mut child = spawned?;
    let tree = Tree::new(child.id());
    let began = Instant::now();
    while !ports::is_listening(address.port()) && began.elapsed() < START {
        sleep(Duration::from_millis(10));
    }
    // The file is not read again after it has settled.
    sleep(SETTLE);
    let memory = tree.memory();
    let ended = child.try_wait()?;
    child.kill()?;
    child.wait()?;
    fs::remove_file(&file)?;
    if let Some(status) = ended {
        return Err(format!("the gateway ended by itself: {status}").into());
    }
    let [steady, peak] = [memory.resident_bytes, memory.peak_bytes].map(|bytes| bytes as f64 / MIB);
    Ok(vec![
        figure(
            "figure-steady-rss",
            "gateway with them and 2 workers, steady RSS",
            "MiB",
            vec![steady],
        ),
        figure("figure-peak-rss", "the same, most at any time", "MiB", vec![peak]),
    ])
}
