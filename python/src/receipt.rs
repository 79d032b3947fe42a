//! Following a receipt that is kept in a file.

use std::path::PathBuf;

use mc2_client::{
    results::{PolicyChoice, VerifyOptions, verify_file},
    state::State,
};
use pyo3::prelude::*;

use crate::raising::{raise_result, told};

/// Follows the receipt in a file, or in a result's folder, back to its evidence: the verdict as JSON, as
/// `mc2 verify --json` gives it.
#[pyfunction]
#[pyo3(signature = (path, policy = None, allow_simulated = false))]
pub(crate) fn verify(
    py: Python<'_>,
    path: PathBuf,
    policy: Option<String>,
    allow_simulated: bool,
) -> PyResult<String> {
    let policy = match policy.as_deref() {
        None => PolicyChoice::Own,
        Some("any") => PolicyChoice::Any,
        Some(path) => PolicyChoice::File(path.into()),
    };
    let options = VerifyOptions {
        policy,
        allow_simulated,
        ..VerifyOptions::default()
    };
    let checked = py.detach(|| {
        let state = State::locate().map_err(Into::into);
        state.and_then(|state| verify_file(&state, &path, &options, None))
    });
    let checked = checked.map_err(|error| raise_result(py, &error))?;
    let mut verdict = checked.to_json();
    verdict["text"] = checked.to_text().into();
    verdict["broken"] = checked.accept().err().map(|error| told(&error)).into();
    Ok(verdict.to_string())
}
