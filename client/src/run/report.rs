//! What came of a run.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Seek as _},
    path::PathBuf,
    time::Duration,
};

use mc2_attestation::Check;
use mc2_protocol::{Digest, Identity, Name, documents::receipt::Status, encoding::Base64};
use serde_json::{Value, json};
use tempfile::SpooledTempFile;

use super::results::Results;
use crate::{
    checks,
    event::Phase,
    exit::Exit,
    terminal,
    verify::{Verified, failure, figures::Figures},
};

/// Everything there is to tell of a run that ended with a verified receipt.
pub struct Report {
    /// How the guest ended.
    pub status: Status,
    /// The output of the policy that was missing, or was left twice.
    pub failed_output: Option<Name>,
    /// What it wrote to standard output, unless that went to a file.
    pub stdout: SpooledTempFile,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// What it said of its failure.
    pub error: Option<String>,
    /// The results that were written.
    pub outputs: Vec<WrittenOutput>,
    /// The results that were kept in memory.
    pub memory: BTreeMap<String, Vec<u8>>,
    /// Whether there was no enclave at all. NOT SECURE.
    pub simulated: bool,
    /// The session's digest.
    pub session: Digest,
    /// The policy's digest.
    pub policy: Digest,
    /// The component's digest.
    pub component: Digest,
    /// The job's digest.
    pub job: Digest,
    /// Every check of the evidence.
    pub attestation: Vec<Check>,
    /// Every link of the receipt.
    pub verification: Vec<Check>,
    /// Figures of each step.
    pub figures: Figures,
    /// How long each phase took.
    pub phases: Phases,
    /// Where the receipt is kept.
    pub receipt: PathBuf,
}

/// What a run leaves beside its results.
pub(crate) struct Trail {
    pub(crate) attestation: Vec<Check>,
    pub(crate) verification: Vec<Check>,
    pub(crate) receipt: PathBuf,
    pub(crate) phases: Phases,
}

/// A result that was written.
#[derive(Clone, Debug)]
pub struct WrittenOutput {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its plaintext length in bytes.
    pub length: u64,
    /// Its object id.
    pub object: Digest,
}

/// How long each phase took.
#[derive(Clone, Debug, Default)]
pub struct Phases(pub Vec<(Phase, Duration)>);

impl Report {
    /// What there is to tell of a run of `component` whose receipt verified, for `reader`.
    pub(crate) fn new(
        verified: &Verified,
        reader: &Identity,
        component: Digest,
        results: Results,
        trail: Trail,
    ) -> Self {
        let session = verified.session.digest();
        let readers = std::slice::from_ref(reader);
        Self {
            status: verified.receipt.status.clone(),
            failed_output: failure::detail(&verified.receipt, session, readers).output,
            stdout: results.stdout,
            stderr: results.stderr,
            error: results.error,
            outputs: results.outputs,
            memory: results.memory,
            simulated: verified.session.is_simulated(),
            session: *session,
            policy: *verified.policy.digest(),
            component,
            job: verified.receipt.job,
            attestation: trail.attestation,
            verification: trail.verification,
            figures: Figures::open(&verified.receipt, session, readers),
            phases: trail.phases,
            receipt: trail.receipt,
        }
    }

    /// What the guest wrote to standard output, taken out.
    ///
    /// # Errors
    /// It was kept in a file that cannot be read any more.
    pub fn take_stdout(&mut self) -> io::Result<Vec<u8>> {
        let mut stdout = Vec::new();
        self.stdout.rewind()?;
        self.stdout.read_to_end(&mut stdout)?;
        Ok(stdout)
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        Exit::of_job(&self.status)
    }

    /// Why the guest failed, for people; its own message where it left one.
    pub fn failure(&self) -> Option<String> {
        self.failure_with(self.error.as_deref().unwrap_or_default())
    }

    /// The same, to stand below what the guest wrote to standard error: a message that is there
    /// already is not said again.
    pub fn failure_below_stderr(&self) -> Option<String> {
        let error = self.error.as_deref().unwrap_or_default();
        let stderr = terminal::shown(&String::from_utf8_lossy(&self.stderr));
        if stderr.trim_end().ends_with(error) {
            self.failure_with("")
        } else {
            self.failure_with(error)
        }
    }

    fn failure_with(&self, error: &str) -> Option<String> {
        let Status::Failed { reason, .. } = &self.status else {
            return None;
        };
        Some(failure::told_of(reason, self.failed_output.as_ref(), error))
    }

    /// The report as one JSON object, the guest's standard output in it.
    ///
    /// # Errors
    /// Standard output was kept in a file that cannot be read any more.
    pub fn to_json(&mut self) -> io::Result<Value> {
        let stdout = self.take_stdout()?;
        let (status, reason) = match &self.status {
            Status::Succeeded => ("succeeded", None),
            Status::Failed { reason, .. } => ("failed", Some(reason)),
        };
        let outputs: Vec<Value> = self
            .outputs
            .iter()
            .map(|output| {
                json!({
                    "name": output.name,
                    "path": output.path.to_string_lossy(),
                    "length": output.length,
                    "object": output.object,
                })
            })
            .collect();
        Ok(json!({
            "version": 1,
            "status": status,
            "reason": reason,
            "message": self.failure(),
            "exit_code": self.exit().code(),
            "stdout": text_or_base64(stdout),
            "stderr": text_or_base64(self.stderr.clone()),
            "outputs": outputs,
            "simulated": self.simulated,
            "session": self.session,
            "policy": self.policy,
            "component": self.component,
            "job": self.job,
            "attestation": checks::to_json(&self.attestation),
            "verification": checks::to_json(&self.verification),
            "usage": self.figures.to_json(),
            "phases_ms": self.phases.to_json(),
            "receipt": self.receipt.to_string_lossy(),
        }))
    }
}

impl Phases {
    /// Notes how long a phase took.
    pub fn add(&mut self, phase: Phase, took: Duration) {
        self.0.push((phase, took));
        self.0
            .sort_by_key(|(phase, _)| Phase::ALL.iter().position(|other| other == phase));
    }

    fn to_json(&self) -> Value {
        let ms = |took: &Duration| json!((took.as_secs_f64() * 1e6).round() / 1e3);
        self.0
            .iter()
            .map(|(phase, took)| (phase.name().to_owned(), ms(took)))
            .collect()
    }
}

/// Text where it is UTF-8, else `{"base64": …}`.
fn text_or_base64(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::String(text),
        Err(error) => json!({ "base64": Base64(error.into_bytes()) }),
    }
}
