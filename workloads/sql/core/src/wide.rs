//! Multiplication of 128-bit integers, quick where both are of 64 bits.
//!
//! Wasm multiplies 64 bits by 64 and keeps 64 of the product, so the compiler's own checked
//! multiplication of decimals is two calls and a dozen multiplications. Nearly all values of a decimal
//! column have 64 bits or fewer; then four multiplications do, and nothing can overflow.

/// `a · b` modulo 2¹²⁸, and whether that is not the product.
#[inline]
pub fn overflowing_mul(a: i128, b: i128) -> (i128, bool) {
    let (short_a, short_b) = (a as i64, b as i64);
    if i128::from(short_a) == a && i128::from(short_b) == b {
        return (product(short_a, short_b), false);
    }
    long(a, b)
}

/// The product of 64-bit integers, by halves of 32 bits.
#[inline]
fn product(a: i64, b: i64) -> i128 {
    const HALF: u64 = u32::MAX as u64;
    let (x, y) = (a as u64, b as u64);
    let (x_low, x_high, y_low, y_high) = (x & HALF, x >> 32, y & HALF, y >> 32);
    let lows = x_low * y_low;
    let (across, back) = (x_low * y_high, x_high * y_low);
    let middle = (lows >> 32) + (across & HALF) + (back & HALF);
    let low = (lows & HALF) | (middle << 32);
    let unsigned = x_high * y_high + (across >> 32) + (back >> 32) + (middle >> 32);
    // A negative operand was taken for 2⁶⁴ more than it is.
    let less = if a < 0 { y } else { 0 };
    let less_too = if b < 0 { x } else { 0 };
    let high = unsigned.wrapping_sub(less).wrapping_sub(less_too);
    (u128::from(high) << 64 | u128::from(low)) as i128
}

/// The same of any, with no checked multiplication in it: this is what those are made of.
#[cold]
#[inline(never)]
fn long(a: i128, b: i128) -> (i128, bool) {
    let wrapped = a.wrapping_mul(b);
    let negative = (a < 0) != (b < 0);
    let magnitude = magnitude(a.unsigned_abs(), b.unsigned_abs());
    let most = i128::MAX.unsigned_abs() + u128::from(negative);
    (wrapped, magnitude.is_none_or(|magnitude| magnitude > most))
}

/// The product of unsigned ones, where it has 128 bits.
fn magnitude(x: u128, y: u128) -> Option<u128> {
    let (more, less) = if x > y { (x, y) } else { (y, x) };
    if less > u128::from(u64::MAX) {
        return None;
    }
    // Each product of 64 by 64 bits has 128.
    let low = u128::from(more as u64).wrapping_mul(less);
    let high = (more >> 64).wrapping_mul(less);
    if high > u128::from(u64::MAX) {
        return None;
    }
    low.checked_add(high << 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [i128; 15] = [
        0,
        1,
        2,
        10,
        i32::MAX as i128,
        u32::MAX as i128,
        i64::MAX as i128,
        i64::MAX as i128 + 1,
        u64::MAX as i128,
        u64::MAX as i128 + 1,
        10_i128.pow(38) - 1,
        10_i128.pow(38),
        i128::MAX / 2,
        i128::MAX - 1,
        i128::MAX,
    ];

    fn agree(a: i128, b: i128) {
        assert_eq!(overflowing_mul(a, b), a.overflowing_mul(b), "{a} · {b}");
    }

    #[test]
    fn products_of_edges_are_the_compiler_s() {
        let negated = EDGES.iter().map(|edge| -edge);
        let mut edges: Vec<i128> = EDGES.iter().copied().chain(negated).collect();
        edges.extend([i128::MIN, i128::MIN + 1, i64::MIN.into()]);
        for a in &edges {
            for b in &edges {
                agree(*a, *b);
            }
        }
    }

    #[test]
    fn products_of_numbers_of_every_length_are_the_compiler_s() {
        // SplitMix64: the same numbers at every run.
        let mut state = 0_u64;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        for a_bits in 0..128 {
            for b_bits in 0..128 {
                for _ in 0..8 {
                    let mut number = || (u128::from(next()) << 64 | u128::from(next())) as i128;
                    let (a, b) = (number() >> a_bits, number() >> b_bits);
                    agree(a, b);
                }
            }
        }
    }
}
