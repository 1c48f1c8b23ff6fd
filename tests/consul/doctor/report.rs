//! What `sluice doctor` and `sluice path` say, as a machine reads it.

use serde_json::Value;

use crate::support::datacenter::Datacenter;
use crate::support::program::sluice;
use crate::support::until;

/// A report, and the exit code that came with it.
#[derive(Debug)]
pub struct Report {
    pub code: Option<i32>,
    json: Value,
}

impl Report {
    /// Runs `sluice doctor` with these words.
    pub fn of(words: &[&str]) -> Self {
        Self::of_command("doctor", words)
    }

    /// Runs another command that reports in the same way.
    pub fn of_command(command: &str, words: &[&str]) -> Self {
        let output = sluice(&[&[command, "--json"], words].concat());
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {output:?}");
        });
        Self { code: output.status.code(), json }
    }

    /// `sluice doctor consul` at the agent of a datacenter.
    pub fn of_consul(datacenter: &Datacenter, words: &[&str]) -> Self {
        let url = datacenter.url();
        Self::of(&[&["consul", "--http-addr", &url], words].concat())
    }

    /// The checks of a name.
    pub fn checks(&self, name: &str) -> Vec<&Value> {
        let checks = self.json["checks"].as_array().unwrap().iter();
        let found: Vec<&Value> = checks.filter(|check| check["name"] == name).collect();
        assert!(!found.is_empty(), "no check {name:?} in {:#}", self.json);
        found
    }

    /// Whether there is a check of a name.
    pub fn has(&self, name: &str) -> bool {
        self.json["checks"].as_array().unwrap().iter().any(|check| check["name"] == name)
    }

    pub fn passes(&self, name: &str) -> bool {
        self.checks(name).iter().all(|check| check["verdict"] == "pass")
    }

    #[track_caller]
    pub fn must_pass(&self, names: &[&str]) {
        for name in names {
            assert!(self.passes(name), "{name:?} in {:#}", self.json);
        }
    }

    /// One check of the name failed with these words, and so did the command; its remedy.
    #[track_caller]
    pub fn must_fail(&self, name: &str, words: &str) -> String {
        self.must(name, "fail", words)
    }

    /// One check of the name has this verdict and these words; its remedy.
    #[track_caller]
    pub fn must(&self, name: &str, verdict: &str, words: &str) -> String {
        let checks = self.checks(name);
        let is_it = |check: &&&Value| {
            check["verdict"] == verdict && check["found"].as_str().unwrap().contains(words)
        };
        let Some(check) = checks.iter().find(is_it) else {
            panic!("no {verdict} of {name:?} with {words:?} in {:#}", self.json)
        };
        if verdict == "fail" {
            assert_eq!(self.code, Some(1), "{:#}", self.json);
        }
        check["remedy"].as_str().unwrap_or_default().to_owned()
    }
}

/// Waits until a check passes: what mends takes its time.
pub fn wait_for_pass(name: &str, mut report: impl FnMut() -> Report) -> Report {
    until(&format!("{name:?} passes"), || {
        let report = report();
        report.passes(name).then_some(report)
    })
}
