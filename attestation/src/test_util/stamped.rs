//! What fuzz targets and tests hand to whoever verifies timestamps: a token, and roots, that anybody may
//! have written.

use crate::{
    UnixSeconds,
    timestamp::{TimestampRoots, verify},
};

/// What the good token is over.
pub const MESSAGE: &[u8] = b"a receipt";
/// After the good token was made, and before its authority's certificates end: 2033-05-18.
const NOW: UnixSeconds = UnixSeconds(2_000_000_000);

/// Verifies a token, both it and the roots hostile: two bytes of the roots' length, the roots, the
/// token. Returns whether it counts.
///
/// # Panics
/// Where it breaks a promise.
pub fn timestamp(input: &[u8]) -> bool {
    verified(input).is_ok()
}

/// As [`timestamp`], with why it does not count.
///
/// # Errors
/// In the verifier's words.
///
/// # Panics
/// Where it breaks a promise.
pub fn verified(input: &[u8]) -> Result<(), String> {
    let (length, rest) = input.split_first_chunk().unwrap_or((&[0; 2], &[]));
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (roots, token) = rest.split_at(length);
    let roots = TimestampRoots::parse(roots).map_err(|error| error.to_string())?;
    let found = verify(token, MESSAGE, &roots, NOW).map_err(|error| error.to_string())?;
    assert!(found.time <= NOW);
    assert!(found.holds.contains(NOW) && found.holds.contains(found.time));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::{
        super::{
            samples::package,
            seeds::{break_in_every_way, kept},
            timestamper::Timestamper,
        },
        *,
    };

    /// A token that OpenSSL made once, and its root. `MC2_WRITE_VECTORS=1` makes another.
    fn seed() -> Vec<u8> {
        let folder = package().join("../fuzz/seeds/timestamp");
        let path = folder.join("good-1");
        if env::var_os("MC2_WRITE_VECTORS").is_some() {
            let authority = Timestamper::new(MESSAGE);
            let token = authority.respond("signer", "-sha256 -cert", "-section ts");
            let root = authority.read("root.pem");
            let length = u16::try_from(root.len()).unwrap().to_be_bytes();
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, [&length[..], &root, &token].concat()).unwrap();
        }
        fs::read(&path).unwrap()
    }

    /// Row 21: crafted tokens and roots.
    #[test]
    fn the_fuzz_target_begins_at_a_token_that_counts() {
        assert!(timestamp(&seed()));
    }

    /// Row 21: no bytes make it panic, and what counts was signed.
    #[test]
    fn crafted_tokens_and_roots_do_not_surprise_a_verifier() {
        break_in_every_way(&seed(), 2000, timestamp);
        for input in kept("timestamp") {
            timestamp(&input);
        }
    }
}
