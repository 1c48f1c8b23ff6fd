//! What is wrong with a file that an operator wrote, and where.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use thiserror::Error;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong, as one line: `routes.toml:3:7: what, and what was expected`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{path}:{line}:{column}: {message}")]
pub struct Problem {
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
pub(crate) struct Problems<'a> {
    path: &'a str,
    text: &'a str,
    found: Vec<(usize, String)>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        Self { path, text, found: Vec::new() }
    }

    /// Adds one, at the beginning of `span`, in bytes of the text.
    pub(crate) fn add(&mut self, span: &Range<usize>, message: impl ToString) {
        self.found.push((span.start, message.to_string()));
    }

    /// The line of a place in the text.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        position(self.text, span.start).0
    }

    /// All of them, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(at, _)| *at);
        let located = |(at, message)| {
            let (line, column) = position(self.text, at);
            Problem { path: self.path.to_owned(), line, column, message }
        };
        self.found.into_iter().map(located).collect()
    }
}

/// Parses a document of TOML; what breaks its syntax comes as problems.
pub(crate) fn parse<'a>(path: &str, text: &'a str) -> Result<DeTable<'a>, Vec<Problem>> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    if syntax_errors.is_empty() {
        return Ok(document.into_inner());
    }
    // What was recovered is a guess: judging it would bury the cause.
    let mut problems = Problems::new(path, text);
    for error in syntax_errors {
        let message = error.message().replace('\n', ", ");
        problems.add(&error.span().unwrap_or_default(), message);
    }
    Err(problems.finish())
}

/// What a value is, for a sentence that says that it is not what was expected.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => format!("the number {number}"),
        other => {
            let noun = other.type_str();
            let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            format!("{article} {noun}")
        }
    }
}

/// Reads a file of at most so many bytes.
///
/// # Errors
/// It cannot be read, is longer, or is not UTF-8.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        let most = format!("it is longer than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, most));
    }
    Ok(text)
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.char_indices().take_while(|(index, _)| *index < at);
    before.fold((1, 1), |(line, column): (usize, usize), (_, character)| match character {
        '\n' => (line.saturating_add(1), 1),
        _ => (line, column.saturating_add(1)),
    })
}
