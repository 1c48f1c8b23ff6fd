//! Templates as they are written: the part of Go's `text/template` that addresses need.

use winnow::ascii::{digit1, multispace0};
use winnow::combinator::{alt, delimited, not, opt, preceded, repeat, terminated};
use winnow::error::ContextError;
use winnow::prelude::*;
use winnow::token::{one_of, take_until, take_while};

use super::TemplateError;
use crate::consul::filter::unquote;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Stays as it is.
    Literal(String),
    /// Is replaced by what it comes to: one call after the other, each with what the one before
    /// came to.
    Action(Vec<Call>),
}

/// A function with its arguments; or a value alone, where nothing is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) words: Vec<Word>,
}

/// What stands between blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A function.
    Name(String),
    /// A quoted text.
    Text(String),
    /// A number.
    Number(i64),
    /// `.`: all interfaces.
    All,
}

/// Reads a template.
pub(super) fn read(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut is_trimmed = false;
    while !rest.is_empty() {
        let (literal, action) = match rest.split_once("{{") {
            Some((literal, action)) => (literal, Some(action)),
            None => (rest, None),
        };
        let literal = if is_trimmed { literal.trim_start() } else { literal };
        let trims = action.is_some_and(opens_with_dash);
        let literal = if trims { literal.trim_end() } else { literal };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        let Some(action) = action else { break };
        rest = if trims { action.get(1..).unwrap_or_default() } else { action };
        let unreadable = |rest: &str| TemplateError::Unreadable { rest: format!("{{{{{rest}") };
        let (calls, trims) = inner.parse_next(&mut rest).map_err(|_| unreadable(action))?;
        pieces.extend((!calls.is_empty()).then_some(Piece::Action(calls)));
        is_trimmed = trims;
    }
    Ok(pieces)
}

/// `{{- `: blanks before it go.
fn opens_with_dash(action: &str) -> bool {
    let mut letters = action.chars();
    letters.next() == Some('-') && letters.next().is_some_and(char::is_whitespace)
}

/// What stands in braces, with those that close; and whether blanks behind them go.
fn inner(input: &mut &str) -> ModalResult<(Vec<Call>, bool)> {
    let calls = alt((comment.value(Vec::new()), pipeline)).parse_next(input)?;
    let blanks = multispace0.parse_next(input)?;
    let trims = if blanks.is_empty() { None } else { opt('-').parse_next(input)? };
    "}}".parse_next(input)?;
    Ok((calls, trims.is_some()))
}

fn comment<'a>(input: &mut &'a str) -> ModalResult<&'a str> {
    delimited((multispace0, "/*"), take_until(0.., "*/"), "*/").parse_next(input)
}

fn pipeline(input: &mut &str) -> ModalResult<Vec<Call>> {
    let first = call.parse_next(input)?;
    let more: Vec<Call> = repeat(0.., preceded((multispace0, '|'), call)).parse_next(input)?;
    Ok(std::iter::once(first).chain(more).collect())
}

fn call(input: &mut &str) -> ModalResult<Call> {
    let words = repeat(1.., preceded(multispace0, word)).parse_next(input)?;
    Ok(Call { words })
}

fn word(input: &mut &str) -> ModalResult<Word> {
    let word = alt((quoted, raw, number, name, '.'.value(Word::All)));
    // `a"b"`, `1x` and `.Name` are something else.
    let is_apart = not(one_of(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"')));
    terminated(word, is_apart).parse_next(input)
}

fn quoted(input: &mut &str) -> ModalResult<Word> {
    let letter = alt((take_while(1.., |c| !matches!(c, '"' | '\\' | '\n')).void(), escaped));
    let letters = repeat::<_, _, (), _, _>(0.., letter).take();
    let text = delimited('"', letters, '"').parse_next(input)?;
    let text = unquote(text).and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Word::Text).ok_or_else(flaw)
}

fn escaped(input: &mut &str) -> ModalResult<()> {
    ('\\', winnow::token::any).void().parse_next(input)
}

fn raw(input: &mut &str) -> ModalResult<Word> {
    let text = delimited('`', take_while(0.., |c| c != '`'), '`').parse_next(input)?;
    Ok(Word::Text(text.to_owned()))
}

fn number(input: &mut &str) -> ModalResult<Word> {
    let digits = (opt(one_of(['-', '+'])), digit1).take().parse_next(input)?;
    digits.parse().map(Word::Number).map_err(|_| flaw())
}

fn name(input: &mut &str) -> ModalResult<Word> {
    let first = one_of(|c: char| c.is_alphabetic() || matches!(c, '_' | '$'));
    let mut name = (first, take_while(0.., |c: char| c.is_alphanumeric() || c == '_')).take();
    Ok(Word::Name(name.parse_next(input)?.to_owned()))
}

fn flaw() -> winnow::error::ErrMode<ContextError> {
    winnow::error::ErrMode::Cut(ContextError::new())
}
