//! Time, as a verifier is told it: no code of this crate reads a clock.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z by a clock the verifier trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// The day of this source, from the file `source-date`, which is never a month older than its
    /// newest commit (`cargo xtask test` and `cargo xtask dist` look). Whoever releases keys has a
    /// clock that is at least that late: an earlier one was set back, to a day on which what is
    /// revoked or expired now was good.
    pub const OF_THIS_SOURCE: Self = {
        match u64::from_str_radix(include_str!("source-date").trim_ascii(), 10) {
            Ok(seconds) => Self(seconds),
            Err(_) => panic!("source-date holds the seconds of a day since 1970"),
        }
    };
}

/// `2026-11-30T12:00:00Z`; what no calendar of four-digit years holds, in seconds.
impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const END_OF_YEAR_9999: u64 = 253_402_300_799;
        if self.0 > END_OF_YEAR_9999 {
            return write!(f, "{} seconds after 1970", self.0);
        }
        let (days, rest) = (self.0 / 86_400, self.0 % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// Year, month and day of the `days`-th day after 1970-01-01, in the Gregorian calendar: eras of
/// 400 years that begin on a first of March, so that the leap day is a year's last.
const fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = 400 * era + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// A span of time, both ends in it.
///
/// ```
/// use mc2_attestation::{Interval, UnixSeconds};
///
/// let certificate = Interval::new(UnixSeconds(10), UnixSeconds(90));
/// let list = Interval::new(UnixSeconds(40), UnixSeconds(60));
/// let both = certificate.and(list);
/// assert_eq!(both, list);
/// assert!(both.contains(UnixSeconds(60)) && !both.contains(UnixSeconds(61)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first second in it.
    pub from: UnixSeconds,
    /// The last second in it.
    pub until: UnixSeconds,
}

impl Interval {
    /// All of time.
    pub const ALWAYS: Self = Self::new(UnixSeconds(0), UnixSeconds(u64::MAX));
    /// No time at all.
    pub const NEVER: Self = Self::new(UnixSeconds(1), UnixSeconds(0));

    /// From `from` to `until`.
    pub const fn new(from: UnixSeconds, until: UnixSeconds) -> Self {
        Self { from, until }
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            until: self.until.min(other.until),
        }
    }

    /// Whether it contains `time`.
    pub fn contains(self, time: UnixSeconds) -> bool {
        self.from <= time && time <= self.until
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { from, until } if from > until => f.write_str("at no time"),
            Self::ALWAYS => f.write_str("at any time"),
            Self { from, until } => write!(f, "from {from} until {until}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_calendars_do() {
        let written = |seconds| UnixSeconds(seconds).to_string();
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(written(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(written(1_750_500_000), "2025-06-21T10:00:00Z");
        assert_eq!(written(4_107_542_400), "2100-03-01T00:00:00Z");
        assert_eq!(written(253_402_300_799), "9999-12-31T23:59:59Z");
        assert!(written(u64::MAX).ends_with("seconds after 1970"));
        let source = UnixSeconds::OF_THIS_SOURCE.to_string();
        assert!(source.starts_with("20") && source.ends_with("T00:00:00Z"));
    }

    #[test]
    fn what_two_intervals_share_may_be_nothing() {
        let early = Interval::new(UnixSeconds(1), UnixSeconds(2));
        let late = Interval::new(UnixSeconds(3), UnixSeconds(4));
        let both = early.and(late);
        assert!((0..6).all(|time| !both.contains(UnixSeconds(time))));
        assert_eq!(both.to_string(), "at no time");
        assert_eq!(Interval::ALWAYS.and(early), early);
        assert_eq!(Interval::NEVER.to_string(), "at no time");
    }
}
