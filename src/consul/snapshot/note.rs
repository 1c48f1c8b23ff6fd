//! What was left out of a table, and why.

use std::fmt;

use crate::limits::CONSUL_NOTES_MAX;

/// One thing that was left out, or taken otherwise than it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// What it is about: `service "a*b"`.
    pub subject: String,
    /// What was done, and why.
    pub reason: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.reason)
    }
}

/// Collects notes, as many as anybody reads.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<Note>,
    dropped_count: usize,
}

impl Notes {
    pub(super) fn add(&mut self, subject: impl fmt::Display, reason: impl fmt::Display) {
        if self.notes.len() < CONSUL_NOTES_MAX {
            self.notes.push(Note { subject: subject.to_string(), reason: reason.to_string() });
        } else {
            self.dropped_count = self.dropped_count.saturating_add(1);
        }
    }

    pub(super) fn finish(mut self) -> Vec<Note> {
        self.notes.sort_unstable();
        self.notes.dedup();
        if self.dropped_count > 0 {
            self.notes.push(Note {
                subject: "others".to_owned(),
                reason: format!("{} more are not listed", self.dropped_count),
            });
        }
        self.notes
    }
}

/// A name as it is shown: quoted, and no longer than a line carries.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARACTERS_MAX: usize = 80;
        match self.0.char_indices().nth(CHARACTERS_MAX) {
            Some((end, _)) => write!(f, "{:?} and more", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "{:?}", self.0),
        }
    }
}
