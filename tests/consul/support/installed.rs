//! Where the binary of Consul is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The binary: `SLUICE_CONSUL`, or what `scripts/install-consul` installs, which prints its path.
pub fn consul() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(named) = std::env::var_os("SLUICE_CONSUL") {
            return PathBuf::from(named);
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-consul");
        let output = Command::new(&script)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; or set SLUICE_CONSUL", script.display()));
        assert!(
            output.status.success(),
            "{} failed: {}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let printed = String::from_utf8(output.stdout).unwrap();
        PathBuf::from(printed.lines().last().expect("no path was printed").trim())
    });
    BINARY.as_path()
}
