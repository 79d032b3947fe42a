//! What `mc2` does with files, for one party: identities, sealing and opening by hand, looking at
//! things, following receipts.

use std::path::PathBuf;

use mc2_client::{
    collateral::CollateralOptions,
    exit::Exit,
    results::{self, DateChoice, ResultError, VerifyOptions, in_words, verify_file},
    run::RunError,
    state::State,
};
use mc2_protocol::{Digest, Name, PartyName};
use pyo3::prelude::*;
use serde_json::json;

use crate::raising::{bad_input, internal, raise, raise_result, told};

/// Makes an identity and its card, as `mc2 keygen` does: what it says, as JSON.
#[pyfunction]
pub(crate) fn keygen(py: Python<'_>, name: &str) -> PyResult<String> {
    let name: PartyName = name
        .parse()
        .map_err(|error| bad_input(py, &format!("name: {error}")))?;
    let made = State::locate().and_then(|state| {
        let (identity, path) = state.make_identity(name)?;
        let file = state.card_path(identity.card().name().as_str());
        Ok((identity, path, file))
    });
    let (identity, path, file) = made.map_err(|error| raise(py, &RunError::State(error)))?;
    let card = identity.card();
    Ok(json!({
        "path": path,
        "card_path": file,
        "card": card.to_string(),
        "name": card.name(),
        "digest": card.digest(),
        "fingerprint": card.fingerprint(),
    })
    .to_string())
}

/// Seals a file or folder into the folder `NAME.sealed`, as `mc2 seal` does: the object and the folder.
#[pyfunction]
#[pyo3(signature = (path, name, output, identity = None))]
pub(crate) fn seal(
    py: Python<'_>,
    path: PathBuf,
    name: &str,
    output: PathBuf,
    identity: Option<&str>,
) -> PyResult<(String, PathBuf)> {
    let dataset: Name = name
        .parse()
        .map_err(|error| bad_input(py, &format!("name: {name:?}: {error}")))?;
    let sealed = py.detach(|| {
        let state = State::locate()?;
        results::seal(&state, &path, &dataset, identity, &output)
    });
    let sealed = sealed.map_err(|error| raise_result(py, &error))?;
    Ok((sealed.object.to_string(), sealed.folder))
}

/// Opens an own sealed object, or the result of a job once its receipt verifies, as `mc2 open` does:
/// what it says, as JSON.
#[pyfunction]
#[pyo3(signature = (path, output, identity = None, policy = None, job = None, components = Vec::new(),
                    allow_simulated = false, collateral = None))]
#[allow(clippy::too_many_arguments, reason = "they are keywords")]
pub(crate) fn open(
    py: Python<'_>,
    path: PathBuf,
    output: PathBuf,
    identity: Option<&str>,
    policy: Option<&str>,
    job: Option<&str>,
    components: Vec<PathBuf>,
    allow_simulated: bool,
    collateral: Option<PathBuf>,
) -> PyResult<String> {
    let options = verify_options(py, policy, job, components, allow_simulated, collateral)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| internal(py, &format!("cannot start a thread: {error}")))?;
    let opened = py.detach(|| {
        let state = State::locate()?;
        let opening = results::open(&state, &path, &output, identity, &options);
        runtime.block_on(opening)
    });
    let opened = opened.map_err(|error| raise_result(py, &error))?;
    Ok(json!({
        "paths": opened.paths,
        "lines": opened.lines,
        "succeeded": Exit::of_job(&opened.status) == Exit::Success,
        "result": in_words(&opened.status),
    })
    .to_string())
}

/// Says what a file or folder is, as `mc2 inspect` does: for people, and as JSON.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, path: PathBuf) -> PyResult<(String, String)> {
    let found = py.detach(|| mc2_client::inspect::inspect(&path));
    let found = found.map_err(|error| bad_input(py, &told(&error)))?;
    Ok((found.text, found.fields.to_string()))
}

/// Follows the receipt in a file, or in a result's folder, back to its evidence: the verdict as JSON, as
/// `mc2 verify --json` gives it.
#[pyfunction]
#[pyo3(signature = (path, policy = None, job = None, components = Vec::new(), allow_simulated = false,
                    collateral = None, vouch = None, timestamp = None))]
#[allow(clippy::too_many_arguments, reason = "they are keywords")]
pub(crate) fn verify(
    py: Python<'_>,
    path: PathBuf,
    policy: Option<&str>,
    job: Option<&str>,
    components: Vec<PathBuf>,
    allow_simulated: bool,
    collateral: Option<PathBuf>,
    vouch: Option<PathBuf>,
    timestamp: Option<(PathBuf, PathBuf)>,
) -> PyResult<String> {
    let options = verify_options(py, policy, job, components, allow_simulated, collateral)?;
    let date = match (vouch, timestamp) {
        (Some(_), Some(_)) => {
            let words = "give vouch or timestamp, not both: a receipt is followed as of one time";
            return Err(bad_input(py, words));
        }
        (Some(path), None) => Some(DateChoice::Vouch(path)),
        (None, Some((token, roots))) => Some(DateChoice::Timestamp { token, roots }),
        (None, None) => None,
    };
    let checked = py.detach(|| {
        let state = State::locate()?;
        verify_file(&state, &path, &options, date.as_ref())
    });
    let checked = checked.map_err(|error: ResultError| raise_result(py, &error))?;
    let mut verdict = checked.to_json();
    verdict["text"] = checked.to_text().into();
    verdict["broken"] = checked.accept().err().map(|error| told(&error)).into();
    Ok(verdict.to_string())
}

fn verify_options(
    py: Python<'_>,
    policy: Option<&str>,
    job: Option<&str>,
    components: Vec<PathBuf>,
    allow_simulated: bool,
    collateral: Option<PathBuf>,
) -> PyResult<VerifyOptions> {
    let policy = policy.map(|text| {
        let Ok(choice) = text.parse();
        choice
    });
    let job: Option<Digest> = job
        .map(str::parse)
        .transpose()
        .map_err(|error| bad_input(py, &format!("job: {error}")))?;
    Ok(VerifyOptions {
        policy: policy.unwrap_or_default(),
        job,
        components,
        allow_simulated,
        collateral: CollateralOptions {
            file: collateral,
            max_age_days: None,
        },
    })
}
