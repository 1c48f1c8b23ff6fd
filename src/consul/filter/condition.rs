//! One condition: a field, and what it is compared with.

use std::collections::BTreeMap;

use memchr::memmem;

use super::error::{FilterError, shown};
use super::expression::{Comparison, Operator, Text};
use super::field::{Field, Leaf, Subject, Type};
use super::number;
use super::pattern::Pattern;

/// A condition that fits its field.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    field: Field,
    test: Test,
    /// Of a list of things, of each by itself: one that does not fit is enough.
    is_negated: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Text(Text),
    Number(i64),
    Flag(bool),
    Contains(Text),
    IsEmpty,
    Matches(Pattern),
}

impl Condition {
    /// # Errors
    /// There is no such field, or it cannot be compared so, or not with such a value.
    pub(super) fn of(comparison: Comparison) -> Result<Self, FilterError> {
        let Comparison { selector, operator, is_negated, value } = comparison;
        let field = Field::of(&selector)?;
        let kind = field.kind();
        let name = || shown(&selector.joined());
        let test = match (kind, operator) {
            (Type::Text, Operator::Equal) => Some(Test::Text(value)),
            (Type::Text, Operator::Matches) => Some(Test::Matches(Pattern::read(&value)?)),
            (Type::Number, Operator::Equal) => number::integer(&value).map(Test::Number),
            (Type::Flag, Operator::Equal) => number::boolean(&value).map(Test::Flag),
            (Type::Text | Type::Texts | Type::Map, Operator::In) => Some(Test::Contains(value)),
            (Type::Texts | Type::Map | Type::List, Operator::Empty) => Some(Test::IsEmpty),
            _ => {
                let (kind, operator) = (kind.as_str(), operator.as_str());
                return Err(FilterError::Operator { selector: name(), kind, operator });
            }
        };
        // Only those that convert the value fail, and they leave it in place.
        let test = test.ok_or_else(|| FilterError::Value { selector: name(), kind: kind.as_str() });
        Ok(Self { field, test: test?, is_negated })
    }

    pub(super) fn holds(&self, subject: &Subject<'_>) -> bool {
        let Subject { datacenter, node, service, checks } = subject;
        match &self.field {
            Field::Datacenter => self.test.text(datacenter) != self.is_negated,
            Field::Node(leaf) => self.of_leaf(leaf, node),
            Field::Service(leaf) => self.of_leaf(leaf, service),
            Field::Address(key, leaf) => match get(&service.tagged_addresses, key) {
                Some(address) => self.of_leaf(leaf, address),
                None => self.of_nothing(),
            },
            Field::Upstream(leaf) => {
                service.proxy.upstreams.iter().any(|upstream| self.of_leaf(leaf, upstream))
            }
            Field::Path(leaf) => {
                service.proxy.expose.paths.iter().any(|path| self.of_leaf(leaf, path))
            }
            Field::Checks => checks.is_empty() != self.is_negated,
            Field::Check(leaf) => checks.iter().any(|check| self.of_leaf(leaf, *check)),
        }
    }

    fn of_leaf<T>(&self, leaf: &Leaf<T>, of: &T) -> bool {
        let holds = match leaf {
            Leaf::Text(read) => self.test.text(read(of)),
            Leaf::Number(read) => matches!(self.test, Test::Number(n) if n == read(of)),
            Leaf::Flag(read) => matches!(self.test, Test::Flag(flag) if flag == read(of)),
            Leaf::Texts(read) => {
                let texts = read(of);
                let is_there =
                    |wanted: &Text| texts.iter().any(|text| text.as_bytes() == wanted.as_slice());
                self.test.collection(is_there, texts.is_empty())
            }
            Leaf::Map(read) => {
                let map = read(of);
                self.test.collection(|key| get(map, key).is_some(), map.is_empty())
            }
            Leaf::Addresses(read) => {
                let map = read(of);
                self.test.collection(|key| get(map, key).is_some(), map.is_empty())
            }
            Leaf::List(count) => count(of) == 0,
            Leaf::Entry(read, key) => match get(read(of), key) {
                Some(text) => self.test.text(text),
                None => return self.of_nothing(),
            },
        };
        holds != self.is_negated
    }

    /// What is said of a key that a map does not have. That everything matches, and not, is
    /// go-bexpr's doing.
    fn of_nothing(&self) -> bool {
        self.is_negated || matches!(self.test, Test::Matches(_))
    }
}

impl Test {
    fn text(&self, text: &str) -> bool {
        match self {
            Self::Text(expected) => text.as_bytes() == expected.as_slice(),
            Self::Contains(part) => memmem::find(text.as_bytes(), part).is_some(),
            Self::Matches(pattern) => pattern.is_match(text),
            // Not made for texts.
            Self::Number(_) | Self::Flag(_) | Self::IsEmpty => false,
        }
    }

    fn collection(&self, is_there: impl Fn(&Text) -> bool, is_empty: bool) -> bool {
        match self {
            Self::Contains(wanted) => is_there(wanted),
            Self::IsEmpty => is_empty,
            // Not made for collections.
            Self::Text(_) | Self::Number(_) | Self::Flag(_) | Self::Matches(_) => false,
        }
    }
}

fn get<'a, T>(map: &'a BTreeMap<String, T>, key: &[u8]) -> Option<&'a T> {
    map.get(std::str::from_utf8(key).ok()?)
}
