//! Sizes, durations and dates: one spelling each, whole numbers only.

use std::{fmt, str::FromStr};

use toml::value::{Datetime, Offset};

/// Most bytes any size of a policy may state: 16 TiB.
pub const MAX_BYTES: u64 = 16 << 40;
/// Longest time any duration of a policy may state, in milliseconds: 30 days.
pub const MAX_MILLIS: u64 = 30 * 24 * 3_600_000;

const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
const TIME_UNITS: [(&str, u64); 4] = [("min", 60_000), ("ms", 1), ("s", 1_000), ("h", 3_600_000)];

/// A number of bytes, written `64MiB`: digits, then `B`, `KiB`, `MiB`, `GiB` or `TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A duration in milliseconds, written `30min`: digits, then `ms`, `s`, `min` or `h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(u64);

/// Text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a size of at most 16TiB: a whole number and B, KiB, MiB, GiB or TiB without a space, as in \
     \"64MiB\""
)]
pub struct SizeError;

/// Text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a duration of at most 720h: a whole number and ms, s, min or h without a space, as in \
     \"30min\""
)]
pub struct DurationError;

impl Size {
    /// A size in bytes, at most [`MAX_BYTES`].
    ///
    /// # Errors
    /// More than that.
    pub const fn from_bytes(bytes: u64) -> Result<Self, SizeError> {
        if bytes > MAX_BYTES {
            return Err(SizeError);
        }
        Ok(Self(bytes))
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl Duration {
    /// A duration in milliseconds, at most [`MAX_MILLIS`].
    ///
    /// # Errors
    /// More than that.
    pub const fn from_millis(millis: u64) -> Result<Self, DurationError> {
        if millis > MAX_MILLIS {
            return Err(DurationError);
        }
        Ok(Self(millis))
    }

    /// The duration in milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let bytes = with_unit(text, &SIZE_UNITS).ok_or(SizeError)?;
        Self::from_bytes(bytes)
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let millis = with_unit(text, &TIME_UNITS).ok_or(DurationError)?;
        Self::from_millis(millis)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZE_UNITS
            .into_iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = [("h", 3_600_000), ("min", 60_000), ("s", 1_000)]
            .into_iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(("ms", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// `text` as digits without leading zeros and one of `units`, multiplied out. The units are tried
/// in order, so a unit stands before any that is its ending.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, factor) = units.iter().find_map(|(unit, factor)| {
        let digits = text.strip_suffix(unit)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        (plain && !digits.is_empty()).then_some((digits, factor))
    })?;
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Seconds since 1970-01-01T00:00:00Z of a TOML date-time with an offset (RFC 3339 §5.6), whole
/// seconds only; `None` for anything else.
pub(super) fn unix_seconds(datetime: &Datetime) -> Option<u64> {
    let (date, time, offset) = (datetime.date?, datetime.time?, datetime.offset?);
    let month_days = days_in(date.year.into(), date.month)?;
    let second = time.second.unwrap_or(0);
    let fraction = time.nanosecond.unwrap_or(0);
    let valid = (1..=month_days).contains(&date.day)
        && time.hour < 24
        && time.minute < 60
        && second < 60
        && fraction == 0;
    if !valid {
        return None;
    }
    let offset_minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
    let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - offset_minutes;
    u64::try_from(days * 86_400 + minutes * 60 + i64::from(second)).ok()
}

/// Whether this is a day of the calendar as ISO 8601 writes it, `2026-12-31`, from the year 1 on.
pub(super) fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next()?;
        let plain = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (Some(year), Some(month), Some(day)) = (part(4), part(2), part(2)) else {
        return false;
    };
    // At most 99.
    let days = days_in(year.into(), month as u8);
    parts.next().is_none() && year > 0 && days.is_some_and(|days| (1..=days.into()).contains(&day))
}

/// Days of a month in the proleptic Gregorian calendar.
const fn days_in(year: i64, month: u8) -> Option<u8> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years counted from March put the leap day last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_one_spelling() {
        assert_eq!("3GiB".parse(), Ok(Size(3 << 30)));
        assert_eq!("0B".parse(), Ok(Size(0)));
        assert_eq!("16TiB".parse(), Ok(Size(MAX_BYTES)));
        for bad in [
            "",
            "B",
            "3",
            "3 GiB",
            "3GB",
            "3gib",
            "1.5GiB",
            "-1B",
            "+1B",
            "01B",
            "1e3B",
            "17TiB",
            "99999999999999999999B",
            "3GiB ",
            "١B",
        ] {
            assert_eq!(bad.parse::<Size>(), Err(SizeError), "{bad:?}");
        }
    }

    #[test]
    fn a_duration_has_one_spelling() {
        for (text, millis) in [
            ("30min", 1_800_000),
            ("5s", 5_000),
            ("7ms", 7),
            ("2h", 7_200_000),
        ] {
            assert_eq!(text.parse(), Ok(Duration(millis)));
            assert_eq!(Duration(millis).to_string(), text);
        }
        for bad in ["", "s", "30", "30 s", "30m", "1.5h", "-1s", "007s", "721h"] {
            assert_eq!(bad.parse::<Duration>(), Err(DurationError), "{bad:?}");
        }
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for bytes in [0, 1, 1023, 1024, 1025, 3 << 30, MAX_BYTES] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }

    #[test]
    fn a_date_counts_seconds() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-12-31T00:00:00Z", 1_798_675_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            let datetime: Datetime = text.parse().unwrap();
            assert_eq!(unix_seconds(&datetime), Some(seconds), "{text}");
        }
        let east: Datetime = "2026-12-31T02:00:00+02:00".parse().unwrap();
        assert_eq!(unix_seconds(&east), Some(1_798_675_200));
    }

    #[test]
    fn every_day_of_four_centuries_is_one_later() {
        let mut day = 0;
        for year in 1970..2370 {
            for month in 1..=12 {
                for date in 1..=31 {
                    let text = format!("{year}-{month:02}-{date:02}T01:02:03Z");
                    // What TOML takes for a date may be none of its month.
                    let Some(seconds) = text.parse().ok().as_ref().and_then(unix_seconds) else {
                        assert!(date > 28, "{text}");
                        continue;
                    };
                    assert_eq!(seconds, day * 86_400 + 3_723, "{text}");
                    day += 1;
                }
            }
        }
        assert_eq!(day, 146_097);
    }

    #[test]
    fn a_date_that_is_no_instant_is_refused() {
        for text in [
            "2026-12-31T00:00:00",
            "2026-12-31",
            "00:00:00",
            "2026-12-31T00:00:00.5Z",
            "1969-12-31T23:59:59Z",
        ] {
            let datetime: Datetime = text.parse().unwrap();
            assert_eq!(unix_seconds(&datetime), None, "{text}");
        }
    }
}
