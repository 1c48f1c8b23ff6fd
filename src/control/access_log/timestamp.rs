//! Wall-clock time as RFC 3339 with milliseconds, in UTC, as Envoy writes `%START_TIME%`.

use std::fmt;

use serde::{Serialize, Serializer};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 / 1000;
        let (day, ms) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, date) = civil(day);
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, ms) = (ms / 1000 % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Year, month and date of a day counted from 1970-01-01.
///
/// Years are counted from 1 March, so that a leap day is the last day of its year, and in eras
/// of 400 years, which all have the same number of days.
fn civil(day: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_1970: u64 = 719_468;
    let day = day + DAYS_BEFORE_1970;
    let (era, day_of_era) = (day / DAYS_PER_ERA, day % DAYS_PER_ERA);
    let leap_days = day_of_era / 1460 + day_of_era / (DAYS_PER_ERA - 1);
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let year_days = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
    let day_of_year = day_of_era - year_days;
    // Months from March on have 31, 30, 31, 30, 31 days, over and over: 153 per five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_460_751_600, "2016-04-15T20:20:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(seconds * 1_000_000).to_string(), text);
        }
        assert_eq!(Timestamp(1_999_999).to_string(), "1970-01-01T00:00:01.999Z");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let multiple = |y: u64, of| y.is_multiple_of(of);
        let leap = |y| multiple(y, 4) && (!multiple(y, 100) || multiple(y, 400));
        let (mut year, mut month, mut date) = (1970, 1, 1);
        for day in 0..146_097 {
            assert_eq!(civil(day), (year, month, date));
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            date += 1;
            if date > length {
                (month, date) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
