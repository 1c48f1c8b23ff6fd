//! What a doctor found, for people and for machines.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::Exit;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it must be.
    Pass,
    /// It works, but not as well as it could; or it could not be looked at.
    Warn,
    /// The gateway, or what it serves, does not work like this.
    Fail,
    /// There is nothing to look at.
    NotApplicable,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at. The same name may come several times: once for each place where
    /// something is wrong.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, in one sentence.
    pub found: String,
    /// What to type or to write where, if anything is to be done.
    pub remedy: Option<String>,
}

/// All that was looked at for one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    subject: &'static str,
    checks: Vec<Check>,
}

/// A report as machines read it.
#[derive(Serialize)]
struct Summary<'a> {
    doctor: &'static str,
    passed: usize,
    warned: usize,
    failed: usize,
    checks: &'a [Check],
}

impl Check {
    /// It is as it must be.
    pub fn pass(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Pass, found: found.into(), remedy: None }
    }

    /// It works, but could be better; or it could not be looked at.
    pub fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// It does not work like this.
    pub fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// There is nothing to look at.
    pub fn not_applicable(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::NotApplicable, found: found.into(), remedy: None }
    }
}

impl Report {
    /// A report on a subject, named as on the command line.
    #[must_use]
    pub fn new(subject: &'static str, checks: Vec<Check>) -> Self {
        Self { subject, checks }
    }

    /// What was looked at, in the order to be read in.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// [`Exit::Mismatch`] if something failed; a warning is no failure.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.count(Verdict::Fail) > 0 { Exit::Mismatch } else { Exit::Success }
    }

    /// Writes it: one JSON object, or lines for people.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if !json {
            return self.write_text(out);
        }
        let summary = Summary {
            doctor: self.subject,
            passed: self.count(Verdict::Pass),
            warned: self.count(Verdict::Warn),
            failed: self.count(Verdict::Fail),
            checks: &self.checks,
        };
        serde_json::to_writer_pretty(&mut *out, &summary)?;
        writeln!(out)
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for check in &self.checks {
            let word = match check.verdict {
                Verdict::Pass => "pass",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
                Verdict::NotApplicable => "-",
            };
            writeln!(out, "{word:4}  {:width$}  {}", check.name, shown(&check.found))?;
            if let Some(remedy) = &check.remedy {
                writeln!(out, "{:4}  {:width$}  -> {}", "", "", shown(remedy))?;
            }
        }
        let [passed, warned, failed] =
            [Verdict::Pass, Verdict::Warn, Verdict::Fail].map(|verdict| self.count(verdict));
        writeln!(out, "{passed} passed, {warned} warned, {failed} failed")
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

/// What others said may be in it: no control character of theirs reaches the terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let checks = vec![
            Check::pass("one", "it is well"),
            Check::warn("second", "it could be\u{1b}[2J better", "type this"),
            Check::not_applicable("third", "there is none"),
        ];
        Report::new("host", checks)
    }

    fn written(report: &Report, json: bool) -> String {
        let mut out = Vec::new();
        report.write(json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_read_a_line_for_each_check_and_the_remedy_below() {
        let expected = "pass  one     it is well\n\
                        WARN  second  it could be [2J better\n\
                        \x20             -> type this\n\
                        -     third   there is none\n\
                        1 passed, 1 warned, 0 failed\n";
        assert_eq!(written(&report(), false), expected);
    }

    #[test]
    fn machines_read_the_same() {
        let read: serde_json::Value = serde_json::from_str(&written(&report(), true)).unwrap();
        assert_eq!(read["doctor"], "host");
        assert_eq!([&read["passed"], &read["warned"], &read["failed"]], [1, 1, 0]);
        assert_eq!(read["checks"][0]["verdict"], "pass");
        assert_eq!(read["checks"][0]["remedy"], serde_json::Value::Null);
        assert_eq!(read["checks"][1]["remedy"], "type this");
        assert_eq!(read["checks"][2]["verdict"], "not_applicable");
    }

    #[test]
    fn only_what_failed_is_a_failure() {
        let mut report = report();
        assert_eq!(report.exit(), Exit::Success);
        report.checks.push(Check::fail("fourth", "it is broken", "mend it"));
        assert_eq!(report.exit(), Exit::Mismatch);
    }
}
