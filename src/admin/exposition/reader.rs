//! Reads a page of metrics, and takes nothing that a strict parser would not.

use std::collections::{BTreeMap, BTreeSet};

use super::Format;

/// A family that was read.
#[derive(Debug)]
pub(in crate::admin) struct Read {
    pub(in crate::admin) kind: String,
    /// Values by name and labels, as they are written.
    pub(in crate::admin) samples: BTreeMap<String, f64>,
}

/// Every family by its name. Panics with the line that is wrong.
pub(in crate::admin) fn read(page: &str, format: Format) -> BTreeMap<String, Read> {
    let mut families: BTreeMap<String, Read> = BTreeMap::new();
    let mut current = String::new();
    let body = match format {
        Format::Text => page,
        Format::OpenMetrics => page.strip_suffix("# EOF\n").expect("no end"),
    };
    assert!(body.is_empty() || body.ends_with('\n'), "the last line has no end");
    for line in body.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match *words.as_slice() {
            ["#", "TYPE", name, kind] => {
                assert!(is_name(name, true), "{line}");
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                let read = Read { kind: kind.to_owned(), samples: BTreeMap::new() };
                assert!(families.insert(name.to_owned(), read).is_none(), "again: {line}");
                current = name.to_owned();
            }
            ["#", "HELP" | "UNIT", name, text] => {
                assert_eq!(name, current, "{line}");
                assert!(!text.is_empty() && !text.contains('\\'), "{line}");
                assert!(families[name].samples.is_empty(), "after its samples: {line}");
            }
            ["#", ..] => panic!("a comment of no meaning: {line}"),
            _ => {
                let family = families.get_mut(&current).expect("a sample before its family");
                let (series, value) = line.rsplit_once(' ').expect(line);
                let name = series.split('{').next().unwrap();
                let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line}"));
                let fits = match (&*family.kind, format) {
                    ("counter", Format::OpenMetrics) => suffix == "_total",
                    ("histogram", _) => matches!(suffix, "_bucket" | "_sum" | "_count"),
                    _ => suffix.is_empty(),
                };
                assert!(fits && is_name(name, true), "{line}");
                check_labels(series.strip_prefix(name).unwrap());
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(value.is_finite(), "{line}");
                let again = family.samples.insert(series.to_owned(), value);
                assert!(again.is_none(), "again: {line}");
            }
        }
    }
    families.values().filter(|family| family.kind == "histogram").for_each(check_histogram);
    families
}

fn is_name(name: &str, is_metric: bool) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || is_metric && c == ':';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// `{name="value",…}`, or nothing.
fn check_labels(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut rest = text.strip_prefix('{').expect(text);
    let mut names = BTreeSet::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect(text);
        assert!(is_name(name, false) && names.insert(name), "{text}");
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().expect(text) {
                (at, '"') => break at,
                (_, '\\') => {
                    let (_, escaped) = letters.next().expect(text);
                    assert!(matches!(escaped, '\\' | '"' | 'n'), "{text}");
                }
                _ => {}
            }
        };
        match &after[end + 1..] {
            "}" => return,
            more => rest = more.strip_prefix(',').expect(text),
        }
    }
}

fn check_histogram(family: &Read) {
    let find = |part: &str| -> Vec<(&str, f64)> {
        let found = family.samples.iter().filter(|(series, _)| series.contains(part));
        found.map(|(series, value)| (series.as_str(), *value)).collect()
    };
    let bound = |series: &str| -> f64 {
        series.split('"').nth(1).unwrap().replace("+Inf", "inf").parse().unwrap()
    };
    let mut buckets: Vec<(f64, f64)> =
        find("_bucket").into_iter().map(|(series, count)| (bound(series), count)).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{buckets:?}");
    assert_eq!(buckets.last().unwrap().0, f64::INFINITY);
    assert_eq!(buckets.last().unwrap().1, find("_count")[0].1);
    assert!(find("_sum")[0].1 >= 0.0);
}
