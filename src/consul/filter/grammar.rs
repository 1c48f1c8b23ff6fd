//! Filters as they are written: go-bexpr 0.1's grammar.
//!
//! It is one of ordered choices. In some places a failure is final there, whatever else could
//! have been read: those are cuts here, too.

use winnow::ascii::digit0;
use winnow::combinator::{alt, eof, opt, peek, preceded, repeat};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::Stateful;
use winnow::token::{one_of, take_till, take_while};

use crate::limits::FILTER_DEPTH_MAX;

use super::error::{FilterError, shown};
use super::expression::{Comparison, Expression, Operator, Selector, Text};
use super::quoted::unquote;

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<Expression<Comparison>, FilterError> {
    let mut input = Stateful { input: text, state: Depth(0) };
    let read = (|input: &mut Input<'_>| {
        space0(input)?;
        let expression = any(input)?;
        space0(input)?;
        eof.parse_next(input)?;
        Ok(expression)
    })
    .parse_next(&mut input);
    read.map_err(|error: ErrMode<Flaw>| match error {
        ErrMode::Backtrack(flaw) | ErrMode::Cut(flaw) => flaw.in_text(text),
        ErrMode::Incomplete(_) => Flaw { rest_bytes: 0, wrong: Wrong::Unreadable }.in_text(text),
    })
}

type Input<'a> = Stateful<&'a str, Depth>;
type Parsed<T> = ModalResult<T, Flaw>;

/// How many parentheses and `not`s are open.
#[derive(Debug)]
struct Depth(usize);

/// What is wrong, and how many bytes are left from there.
#[derive(Clone, Copy, Debug)]
struct Flaw {
    rest_bytes: usize,
    wrong: Wrong,
}

#[derive(Clone, Copy, Debug)]
enum Wrong {
    Unreadable,
    Number,
    Index,
    IndexOpen,
    Unterminated,
    Escape,
    Parenthesis,
    Selector,
    Depth,
}

impl Flaw {
    fn in_text(self, text: &str) -> FilterError {
        let expected = match self.wrong {
            Wrong::Unreadable => {
                "a condition is FIELD == VALUE, VALUE in FIELD, FIELD contains VALUE, FIELD \
                 matches VALUE, FIELD is empty, or one of these with != or not; conditions are put \
                 together by and, or, not and parentheses"
            }
            Wrong::Number => "a number is 12 or -1.5; quote anything else that begins with a digit",
            Wrong::Index => "in brackets there has to be a quoted text",
            Wrong::IndexOpen => "the bracket is not closed",
            Wrong::Unterminated => "the quote is not closed",
            Wrong::Escape => {
                "this is no text in double quotes: it has a line break, or a backslash that Go \
                 does not know; use `backquotes`"
            }
            Wrong::Parenthesis => "the parenthesis is not closed",
            Wrong::Selector => "after in there has to be a field",
            Wrong::Depth => return FilterError::TooDeep,
        };
        let at = text.len().saturating_sub(self.rest_bytes);
        let (read, rest) = text.split_at_checked(at).unwrap_or((text, ""));
        FilterError::Syntax {
            character_number: read.chars().count().saturating_add(1),
            rest: if rest.is_empty() { "its end".to_owned() } else { shown(rest.as_bytes()) },
            expected,
        }
    }
}

impl<'a> ParserError<Input<'a>> for Flaw {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        Self { rest_bytes: input.input.len(), wrong: Wrong::Unreadable }
    }

    /// Of two, the one that got further.
    fn or(self, other: Self) -> Self {
        if other.rest_bytes < self.rest_bytes { other } else { self }
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

/// A failure of what is within is final.
fn must<'a, T>(
    wrong: Wrong,
    mut parser: impl Parser<Input<'a>, T, ErrMode<Flaw>>,
) -> impl Parser<Input<'a>, T, ErrMode<Flaw>> {
    move |input: &mut Input<'a>| {
        let rest_bytes = input.input.len();
        parser.parse_next(input).map_err(|error| match error {
            ErrMode::Cut(flaw) => ErrMode::Cut(flaw),
            ErrMode::Backtrack(_) | ErrMode::Incomplete(_) => {
                ErrMode::Cut(Flaw { rest_bytes, wrong })
            }
        })
    }
}

/// Reads one level deeper; a level too deep is final.
fn deeper<T>(input: &mut Input<'_>, parse: fn(&mut Input<'_>) -> Parsed<T>) -> Parsed<T> {
    if input.state.0 >= FILTER_DEPTH_MAX {
        return Err(ErrMode::Cut(Flaw { rest_bytes: input.input.len(), wrong: Wrong::Depth }));
    }
    input.state.0 = input.state.0.saturating_add(1);
    let parsed = parse(input);
    input.state.0 = input.state.0.saturating_sub(1);
    parsed
}

fn any(input: &mut Input<'_>) -> Parsed<Expression<Comparison>> {
    list(input, "or", all, Expression::Any)
}

fn all(input: &mut Input<'_>) -> Parsed<Expression<Comparison>> {
    list(input, "and", negated, Expression::All)
}

/// One or several, with a word in between.
fn list(
    input: &mut Input<'_>,
    between: &'static str,
    mut part: fn(&mut Input<'_>) -> Parsed<Expression<Comparison>>,
    put_together: fn(Vec<Expression<Comparison>>) -> Expression<Comparison>,
) -> Parsed<Expression<Comparison>> {
    let first = part(input)?;
    let others: Vec<_> =
        repeat(0.., preceded((space, between, space), part.by_ref())).parse_next(input)?;
    if others.is_empty() {
        return Ok(first);
    }
    Ok(put_together(std::iter::once(first).chain(others).collect()))
}

fn negated(input: &mut Input<'_>) -> Parsed<Expression<Comparison>> {
    let not = |input: &mut Input<'_>| {
        ("not", space).parse_next(input)?;
        deeper(input, negated).map(|part| Expression::Not(Box::new(part)))
    };
    alt((not, grouped, comparison.map(Expression::One))).parse_next(input)
}

fn grouped(input: &mut Input<'_>) -> Parsed<Expression<Comparison>> {
    ('(', space0).parse_next(input)?;
    let expression = deeper(input, any)?;
    space0(input)?;
    must(Wrong::Parenthesis, ')').parse_next(input)?;
    Ok(expression)
}

fn comparison(input: &mut Input<'_>) -> Parsed<Comparison> {
    alt((
        (selector, operator_before_value, value).map(
            |(selector, (operator, is_negated), value)| Comparison {
                selector,
                operator,
                is_negated,
                value,
            },
        ),
        (selector, operator_alone).map(|(selector, is_negated)| Comparison {
            selector,
            operator: Operator::Empty,
            is_negated,
            value: Text::new(),
        }),
        (value, operator_after_value, must(Wrong::Selector, selector)).map(
            |(value, is_negated, selector)| Comparison {
                selector,
                operator: Operator::In,
                is_negated,
                value,
            },
        ),
    ))
    .parse_next(input)
}

/// With whether it is negated.
fn operator_before_value(input: &mut Input<'_>) -> Parsed<(Operator, bool)> {
    alt((
        (space0, "==", space0).value((Operator::Equal, false)),
        (space0, "!=", space0).value((Operator::Equal, true)),
        (word("contains"), space).value((Operator::In, false)),
        (word("not"), word("contains"), space).value((Operator::In, true)),
        (word("matches"), space).value((Operator::Matches, false)),
        (word("not"), word("matches"), space).value((Operator::Matches, true)),
    ))
    .parse_next(input)
}

fn operator_alone(input: &mut Input<'_>) -> Parsed<bool> {
    alt((
        (word("is"), word("empty")).value(false),
        (word("is"), word("not"), word("empty")).value(true),
    ))
    .parse_next(input)
}

fn operator_after_value(input: &mut Input<'_>) -> Parsed<bool> {
    alt(((word("in"), space).value(false), (word("not"), word("in"), space).value(true)))
        .parse_next(input)
}

fn value(input: &mut Input<'_>) -> Parsed<Text> {
    alt((selector.map(|selector| selector.joined()), number, string)).parse_next(input)
}

fn selector(input: &mut Input<'_>) -> Parsed<Selector> {
    let first = identifier(input)?;
    let others: Vec<Text> =
        repeat(0.., alt((preceded('.', identifier), index))).parse_next(input)?;
    Ok(Selector(std::iter::once(first).chain(others).collect()))
}

fn identifier(input: &mut Input<'_>) -> Parsed<Text> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (one_of(|c: char| c.is_ascii_alphabetic()), take_while(0.., is_inner))
        .take()
        .map(|text: &str| text.into())
        .parse_next(input)
}

fn index(input: &mut Input<'_>) -> Parsed<Text> {
    ('[', space0).parse_next(input)?;
    let key = must(Wrong::Index, string).parse_next(input)?;
    must(Wrong::IndexOpen, (space0, ']')).parse_next(input)?;
    Ok(key)
}

fn number(input: &mut Input<'_>) -> Parsed<Text> {
    let whole = alt(('0'.void(), (one_of('1'..='9'), digit0).void()));
    let fraction = ('.', take_while(1.., |c: char| c.is_ascii_digit()));
    let rest_bytes = input.input.len();
    let number: &str = (opt('-'), whole, opt(fraction)).take().parse_next(input)?;
    let end = peek(alt((space, eof.void(), ')'.void())));
    must(Wrong::Number, end).parse_next(input).map_err(|error| match error {
        ErrMode::Cut(flaw) => ErrMode::Cut(Flaw { rest_bytes, ..flaw }),
        other => other,
    })?;
    Ok(number.into())
}

fn string(input: &mut Input<'_>) -> Parsed<Text> {
    let rest_bytes = input.input.len();
    let mut quote = one_of(['`', '"']).parse_next(input)?;
    let inner: &str = take_till(0.., quote).parse_next(input)?;
    let wrong = |wrong| ErrMode::Cut(Flaw { rest_bytes, wrong });
    if input.input.is_empty() {
        return Err(wrong(Wrong::Unterminated));
    }
    quote.parse_next(input)?;
    if quote == '`' {
        // As in Go's source.
        return Ok(inner.bytes().filter(|byte| *byte != b'\r').collect());
    }
    unquote(inner).ok_or_else(|| wrong(Wrong::Escape))
}

fn word<'a>(text: &'static str) -> impl Parser<Input<'a>, (), ErrMode<Flaw>> {
    (space, text).void()
}

fn space(input: &mut Input<'_>) -> Parsed<()> {
    take_while(1.., SPACE).void().parse_next(input)
}

fn space0(input: &mut Input<'_>) -> Parsed<()> {
    take_while(0.., SPACE).void().parse_next(input)
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
