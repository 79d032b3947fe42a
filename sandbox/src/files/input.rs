//! `/in`: what a job reads. Where the bytes come from is not known here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::file::{File, slice};
use super::tree::{BadName, Tree, TreeKind};
use crate::failure::Failure;
use crate::limits::{Budget, INPUT_FILE_BYTES};

/// An input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The storage does not give the bytes.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The bytes it gives are not those that were sealed.
    #[error("corrupt: {0}")]
    Corrupt(String),
}

/// One file below `/in`, readable anywhere.
#[async_trait]
pub trait InputFile: Send + Sync {
    /// Its length in bytes, which never changes.
    fn size(&self) -> u64;

    /// Bytes from `offset` that are at hand, decrypted and checked: at least one,
    /// at most `len`, or `None` where they have to be fetched first. Called with
    /// `offset < size` and `len > 0`.
    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes>;

    /// At least one byte from `offset` and at most `len`, fetched as needed.
    /// Called with `offset < size` and `len > 0`. May be dropped at any time.
    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, InputError>;
}

/// Files and folders of files by name: the tree a guest sees as `/in`.
#[derive(Clone, Default)]
pub struct InputTree {
    files: Vec<(String, Arc<dyn InputFile>)>,
    folders: Vec<String>,
}

impl InputTree {
    /// No inputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `/in/NAME`.
    pub fn add_file(&mut self, name: impl Into<String>, file: Arc<dyn InputFile>) {
        self.files.push((name.into(), file));
    }

    /// Adds `/in/NAME/PATH` for each path, which may have slashes in it.
    pub fn add_folder<I, P>(&mut self, name: impl Into<String>, files: I)
    where
        I: IntoIterator<Item = (P, Arc<dyn InputFile>)>,
        P: Into<String>,
    {
        let name = name.into();
        for (path, file) in files {
            self.files.push((format!("{name}/{}", path.into()), file));
        }
        self.folders.push(name);
    }

    /// What the files cost, whoever reads them, in bytes; their names come on top.
    pub(crate) fn weight(&self) -> u64 {
        self.files.len() as u64 * INPUT_FILE_BYTES
    }

    /// The tree, or which name cannot stand in it.
    pub(crate) fn build(self, read: &Arc<AtomicU64>, memory: Budget) -> Result<Tree, BadName> {
        let mut tree = Tree::new(TreeKind::In, memory);
        for folder in self.folders {
            tree.plant_folder(&folder)?;
        }
        for (path, file) in self.files {
            let input = Input {
                name: path.clone(),
                file,
                read: Arc::clone(read),
            };
            tree.plant(&path, Arc::new(input))?;
        }
        Ok(tree)
    }
}

/// An input with its name, for errors, and the run's count of bytes read.
pub(crate) struct Input {
    name: String,
    file: Arc<dyn InputFile>,
    read: Arc<AtomicU64>,
}

impl Input {
    pub(crate) fn new(name: &str, file: Arc<dyn InputFile>, read: &Arc<AtomicU64>) -> Self {
        Self {
            name: name.to_owned(),
            file,
            read: Arc::clone(read),
        }
    }

    fn count(&self, mut bytes: Bytes, len: usize) -> Bytes {
        bytes.truncate(len);
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        bytes
    }
}

#[async_trait]
impl File for Input {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn is_readable(&self) -> bool {
        true
    }

    /// What is at hand, empty at the end, `None` where it is not at hand.
    fn try_read(&self, offset: u64, len: usize) -> Option<Bytes> {
        if len == 0 || offset >= self.file.size() {
            return Some(Bytes::new());
        }
        let bytes = self
            .file
            .try_read_at(offset, len)
            .filter(|bytes| !bytes.is_empty())?;
        Some(self.count(bytes, len))
    }

    async fn read(&self, offset: u64, len: usize) -> Result<Bytes, Failure> {
        if let Some(bytes) = self.try_read(offset, len) {
            return Ok(bytes);
        }
        match self.file.read_at(offset, len).await {
            Ok(bytes) if bytes.is_empty() => Err(Failure::Internal(
                "an input gave no bytes before its end".to_owned(),
            )),
            Ok(bytes) => Ok(self.count(bytes, len)),
            Err(InputError::Unavailable(reason)) => Err(Failure::InputUnavailable {
                name: self.name.clone(),
                reason,
            }),
            Err(InputError::Corrupt(reason)) => Err(Failure::InputCorrupt {
                name: self.name.clone(),
                reason,
            }),
        }
    }
}

/// An [`InputFile`] of bytes already in memory.
pub struct BytesInput(pub Bytes);

#[async_trait]
impl InputFile for BytesInput {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        Some(slice(&self.0, offset, len))
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, InputError> {
        self.try_read_at(offset, len)
            .ok_or_else(|| InputError::Unavailable("not in memory".to_owned()))
    }
}
