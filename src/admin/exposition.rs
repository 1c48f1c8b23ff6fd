//! Writes metrics as Prometheus reads them: its text format 0.0.4
//! (prometheus.io/docs/instrumenting/exposition_formats), or OpenMetrics 1.0
//! (prometheus.io/docs/specs/om/open_metrics_spec).
//!
//! The two differ in the names of counters: in OpenMetrics a family goes without the `_total`
//! that its samples must have. Envoy's counters have none, and so exist as text alone; a library
//! that writes only OpenMetrics cannot name them.

use std::fmt::Write;
use std::time::Duration;

use crate::limits::METRICS_LABEL_BYTES_MAX;

/// A format that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";
const TEXT: &str = "text/plain";

impl Format {
    /// The one that an `Accept` header prefers (RFC 9110 §12.5.1); text where it does not care.
    pub(super) fn preferred(accept: &str) -> Self {
        let open_metrics = quality(accept, |range| range == OPEN_METRICS);
        let text = quality(accept, |range| matches!(range, TEXT | "text/*" | "*/*"));
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The highest quality that an `Accept` header gives to a range; 0 if it has none.
fn quality(accept: &str, is_meant: impl Fn(&str) -> bool) -> f64 {
    let of = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let given = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        is_meant(&name).then(|| given.unwrap_or(1.0))
    };
    accept.split(',').filter_map(of).fold(0.0, f64::max)
}

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<bool> for Number {
    fn from(yes: bool) -> Self {
        Self::Whole(yes.into())
    }
}

/// In seconds.
impl From<Duration> for Number {
    fn from(time: Duration) -> Self {
        Self::Real(time.as_secs_f64())
    }
}

/// Name and value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// A page of metrics. The samples of a family come together, after its head.
#[derive(Debug)]
pub(super) struct Page {
    format: Format,
    text: String,
}

/// The family that a page is at.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Page {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Begins a family. The name is that of its samples; those of a counter end with `_total`,
    /// unless the page is text. What it says for people may be empty.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let of_family = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let text = &mut self.text;
        // Writing to a string does not fail; and so everywhere below.
        let _ = writeln!(text, "# TYPE {of_family} {}", kind.name());
        if self.format == Format::OpenMetrics
            && let Some(unit) = ["seconds", "bytes"]
                .into_iter()
                .find(|unit| of_family.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
        {
            let _ = writeln!(text, "# UNIT {of_family} {unit}");
        }
        if !help.is_empty() {
            let _ = writeln!(text, "# HELP {of_family} {help}");
        }
        Family { text, name }
    }

    /// A counter with one sample.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Into<Number>) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    /// A gauge with one sample.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Into<Number>) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: impl Into<Number>) {
        self.line("", labels, value.into());
    }

    /// A histogram: how many values were at most so many seconds, for each bound, in order; how
    /// many there were; and their sum.
    pub(super) fn histogram(&mut self, up_to: &[(Duration, u64)], count: u64, sum: Duration) {
        for (bound, count) in up_to {
            let bound = canonical(bound.as_secs_f64());
            self.line("_bucket", &[("le", &bound)], Number::Whole(*count));
        }
        self.line("_bucket", &[("le", "+Inf")], Number::Whole(count));
        self.line("_sum", &[], sum.into());
        self.line("_count", &[], Number::Whole(count));
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], value: Number) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{name}=\"");
            self.escape(value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = match value {
            Number::Whole(value) => writeln!(self.text, " {value}"),
            Number::Real(value) => writeln!(self.text, " {value}"),
        };
    }

    fn escape(&mut self, value: &str) {
        let fits = |(at, letter): &(usize, char)| {
            at.saturating_add(letter.len_utf8()) <= METRICS_LABEL_BYTES_MAX
        };
        for (_, letter) in value.char_indices().take_while(fits) {
            match letter {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                letter => self.text.push(letter),
            }
        }
    }
}

/// A bound as OpenMetrics wants it written, as Go does: below 0.0001 with an exponent of two
/// digits.
fn canonical(seconds: f64) -> String {
    if seconds >= 1e-4 {
        return seconds.to_string();
    }
    let scientific = format!("{seconds:e}");
    match scientific.split_once("e-") {
        Some((digits, power)) => format!("{digits}e-{power:0>2}"),
        None => scientific,
    }
}

#[cfg(test)]
pub(crate) mod reader;
#[cfg(test)]
mod tests;
