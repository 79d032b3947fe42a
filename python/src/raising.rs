//! Errors of the client library as Python's, one class a cause (`mc2/errors.py`).

use std::error::Error;

use mc2_attestation::Check;
use mc2_client::{
    checks, dataset::DatasetError, exit::Exit, results::ResultError, run::InputError,
    run::RunError, session::SessionError, verbs::VerbError,
};
use pyo3::{exceptions::PyRuntimeError, prelude::*};

/// A run's error as its class.
pub(crate) fn raise(py: Python<'_>, error: &RunError) -> PyErr {
    let class = match error {
        RunError::Input(InputError::Dataset {
            source: DatasetError::NoKey { .. },
            ..
        }) => "KeyMissing",
        RunError::Session(SessionError::Refused { refused, .. })
            if refused.code == "not-approved" =>
        {
            "ApprovalMissing"
        }
        RunError::Lacking { missing } if missing.approvals.is_empty() => "KeyMissing",
        RunError::Lacking { .. } => "ApprovalMissing",
        RunError::Verb(error) if matches!(**error, VerbError::NoKey { .. }) => "KeyMissing",
        error => class_of(error.exit()),
    };
    let failed = match error {
        RunError::Attestation(refused) => refused.failed.clone(),
        RunError::Broken(broken) => vec![broken.0.clone()],
        _ => Vec::new(),
    };
    let whose = match error {
        RunError::Lacking { missing } => {
            let all = missing.approvals.iter().chain(&missing.keys);
            all.map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    };
    made(py, class, &told(error), &failed, &whose)
}

/// An error of what is done with files as its class.
pub(crate) fn raise_result(py: Python<'_>, error: &ResultError) -> PyErr {
    let class = match error {
        ResultError::NoKey { .. } => "KeyMissing",
        error => class_of(error.exit()),
    };
    made(py, class, &told(error), &[], &[])
}

/// What cannot be used of what was given.
pub(crate) fn bad_input(py: Python<'_>, words: &str) -> PyErr {
    made(py, "InputError", words, &[], &[])
}

/// A fault of this program.
pub(crate) fn internal(py: Python<'_>, words: &str) -> PyErr {
    made(py, "Failed", words, &[], &[])
}

/// The class for what a command would end with.
fn class_of(exit: Exit) -> &'static str {
    match exit {
        Exit::BadInput => "InputError",
        Exit::BadWorkload => "ComponentError",
        Exit::PolicyRefused => "PolicyRefused",
        Exit::AttestationRefused => "AttestationRefused",
        Exit::HostUnreachable => "HostUnreachable",
        Exit::RuntimeFailed => "RuntimeFailed",
        Exit::ResultTampered => "ResultTampered",
        Exit::DataTampered => "DataTampered",
        Exit::CannotWrite => "CannotWrite",
        Exit::StateBroken => "StateBroken",
        Exit::Interrupted | Exit::Terminated => "Stopped",
        _ => "Failed",
    }
}

fn made(py: Python<'_>, class: &str, words: &str, failed: &[Check], whose: &[String]) -> PyErr {
    let failed = serde_json::Value::from(checks::to_json(failed)).to_string();
    let made = py.import("mc2.errors").and_then(|errors| {
        errors
            .getattr("_made")?
            .call1((class, words, failed, whose))
    });
    match made {
        Ok(error) => PyErr::from_value(error),
        // A package that was taken apart.
        Err(_) => PyRuntimeError::new_err(words.to_owned()),
    }
}

/// The chain of an error, once.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        next = source.source();
    }
    words
}
