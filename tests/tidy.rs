//! What the house style asks of every file, checked on every file.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const COLUMNS_MAX: usize = 100;
const LINES_MAX: usize = 500;
/// Files that may be longer, each with its reason. Short, or it means nothing.
const LONGER: [(&str, &str); 0] = [];

/// Where system calls are made. The simulated kernel is compared with bare ones.
const UNSAFE: [&str; 5] = [
    "src/kernel/",
    "src/sys/",
    "bench/src/sys/",
    "tests/sim_conformance/real.rs",
    "tests/kernel_engines/segments.rs",
];

/// A tracked file and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_source(&self) -> bool {
        self.is_rust() && self.path.starts_with("src/")
    }

    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || {
            self.path.ends_with("/tests.rs") || self.path.ends_with("_tests.rs")
        }
    }
}

/// All text files of the repository, or all below it where there is no repository.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    let paths: Vec<String> = match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
        }
        _ => walked(root),
    };
    let texts = paths.into_iter().filter_map(|path| {
        let text = fs::read_to_string(root.join(&path)).ok()?;
        Some(File { path, text })
    });
    let files: Vec<File> = texts.collect();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the files were not found");
    files
}

fn walked(root: &Path) -> Vec<String> {
    let (mut paths, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_file() {
                paths.push(relative);
            } else if !matches!(relative.as_str(), "target" | ".git" | "tests/fuzz/target") {
                folders.push(path);
            }
        }
    }
    paths
}

/// Fails with all that was found.
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The lines of files for which something holds, as `path:line: text`.
fn lines<'a>(
    files: impl IntoIterator<Item = &'a File>,
    holds: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (number, line) in (1..).zip(file.text.lines()) {
            if holds(line) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

#[test]
fn lines_are_not_too_long() {
    let files = files();
    // A text in JSON cannot be broken.
    let is_script =
        |file: &File| file.path.starts_with("scripts/") && !file.path.ends_with(".json");
    let checked = files.iter().filter(|file| file.is_rust() || is_script(file));
    assert_none(&lines(checked, |line| line.chars().count() > COLUMNS_MAX));
}

#[test]
fn files_are_not_too_long() {
    let files = files();
    let count = |file: &File| file.text.lines().count();
    let is_excepted = |file: &File| LONGER.iter().any(|(path, _)| *path == file.path);
    let too_long = files.iter().filter(|file| {
        file.is_rust() && !file.is_test() && !is_excepted(file) && count(file) > LINES_MAX
    });
    let found: Vec<_> =
        too_long.map(|file| format!("{}: {} lines", file.path, count(file))).collect();
    assert_none(&found);
    for (path, _) in LONGER {
        let file = files.iter().find(|file| file.path == path);
        assert!(file.is_some_and(|file| count(file) > LINES_MAX), "{path} needs no exception");
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let words =
        ["todo!".to_owned() + "(", "unimplemented!".to_owned() + "(", "dbg!".to_owned() + "("];
    let notes = ["FIX".to_owned() + "ME", "XX".to_owned() + "X:", "TO".to_owned() + "DO"];
    let ignored = "#[ign".to_owned() + "ore";
    let files = files();
    assert_none(&lines(files.iter().filter(|file| file.is_rust()), |line| {
        words.iter().chain(&notes).any(|word| line.contains(word)) || line.contains(&ignored)
    }));
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let folders = ["/wo".to_owned() + "rk/", "/tm".to_owned() + "p/wt", "/ro".to_owned() + "ot/"];
    let files = files();
    assert_none(&lines(files.iter(), |line| folders.iter().any(|folder| line.contains(folder))));
    // Programs ask the system where temporary files go.
    let temporary = "\"/tm".to_owned() + "p";
    let rust = files.iter().filter(|file| file.is_rust());
    assert_none(&lines(rust, |line| line.contains(&temporary)));
}

#[test]
fn unsafe_code_stays_in_kernel_and_sys() {
    let keyword = "uns".to_owned() + "afe";
    let is_allowed = |file: &File| UNSAFE.iter().any(|place| file.path.starts_with(place));
    let is_used = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        [" {", " fn", " impl", " trait", " extern"]
            .iter()
            .any(|after| code.contains(&format!("{keyword}{after}")))
    };
    let files = files();
    let others = files.iter().filter(|file| file.is_rust() && !is_allowed(file));
    assert_none(&lines(others, is_used));
}

#[test]
fn every_source_file_is_compiled() {
    let files = files();
    let paths: BTreeSet<&str> =
        files.iter().filter(|file| file.is_source()).map(|file| file.path.as_str()).collect();
    let mut reached: BTreeSet<String> =
        ["src/lib.rs", "src/main.rs"].map(str::to_owned).into_iter().collect();
    let mut unread: Vec<String> = reached.iter().cloned().collect();
    while let Some(path) = unread.pop() {
        let file = files.iter().find(|file| file.path == path).unwrap();
        let mut named = None;
        for line in file.text.lines().map(str::trim) {
            let code = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            if let Some(name) = code.strip_prefix("#[path = \"") {
                named = name.strip_suffix("\"]");
            }
            let Some(name) = code.strip_prefix("mod ").and_then(|code| code.strip_suffix(';'))
            else {
                continue;
            };
            for candidate in candidates(&path, name, named.take()) {
                if paths.contains(candidate.as_str()) && reached.insert(candidate.clone()) {
                    unread.push(candidate);
                }
            }
        }
    }
    let dead: Vec<String> =
        paths.iter().filter(|path| !reached.contains(**path)).map(|&path| path.into()).collect();
    assert_none(&dead);
}

/// Where `mod name;` in a file may lead, with the path attribute before it, if any.
fn candidates(path: &str, name: &str, named: Option<&str>) -> Vec<String> {
    let beside = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    if let Some(named) = named {
        return vec![format!("{beside}/{named}")];
    }
    let is_parent = ["lib.rs", "main.rs", "mod.rs"].iter().any(|last| path.ends_with(last));
    let folder = if is_parent { beside } else { path.trim_end_matches(".rs") };
    vec![format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]
}

#[test]
fn every_limit_is_used() {
    let files = files();
    let limits = files.iter().find(|file| file.path == "src/limits.rs").unwrap();
    let names = limits
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split(':').next().map(str::to_owned));
    let names: Vec<String> = names.collect();
    assert!(names.len() > 10, "the limits were not found");
    let others: Vec<&File> = files
        .iter()
        .filter(|file| file.is_source() && !file.is_test() && file.path != "src/limits.rs")
        .collect();
    // A limit may also bound another one.
    let unused = names.into_iter().filter(|name| {
        let elsewhere = others.iter().any(|file| mentions(&file.text, name));
        let here = limits.text.lines().any(|line| {
            mentions(line, name)
                && !line.starts_with(&format!("pub const {name}:"))
                && line.starts_with("pub const ")
        });
        !elsewhere && !here
    });
    assert_none(&unused.map(|name| format!("limits::{name} is not used")).collect::<Vec<_>>());
}

#[test]
fn no_page_has_a_place_left_to_fill_in() {
    let mark = "@".repeat(2);
    let files = files();
    let pages: Vec<&File> = files.iter().filter(|file| file.path.ends_with(".md")).collect();
    assert!(pages.iter().any(|file| file.path == "README.md"), "README.md was not found");
    assert_none(&lines(pages, |line| line.contains(&mark)));
}

#[test]
fn no_crate_comes_in_a_second_version_unseen() {
    let files = files();
    let text = |path| files.iter().find(|file| file.path == path).unwrap().text.as_str();
    assert_none(&wrong_versions(text("Cargo.lock"), text("deny.toml")));
}

#[test]
fn a_second_version_is_found_and_so_is_an_exception_too_many() {
    let lock = |versions: &[&str]| -> String {
        let package =
            |version| format!("[[package]]\nname = \"io-uring\"\nversion = \"{version}\"\n");
        versions.iter().map(package).collect()
    };
    let deny = "[bans]\nskip = [{ crate = \"io-uring@0.6\", reason = \"\" }]";
    assert_eq!(wrong_versions(&lock(&["0.6.4", "0.7.15"]), deny), [""; 0]);
    for (versions, wrong_count) in
        [(&["0.60.0", "0.7.15"][..], 2), (&["0.6.4", "0.7.15", "0.8.0"], 1), (&["0.6.4"], 1)]
    {
        assert_eq!(wrong_versions(&lock(versions), deny).len(), wrong_count, "{versions:?}");
    }
}

/// The crates that a lock file has in several versions, but for those that a policy lists; and
/// what the policy lists without need.
fn wrong_versions(lock: &str, deny: &str) -> Vec<String> {
    let (lock, deny): (toml::Table, toml::Table) = (lock.parse().unwrap(), deny.parse().unwrap());
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let version = package["version"].as_str().unwrap();
        versions.entry(package["name"].as_str().unwrap()).or_default().push(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut wrong = Vec::new();
    for listed in deny["bans"]["skip"].as_array().unwrap() {
        let listed = listed["crate"].as_str().unwrap();
        let (name, wanted) = listed.split_once('@').unwrap();
        let is_listed = |version: &&str| {
            version
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let found = versions.get_mut(name).and_then(|versions| {
            let at = versions.iter().position(is_listed)?;
            Some(versions.remove(at))
        });
        if found.is_none() {
            wrong.push(format!("deny.toml lists {listed}, which is no second version of anything"));
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    wrong.extend(versions.iter().map(|(name, versions)| {
        format!("{name} comes in the versions {}: deny.toml gives no reason", versions.join(", "))
    }));
    wrong
}

/// Whether code, not a comment, uses a name as a whole word.
fn mentions(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let code = line.split("//").next().unwrap_or_default();
        code.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .any(|word| word == name)
    })
}

#[test]
fn every_file_of_tests_is_compiled() {
    let files = files();
    let tests = files.iter().filter(|file| file.is_rust() && file.path.starts_with("tests/"));
    let declared: BTreeSet<&str> = tests
        .clone()
        .flat_map(|file| file.text.lines())
        .filter_map(|line| {
            let code = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            code.strip_prefix("mod ")?.strip_suffix(';')
        })
        .collect();
    // Cargo finds what is directly in tests/, and a main.rs one folder below.
    let found = tests.filter_map(|file| {
        let name = file.path.strip_prefix("tests/")?.strip_suffix(".rs")?;
        let (folder, stem) = name.rsplit_once('/')?;
        let is_target = stem == "main" || folder == "fuzz/fuzz_targets";
        let stem = if stem == "mod" { folder.rsplit('/').next()? } else { stem };
        (!is_target && !declared.contains(stem)).then(|| file.path.clone())
    });
    assert_none(&found.collect::<Vec<_>>());
}

/// They are planted one by one only now and then: that would tell late.
#[test]
fn every_planted_defect_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = files().into_iter().filter(|file| file.path.starts_with("tests/mutants/"));
    let stale: Vec<String> = patches
        .filter(|file| {
            let mut apply = Command::new("git");
            apply.args(["apply", "--check", &file.path]).current_dir(root);
            !apply.output().unwrap().status.success()
        })
        .map(|file| file.path)
        .collect();
    assert!(stale.is_empty(), "make these anew: {stale:?}");
}
