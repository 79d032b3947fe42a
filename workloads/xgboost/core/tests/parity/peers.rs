//! Several instances in one process, each in a thread.

use std::sync::{Arc, Barrier, Mutex};

use xgboost_core::collective::{Collective, CollectiveError, Reduce};

/// What all instances gave to the call that is going on.
struct Meeting {
    given: Mutex<Vec<Vec<u8>>>,
    barrier: Barrier,
}

/// One instance of several.
pub(crate) struct Peer {
    rank: usize,
    meeting: Arc<Meeting>,
}

/// Two instances that know each other.
pub(crate) fn peers() -> [Peer; 2] {
    let meeting = Arc::new(Meeting {
        given: Mutex::new(vec![Vec::new(); 2]),
        barrier: Barrier::new(2),
    });
    [0, 1].map(|rank| Peer {
        rank,
        meeting: Arc::clone(&meeting),
    })
}

impl Collective for Peer {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.meeting.given.lock().unwrap().len()
    }

    fn allreduce(&mut self, values: &mut [f64], how: Reduce) -> Result<(), CollectiveError> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let all = self.allgather(&bytes)?;
        for (rank, bytes) in all.iter().enumerate() {
            assert_eq!(
                bytes.len(),
                8 * values.len(),
                "instances give as many values"
            );
            for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(8)) {
                let theirs = f64::from_le_bytes(bytes.try_into().unwrap());
                *value = match how {
                    _ if rank == 0 => theirs,
                    Reduce::Sum => *value + theirs,
                    Reduce::Max => value.max(theirs),
                    Reduce::Min => value.min(theirs),
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
        self.meeting.given.lock().unwrap()[self.rank] = bytes.to_vec();
        self.meeting.barrier.wait();
        let all = self.meeting.given.lock().unwrap().clone();
        self.meeting.barrier.wait();
        Ok(all)
    }
}
