//! What a run leaves behind: outputs to be read in order, then sealed.

use std::sync::Arc;

use bytes::Bytes;

use super::file::File;
use super::tree::Found;
use crate::failure::Failure;
use crate::limits::CALL_BYTES;

/// One finished file. It stays readable as long as it is kept.
#[derive(Clone)]
pub struct OutputFile {
    file: Arc<dyn File>,
}

impl std::fmt::Debug for OutputFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutputFile({} bytes)", self.size())
    }
}

impl OutputFile {
    pub(crate) fn new(file: Arc<dyn File>) -> Self {
        Self { file }
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.file.size()
    }

    /// Up to `len` bytes from `offset`, 1 MiB at most; empty only at the end.
    ///
    /// # Errors
    ///
    /// [`Failure::SpillCorrupt`] or [`Failure::SpillUnavailable`] where a page
    /// that left the enclave does not come back as it was.
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Failure> {
        self.file.read(offset, len.min(CALL_BYTES)).await
    }

    /// What is at hand of up to `len` bytes from `offset`, 1 MiB at most: empty at the end, `None`
    /// where it has to be fetched first.
    pub fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        self.file.try_read(offset, len.min(CALL_BYTES))
    }

    /// All of it, where that is at most `max` bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::read_at`], and [`Failure::OutputLimit`] where it is longer.
    pub async fn read_all(&self, max: u64) -> Result<Vec<u8>, Failure> {
        if self.size() > max {
            return Err(Failure::OutputLimit { limit: max });
        }
        let mut all = Vec::new();
        loop {
            let bytes = self.read_at(all.len() as u64, CALL_BYTES).await?;
            if bytes.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&bytes);
        }
    }
}

/// An output of a job: a file, or a folder of files.
#[derive(Clone, Debug)]
pub enum Output {
    /// `/out/NAME`.
    File(OutputFile),
    /// `/out/NAME/PATH` for each path, sorted by name, level by level.
    Folder(Vec<(String, OutputFile)>),
}

/// The declared outputs which the guest wrote, by name and in declared order. A
/// declared folder is always there; a declared file the guest never made is not.
#[derive(Clone, Debug, Default)]
pub struct OutputTree {
    outputs: Vec<(String, Output)>,
}

impl OutputTree {
    pub(super) fn add(&mut self, name: &str, found: Found) {
        let output = match found {
            Found::File(file) => Output::File(OutputFile::new(file)),
            Found::Folder(files) => Output::Folder(
                files
                    .into_iter()
                    .map(|(path, file)| (path, OutputFile::new(file)))
                    .collect(),
            ),
        };
        self.outputs.push((name.to_owned(), output));
    }

    /// The output of this name, without a folder's trailing slash.
    pub fn get(&self, name: &str) -> Option<&Output> {
        self.outputs
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, output)| output)
    }

    /// All outputs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Output)> {
        self.outputs
            .iter()
            .map(|(name, output)| (name.as_str(), output))
    }
}
