//! The results of a run, opened once its receipt verified: into memory, or to a path.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Identity,
    documents::receipt::{OutputSecret, ReceiptOutput, Status},
};
use tempfile::SpooledTempFile;

use super::{
    error::RunError,
    own::{Own, secret_of, words},
    report::WrittenOutput,
    wanted::Output,
};
use crate::{
    event::{Observer, Phase, RunEvent},
    files::failed,
    open::{Opening, StagedOutput},
    remote::Remote,
    verify::Verified,
};

/// Standard output beyond this goes to a nameless file.
const SPOOL: usize = 64 * 1024 * 1024;
/// Most of standard error, and of a failure's message, that is kept.
const MAX_TEXT: u64 = 64 * 1024 * 1024;

/// The outputs of a verified receipt that are one reader's, with their keys.
pub(crate) struct Readable<'v> {
    verified: &'v Verified,
    outputs: Vec<(&'v ReceiptOutput, OutputSecret)>,
}

impl<'v> Readable<'v> {
    /// Those of `reader`.
    ///
    /// # Errors
    /// One is, and its key does not open.
    pub(crate) fn of(reader: &Identity, verified: &'v Verified) -> Result<Self, RunError> {
        let mut outputs = Vec::new();
        for output in &verified.receipt.outputs {
            if let Some(secret) = secret_of(reader, verified, output)? {
                outputs.push((output, secret));
            }
        }
        Ok(Self { verified, outputs })
    }

    /// Bytes in them.
    pub(crate) fn length(&self) -> u64 {
        let lengths = self.outputs.iter().map(|(_, secret)| secret.length);
        lengths.fold(0, u64::saturating_add)
    }

    /// Opens every one, and gives those that go to a path their names once all were checked. Standard
    /// output goes to `stdout` where that is named.
    ///
    /// # Errors
    /// One is not what the receipt says, or one that is wanted is missing.
    pub(crate) async fn open(
        self,
        remote: &Remote,
        wanted: &[Output],
        stdout: Option<&PathBuf>,
        observer: &Observer,
    ) -> Result<Results, RunError> {
        let mut done = 0;
        let mut progress = |bytes| {
            done += bytes;
            observer(RunEvent::Done(Phase::Open, done));
        };
        let mut results = Results::default();
        let mut staged: Vec<StagedOutput> = Vec::new();
        for (output, secret) in self.outputs {
            let length = secret.length;
            let own = Own::fetch(remote, output, secret).await?;
            let opening = own.opening();
            let planned = match output.name.as_str() {
                "stdout" => match stdout {
                    Some(path) => Some(path),
                    None => {
                        let written = opening.to_sink(&mut results.stdout).await?;
                        let failed = failed("keep", Path::new("standard output"));
                        written.map_err(|error| RunError::Write(failed(error)))?;
                        continue;
                    }
                },
                "stderr" => {
                    results.stderr = text(&opening, length).await?;
                    continue;
                }
                "error" => {
                    let text = text(&opening, length).await?;
                    results.error = Some(words(&text));
                    continue;
                }
                "progress" => continue,
                name => {
                    let Some(one) = wanted.iter().find(|one| one.name.as_str() == name) else {
                        let text = format!(
                            "the output {name} is not opened: no --out {name}=PATH was given"
                        );
                        observer(RunEvent::Notice(&text));
                        continue;
                    };
                    one.path()
                }
            };
            match planned {
                Some(path) => {
                    let opened = opening.stage(path, &mut progress).await?;
                    results.written(output, path.clone(), opened.length());
                    staged.push(opened);
                }
                None => {
                    let bytes = in_memory(&opening, length).await?;
                    progress(length);
                    results.memory.insert(output.name.clone(), bytes);
                }
            }
        }
        results.check_complete(self.verified, wanted)?;
        for output in staged {
            output.publish().map_err(RunError::Write)?;
        }
        Ok(results)
    }
}

/// What was opened.
pub(crate) struct Results {
    pub(super) stdout: SpooledTempFile,
    pub(super) stderr: Vec<u8>,
    pub(super) error: Option<String>,
    pub(super) outputs: Vec<WrittenOutput>,
    pub(super) memory: BTreeMap<String, Vec<u8>>,
}

impl Default for Results {
    fn default() -> Self {
        Self {
            stdout: SpooledTempFile::new(SPOOL),
            stderr: Vec::new(),
            error: None,
            outputs: Vec::new(),
            memory: BTreeMap::new(),
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

    /// After a success every output that is wanted is there.
    fn check_complete(&self, verified: &Verified, wanted: &[Output]) -> Result<(), RunError> {
        if verified.receipt.status != Status::Succeeded {
            return Ok(());
        }
        let has = |name: &str| {
            self.memory.contains_key(name) || self.outputs.iter().any(|output| output.name == name)
        };
        match wanted.iter().find(|output| !has(output.name.as_str())) {
            Some(output) => {
                let text = format!("the receipt lists no output {}", output.name);
                Err(RunError::Incomplete(text))
            }
            None => Ok(()),
        }
    }
}

/// A stream's text, as much of it as is kept.
async fn text(opening: &Opening<'_>, length: u64) -> Result<Vec<u8>, RunError> {
    let what = opening.manifest.dataset();
    if length > MAX_TEXT {
        let text = format!("{what} has {length} bytes, more than the {MAX_TEXT} that are shown");
        return Err(RunError::Incomplete(text));
    }
    in_memory(opening, length).await
}

/// All of an output. How long it is was said by the enclave, within what its policy allows.
async fn in_memory(opening: &Opening<'_>, length: u64) -> Result<Vec<u8>, RunError> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    // A vector takes everything.
    let _ = opening.to_sink(&mut bytes).await?;
    Ok(bytes)
}
