//! Several instances of one step.

use mc2_guest::{Error, Job, Result};
use xgboost_core::{
    collective::{Alone, Collective},
    data::table::Share,
};

/// What this instance shares with the others.
pub(crate) fn collective(job: &Job) -> Result<Box<dyn Collective>> {
    alone(job, "this build")?;
    Ok(Box::new(Alone))
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
