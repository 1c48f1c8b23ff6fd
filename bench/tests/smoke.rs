//! The whole bench, once through, with peers that are always here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_sluice-bench");

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The gateway: that of SLUICE_PROGRAM, or built as this test was.
fn sluice() -> PathBuf {
    if let Some(program) = std::env::var_os("SLUICE_PROGRAM") {
        return program.into();
    }
    let folder = Path::new(BENCH).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "sluice-gateway", "--bin", "sluice"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    folder.join("sluice")
}

/// Runs share the CPUs that they pin to, and ports: one at a time.
static TURN: Mutex<()> = Mutex::new(());

fn run(peer_folder: &Path, peers: &str, output: &Path) -> (Output, Value) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ran = Command::new(BENCH)
        .args(["run", "--rows", "rpc-64-64", "--peers", peers, "--rounds", "1"])
        .args(["--seconds", "0.1", "--warm-up-seconds", "0.05", "--sluice"])
        .arg(sluice())
        .arg("--peer-folder")
        .arg(peer_folder)
        .arg("--output")
        .arg(output)
        .output()
        .unwrap();
    let text = fs::read_to_string(output).unwrap_or_else(|_| panic!("{ran:?}"));
    (ran, serde_json::from_str(&text).unwrap())
}

#[test]
fn two_peers_are_measured_and_reported() {
    let folder = Folder::new("sluice-bench-smoke");
    let (json, page) = (folder.path("results.json"), folder.path("page.html"));
    // Epoll is everywhere.
    let (ran, results) = run(&peers(), "sluice-epoll,floor-epoll-copy", &json);
    assert!(ran.status.success(), "{ran:?}");
    let cells = results["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2);
    for cell in cells {
        for metric in ["cpu_ns", "rate", "p99_us", "rss_bytes", "load_use"] {
            let value = cell["rounds"][metric][0].as_f64().unwrap_or(0.0);
            assert!(value > 0.0, "{metric} of {cell}");
        }
        assert_eq!(cell["errors"].as_array().unwrap().len(), 0);
    }
    let report = Command::new(BENCH).arg("report").arg(&json).arg("--html").arg(&page).output();
    let report = report.unwrap();
    assert!(report.status.success() && fs::read_to_string(&page).unwrap().contains("</html>"));
    let markdown = String::from_utf8(report.stdout).unwrap();
    assert!(markdown.contains("| Sluice on epoll"), "{markdown}");
    let same = Command::new(BENCH).arg("compare").args([&json, &json]).status().unwrap();
    assert!(same.success(), "a run is no worse than itself");
    assert!(Command::new(BENCH).arg("check").arg(&json).status().unwrap().success());
}

#[test]
fn a_peer_that_fails_is_an_error_and_one_that_is_missing_is_left_out() {
    let folder = Folder::new("sluice-bench-failing");
    let peer = |name: &str, program: &str| {
        let text = format!("title = '{name}'\nprogram = '{program}'\nversion = ['1.0']\n");
        fs::write(folder.path(&format!("{name}.toml")), text).unwrap();
    };
    peer("nginx", "there-is-no-such-program");
    let (ran, results) = run(&folder.0, "nginx", &folder.path("missing.json"));
    assert!(ran.status.success(), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("skipped nginx"));
    assert!(results["skipped"]["nginx"].is_string());

    peer("nginx", "true");
    let (ran, results) = run(&folder.0, "nginx", &folder.path("failing.json"));
    assert_eq!(ran.status.code(), Some(1));
    let errors = &results["rows"][0]["cells"][0]["errors"];
    assert!(errors[0].as_str().unwrap().contains("ended by itself"), "{errors}");
}
