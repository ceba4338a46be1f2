//! Dates as TUF writes them: `YYYY-MM-DDTHH:MM:SSZ`, to the letter.

use crate::time::UnixTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::str::FromStr;

const SECONDS_PER_DAY: i64 = 86_400;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds since 1970: what four digits can write.
const FIRST_S: i64 = -62_167_219_200;
const LAST_S: i64 = 253_402_300_799;

/// A moment of the calendar, to the second, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(UnixTime);

/// A text is not a date of the form `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date of the form YYYY-MM-DDTHH:MM:SSZ")]
pub struct DateError(String);

impl Date {
    /// The date of `time`, or the nearest one that has a year of four digits.
    pub fn new(time: UnixTime) -> Self {
        Date(UnixTime(time.0.clamp(FIRST_S, LAST_S)))
    }

    /// Seconds since 1970.
    pub fn unix_time(self) -> UnixTime {
        self.0
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.0.div_euclid(SECONDS_PER_DAY);
        let second = self.0.0.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let parse = || {
            let shape = text.bytes().zip(*b"dddd-dd-ddTdd:dd:ddZ");
            let shaped = text.len() == 20
                && shape
                    .into_iter()
                    .all(|(byte, want)| if want == b'd' { byte.is_ascii_digit() } else { byte == want });
            let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
            if !shaped {
                return None;
            }
            let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
            let second = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
            let date = Date(UnixTime(days * SECONDS_PER_DAY + second));
            // Month 13, 30 February and second 60 come back as another date than was written.
            (date.to_string() == text).then_some(date)
        };
        parse().ok_or_else(|| DateError(text.chars().take(40).collect()))
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. The year is taken to begin in
/// March, so that the leap day is its last and the months' lengths follow one linear formula.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_those_of_gnu_date() {
        // `date -u -d @N +%FT%TZ`, GNU coreutils 9.1.
        let dates = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (FIRST_S, "0000-01-01T00:00:00Z"),
            (LAST_S, "9999-12-31T23:59:59Z"),
        ];
        for (seconds, text) in dates {
            assert_eq!(Date::new(UnixTime(seconds)).to_string(), text);
            assert_eq!(text.parse(), Ok(Date(UnixTime(seconds))));
        }
        assert_eq!(Date::new(UnixTime(i64::MAX)).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Date::new(UnixTime(i64::MIN)).to_string(), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn other_spellings_are_refused() {
        let texts = [
            "2030-01-01T00:00:00",
            "2030-01-01T00:00:00+00:00",
            "2030-01-01 00:00:00Z",
            "2030-01-01T00:00:00.5Z",
            "2030-1-1T00:00:00Z",
            "+030-01-01T00:00:00Z",
            "2030-13-01T00:00:00Z",
            "2030-00-01T00:00:00Z",
            "2030-01-00T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T23:59:60Z",
            "2030-01-01T00:00:00z",
            "２030-01-01T00:00:0Z",
            "",
        ];
        for text in texts {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_second_has_one_text(seconds in FIRST_S..=LAST_S) {
            let date = Date::new(UnixTime(seconds));
            prop_assert_eq!(date.to_string().parse(), Ok(date));
            prop_assert_eq!(date.unix_time(), UnixTime(seconds));
        }
    }
}
