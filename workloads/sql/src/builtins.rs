//! In place of the compiler's own: checked multiplication of 128-bit integers, which decimals are
//! multiplied and brought to one scale with.

#![allow(
    unsafe_code,
    reason = "a symbol that the compiler calls is named, see below"
)]

use sql_core::wide;

/// `__muloti4` as compiler-rt has it: the product modulo 2¹²⁸, and in `overflowed` whether it is none.
// SAFETY: nothing else of this name is linked in but the compiler's own, which is a weak symbol for
// this purpose; the signature is compiler-rt's (`ti_int, ti_int, int *`).
#[unsafe(no_mangle)]
extern "C" fn __muloti4(a: i128, b: i128, overflowed: &mut i32) -> i128 {
    let (product, overflows) = wide::overflowing_mul(a, b);
    *overflowed = i32::from(overflows);
    product
}
