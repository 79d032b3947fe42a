//! The results of a run, opened once its receipt verified.

use std::path::{Path, PathBuf};

use mc2_protocol::documents::receipt::{ReceiptOutput, Status};
use tempfile::SpooledTempFile;

use super::{
    error::RunError,
    own::{Own, secret_of, words},
    plan::Plan,
    report::WrittenOutput,
    timer::Timer,
};
use crate::{
    event::{Phase, RunEvent},
    files::failed,
    open::{Opening, StagedOutput},
    remote::Remote,
    verify::Verified,
};

/// Standard output beyond this goes to a nameless file.
const SPOOL: usize = 64 * 1024 * 1024;
/// Most of standard error, and of a failure's message, that is kept.
const MAX_TEXT: u64 = 64 * 1024 * 1024;

impl Plan {
    /// Opens every output that is this party's, and gives them their names once all were checked.
    pub(super) async fn open_results(
        &self,
        remote: &Remote,
        verified: &Verified,
        timer: &mut Timer<'_>,
    ) -> Result<Results, RunError> {
        let mut own = Vec::new();
        for output in &verified.receipt.outputs {
            if let Some(secret) = secret_of(&self.identity, verified, output)? {
                own.push((output, secret));
            }
        }
        let lengths = own.iter().map(|(_, secret)| secret.length);
        timer.begin(Phase::Open, Some(lengths.fold(0, u64::saturating_add)));
        let observer = timer.observer;
        let mut done = 0;
        let mut progress = |bytes| {
            done += bytes;
            observer(RunEvent::Done(Phase::Open, done));
        };
        let mut results = Results::default();
        let mut staged: Vec<StagedOutput> = Vec::new();
        for (output, secret) in own {
            let length = secret.length;
            let own = Own::fetch(remote, output, secret).await?;
            let opening = own.opening();
            match output.name.as_str() {
                "stdout" => match &self.stdout {
                    Some(path) => {
                        let opened = opening.stage(path, &mut progress).await?;
                        results.written(output, path.clone(), opened.length());
                        staged.push(opened);
                    }
                    None => {
                        let written = opening.to_sink(&mut results.stdout).await?;
                        let failed = failed("keep", Path::new("standard output"));
                        written.map_err(|error| RunError::Write(failed(error)))?;
                    }
                },
                "stderr" => results.stderr = text(&opening, length).await?,
                "error" => {
                    let text = text(&opening, length).await?;
                    results.error = Some(words(&text));
                }
                "progress" => {}
                name => {
                    let planned = self.outputs.iter().find(|one| one.name.as_str() == name);
                    let Some(planned) = planned else {
                        let text = format!(
                            "the output {name} is not opened: no --out {name}=PATH was given"
                        );
                        observer(RunEvent::Notice(&text));
                        continue;
                    };
                    let opened = opening.stage(&planned.path, &mut progress).await?;
                    results.written(output, planned.path.clone(), opened.length());
                    staged.push(opened);
                }
            }
        }
        self.check_complete(verified, &results)?;
        for output in staged {
            output.publish().map_err(RunError::Write)?;
        }
        timer.end(Phase::Open);
        Ok(results)
    }

    /// After a success every output that was asked for is there.
    fn check_complete(&self, verified: &Verified, results: &Results) -> Result<(), RunError> {
        if verified.receipt.status != Status::Succeeded {
            return Ok(());
        }
        let written = |name: &str| results.outputs.iter().any(|output| output.name == name);
        match self
            .outputs
            .iter()
            .find(|output| !written(output.name.as_str()))
        {
            Some(output) => {
                let text = format!("the receipt lists no output {}", output.name);
                Err(RunError::Incomplete(text))
            }
            None => Ok(()),
        }
    }
}

/// What was opened.
pub(super) struct Results {
    pub(super) stdout: SpooledTempFile,
    pub(super) stderr: Vec<u8>,
    pub(super) error: Option<String>,
    pub(super) outputs: Vec<WrittenOutput>,
}

impl Default for Results {
    fn default() -> Self {
        Self {
            stdout: SpooledTempFile::new(SPOOL),
            stderr: Vec::new(),
            error: None,
            outputs: Vec::new(),
        }
    }
}

impl Results {
    fn written(&mut self, output: &ReceiptOutput, path: PathBuf, length: u64) {
        self.outputs.push(WrittenOutput {
            name: output.name.clone(),
            path,
            length,
            object: output.object,
        });
    }
}

/// A stream's text, as much of it as is kept.
async fn text(opening: &Opening<'_>, length: u64) -> Result<Vec<u8>, RunError> {
    let what = opening.manifest.dataset();
    if length > MAX_TEXT {
        let text = format!("{what} has {length} bytes, more than the {MAX_TEXT} that are shown");
        return Err(RunError::Incomplete(text));
    }
    let mut bytes = Vec::new();
    // A vector takes everything.
    let _ = opening.to_sink(&mut bytes).await?;
    Ok(bytes)
}
