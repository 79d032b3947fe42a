//! The XGBoost trainer and predictor as a workload: the command line, inputs and outputs around
//! the crate `xgboost-core`.
//!
//! The program trusts the files it is given as much as the runtime that gives them; it treats
//! tables, models and parameters as untrusted, so that a bad one is an error in words. A reader's
//! path: [`options`] (what is asked), [`inputs`] (tables and models), then one module a command:
//! [`train`] (also `cv`), [`judge`] (`eval`), [`predict`], [`show`] (`dump`, `importance`, `plot`).

#![forbid(unsafe_code)]

mod clock;
mod help;
mod inputs;
mod judge;
mod options;
mod output;
mod predict;
mod scores;
mod show;
mod together;
mod train;

use mc2_guest::{Job, Result};
use workload_shared::Target;

use crate::options::Command;

/// Does what the job's arguments ask for.
///
/// # Errors
/// Whatever is wrong with them, with an input or an output, in words for the person who reads them.
pub fn run(job: &Job) -> Result {
    match Command::parse(job.arguments())? {
        Command::Help(text) => Target::stdout().print(text),
        Command::Train(command) => train::train(job, command),
        Command::CrossValidate(command) => train::cross_validate(job, command),
        Command::Evaluate(command) => judge::evaluate(job, command),
        Command::Predict(command) => predict::predict(job, &command),
        Command::Dump(command) => show::dump(job, &command),
        Command::Importance(command) => show::importance(job, &command),
        Command::Plot(command) => show::plot(job, &command),
    }
}
