//! What is wrong with a routes file, and where.

use std::ops::Range;

use thiserror::Error;

/// One thing that is wrong, as one line: `routes.toml:3:7: what, and what was expected`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{path}:{line}:{column}: {message}")]
pub struct RouteFileError {
    /// The file.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// One sentence.
    pub message: String,
}

/// Collects what is wrong.
pub(super) struct Problems<'a> {
    path: &'a str,
    text: &'a str,
    found: Vec<(usize, String)>,
}

impl<'a> Problems<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        Self { path, text, found: Vec::new() }
    }

    /// Adds one, at the beginning of `span`, in bytes of the text.
    pub(super) fn add(&mut self, span: &Range<usize>, message: impl ToString) {
        self.found.push((span.start, message.to_string()));
    }

    /// The line of a place in the text.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        position(self.text, span.start).0
    }

    /// All of them, in the order of the file.
    pub(super) fn finish(mut self) -> Vec<RouteFileError> {
        self.found.sort_by_key(|(at, _)| *at);
        let located = |(at, message)| {
            let (line, column) = position(self.text, at);
            RouteFileError { path: self.path.to_owned(), line, column, message }
        };
        self.found.into_iter().map(located).collect()
    }
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.char_indices().take_while(|(index, _)| *index < at);
    before.fold((1, 1), |(line, column): (usize, usize), (_, character)| match character {
        '\n' => (line.saturating_add(1), 1),
        _ => (line, column.saturating_add(1)),
    })
}
