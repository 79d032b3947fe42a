//! Little-endian numbers at a place that may not be there.

/// The `N` bytes at `at`.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(crate) fn u16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn i32(bytes: &[u8], at: usize) -> Option<i32> {
    array(bytes, at).map(i32::from_le_bytes)
}

pub(crate) fn i64(bytes: &[u8], at: usize) -> Option<i64> {
    array(bytes, at).map(i64::from_le_bytes)
}

/// A half-precision number (IEEE 754 binary16).
pub(crate) fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    }
}

/// A big-endian number in two's complement of any length, as decimals are kept.
pub(crate) fn big_endian(bytes: &[u8]) -> f64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    // Inverted, a negative number is one less than its size.
    let flip = if negative { 0xff } else { 0 };
    let digits = bytes
        .iter()
        .map(|byte| byte ^ flip)
        .skip_while(|byte| *byte == 0);
    let size = match digits.clone().count() {
        0..16 => digits.fold(0_u128, |size, byte| size << 8 | u128::from(byte)) as f64,
        _ => digits.fold(0.0, |size, byte| size * 256.0 + f64::from(byte)),
    };
    if negative { -size - 1.0 } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_exactly() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_953_125),
            (1, 2_f64.powi(-24)),
            (0x7bff, 65504.0),
        ] {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7e00).is_nan() && half(0xfc00) == f64::NEG_INFINITY);
    }

    #[test]
    fn decimals_of_any_length_keep_their_sign() {
        for value in [0_i128, 1, -1, 12_345, -12_345_678_901_234] {
            let bytes = value.to_be_bytes();
            for skip in 0..8 {
                assert_eq!(
                    big_endian(&bytes[skip..]),
                    value as f64,
                    "{value} in {} bytes",
                    16 - skip
                );
            }
        }
        let mut wide = [0xff_u8; 32];
        wide[31] = 0xfe;
        assert_eq!(big_endian(&wide), -2.0);
    }
}
