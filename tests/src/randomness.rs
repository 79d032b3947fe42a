//! Randomness for documents that are committed.

use std::{convert::Infallible, iter};

use rand_core::{TryCryptoRng, TryRng, utils};

/// Draws the bytes it was given, in order, and panics behind the last.
pub struct Drawn<I>(I);

/// Draws `start`, `start + 1`, … and from 255 on to 0: what is made with it is the same bytes every
/// time.
pub fn counting(start: u8) -> Drawn<impl Iterator<Item = u8>> {
    Drawn(iter::successors(Some(start), |byte| {
        Some(byte.wrapping_add(1))
    }))
}

impl Drawn<std::vec::IntoIter<u8>> {
    /// Draws `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into_iter())
    }
}

impl<I: Iterator<Item = u8>> TryRng for Drawn<I> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.0.next().expect("as many bytes as are drawn");
        }
        Ok(())
    }
}

impl<I: Iterator<Item = u8>> TryCryptoRng for Drawn<I> {}
