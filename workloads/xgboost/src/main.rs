//! The XGBoost trainer and predictor as a measured component.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::FAILURE
}
