//! Randomness from the TEE: the measured kernel's generator, seeded by the CPU, never the host's.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// The generator for keys, nonces and identifiers. It stops the process rather than return bytes
/// that are not random.
pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand_core::Rng::fill_bytes(&mut rng(), &mut bytes);
    bytes
}
