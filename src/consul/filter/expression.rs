//! How conditions are put together.

/// Conditions, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression<T> {
    /// One of these holds. Never empty.
    Any(Vec<Self>),
    /// All of these hold. Never empty.
    All(Vec<Self>),
    Not(Box<Self>),
    One(T),
}

impl<T> Expression<T> {
    pub(super) fn holds(&self, condition: &impl Fn(&T) -> bool) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(condition)),
            Self::All(parts) => parts.iter().all(|part| part.holds(condition)),
            Self::Not(part) => !part.holds(condition),
            Self::One(one) => condition(one),
        }
    }

    /// The same with other conditions; the first error ends it.
    pub(super) fn try_map<U, E>(
        self,
        map: &mut impl FnMut(T) -> Result<U, E>,
    ) -> Result<Expression<U>, E> {
        let mut each = |parts: Vec<Self>| -> Result<Vec<_>, E> {
            parts.into_iter().map(|part| part.try_map(map)).collect()
        };
        Ok(match self {
            Self::Any(parts) => Expression::Any(each(parts)?),
            Self::All(parts) => Expression::All(each(parts)?),
            Self::Not(part) => Expression::Not(Box::new(part.try_map(map)?)),
            Self::One(one) => Expression::One(map(one)?),
        })
    }
}

/// A condition as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) selector: Selector,
    pub(super) operator: Operator,
    /// `!=` and everything with a `not`.
    pub(super) is_negated: bool,
    /// Empty where the operator takes none.
    pub(super) value: Text,
}

/// What quotes can hold: any bytes.
pub(super) type Text = Vec<u8>;

/// The names on the way to a field. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector(pub(super) Vec<Text>);

impl Selector {
    /// With dots in between, as go-bexpr reads a selector that stands for a value.
    pub(super) fn joined(&self) -> Text {
        self.0.join(&b"."[..])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// `==`
    Equal,
    /// `in`, `contains`
    In,
    /// `is empty`
    Empty,
    /// `matches`
    Matches,
}

impl Operator {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==` or `!=",
            Self::In => "in` or `contains",
            Self::Empty => "is empty",
            Self::Matches => "matches",
        }
    }
}
