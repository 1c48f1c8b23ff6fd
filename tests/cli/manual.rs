//! Man pages and completions: as their readers and shells take them.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use clap::CommandFactory;

use crate::support::*;

/// The pages that there must be: one for each command that is not hidden, and its flags.
fn expected() -> Vec<(String, Vec<String>)> {
    fn walk(command: &clap::Command, name: &str, into: &mut Vec<(String, Vec<String>)>) {
        let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
        let flags = flags.filter_map(|flag| flag.get_long().map(|long| format!("--{long}")));
        into.push((name.to_owned(), flags.collect()));
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            walk(below, &format!("{name}-{}", below.get_name()), into);
        }
    }
    let mut expected = Vec::new();
    walk(&sluice::cli::Command::command(), "sluice", &mut expected);
    expected
}

#[test]
fn every_command_has_a_page_with_all_its_flags() {
    let folder = Folder::new();
    let pages = folder.path().join("man1");
    assert!(sluice(&["man", &as_text(&pages)]).status.success());
    let written: BTreeSet<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = expected();
    let names: BTreeSet<String> = expected.iter().map(|(name, _)| format!("{name}.1")).collect();
    assert_eq!(written, names);
    assert!(names.contains("sluice-run.1") && names.contains("sluice-doctor-host.1"), "{names:?}");
    for (name, flags) in &expected {
        let page = pages.join(format!("{name}.1"));
        let Output { status, stdout, stderr } = Command::new("man")
            .args(["--warnings", "--local-file"])
            .arg(&page)
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8")
            .env("MAN_KEEP_FORMATTING", "")
            .output()
            .unwrap();
        let (text, complaints) = (String::from_utf8(stdout), String::from_utf8(stderr));
        let (text, complaints) = (text.unwrap(), complaints.unwrap());
        assert!(status.success() && complaints.is_empty(), "{name}: {complaints}");
        for flag in flags {
            assert!(text.contains(flag), "{name}: {flag} is not on the page: {text}");
        }
    }
    let blocked = folder.routes(ROUTE);
    let refused = sluice(&["man", &blocked]);
    assert_eq!(refused.status.code(), Some(71), "a file is no folder");
}

/// What bash offers for the last of these words.
fn offered(script: &str, words: &[&str]) -> Vec<String> {
    let ask = format!(
        "source {script}; COMP_WORDS=({}); COMP_CWORD={}; {{ _sluice sluice '{}' '{}'; }} \
         >/dev/null; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() - 1,
        words.last().unwrap(),
        words[words.len() - 2],
    );
    let output = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn shells_complete_commands_and_flags() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = sluice(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["doctor", "idle-timeout"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        fs::write(folder.path().join(shell), script).unwrap();
    }
    assert_eq!(sluice(&["completions", "tcsh"]).status.code(), Some(64));
    let script = as_text(&folder.path().join("bash"));
    assert_eq!(offered(&script, &["sluice", "ro"]), ["routes"]);
    assert_eq!(offered(&script, &["sluice", "run", "--idle"]), ["--idle-timeout"]);
    let subjects = offered(&script, &["sluice", "doctor", "h"]);
    assert!(subjects.contains(&"host".to_owned()), "{subjects:?}");
}
