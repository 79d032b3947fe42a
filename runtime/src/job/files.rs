//! What a step finds under `/in`, and what it leaves under `/out`: files of objects that are
//! fetched as they are read, or lie in enclave memory.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mc2_description::InputDescription;
use mc2_protocol::{
    Name,
    sealed::{manifest::MediaType, paths::PathTable},
};
use mc2_sandbox::{BytesInput, Failure, InputFile, InputTree, OutputFile, PAGE};

use super::inputs::{InputError, ObjectFiles, WholeFiles, Window};

/// The input that is the guest's standard input too.
const STDIN: &str = "stdin";

/// What the record of a file of a kept folder counts as, in bytes: its entry in the table and in
/// the space it lies in.
const KEPT_FILE: u64 = 512;

/// What a step finds under `/in`.
#[derive(Default)]
pub(crate) struct StepInputs {
    pub(super) tree: InputTree,
    pub(super) stdin: Option<Arc<dyn InputFile>>,
    pub(super) descriptions: Vec<InputDescription>,
    /// Bytes of enclave memory that whole files take.
    pub(super) memory: u64,
}

impl StepInputs {
    /// Adds files as `/in/NAME`.
    pub(crate) fn add(&mut self, name: &Name, media_type: &MediaType, files: Files) {
        self.descriptions.push(InputDescription {
            name: name.to_string(),
            media_type: media_type.as_str().to_owned(),
            length: files.length(),
            folder: matches!(files, Files::Folder(_)),
        });
        match files {
            Files::File(file) => {
                if name.as_str() == STDIN {
                    self.stdin = Some(Arc::clone(&file));
                }
                self.tree.add_file(name.as_str(), file);
            }
            Files::Folder(files) => self.tree.add_folder(name.as_str(), files),
        }
    }
}

/// A file, or a folder of files with their paths.
pub(crate) enum Files {
    File(Arc<dyn InputFile>),
    Folder(Vec<(String, Arc<dyn InputFile>)>),
}

impl Files {
    /// Those of a folder.
    fn folder<F: InputFile + 'static>(files: impl IntoIterator<Item = (String, F)>) -> Self {
        let files = files.into_iter();
        Self::Folder(
            files
                .map(|(path, file)| (path, Arc::new(file) as _))
                .collect(),
        )
    }

    /// What an earlier step left and the enclave kept.
    pub(crate) fn kept(content: &Content) -> Self {
        match content {
            Content::File(file) => Self::File(Arc::new(Kept(file.clone()))),
            Content::Folder(table, files) => {
                let paths = table.files().iter().map(|entry| entry.path.clone());
                Self::folder(paths.zip(files.iter().cloned().map(Kept)))
            }
        }
    }

    /// Bytes of all files.
    fn length(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Folder(files) => files.iter().map(|(_, file)| file.size()).sum(),
        }
    }
}

impl From<ObjectFiles> for Files {
    fn from(files: ObjectFiles) -> Self {
        match files {
            ObjectFiles::File(file) => Self::File(Arc::new(file)),
            ObjectFiles::Folder(files) => Self::folder(files),
        }
    }
}

impl From<WholeFiles> for Files {
    fn from(files: WholeFiles) -> Self {
        match files {
            WholeFiles::File(file) => Self::File(Arc::new(BytesInput(file))),
            WholeFiles::Folder(files) => Self::folder(
                files
                    .into_iter()
                    .map(|(path, file)| (path, BytesInput(file))),
            ),
        }
    }
}

/// One output that a step has left.
pub(crate) enum Content {
    /// A file.
    File(OutputFile),
    /// A folder: the table of its paths, and the files in the table's order.
    Folder(PathTable, Vec<OutputFile>),
}

impl Content {
    /// Bytes of what is sealed: a folder's table and files end to end.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Folder(table, files) => {
                let files = files.iter().map(OutputFile::size);
                files.fold(table.encoded_len() as u64, u64::saturating_add)
            }
        }
    }

    /// Bytes of enclave memory that it takes where it is kept: whole pages, and of a folder its
    /// table and a record of each file.
    pub(crate) fn weight(&self) -> u64 {
        let pages = |file: &OutputFile| file.size().div_ceil(PAGE as u64) * PAGE as u64;
        match self {
            Self::File(file) => pages(file),
            Self::Folder(table, files) => {
                let files = files.iter().map(|file| KEPT_FILE + pages(file));
                files.fold(table.encoded_len() as u64, u64::saturating_add)
            }
        }
    }
}

/// A file that an earlier step left.
struct Kept(OutputFile);

#[async_trait]
impl InputFile for Kept {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        self.0.try_read_at(offset, len)
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, mc2_sandbox::InputError> {
        let bytes = self.0.read_at(offset, len).await;
        bytes.map_err(|error: Failure| mc2_sandbox::InputError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl InputFile for Window {
    fn size(&self) -> u64 {
        self.len()
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        Self::try_read_at(self, offset, len)
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, mc2_sandbox::InputError> {
        Self::read_at(self, offset, len)
            .await
            .map_err(|error| match error {
                InputError::Storage(_) | InputError::TooManySegments => {
                    mc2_sandbox::InputError::Unavailable(error.to_string())
                }
                other => mc2_sandbox::InputError::Corrupt(other.to_string()),
            })
    }
}
