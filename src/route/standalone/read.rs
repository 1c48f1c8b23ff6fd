//! Reads a routes file, and goes on after whatever is wrong, so that one run tells all.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::route::model::WEIGHT_MAX;
use crate::route::{Address, Pattern};

use super::{FileEndpoint, FileRoute, RouteFile, RouteFileError, fields};
use crate::located::{self, Problems};

type Value<'i> = Spanned<DeValue<'i>>;
type Span = Range<usize>;

pub(super) fn read(text: &str, path: &str) -> Result<RouteFile, Vec<RouteFileError>> {
    let document = located::parse(path, text)?;
    let problems = Problems::new(path, text);
    let mut reader = Reader { problems, names: HashMap::new(), patterns: HashMap::new() };
    let routes = reader.document(&document);
    let problems = reader.problems.finish();
    if problems.is_empty() { Ok(RouteFile { routes }) } else { Err(problems) }
}

struct Reader<'a> {
    problems: Problems<'a>,
    /// Where each was said first.
    names: HashMap<String, Span>,
    patterns: HashMap<Pattern, Span>,
}

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) -> Vec<FileRoute> {
        let mut routes = None;
        for (key, value) in document {
            match key.get_ref().as_ref() {
                "route" => routes = Some(value),
                other => self.problems.add(
                    &key.span(),
                    format_args!("unknown key `{other}`: expected only `[[route]]` tables"),
                ),
            }
        }
        let Some(routes) = routes else {
            // An empty file is more likely half written than meant to refuse everyone.
            self.problems.add(&(0..0), "there is no route: expected at least one `[[route]]`");
            return Vec::new();
        };
        let DeValue::Array(list) = routes.get_ref() else {
            let message =
                "`route` is not a list: write `[[route]]`, with two brackets on each side";
            self.problems.add(&routes.span(), message);
            return Vec::new();
        };
        if list.is_empty() {
            let message = "there is no route: expected at least one `[[route]]`";
            self.problems.add(&routes.span(), message);
        }
        list.iter().filter_map(|route| self.route(route)).collect()
    }

    fn route(&mut self, route: &Value<'_>) -> Option<FileRoute> {
        let DeValue::Table(table) = route.get_ref() else {
            self.expected(route, "a `[[route]]` table");
            return None;
        };
        let (mut pattern, mut endpoints, mut name) = (None, None, None);
        let mut connect_timeout = Some(None);
        let mut is_announced = Some(false);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "sni" => pattern = Some(self.pattern(value)),
                "endpoints" => endpoints = Some(self.endpoints(value)),
                "connect_timeout" => connect_timeout = self.duration(value).map(Some),
                "name" => name = Some(self.string(value, "a name")),
                "proxy_protocol" => is_announced = self.proxy_protocol(value),
                other => self.problems.add(
                    &key.span(),
                    format_args!(
                        "unknown key `{other}`: a route has `sni`, `endpoints`, \
                         `connect_timeout`, `name` and `proxy_protocol`"
                    ),
                ),
            }
        }
        if pattern.is_none() {
            let message = "the route has no `sni`: expected a name, or `*.` and a name";
            self.problems.add(&route.span(), message);
        }
        if endpoints.is_none() {
            let message =
                "the route has no `endpoints`: expected a list, as in [\"10.0.0.1:8443\"]";
            self.problems.add(&route.span(), message);
        }
        let pattern = pattern.flatten();
        let name = match name {
            None => pattern.clone().map(|(pattern, span)| (pattern.to_string(), span)),
            Some(name) => name,
        };
        let name = name.and_then(|(name, span)| self.name(name, &span));
        let (pattern, _) = pattern?;
        let endpoints = endpoints??;
        Some(FileRoute {
            name: name?,
            pattern,
            endpoints,
            connect_timeout: connect_timeout?,
            is_announced: is_announced?,
        })
    }

    fn pattern(&mut self, value: &Value<'_>) -> Option<(Pattern, Span)> {
        let (text, span) = self.string(value, "a server name")?;
        let pattern = self.field(&span, fields::pattern(&text))?;
        if let Some(first) = self.patterns.get(&pattern) {
            let line = self.problems.line(first);
            let message = format_args!("`{pattern}` already has a route, on line {line}");
            self.problems.add(&span, message);
            return None;
        }
        self.patterns.insert(pattern.clone(), span.clone());
        Some((pattern, span))
    }

    fn name(&mut self, name: String, span: &Span) -> Option<String> {
        if name.is_empty() || name.chars().any(char::is_control) {
            self.problems.add(span, "`name` must not be empty or have control characters");
            return None;
        }
        if let Some(first) = self.names.get(&name) {
            let line = self.problems.line(first);
            let message = format_args!("the name `{name}` is already in use, on line {line}");
            self.problems.add(span, message);
            return None;
        }
        self.names.insert(name.clone(), span.clone());
        Some(name)
    }

    fn endpoints(&mut self, value: &Value<'_>) -> Option<Vec<FileEndpoint>> {
        let DeValue::Array(list) = value.get_ref() else {
            self.expected(value, "a list of endpoints, as in [\"10.0.0.1:8443\"]");
            return None;
        };
        if list.is_empty() {
            let message = "`endpoints` is empty: expected at least one, as in [\"10.0.0.1:8443\"]";
            self.problems.add(&value.span(), message);
            return None;
        }
        let mut seen: HashMap<Address, Span> = HashMap::new();
        let mut endpoints = Vec::with_capacity(list.len());
        for item in list {
            let Some((endpoint, span)) = self.endpoint(item) else { continue };
            if let Some(first) = seen.insert(endpoint.address.clone(), span.clone()) {
                let line = self.problems.line(&first);
                let address = &endpoint.address;
                let message = format_args!("`{address}` is already in this list, on line {line}");
                self.problems.add(&span, message);
            }
            endpoints.push(endpoint);
        }
        // Some may be missing; then there are problems, and this is not used.
        Some(endpoints)
    }

    fn endpoint(&mut self, value: &Value<'_>) -> Option<(FileEndpoint, Span)> {
        let DeValue::Table(table) = value.get_ref() else {
            let what = "\"host:port\", or { address = \"host:port\", weight = 1 }";
            let (text, span) = self.string(value, what)?;
            let address = self.field(&span, fields::address(&text))?;
            return Some((FileEndpoint { address, weight: 1 }, span));
        };
        let mut address = None;
        let mut weight = Some(1);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "address" => {
                    let text = self.string(value, "\"host:port\"");
                    address = Some(text.and_then(|(text, span)| {
                        Some((self.field(&span, fields::address(&text))?, span))
                    }));
                }
                "weight" => weight = self.weight(value),
                other => self.problems.add(
                    &key.span(),
                    format_args!("unknown key `{other}`: an endpoint has `address` and `weight`"),
                ),
            }
        }
        if address.is_none() {
            let message = "the endpoint has no `address`: expected `address = \"host:port\"`";
            self.problems.add(&value.span(), message);
        }
        let (address, span) = address??;
        Some((FileEndpoint { address, weight: weight? }, span))
    }

    /// Endpoints that expect the header refuse whoever comes without: there is no middle way.
    fn proxy_protocol(&mut self, value: &Value<'_>) -> Option<bool> {
        match value.get_ref().as_str() {
            Some("v2") => Some(true),
            Some("off") => Some(false),
            _ => {
                self.expected(value, "\"v2\" or \"off\"");
                None
            }
        }
    }

    fn weight(&mut self, value: &Value<'_>) -> Option<u8> {
        let weight = match value.get_ref() {
            DeValue::Integer(number) => u8::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let weight = weight.filter(|weight| (1..=WEIGHT_MAX).contains(weight));
        if weight.is_none() {
            self.expected(value, format_args!("a weight from 1 to {WEIGHT_MAX}"));
        }
        weight
    }

    fn duration(&mut self, value: &Value<'_>) -> Option<Duration> {
        let (text, span) = self.string(value, "a duration in quotes, as in \"5s\"")?;
        self.field(&span, fields::duration(&text))
    }

    fn string(&mut self, value: &Value<'_>, what: &str) -> Option<(String, Span)> {
        match value.get_ref() {
            DeValue::String(text) => Some((text.to_string(), value.span())),
            _ => {
                self.expected(value, what);
                None
            }
        }
    }

    fn field<T>(&mut self, span: &Span, read: Result<T, fields::FieldError>) -> Option<T> {
        read.inspect_err(|why| self.problems.add(span, why)).ok()
    }

    fn expected(&mut self, value: &Value<'_>, what: impl std::fmt::Display) {
        let found = located::describe(value.get_ref());
        self.problems.add(&value.span(), format_args!("expected {what}, found {found}"));
    }
}
