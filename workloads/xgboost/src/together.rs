//! Several instances of one step: the SDK's collective, as the trainer knows one.

use mc2_guest::{Error, Job, Result};
use xgboost_core::{
    collective::{Alone, Collective, CollectiveError, Reduce},
    data::table::Share,
};

/// What this instance shares with the others.
pub(crate) fn collective(job: &Job) -> Result<Box<dyn Collective>> {
    let peers = job.peers()?;
    Ok(match peers.size() {
        1 => Box::new(Alone),
        _ => Box::new(Together(peers.collective()?)),
    })
}

/// This instance's rows.
pub(crate) fn share(all: &dyn Collective) -> Share {
    Share {
        rank: all.rank(),
        size: all.size(),
    }
}

/// Refuses several instances where `what` is done by one.
pub(crate) fn alone(job: &Job, what: &str) -> Result {
    match job.peers()?.size() {
        1 => Ok(()),
        size => Err(Error::new(format!(
            "{what} runs as one instance, and this step has {size}"
        ))),
    }
}

/// The streams to the other instances.
struct Together(mc2_guest::Collective);

impl Collective for Together {
    fn rank(&self) -> usize {
        self.0.rank() as usize
    }

    fn size(&self) -> usize {
        self.0.size() as usize
    }

    fn allreduce(&mut self, values: &mut [f64], how: Reduce) -> Result<(), CollectiveError> {
        let how = match how {
            Reduce::Sum => mc2_guest::Reduce::Sum,
            Reduce::Max => mc2_guest::Reduce::Max,
            Reduce::Min => mc2_guest::Reduce::Min,
        };
        self.0.allreduce(values, how).map_err(failed)
    }

    fn broadcast(&mut self, bytes: &mut Vec<u8>, root: usize) -> Result<(), CollectiveError> {
        // A rank is below the number of instances, which is a u32.
        let root = u32::try_from(root).map_err(|error| CollectiveError(error.to_string()))?;
        self.0.broadcast(bytes, root).map_err(failed)
    }

    fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.0.allgather(bytes).map_err(failed)
    }
}

fn failed(error: Error) -> CollectiveError {
    CollectiveError(error.to_string())
}
