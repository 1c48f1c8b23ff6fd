//! Where the binaries of Consul and of Envoy are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The binary: `SLUICE_CONSUL`, or what `scripts/install-consul` installs, which prints its path.
pub fn consul() -> &'static Path {
    static BINARY: LazyLock<PathBuf> =
        LazyLock::new(|| installed("SLUICE_CONSUL", "scripts/install-consul"));
    BINARY.as_path()
}

/// The binary: `SLUICE_ENVOY`, or what `scripts/install-envoy` installs, which prints its path.
pub fn envoy() -> &'static Path {
    static BINARY: LazyLock<PathBuf> =
        LazyLock::new(|| installed("SLUICE_ENVOY", "scripts/install-envoy"));
    BINARY.as_path()
}

fn installed(variable: &str, script: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        return PathBuf::from(named);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(&script)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; or set {variable}", script.display()));
    assert!(
        output.status.success(),
        "{} failed: {}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    PathBuf::from(printed.lines().last().expect("no path was printed").trim())
}
