//! One run from start to end: what `mc2-run` does.
//!
//! [`Plan::new`] checks everything that can be checked before anything is started; [`Plan::run`]
//! seals, attests, releases, runs, verifies and opens, and returns a [`Report`]. Whatever goes
//! wrong on the way is a [`RunError`] with its exit code. A guest that fails is a report, too.

mod embedded;
mod error;
mod flow;
mod given;
mod options;
mod own;
mod plan;
pub mod report;
mod results;
mod several;
mod submitting;
mod timer;

pub(crate) use embedded::Embedded;
pub(crate) use flow::CANCEL;
pub(crate) use own::{Own, secret_of, words};
pub(crate) use plan::of_input;
pub(crate) use submitting::Submitting;

pub use crate::{
    event::{Observer, Phase, RunEvent},
    stop::Stop,
};
pub use error::RunError;
pub use options::{InputError, OutputPlan, RunOptions, StdinFrom};
pub use plan::Plan;
pub use report::{Phases, Report, WrittenOutput};
