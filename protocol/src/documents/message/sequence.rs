//! Which sequence numbers of a sender were seen.

/// How far behind its sender's highest sequence number a message may be.
pub const SEQUENCE_WINDOW: u64 = 1024;

/// Which sequence numbers of one sender were seen: the last [`SEQUENCE_WINDOW`] of them, a bit each.
#[derive(Clone, Debug, Default)]
pub struct SequenceWindow {
    highest: Option<u64>,
    /// Whether a number of the window was seen, at its remainder.
    seen: [u64; (SEQUENCE_WINDOW / 64) as usize],
}

impl SequenceWindow {
    /// Takes `sequence` if it was never seen and is not too old.
    pub fn accept(&mut self, sequence: u64) -> bool {
        match self.highest {
            Some(highest) if sequence <= highest => {
                if highest - sequence >= SEQUENCE_WINDOW || self.is_seen(sequence) {
                    return false;
                }
            }
            highest => {
                // What leaves the window makes room for what comes in.
                let ahead = highest.map_or(0, |highest| sequence - highest);
                for step in 0..ahead.min(SEQUENCE_WINDOW) {
                    let (word, bit) = place(sequence - step);
                    self.seen[word] &= !bit;
                }
                self.highest = Some(sequence);
            }
        }
        let (word, bit) = place(sequence);
        self.seen[word] |= bit;
        true
    }

    fn is_seen(&self, sequence: u64) -> bool {
        let (word, bit) = place(sequence);
        self.seen[word] & bit != 0
    }
}

/// The word and the bit of a sequence number.
fn place(sequence: u64) -> (usize, u64) {
    let at = sequence % SEQUENCE_WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}
