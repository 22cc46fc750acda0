//! When a new file begins, and what the old one is called.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Weekday;
use jiff::{RoundMode, Timestamp, ToSpan as _, Unit, ZonedRound, tz::TimeZone};

/// When a new file begins. Times are local ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roll {
    /// Never; a file that somebody else has moved away is begun anew all the same.
    #[default]
    Never,
    /// At each full hour.
    Hourly,
    /// At midnight.
    Daily,
    /// At the midnight in which this day of the week begins; 1 is Sunday, 7 is Saturday, as in 1.x.
    Weekly(u8),
    /// Before a file would have more than so many bytes.
    Size(u64),
}

/// A text that is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRoll(String);

/// Units of sizes, each 1,024 times the one before.
const UNITS: [&str; 5] = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

impl FromStr for Roll {
    type Err = BadRoll;

    /// As 1.x wrote them, in any case: `never`, `hourly`, `daily`, `weekly(2)`, `3.megabytes`. `sighup`, which asked for a new
    /// file after the old one was moved away, is `never`: that is noticed anyway.
    fn from_str(text: &str) -> Result<Self, BadRoll> {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "never" | "sighup" => return Ok(Roll::Never),
            "hourly" => return Ok(Roll::Hourly),
            "daily" => return Ok(Roll::Daily),
            _ => {}
        }
        let bad = || BadRoll(text.chars().take(40).collect());
        let day = lower
            .strip_prefix("weekly(")
            .and_then(|rest| rest.strip_suffix(')'));
        if let Some(day) = day {
            let day = day.parse().ok().filter(|day| (1..=7).contains(day));
            return day.map(Roll::Weekly).ok_or_else(bad);
        }
        let (number, unit) = lower.split_once('.').ok_or_else(bad)?;
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        let power = UNITS.iter().position(|known| *known == unit);
        let factor = 1_u64 << (10 * power.ok_or_else(bad)?);
        let bytes = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor));
        bytes.filter(|n| *n > 0).map(Roll::Size).ok_or_else(bad)
    }
}

impl fmt::Display for Roll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Roll::Never => f.write_str("never"),
            Roll::Hourly => f.write_str("hourly"),
            Roll::Daily => f.write_str("daily"),
            Roll::Weekly(day) => write!(f, "weekly({day})"),
            Roll::Size(bytes) => {
                let fits = |i: &usize| bytes % (1_u64 << (10 * i)) == 0;
                let power = (0..UNITS.len()).rev().find(fits).unwrap_or(0);
                write!(f, "{}.{}s", bytes >> (10 * power), UNITS[power])
            }
        }
    }
}

impl Roll {
    /// The end of a file that was begun then; `None` if time does not end it.
    pub(crate) fn after(self, opened: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let opened = opened.to_zoned(zone.clone());
        let next = match self {
            Roll::Never | Roll::Size(_) => return None,
            Roll::Hourly => {
                let hour = ZonedRound::new()
                    .smallest(Unit::Hour)
                    .mode(RoundMode::Trunc);
                opened.round(hour).ok()?.checked_add(1.hour()).ok()?
            }
            Roll::Daily => opened.tomorrow().ok()?.start_of_day().ok()?,
            Roll::Weekly(day) => {
                let day = Weekday::from_sunday_one_offset(i8::try_from(day).ok()?).ok()?;
                opened.nth_weekday(1, day).ok()?.start_of_day().ok()?
            }
        };
        Some(next.timestamp())
    }

    /// What stands in the name of a rolled file that was begun then, as in 1.x.
    pub(crate) fn mark(self, opened: Timestamp, zone: &TimeZone) -> String {
        let format = match self {
            Roll::Never => "%Y",
            Roll::Hourly => "%Y%m%d-%H",
            Roll::Daily | Roll::Weekly(_) => "%Y%m%d",
            Roll::Size(_) => "%Y%m%d-%H%M%S",
        };
        opened.to_zoned(zone.clone()).strftime(format).to_string()
    }
}
