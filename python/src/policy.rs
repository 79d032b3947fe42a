//! A policy, as a person reads it before anybody signs it.

use std::{path::PathBuf, time::SystemTime};

use mc2_client::{
    policy::{
        PolicyFileError, advice::Section, approval::policy_text, check::Checked, read_policy,
        to_json,
    },
    run::RunError,
};
use mc2_protocol::policy;
use pyo3::prelude::*;
use serde_json::json;

use crate::raising::{internal, raise};

/// A policy whose every field was checked.
#[pyclass(frozen, module = "mc2")]
pub(crate) struct Policy(pub(crate) policy::Policy);

#[pymethods]
impl Policy {
    /// Reads a policy's file.
    #[staticmethod]
    fn read(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let read = read_policy(&path).map(Self);
        read.map_err(|error| raise(py, &RunError::Policy(error)))
    }

    /// Takes a policy's exact bytes; `whence` says in errors where they are from.
    #[staticmethod]
    fn parse(py: Python<'_>, bytes: &[u8], whence: &str) -> PyResult<Self> {
        let parsed = policy::Policy::parse(bytes).map(Self);
        let refused = |error| RunError::Policy(PolicyFileError::of(whence)(error));
        parsed.map_err(|error| raise(py, &refused(error)))
    }

    /// SHA-256 of its exact bytes, in hexadecimal.
    #[getter]
    fn digest(&self) -> String {
        self.0.digest().to_string()
    }

    /// Its exact bytes.
    #[getter]
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Every field as JSON, with digests and fingerprints that are derived from them.
    fn fields(&self) -> String {
        to_json(&self.0).to_string()
    }

    /// All of it, as it is shown before an approval.
    fn text(&self) -> String {
        policy_text(&self.0)
    }

    /// What follows from it, in sentences, as JSON: what `mc2 policy check --json` says, and under
    /// `text` what it says to people, under `sections` their titles.
    fn check(&self, py: Python<'_>) -> PyResult<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        // It was read as a policy before.
        let checked = Checked::of(self.0.bytes(), now)
            .map_err(|error| internal(py, &format!("a policy that was read is none: {error}")))?;
        let mut told = checked.to_json();
        told["text"] = checked.to_text().into();
        let sections = Section::ALL.map(|section| json!([section.as_str(), section.title()]));
        told["sections"] = sections.to_vec().into();
        Ok(told.to_string())
    }
}
