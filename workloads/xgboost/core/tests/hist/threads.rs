//! Several instances as threads.

use std::sync::{Barrier, Mutex};

use xgboost_core::collective::{Collective, CollectiveError, Reduce};

/// Instances in threads of one process.
pub(crate) struct Threads<'a> {
    rank: usize,
    board: &'a Board,
}

/// What the threads told each other.
pub(crate) struct Board {
    barrier: Barrier,
    told: Mutex<Vec<Vec<u8>>>,
}

impl Board {
    /// For `size` threads.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            barrier: Barrier::new(size),
            told: Mutex::new(vec![Vec::new(); size]),
        }
    }
}

impl<'a> Threads<'a> {
    /// Thread `rank` of those of `board`.
    pub(crate) fn new(rank: usize, board: &'a Board) -> Self {
        Self { rank, board }
    }
}

impl Collective for Threads<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.board.told.lock().unwrap().len()
    }

    fn allreduce(&mut self, values: &mut [f64], how: Reduce) -> Result<(), CollectiveError> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        for (rank, bytes) in self.allgather(&bytes)?.iter().enumerate() {
            assert_eq!(
                bytes.len(),
                values.len() * 8,
                "all instances sum the same things"
            );
            for (value, bytes) in values.iter_mut().zip(bytes.chunks(8)) {
                let other = f64::from_le_bytes(bytes.try_into().unwrap());
                *value = match how {
                    _ if rank == 0 => other,
                    Reduce::Sum => *value + other,
                    Reduce::Max => value.max(other),
                    Reduce::Min => value.min(other),
                };
            }
        }
        Ok(())
    }

    fn broadcast(&mut self, bytes: &mut Vec<u8>, root: usize) -> Result<(), CollectiveError> {
        *bytes = self.allgather(bytes)?.swap_remove(root);
        Ok(())
    }

    fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.board.told.lock().unwrap()[self.rank] = bytes.to_vec();
        self.board.barrier.wait();
        let all = self.board.told.lock().unwrap().clone();
        self.board.barrier.wait();
        Ok(all)
    }
}
