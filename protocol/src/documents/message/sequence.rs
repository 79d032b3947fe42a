//! Which sequence numbers of a sender were taken.

/// How many of a sender's numbers are remembered: the highest that were taken.
pub const SEQUENCE_WINDOW: usize = 1024;

/// The sequence numbers of one sender that were taken, the highest [`SEQUENCE_WINDOW`] of them.
///
/// It goes by how many were taken and not by how far apart they are: a message that waits for its
/// turn in a queue is outlived by that many later ones, however long it waits.
#[derive(Clone, Debug, Default)]
pub struct SequenceWindow {
    /// In ascending order.
    taken: Vec<u64>,
}

impl SequenceWindow {
    /// Takes `sequence` if it was never taken and is not too old.
    pub fn accept(&mut self, sequence: u64) -> bool {
        let Err(at) = self.taken.binary_search(&sequence) else {
            return false;
        };
        if self.taken.len() < SEQUENCE_WINDOW {
            self.taken.insert(at, sequence);
            return true;
        }
        // Below the lowest that is remembered nobody knows what was taken.
        let Some(at) = at.checked_sub(1) else {
            return false;
        };
        self.taken.remove(0);
        self.taken.insert(at, sequence);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_of_a_sender_s_numbers_nothing_more_is_remembered() {
        let mut window = SequenceWindow::default();
        for sequence in 0..100_000 {
            assert!(window.accept(sequence * 7));
        }
        assert_eq!(window.taken.len(), SEQUENCE_WINDOW);
        assert!(window.taken.capacity() <= SEQUENCE_WINDOW);
    }
}
