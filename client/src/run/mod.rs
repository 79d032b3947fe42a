//! One run from start to end: what `mc2-run` does.
//!
//! [`Plan::new`] checks everything that can be checked before anything is started; [`Plan::run`]
//! seals, attests, releases, runs, verifies and opens, and returns a [`Report`]. Whatever goes
//! wrong on the way is a [`RunError`] with its exit code. A guest that fails is a report, too.

mod embedded;
mod error;
mod flow;
mod given;
mod lacking;
mod options;
mod own;
mod plan;
pub mod report;
mod results;
mod several;
mod stopping;
mod submitting;
mod timer;
mod wanted;

pub(crate) use embedded::Embedded;
pub(crate) use given::GivenPolicy;
pub(crate) use plan::{Wanted, Within, of_input};
pub(crate) use report::Trail;
pub(crate) use results::Readable;
pub(crate) use stopping::{Course, unless_asked, unless_stopped, wait};
pub(crate) use submitting::Submitting;

pub use crate::{
    event::{Observer, Phase, RunEvent},
    stop::Stop,
};
pub use error::RunError;
pub use lacking::Lacking;
pub use options::{InputError, RunOptions, StdinFrom};
pub use plan::Plan;
pub use report::{Phases, Report, WrittenOutput};
pub use wanted::{Destination, Output};
