//! Durations as people write them.

use std::time::Duration;

/// What was expected of a duration.
pub const EXPECTED: &str = "a duration such as 250ms, 5s, 1m30s or 1h (0 turns it off)";

/// Reads `5s`, `250ms`, `1m30s`, `1h`; `0` needs no unit. `None` if it is none.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, after) = rest.split_at(digits_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit = match unit {
            "us" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(86_400),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(digits.parse().ok()?)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, expected_us) in [
            ("0", 0),
            ("0s", 0),
            ("250us", 250),
            ("250ms", 250_000),
            ("5s", 5_000_000),
            ("1m30s", 90_000_000),
            ("1h", 3_600_000_000),
            ("2d", 172_800_000_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_micros(expected_us)), "{text}");
        }
    }

    #[test]
    fn refuses_what_could_mean_something_else() {
        for text in ["", "5", "s", "-1s", "5 s", "1.5s", "5S", "5sec", "1h5", "99999999999d"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
