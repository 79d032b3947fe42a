//! Who reads a file where, and how far ahead of them to fetch.
//!
//! A file may have several readers: columns of one table are read in turns, instances read the same
//! file. All that is seen of them are their reads. One that goes on where an earlier one ended is
//! taken to be the same reader's; the longer that lasts, the more it is trusted to go on. But what
//! is fetched ahead has to stay in the cache until the reader's next turn, and meanwhile all others
//! have theirs: so the cache is divided by how many there are between.

use std::collections::VecDeque;

/// Readers remembered: 16 instances with the columns of a small table, or one with those of a large
/// one. Those who did not read for longest are forgotten.
const MOST: usize = 256;

/// A reader may skip so many bytes, or read so many again: headers are read for their length first,
/// and pages that are not wanted are passed over. What is passed over counts as read, because to
/// fetch it with the rest takes less time than to ask again.
const NEAR: u64 = 256 << 10;

/// What a file's first reader is trusted with from the start: many files are read front to back,
/// and small ones are read whole.
const START: u64 = 1 << 20;

/// The readers of one file.
#[derive(Debug)]
pub(super) struct Readers {
    /// The last one to read stands last.
    recent: VecDeque<Reader>,
    /// Bytes that are fetched ahead for all of them.
    room: u64,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    /// Where it would go on.
    next: u64,
    /// Bytes it came forward so far.
    run: u64,
}

impl Readers {
    /// Readers whose data goes through a cache of so many bytes; half of it is for what is not yet
    /// read.
    pub(super) fn sharing(capacity: usize) -> Self {
        Self {
            recent: VecDeque::new(),
            room: capacity as u64 / 2,
        }
    }

    /// How many bytes from `offset` on are worth fetching for whoever reads there: as many as it
    /// read before, as far as there is room.
    pub(super) fn ahead(&self, offset: u64) -> u64 {
        self.worth(offset, self.find(offset))
    }

    /// Takes note of a read from `offset` to `end`, and says what was [`ahead`](Self::ahead).
    pub(super) fn note(&mut self, offset: u64, end: u64) -> u64 {
        let at = self.find(offset);
        let ahead = self.worth(offset, at);
        let reader = at.and_then(|at| self.recent.remove(at));
        let (from, before) = match reader {
            Some(reader) => (reader.next.min(end), reader.run),
            None if offset == 0 => (0, START),
            None => (offset, 0),
        };
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back(Reader {
            next: end,
            run: before + (end - from),
        });
        ahead
    }

    /// What [`ahead`](Self::ahead) is for the reader at place `at`, or for a new one.
    fn worth(&self, offset: u64, at: Option<usize>) -> u64 {
        let Some(at) = at else {
            return if offset == 0 { START } else { 0 };
        };
        let between = (self.recent.len() - 1 - at) as u64;
        self.recent[at].run.min(self.room / (between + 1))
    }

    /// The latest reader who may be the one that reads at `offset`.
    fn find(&self, offset: u64) -> Option<usize> {
        self.recent
            .iter()
            .rposition(|reader| reader.next.abs_diff(offset) <= NEAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn readers() -> Readers {
        Readers::sharing(20 << 20)
    }

    #[test]
    fn one_who_goes_on_is_trusted_with_more_and_more() {
        let mut readers = readers();
        let mut ahead = Vec::new();
        let mut at = 10 * MIB;
        for _ in 0..6 {
            ahead.push(readers.ahead(at) / KIB);
            readers.note(at, at + 100 * KIB);
            at += 100 * KIB;
        }
        assert_eq!(ahead, [0, 100, 200, 300, 400, 500]);
        for _ in 0..200 {
            readers.note(at, at + 100 * KIB);
            at += 100 * KIB;
        }
        assert_eq!(readers.ahead(at), 10 * MIB, "half the cache and no more");
    }

    #[test]
    fn the_start_of_a_file_is_read_on() {
        let mut readers = readers();
        assert_eq!(readers.ahead(0), START);
        readers.note(0, 4 * KIB);
        assert_eq!(readers.ahead(4 * KIB), START + 4 * KIB);
    }

    #[test]
    fn readers_that_take_turns_share_the_room() {
        let mut readers = readers();
        let columns = 29;
        // A header is read, then what it says is there, from a little further back.
        for page in 0..200 {
            for column in 0..columns {
                let start = MIB + column * 100 * MIB + page * 75 * KIB;
                readers.note(start, start + 512);
                readers.note(start + 30, start + 75 * KIB);
            }
        }
        for column in 0..columns {
            let next = MIB + column * 100 * MIB + 200 * 75 * KIB;
            // After the first column's turn come all others'.
            assert_eq!(
                readers.ahead(next),
                10 * MIB / (columns - column),
                "{column}"
            );
        }
    }

    #[test]
    fn what_is_passed_over_counts_and_what_is_read_again_does_not() {
        let mut readers = readers();
        let start = 50 * MIB;
        for page in 0..8 {
            readers.note(start + page * 75 * KIB, start + page * 75 * KIB + 512);
        }
        let came = 7 * 75 * KIB + 512;
        assert_eq!(readers.ahead(start + 8 * 75 * KIB), came);
        for _ in 0..5 {
            readers.note(start + came - 512, start + came);
        }
        assert_eq!(readers.ahead(start + came), came);
        assert_eq!(readers.recent.len(), 1);
    }

    #[test]
    fn random_reads_are_nobodys_and_forgotten() {
        let mut readers = readers();
        for read in 0..10_000_u64 {
            let offset = MIB + read * 7919 % 9973 * MIB;
            assert_eq!(readers.ahead(offset), 0, "{read}");
            readers.note(offset, offset + 64);
            assert!(readers.recent.len() <= MOST);
        }
    }
}
