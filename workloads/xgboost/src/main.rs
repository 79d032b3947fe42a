//! The XGBoost trainer and predictor as a measured component: [`xgboost::run`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    mc2_guest::run(xgboost::run)
}
