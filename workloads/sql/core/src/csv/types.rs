//! The type that a column's values have in common.

use std::fmt;

/// Integers up to this are floating-point numbers too.
const EXACT: u64 = 1 << 53;
/// Digits that a decimal number of 128 bits holds.
const DIGITS: u32 = 38;
/// Years whose moments, counted in nanoseconds, fit into 64 bits.
const IN_NANOSECONDS: std::ops::RangeInclusive<u16> = 1678..=2261;

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// No row has a value.
    Null,
    /// `true` and `false`, in any case.
    Boolean,
    /// Whole numbers of 64 bits.
    Integer,
    /// Decimal numbers, where floating point would not keep a whole number's digits.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Floating point of 64 bits.
    Float,
    /// Days.
    Date,
    /// Moments without a zone; those written with one are taken to UTC.
    Timestamp {
        /// Digits of a second's fraction: 0, 3, 6 or 9.
        fraction: u8,
    },
    /// Anything else.
    Text,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean => f.write_str("boolean"),
            Self::Integer => f.write_str("an integer"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Self::Float => f.write_str("a number"),
            Self::Date => f.write_str("a date"),
            Self::Timestamp { .. } => f.write_str("a timestamp"),
            Self::Text => f.write_str("text"),
        }
    }
}

/// What has been seen of a column's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    booleans: bool,
    integers: bool,
    /// Integers that floating point would round.
    inexact: bool,
    /// Integers of more than 64 bits.
    huge: bool,
    decimals: bool,
    exponents: bool,
    /// `NaN` and `inf`: numbers only where there are others.
    special: bool,
    dates: bool,
    timestamps: bool,
    zoned: bool,
    /// Moments that nanoseconds cannot be counted to.
    far: bool,
    text: bool,
    /// The most digits before the point.
    whole: u32,
    /// The most digits after the point.
    scale: u32,
    /// The most digits of a second's fraction.
    fraction: u8,
}

impl Seen {
    /// Takes a value into account. An empty one is NULL and tells nothing.
    pub fn update(&mut self, value: &[u8]) {
        let Some(&first) = value.first() else { return };
        if self.text {
            return;
        }
        let known = match first {
            b'0'..=b'9' => self.number(value) || self.moment(value),
            b'-' | b'.' => self.number(value) || self.special(value),
            b't' | b'T' | b'f' | b'F' => self.boolean(value),
            b'n' | b'N' | b'i' | b'I' => self.special(value),
            _ => false,
        };
        self.text |= !known;
    }

    /// Takes what was seen elsewhere of the same column into account.
    pub fn merge(&mut self, other: &Self) {
        self.booleans |= other.booleans;
        self.integers |= other.integers;
        self.inexact |= other.inexact;
        self.huge |= other.huge;
        self.decimals |= other.decimals;
        self.exponents |= other.exponents;
        self.special |= other.special;
        self.dates |= other.dates;
        self.timestamps |= other.timestamps;
        self.zoned |= other.zoned;
        self.far |= other.far;
        self.text |= other.text;
        self.whole = self.whole.max(other.whole);
        self.scale = self.scale.max(other.scale);
        self.fraction = self.fraction.max(other.fraction);
    }

    /// The narrowest type that all values are of.
    pub fn common(&self) -> Type {
        let numbers = self.integers || self.decimals || self.exponents;
        let moments = self.dates || self.timestamps || self.zoned;
        let kinds = [self.booleans, numbers, moments];
        if self.text || kinds.into_iter().filter(|kind| *kind).count() > 1 {
            return Type::Text;
        }
        if self.booleans || moments {
            return match () {
                () if self.special => Type::Text,
                () if self.booleans => Type::Boolean,
                () => self.common_moment(),
            };
        }
        match (numbers, self.special) {
            (true, _) => self.common_number(),
            (false, true) => Type::Text,
            (false, false) => Type::Null,
        }
    }

    /// Whether a column of type `common` holds everything seen.
    pub fn fits(&self, common: Type) -> bool {
        let own = self.common();
        own == common
            || match (own, common) {
                (Type::Null, _) | (_, Type::Text) => true,
                (Type::Text, Type::Float) => self.special && !self.text,
                (Type::Integer, Type::Float) => true,
                (Type::Integer | Type::Decimal { .. }, Type::Decimal { precision, scale }) => {
                    self.scale <= u32::from(scale)
                        && self.whole + u32::from(scale) <= u32::from(precision)
                }
                (Type::Date, Type::Timestamp { .. }) => !self.far,
                (Type::Timestamp { fraction: own }, Type::Timestamp { fraction }) => {
                    own <= fraction
                }
                _ => false,
            }
    }

    fn common_number(&self) -> Type {
        let digits = self.whole + self.scale;
        let decimal = || Type::Decimal {
            // Both at most 38.
            precision: digits as u8,
            scale: self.scale as u8,
        };
        let only_integers = !self.decimals && !self.exponents && !self.special;
        match only_integers {
            true if !self.huge => Type::Integer,
            true if digits <= DIGITS => decimal(),
            true => Type::Text,
            false if !self.inexact || self.exponents || self.special => Type::Float,
            false if digits <= DIGITS => decimal(),
            false => Type::Float,
        }
    }

    fn common_moment(&self) -> Type {
        let fraction = self.fraction.next_multiple_of(3);
        match () {
            // Which zone those without one are in, nothing tells.
            () if self.zoned && (self.dates || self.timestamps) => Type::Text,
            () if fraction == 9 && self.far => Type::Text,
            () if self.timestamps || self.zoned => Type::Timestamp { fraction },
            () => Type::Date,
        }
    }

    fn boolean(&mut self, value: &[u8]) -> bool {
        let is = value.eq_ignore_ascii_case(b"true") || value.eq_ignore_ascii_case(b"false");
        self.booleans |= is;
        is
    }

    fn special(&mut self, value: &[u8]) -> bool {
        let unsigned = value.strip_prefix(b"-").unwrap_or(value);
        let is = [&b"nan"[..], b"inf", b"infinity"]
            .iter()
            .any(|word| unsigned.eq_ignore_ascii_case(word));
        self.special |= is;
        is
    }

    /// A number as it is written for people: `007` and `+49` are none, they would lose something.
    fn number(&mut self, value: &[u8]) -> bool {
        let unsigned = value.strip_prefix(b"-").unwrap_or(value);
        let (whole, rest) = digits(unsigned);
        if whole.len() > 1 && whole[0] == b'0' {
            return false;
        }
        let (fraction, rest) = match rest.split_first() {
            Some((b'.', rest)) => digits(rest),
            _ => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return false;
        }
        let has_point = unsigned.get(whole.len()) == Some(&b'.');
        match rest.split_first() {
            None => {}
            Some((b'e' | b'E', exponent)) => {
                let exponent = exponent.strip_prefix(b"-").unwrap_or(
                    // A sign may be either, but only one.
                    exponent.strip_prefix(b"+").unwrap_or(exponent),
                );
                let (some, rest) = digits(exponent);
                if some.is_empty() || !rest.is_empty() || !is_finite(value) {
                    return false;
                }
                self.exponents = true;
                return true;
            }
            Some(_) => return false,
        }
        self.whole = self.whole.max(length(whole));
        if has_point {
            self.decimals = true;
            self.scale = self.scale.max(length(fraction));
            // More digits than any number has are a number's with an exponent left out.
            return whole.len() <= 300;
        }
        self.integers = true;
        match magnitude(whole) {
            Some(number) if number <= i64::MAX as u64 => self.inexact |= number > EXACT,
            // The least of 64 bits has no positive counterpart.
            Some(number) if number == 1 << 63 && value.len() > whole.len() => self.inexact = true,
            _ => {
                self.huge = true;
                self.inexact = true;
            }
        }
        true
    }

    /// A date or timestamp of ISO 8601: `2026-01-31`, `2026-01-31T12:00:00.5+01:00`.
    fn moment(&mut self, value: &[u8]) -> bool {
        let Some((date, rest)) = value.split_at_checked(10) else {
            return false;
        };
        let Some(year) = year_of_date(date) else {
            return false;
        };
        self.far |= !IN_NANOSECONDS.contains(&year);
        let Some((separator, rest)) = rest.split_first() else {
            self.dates = true;
            return true;
        };
        if !matches!(separator, b'T' | b't' | b' ') {
            return false;
        }
        let Some((time, rest)) = rest.split_at_checked(8) else {
            return false;
        };
        if !is_time(time) {
            return false;
        }
        let (fraction, zone) = match rest.split_first() {
            Some((b'.', rest)) => digits(rest),
            _ => (&[][..], rest),
        };
        if fraction.len() > 9 || rest.first() == Some(&b'.') && fraction.is_empty() {
            return false;
        }
        if !zone.is_empty() && !is_zone(zone) {
            return false;
        }
        // At most 9.
        self.fraction = self.fraction.max(fraction.len() as u8);
        match zone.is_empty() {
            true => self.timestamps = true,
            false => self.zoned = true,
        }
        true
    }
}

/// The digits that `bytes` starts with, and the rest.
fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
    bytes.split_at(end.unwrap_or(bytes.len()))
}

fn length(digits: &[u8]) -> u32 {
    u32::try_from(digits.len())
        .unwrap_or(u32::MAX / 4)
        .min(u32::MAX / 4)
}

fn magnitude(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

fn is_finite(number: &[u8]) -> bool {
    std::str::from_utf8(number)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .is_some_and(f64::is_finite)
}

fn two(bytes: &[u8], at: usize) -> Option<u8> {
    match bytes.get(at..at + 2)? {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some((a - b'0') * 10 + (b - b'0')),
        _ => None,
    }
}

fn year_of_date(date: &[u8]) -> Option<u16> {
    let year = u16::from(two(date, 0)?) * 100 + u16::from(two(date, 2)?);
    let (month, day) = (two(date, 5)?, two(date, 8)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    (date[4] == b'-' && date[7] == b'-' && (1..=days).contains(&day)).then_some(year)
}

fn is_time(time: &[u8]) -> bool {
    let below = |at, limit| two(time, at).is_some_and(|number| number < limit);
    time[2] == b':' && time[5] == b':' && below(0, 24) && below(3, 60) && below(6, 60)
}

/// `Z`, `+01`, `+0100` or `+01:00`.
fn is_zone(zone: &[u8]) -> bool {
    if matches!(zone, b"Z" | b"z") {
        return true;
    }
    let Some((b'+' | b'-', offset)) = zone.split_first() else {
        return false;
    };
    let minutes = match offset.len() {
        2 => Some(0),
        4 => two(offset, 2),
        5 if offset[2] == b':' => two(offset, 3),
        _ => None,
    };
    two(offset, 0).is_some_and(|hours| hours < 24) && minutes.is_some_and(|minutes| minutes < 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[&str]) -> Seen {
        let mut seen = Seen::default();
        for value in values {
            seen.update(value.as_bytes());
        }
        seen
    }

    #[track_caller]
    fn check(values: &[&str], expected: Type) {
        assert_eq!(seen(values).common(), expected, "{values:?}");
        // Whatever the order, and whatever the file each stands in.
        let mut merged = Seen::default();
        for value in values.iter().rev() {
            merged.merge(&seen(&[value]));
        }
        assert_eq!(merged.common(), expected, "{values:?} from the last");
        assert!(merged.fits(expected), "{values:?}");
    }

    #[test]
    fn a_type_holds_every_value() {
        check(&["", ""], Type::Null);
        check(&["true", "", "FALSE"], Type::Boolean);
        check(&["1", "-2", "0"], Type::Integer);
        check(&["1", "2.5"], Type::Float);
        check(&["1", "1e3", ".5", "5."], Type::Float);
        check(&["1", "NaN", "-inf"], Type::Float);
        check(&["2024-02-29", ""], Type::Date);
        check(
            &["2024-02-29", "2024-02-29 10:00:00"],
            Type::Timestamp { fraction: 0 },
        );
        check(
            &["2024-02-29T10:00:00.5", "2024-02-29 10:00:00.1234"],
            Type::Timestamp { fraction: 6 },
        );
        check(
            &["2024-02-29T10:00:00Z", "2024-02-29T10:00:00+01:00"],
            Type::Timestamp { fraction: 0 },
        );
        check(&["x"], Type::Text);
    }

    #[test]
    fn kinds_that_nothing_holds_together_are_text() {
        for values in [
            &["1", "x"][..],
            &["1", "true"],
            &["1", "2024-01-01"],
            &["true", "2024-01-01"],
            &["true", "nan"],
            &["nan"],
            &["inf", ""],
            &["1", "+1"],
            &["1", " 1"],
            &["1", "0x10"],
            &["1", "1_000"],
            &["2023-02-29"],
            &["2024-13-01"],
            &["2024-01-01 24:00:00"],
            &["2024-01-01 10:00"],
            &["2024-01-01 10:00:00."],
            &["2024-01-01 10:00:00.1234567890"],
            &["2024-01-01 10:00:00", "2024-01-01T10:00:00Z"],
            &["2024-01-01 10:00:00 Europe/Berlin"],
            &["9999-12-31 00:00:00", "2024-01-01 00:00:00.123456789"],
            &["1e999"],
            &["."],
            &["-"],
            &["1e"],
            &["1e+-5"],
        ] {
            check(values, Type::Text);
        }
    }

    #[test]
    fn leading_zeros_are_not_lost() {
        check(&["00501", "10001"], Type::Text);
        check(&["-01"], Type::Text);
        check(&["00.5"], Type::Text);
        check(&["0", "-0", "10"], Type::Integer);
        check(&["0.5", "-0.25"], Type::Float);
    }

    #[test]
    fn large_integers_keep_their_digits() {
        check(
            &["9223372036854775807", "-9223372036854775808"],
            Type::Integer,
        );
        let decimal = |precision, scale| Type::Decimal { precision, scale };
        check(&["9223372036854775808", "1"], decimal(19, 0));
        check(&["-9223372036854775809"], decimal(19, 0));
        check(&["9007199254740993", "0.25"], decimal(18, 2));
        check(&["9007199254740992", "0.25"], Type::Float);
        check(&["9007199254740993", "1e3"], Type::Float);
        check(&[&"9".repeat(38)], decimal(38, 0));
        check(&[&"9".repeat(39)], Type::Text);
    }

    #[test]
    fn a_later_value_fits_or_does_not() {
        let fits = |values: &[&str], common| seen(values).fits(common);
        assert!(fits(&["1"], Type::Float) && fits(&["nan"], Type::Float));
        assert!(!fits(&["1.5"], Type::Integer) && !fits(&["x"], Type::Float));
        assert!(!fits(&["true"], Type::Integer) && !fits(&["1"], Type::Boolean));
        assert!(!fits(&["2024-01-01 10:00:00"], Type::Date));
        assert!(fits(&["2024-01-01"], Type::Timestamp { fraction: 0 }));
        assert!(!fits(&["9223372036854775808"], Type::Integer));
        assert!(!fits(
            &["10000000000000000000000"],
            Type::Decimal {
                precision: 20,
                scale: 0
            }
        ));
    }
}
