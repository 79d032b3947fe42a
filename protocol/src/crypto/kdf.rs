//! HKDF-SHA256 (RFC 5869), for outputs of at most 32 bytes, which are its first block: all that
//! keys here need.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroize as _;

/// Length in bytes of a pseudo-random key, and of the longest output.
const LEN: usize = 32;

/// `HKDF-Extract(salt, parts end to end)` (§2.2).
pub(super) fn extract(salt: &[u8], parts: &[&[u8]], key: &mut [u8; LEN]) {
    authenticate(salt, parts, key);
}

/// `HKDF-Expand(key, parts end to end, output.len())` (§2.3).
pub(super) fn expand(key: &[u8; LEN], parts: &[&[u8]], output: &mut [u8]) {
    debug_assert!(output.len() <= LEN, "one block has {LEN} bytes");
    authenticate(key, &[parts, &[&[1]]].concat(), output);
}

/// The first bytes of HMAC-SHA256.
fn authenticate(key: &[u8], parts: &[&[u8]], output: &mut [u8]) {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        // RFC 2104: any length.
        .unwrap_or_else(|error| unreachable!("a key for HMAC: {error}"));
    for part in parts {
        mac.update(part);
    }
    let mut block = mac.finalize().into_bytes();
    output.copy_from_slice(&block[..output.len()]);
    block.as_mut_slice().zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869, A.1: its first 32 bytes.
    #[test]
    fn the_rfcs_first_vector_holds() {
        let salt = hex::decode("000102030405060708090a0b0c").unwrap();
        let info = hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap();
        let (mut key, mut output) = ([0; 32], [0; 32]);
        extract(&salt, &[&[0x0b; 20], &[0x0b; 2]], &mut key);
        expand(&key, &[&info[..3], &info[3..]], &mut output);
        assert_eq!(
            hex::encode(key),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
        );
        assert_eq!(
            hex::encode(output),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
    }
}
