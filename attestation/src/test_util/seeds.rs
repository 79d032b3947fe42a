//! Where the fuzz targets begin, and a little of what they go on to.

#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

use std::{env, fs};

use super::samples::package;

/// The seed of a fuzz target is these bytes. `MC2_WRITE_VECTORS=1` writes it.
pub(super) fn seed_is(target: &str, seed: &[u8]) {
    let folder = package().join("../fuzz/seeds").join(target);
    let path = folder.join("good-1");
    if env::var_os("MC2_WRITE_VECTORS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, seed).unwrap();
    }
    assert!(fs::read(&path).unwrap() == seed, "{}", path.display());
}

/// What a fuzzer kept of a target, beside its good input: each was refused, or passed, in a way of its
/// own.
pub(super) fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = package().join("../fuzz/seeds").join(target);
    let entries = fs::read_dir(folder).unwrap();
    let kept: Vec<_> = entries
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(kept.len() > 10, "{target}");
    kept
}

/// Hands a verifier so many inputs, each broken in one to three places, always the same ones, and
/// noise that does not pass.
pub(super) fn break_in_every_way(good: &[u8], rounds: usize, passes: impl Fn(&[u8]) -> bool) {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % (below as u64)).unwrap()
    };
    for round in 0..rounds {
        let mut broken = good.to_vec();
        for _ in 0..=round % 3 {
            let at = next(broken.len());
            match next(4) {
                0 => broken[at] = u8::try_from(next(256)).unwrap(),
                1 => broken.truncate(at.max(1)),
                2 => {
                    broken.remove(at);
                }
                _ => broken.insert(at, u8::try_from(next(256)).unwrap()),
            }
        }
        passes(&broken);
    }
    for noise in [&[][..], &[0], &[0; 4096], &[0xff; 4096]] {
        assert!(!passes(noise));
    }
}
