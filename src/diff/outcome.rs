//! What a comparison found, for people and for machines.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use super::compare::{Finding, Findings};
use super::note::Note;
use crate::doctor::shown;
use crate::error::Exit;

/// Names that people are shown of those that differ alike.
const NAMES_SHOWN: usize = 3;

/// What a comparison found.
#[derive(Debug)]
pub struct Outcome {
    pub(super) envoy: String,
    pub(super) here: String,
    pub(super) envoy_route_count: usize,
    pub(super) here_route_count: usize,
    pub(super) findings: Findings,
}

/// As machines read it.
#[derive(Serialize)]
struct Summary<'a> {
    is_equal: bool,
    envoy: &'a str,
    here: &'a str,
    differences: Vec<Told<'a>>,
    notes: Vec<Told<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    aspect: String,
    envoy: &'a str,
    here: &'a str,
    names: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

impl Outcome {
    /// Whether there is no difference but those that are meant.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.findings.keys().all(|finding| finding.note.is_some())
    }

    /// [`Exit::Mismatch`] if there is a difference; a note is none.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.is_equal() { Exit::Success } else { Exit::Mismatch }
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
            is_equal: self.is_equal(),
            envoy: &self.envoy,
            here: &self.here,
            differences: self.findings(false).map(told).collect(),
            notes: self.findings(true).map(told).collect(),
        };
        serde_json::to_writer_pretty(&mut *out, &summary)?;
        writeln!(out)
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { envoy, here, envoy_route_count, here_route_count, .. } = self;
        writeln!(out, "Envoy at {envoy}: {envoy_route_count} names")?;
        writeln!(out, "here, {here}: {here_route_count} names")?;
        for (finding, names) in self.findings(false) {
            write_finding("DIFFERS", finding, names, out)?;
            writeln!(out, "         -> {}", finding.aspect.remedy())?;
        }
        for (finding, names) in self.findings(true) {
            write_finding("note", finding, names, out)?;
            writeln!(out, "         {}", finding.note.map_or("", Note::why))?;
        }
        let (differences, notes) = (self.findings(false).count(), self.findings(true).count());
        match differences {
            0 => write!(out, "equal")?,
            1 => write!(out, "1 difference")?,
            count => write!(out, "{count} differences")?,
        }
        match notes {
            0 => writeln!(out),
            1 => writeln!(out, ", but for what is meant (1 note)"),
            count => writeln!(out, ", but for what is meant ({count} notes)"),
        }
    }

    fn findings(&self, notes: bool) -> impl Iterator<Item = (&Finding, &BTreeSet<String>)> {
        self.findings.iter().filter(move |(finding, _)| finding.note.is_some() == notes)
    }
}

fn told<'a>((finding, names): (&'a Finding, &'a BTreeSet<String>)) -> Told<'a> {
    let Finding { note, aspect, envoy, here } = finding;
    Told { aspect: aspect.name(), envoy, here, names, why: note.map(Note::why) }
}

fn write_finding(
    word: &str,
    finding: &Finding,
    names: &BTreeSet<String>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Finding { aspect, envoy, here, .. } = finding;
    let line = format!("{}: Envoy {envoy}; here {here}", aspect.name());
    writeln!(out, "{word:7}  {}", shown(&line))?;
    let mut listed: Vec<String> = names.iter().take(NAMES_SHOWN).cloned().collect();
    let more = names.len().saturating_sub(NAMES_SHOWN);
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    if listed.is_empty() {
        listed.push("all names".to_owned());
    }
    writeln!(out, "         {}", shown(&listed.join(", ")))
}
