//! Quiet hours: when a school wants its network for itself, by the local wall clock. The only place that names jiff,
//! which knows time zones.

use std::fmt;
use std::str::FromStr;

/// A part of every day. It may pass midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    from: Minute,
    until: Minute,
}

/// A minute of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Minute(u16);

impl QuietHours {
    /// When they end, if it is quiet now by this machine's clock and time zone.
    pub fn quiet_until(self) -> Option<String> {
        let now = jiff::Zoned::now();
        let minute = u16::try_from(i16::from(now.hour()) * 60 + i16::from(now.minute())).ok()?;
        self.covers(Minute(minute)).then(|| self.until.to_string())
    }

    fn covers(self, now: Minute) -> bool {
        if self.from < self.until {
            (self.from..self.until).contains(&now)
        } else {
            now >= self.from || now < self.until
        }
    }
}

impl FromStr for QuietHours {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "quiet hours look like 08:00-13:00, and do not end when they begin";
        let (from, until) = text.split_once('-').ok_or(FORM)?;
        let hours = Self { from: minute(from).ok_or(FORM)?, until: minute(until).ok_or(FORM)? };
        if hours.from == hours.until { Err(FORM) } else { Ok(hours) }
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

fn minute(text: &str) -> Option<Minute> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u16>().ok());
    let (hour, minute) = (number(hour)??, number(minute)??);
    (hour < 24 && minute < 60).then_some(Minute(hour * 60 + minute))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(hours: &str, now: &str) -> bool {
        hours.parse::<QuietHours>().unwrap().covers(minute(now).unwrap())
    }

    #[test]
    fn a_morning_begins_and_ends() {
        let quiet = ["07:59", "08:00", "12:59", "13:00"].map(|now| covers("08:00-13:00", now));
        assert_eq!(quiet, [false, true, true, false]);
    }

    #[test]
    fn a_night_passes_midnight() {
        let quiet = ["21:59", "22:00", "00:00", "05:29", "05:30"].map(|now| covers("22:00-5:30", now));
        assert_eq!(quiet, [false, true, true, true, false]);
    }

    #[test]
    fn what_is_no_part_of_a_day_is_refused() {
        for text in ["", "08:00", "8-13", "08:00-24:00", "08:60-13:00", "-1:00-13:00", "08:00-08:00", "+8:00-13:00"] {
            assert!(text.parse::<QuietHours>().is_err(), "{text:?}");
        }
    }
}
