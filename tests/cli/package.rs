//! The unit and the Debian package: judged by systemd's and Debian's own programs, and installed
//! for real in a copy of this system that is thrown away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_here(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.unwrap().status.success();
    if !found {
        println!("left out: {program} is not here");
    }
    found
}

fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    let complaint = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {said}{complaint}");
    said
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_little_exposed() {
    if !is_here("systemd-analyze") {
        return;
    }
    let folder = Folder::new();
    for unit in ["sluice.service", "sluice.socket"] {
        let text = fs::read_to_string(root().join("scripts/systemd").join(unit)).unwrap();
        let text = text.replace("/usr/bin/sluice", env!("CARGO_BIN_EXE_sluice"));
        fs::write(folder.path().join(unit), text).unwrap();
    }
    let service = folder.path().join("sluice.service");
    for unit in [&service, &folder.path().join("sluice.socket")] {
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(unit)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&verified.stderr).into_owned();
        let about_it: Vec<&str> = told.lines().filter(|line| line.contains("sluice")).collect();
        assert!(verified.status.success() && about_it.is_empty(), "{told}");
    }
    // In tenths; services without hardening have 96.
    let mut judge = Command::new("systemd-analyze");
    let judged = said(judge.args(["security", "--offline=true", "--threshold=20"]).arg(&service));
    assert!(judged.contains("Overall exposure level"), "{judged}");
}

/// Builds the package of the binary under test.
fn package(into: &Path) -> PathBuf {
    let mut build = Command::new(root().join("scripts/package"));
    build.args(["--binary", env!("CARGO_BIN_EXE_sluice"), "--output"]).arg(into);
    // In a third of the time.
    build.env("DPKG_DEB_COMPRESSOR_TYPE", "gzip");
    PathBuf::from(said(&mut build).trim_end())
}

#[test]
fn the_package_has_all_files_in_their_places_and_is_the_same_twice() {
    if !is_here("dpkg-deb") || !is_here("dpkg-shlibdeps") {
        return;
    }
    let folder = Folder::new();
    let package = package(folder.path());
    let listed = said(Command::new("dpkg-deb").arg("--contents").arg(&package));
    // Mode, owner, size, date, time, name.
    let entries: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    for (mode, name) in [
        ("-rwxr-xr-x", "./usr/bin/sluice"),
        ("-rw-r--r--", "./usr/lib/systemd/system/sluice.service"),
        ("-rw-r--r--", "./usr/lib/sysusers.d/sluice.conf"),
        ("-rw-r--r--", "./etc/sluice/sluice.env"),
        ("-rw-r--r--", "./etc/sluice/sluice.toml"),
        ("-rw-r--r--", "./usr/share/man/man1/sluice.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/sluice-run.1.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/sluice"),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_sluice"),
        ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/sluice.fish"),
        ("-rw-r--r--", "./usr/share/doc/sluice/README.md"),
        ("-rw-r--r--", "./usr/share/doc/sluice/copyright"),
        ("-rw-r--r--", "./usr/share/doc/sluice/changelog.gz"),
        ("-rw-r--r--", "./usr/share/doc/sluice/examples/sluice.socket"),
    ] {
        let entry = entries.iter().find(|entry| entry.last() == Some(&name));
        assert_eq!(entry.map(|entry| entry[0]), Some(mode), "{name} in\n{listed}");
    }
    for entry in &entries {
        assert_eq!(entry[1], "root/root", "{entry:?}");
        assert!(entry[0].starts_with('d') || !entry[0].contains("w-r-x"), "{entry:?}");
    }
    let field = |name| said(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name));
    assert_eq!(field("Version").trim_end(), env!("CARGO_PKG_VERSION"));
    assert!(field("Depends").contains("libc6 (>= "), "{}", field("Depends"));
    let conffiles = said(Command::new("dpkg-deb").args(["--info"]).arg(&package).arg("conffiles"));
    assert_eq!(conffiles, "/etc/sluice/sluice.env\n/etc/sluice/sluice.toml\n");

    let first = fs::read(&package).unwrap();
    fs::remove_file(&package).unwrap();
    assert!(first == fs::read(self::package(folder.path())).unwrap(), "the same bytes again");
}

/// Installs the package in a copy of this system, uses it, and purges it. What is written goes to
/// memory, and is gone with the mount namespace.
const LIFE_OF_A_PACKAGE: &str = r#"
package=$1 scratch=$2
mount -t tmpfs none "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
root=$scratch/root
mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" none "$root"
mount -t proc none "$root/proc"
mount -t tmpfs none "$root/run"
mount --bind /dev "$root/dev"
cp "$package" "$root/run/sluice.deb"
chroot "$root" dpkg --install /run/sluice.deb

chroot "$root" sluice --version
chroot "$root" getent passwd sluice
chroot "$root" man --where sluice-doctor-host
chroot "$root" systemd-analyze verify /usr/lib/systemd/system/sluice.service
# The configuration is one that is right, and the unit is started with it.
grep 'sluice run --config /etc/sluice/sluice.toml ' "$root/usr/lib/systemd/system/sluice.service"
chroot "$root" sluice check --config /etc/sluice/sluice.toml
run='. /etc/sluice/sluice.env; exec sluice run --config /etc/sluice/sluice.toml $SLUICE_FLAGS'
grep -- '--engine "none"' <<<"$(chroot "$root" sh -c "$run --engine none 2>&1")"
chroot "$root" setpriv --reuid=sluice --regid=sluice --clear-groups sluice doctor host --json \
    >/dev/null || [ $? = 1 ]
install -d "$root/var/lib/sluice" && touch "$root/var/lib/sluice/state"

chroot "$root" dpkg --remove sluice
test -e "$root/etc/sluice/sluice.env"
test -e "$root/var/lib/sluice/state"
test ! -e "$root/usr/bin/sluice"
chroot "$root" dpkg --purge sluice
cmp /etc/passwd "$root/etc/passwd"
cmp /etc/group "$root/etc/group"
# dpkg's and man's own records are theirs.
cd "$scratch/upper"
find . -path ./var/lib/dpkg -prune -o -path ./var/cache/man -prune -o -iname '*sluice*' -print
"#;

#[test]
fn an_installed_package_works_and_a_purged_one_leaves_nothing() {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root || !is_here("dpkg-shlibdeps") || !is_here("systemd-analyze") || !is_here("man") {
        return;
    }
    let overlay = "mount -t tmpfs none $1; cd $1; mkdir upper work root; mount -t overlay -o \
                   lowerdir=/,upperdir=$1/upper,workdir=$1/work none $1/root";
    if !can_mount(overlay) {
        return;
    }
    let folder = Folder::new();
    let package = package(folder.path());
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let mut life = Command::new("unshare");
    life.args(["--mount", "--", "bash", "-euxo", "pipefail", "-c", LIFE_OF_A_PACKAGE, "bash"]);
    let told = said(life.arg(&package).arg(&scratch));
    let told: Vec<&str> = told.lines().collect();
    assert!(told.iter().any(|line| line.starts_with("sluice ")), "{told:?}");
    assert!(told.iter().any(|line| line.contains("sluice-doctor-host.1.gz")), "{told:?}");
    assert!(told.last().unwrap().starts_with("Purging"), "what is left: {told:?}");
}
