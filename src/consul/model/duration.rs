//! Durations as Go writes them (`time.ParseDuration`).

use std::time::Duration;

use serde_json::Value;

/// Reads a duration out of a configuration entry: a text such as `1m30s` or `1.5s`, or a number
/// of nanoseconds. Nothing, null and an empty text are zero, and so is what is negative: Consul
/// takes none of them for a timeout. `None` if it is no duration.
#[must_use]
pub fn read(value: &Value) -> Option<Duration> {
    match value {
        Value::Null => Some(Duration::ZERO),
        Value::Number(number) => {
            let nanoseconds = number.as_i64()?;
            Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default()))
        }
        Value::String(text) => parse(text),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Go's are 64 bits of nanoseconds: longer ones are none.
const NANOSECONDS_MAX: u128 = i64::MAX as u128;

fn parse(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if text.is_empty() || rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        total = total.checked_add(nanoseconds(number, unit_nanoseconds(unit)?)?)?;
        if total > NANOSECONDS_MAX {
            return None;
        }
        rest = after;
    }
    let total = if negative { 0 } else { total };
    Some(Duration::from_nanos(u64::try_from(total).ok()?))
}

fn nanoseconds(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(place.checked_mul(digit.to_digit(10)?.into())?)?;
    }
    Some(total)
}

fn unit_nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // Both letters that Unicode has for it.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes() {
        for (text, expected_ns) in [
            ("", 0),
            ("0", 0),
            ("0s", 0),
            ("8s", 8_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h0m0s", 3_600_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.000000001s", 1_000_000_001),
            ("100ms", 100_000_000),
            ("3us", 3_000),
            ("3\u{b5}s", 3_000),
            ("3\u{3bc}s", 3_000),
            ("7ns", 7),
            ("+2s", 2_000_000_000),
            ("-2s", 0),
            ("2562047h47m16.854775807s", 9_223_372_036_854_775_807),
        ] {
            let read = read(&Value::String(text.into()));
            assert_eq!(read, Some(Duration::from_nanos(expected_ns)), "{text}");
        }
        assert_eq!(read(&Value::Null), Some(Duration::ZERO));
        assert_eq!(read(&5_000_000.into()), Some(Duration::from_millis(5)));
        assert_eq!(read(&(-5).into()), Some(Duration::ZERO));
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["5", "s", "-", "+", ".s", "1..5s", "5 s", "5S", "5sec", "1h5", "3000000h"] {
            assert_eq!(read(&Value::String(text.into())), None, "{text}");
        }
        let huge = "9".repeat(100) + "s";
        assert_eq!(read(&Value::String(huge)), None);
        assert_eq!(read(&Value::Bool(true)), None);
        assert_eq!(read(&1.5.into()), None);
    }
}
