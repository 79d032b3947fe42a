//! Numbers as text: the nearest `f32`, fast where numbers are short.

use super::le;

/// What a field of text holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Parsed<T> {
    Missing,
    Number(T),
    /// Neither a number nor a word for a missing one.
    Text,
}

/// Powers of ten that `f64` holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A field as a feature's value. Numbers are in Rust's grammar (`1`, `-0.5`, `.5`, `1e-3`, `inf`,
/// which takes in what C prints), `true` and `false` are 1 and 0.
pub(crate) fn parse_f32(field: &[u8]) -> Parsed<f32> {
    match plain(field) {
        Some((value, true)) => Parsed::Number(value as f32),
        _ => parse_slowly(field),
    }
}

/// A field as a number in double precision.
pub(crate) fn parse_f64(field: &[u8]) -> Parsed<f64> {
    match plain(field) {
        Some((value, _)) => Parsed::Number(value),
        None => parse_slowly(field),
    }
}

/// Whether the field stands for a missing value: nothing, `NA`, `NaN` or `null`, in any case.
pub(crate) fn is_missing(field: &[u8]) -> bool {
    matches!(field.len(), 0 | 2 | 3 | 4)
        && (field.is_empty()
            || field.eq_ignore_ascii_case(b"na")
            || field.eq_ignore_ascii_case(b"nan")
            || field.eq_ignore_ascii_case(b"null"))
}

/// The number at the front of `text`, if it is short, and its length: the common case, without
/// knowing before where the field ends.
pub(crate) fn short_f32(text: &[u8]) -> Option<(f32, usize)> {
    match short(text)? {
        (value, true, length) => Some((value as f32, length)),
        _ => None,
    }
}

/// All of a field as a short number.
fn plain(field: &[u8]) -> Option<(f64, bool)> {
    let (value, certain, length) = short(field)?;
    (length == field.len()).then_some((value, certain))
}

/// At most 15 digits with at most one point at the front of `text`, whose value one exact division
/// makes; whether rounding it again to `f32` gives what rounding once would (not so only where it
/// lies half-way between two, so that what the first rounding took away would decide); and the
/// length.
fn short(text: &[u8]) -> Option<(f64, bool, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut at = start;
    let mut mantissa = 0;
    digits(text, &mut at, &mut mantissa);
    let mut count = at - start;
    let mut decimals = 0;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let point = at;
        digits(text, &mut at, &mut mantissa);
        decimals = at - point;
        count += decimals;
    }
    if count == 0 || count > 15 {
        return None;
    }
    let value = mantissa as f64 / TENS[decimals];
    let certain = value.to_bits() & 0x1fff_ffff != 0x1000_0000;
    Some((if negative { -value } else { value }, certain, at))
}

/// Takes digits off `text` from `at` on; more than 15 overflow, and are counted by `at`.
fn digits(text: &[u8], at: &mut usize, mantissa: &mut u64) {
    while let Some(eight) = le::array(text, *at).and_then(eight_digits) {
        *mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(eight);
        *at += 8;
    }
    while let Some(byte @ b'0'..=b'9') = text.get(*at) {
        *mantissa = mantissa
            .wrapping_mul(10)
            .wrapping_add(u64::from(byte - b'0'));
        *at += 1;
    }
}

/// Eight digits at once, each addition and multiplication for all of them.
fn eight_digits(bytes: [u8; 8]) -> Option<u64> {
    let text = u64::from_le_bytes(bytes);
    let low = text.wrapping_sub(0x3030_3030_3030_3030);
    let high = text.wrapping_add(0x4646_4646_4646_4646);
    if (low | high) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    // Each digit with the next one, each pair with the next one, both fours; the first digit is
    // in the lowest byte.
    let pairs = (low * 10 + (low >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

trait Float: std::str::FromStr {
    fn is_nan(&self) -> bool;
    fn of(truth: bool) -> Self;
}

impl Float for f32 {
    fn is_nan(&self) -> bool {
        Self::is_nan(*self)
    }

    fn of(truth: bool) -> Self {
        f32::from(u8::from(truth))
    }
}

impl Float for f64 {
    fn is_nan(&self) -> bool {
        Self::is_nan(*self)
    }

    fn of(truth: bool) -> Self {
        f64::from(u8::from(truth))
    }
}

#[cold]
fn parse_slowly<T: Float>(field: &[u8]) -> Parsed<T> {
    let field = field.trim_ascii();
    if is_missing(field) {
        return Parsed::Missing;
    }
    let Ok(text) = std::str::from_utf8(field) else {
        return Parsed::Text;
    };
    match text.parse::<T>() {
        Ok(value) if value.is_nan() => Parsed::Missing,
        Ok(value) => Parsed::Number(value),
        Err(_) if text.eq_ignore_ascii_case("true") => Parsed::Number(T::of(true)),
        Err(_) if text.eq_ignore_ascii_case("false") => Parsed::Number(T::of(false)),
        Err(_) => Parsed::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_gives_what_the_standard_library_gives() {
        let mut state = 1_u64;
        for round in 0..200_000_u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let digits = state >> 11 >> (round % 50);
            let decimals = (round % 16) as usize;
            let text = format!("{digits:0>width$}", width = decimals + 1);
            let (whole, fraction) = text.split_at(text.len() - decimals);
            let text = format!("-{whole}.{fraction}");
            assert_eq!(
                parse_f32(text.as_bytes()),
                Parsed::Number(text.parse().unwrap()),
                "{text}"
            );
            assert_eq!(
                parse_f64(text.as_bytes()),
                Parsed::Number(text.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn eight_digits_are_read_at_once_or_not_at_all() {
        for number in [0_u64, 1, 12_345_678, 99_999_999, 10_203_040, 90_000_009] {
            let text = format!("{number:08}");
            assert_eq!(
                eight_digits(text.as_bytes().try_into().unwrap()),
                Some(number)
            );
        }
        for byte in (0..=255).filter(|byte: &u8| !byte.is_ascii_digit()) {
            for at in 0..8 {
                let mut text = *b"12345678";
                text[at] = byte;
                assert_eq!(eight_digits(text), None, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn half_way_numbers_are_rounded_once() {
        // 1 + 2^-24 and a little more or less.
        for text in [
            "1.00000005960464",
            "1.0000000596046448",
            "1.000000059604645",
            "16777217",
            "16777219",
        ] {
            assert_eq!(
                parse_f32(text.as_bytes()),
                Parsed::Number(text.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn words_are_missing_truths_or_text() {
        for missing in ["", "NA", "nan", "NaN", "null", "NULL", " ", "-nan"] {
            assert_eq!(parse_f32(missing.as_bytes()), Parsed::Missing, "{missing}");
        }
        assert_eq!(parse_f32(b"True"), Parsed::Number(1.0));
        assert_eq!(parse_f32(b" 1e3 "), Parsed::Number(1000.0));
        assert_eq!(parse_f32(b"-inf"), Parsed::Number(f32::NEG_INFINITY));
        for text in ["-", ".", "1.2.3", "1,5", "abc", "0x10", "1_000", "\u{ff11}"] {
            assert_eq!(parse_f32(text.as_bytes()), Parsed::Text, "{text}");
        }
    }
}
