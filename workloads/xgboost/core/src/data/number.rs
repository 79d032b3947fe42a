//! Numbers as text: the nearest `f32`, fast where numbers are short.

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

/// Digits with at most one point, whose value one exact division makes: the common case. Also
/// whether rounding it again to `f32` gives what rounding once would: not so only where it lies
/// half-way between two, so that what the first rounding took away would decide.
fn plain(field: &[u8]) -> Option<(f64, bool)> {
    let (negative, digits) = match field.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, field),
    };
    let mut mantissa = 0_u64;
    let mut point = None;
    // 15 digits and a point: below 2^53.
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    for (at, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa * 10 + u64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let decimals = point.map_or(0, |at| digits.len() - at - 1);
    if digits.len() == usize::from(point.is_some()) || mantissa >= 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / TENS[decimals];
    let certain = value.to_bits() & 0x1fff_ffff != 0x1000_0000;
    Some((if negative { -value } else { value }, certain))
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
