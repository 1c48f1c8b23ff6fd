//! The configuration file: TOML, a key for each flag of `sluice run`.
//!
//! ```toml
//! register = true
//! bind = ["0.0.0.0:8443", "[::]:8443"]
//! idle-timeout = "30m"               # or idle_timeout
//! ```
//!
//! Its values become words of the command line, so that one parser judges all of them.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use crate::cli::words::{Flag, Takes};
use crate::located::{self, Problem, Problems};

/// What the file says of one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) flag: Flag,
    /// One for each time that the flag would be given; of one that takes nothing, `true` or
    /// `false`.
    pub(super) values: Vec<String>,
    /// Where, from 1.
    pub(super) line: usize,
}

/// Reads the text of a file. `path` is only for the problems.
///
/// # Errors
/// Everything that is wrong with its form, in the order of the file.
pub(super) fn read(text: &str, path: &str, flags: &[Flag]) -> Result<Vec<Entry>, Vec<Problem>> {
    let document = located::parse(path, text)?;
    let mut problems = Problems::new(path, text);
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    let mut entries = Vec::new();
    // The parser gives them by name.
    let mut settings: Vec<_> = document.iter().collect();
    settings.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in settings {
        let name = key.get_ref().replace('_', "-");
        let Some(flag) = flags.iter().find(|flag| flag.name == name && name != CONFIG) else {
            problems.add(&key.span(), unknown(key.get_ref(), flags));
            continue;
        };
        if let Some(first) = seen.insert(&flag.name, key.span()) {
            let line = problems.line(&first);
            problems.add(&key.span(), format_args!("`{name}` is already set, on line {line}"));
            continue;
        }
        match values(value, flag.takes) {
            Ok(values) => {
                let line = problems.line(&key.span());
                entries.push(Entry { flag: flag.clone(), values, line });
            }
            Err((span, found)) => {
                let expected = expected(flag.takes);
                let message = format!("`{name}`: expected {expected}, found {found}");
                problems.add(&span, message);
            }
        }
    }
    let problems = problems.finish();
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

/// The flag that names the file; a file names no other.
const CONFIG: &str = "config";
/// How far a key may be from what was meant by it.
const TYPOS_MAX: usize = 3;

fn unknown(key: &str, flags: &[Flag]) -> String {
    let name = key.replace('_', "-");
    if name == CONFIG {
        return "`config` is for the command line: a file names no other".to_owned();
    }
    let distance = |flag: &&Flag| strsim::damerau_levenshtein(&name, &flag.name);
    let known = flags.iter().filter(|flag| flag.name != CONFIG);
    match known.min_by_key(distance).filter(|flag| distance(flag) <= TYPOS_MAX) {
        Some(flag) => format!("unknown key `{key}`: did you mean `{}`?", flag.name),
        None => format!("unknown key `{key}`: the keys are the flags of `sluice run`"),
    }
}

const fn expected(takes: Takes) -> &'static str {
    match takes {
        Takes::Nothing => "true or false",
        Takes::Value => "text in quotes, or a number",
        Takes::Values => "text in quotes, or a list of such",
    }
}

type Wrong = (Range<usize>, String);

fn values(value: &Spanned<DeValue<'_>>, takes: Takes) -> Result<Vec<String>, Wrong> {
    let wrong = |value: &Spanned<DeValue<'_>>| (value.span(), located::describe(value.get_ref()));
    match (value.get_ref(), takes) {
        (DeValue::Boolean(is_given), Takes::Nothing) => Ok(vec![is_given.to_string()]),
        (DeValue::Array(list), Takes::Values) => {
            let texts = list.iter().map(|item| text(item.get_ref()).ok_or_else(|| wrong(item)));
            texts.collect()
        }
        (one, Takes::Value | Takes::Values) => Ok(vec![text(one).ok_or_else(|| wrong(value))?]),
        (_, Takes::Nothing) => Err(wrong(value)),
    }
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // As it is written: what it may be is the flag's affair.
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}
