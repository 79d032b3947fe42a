//! What a bare run reads: files of this machine, as they are.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use mc2_description::InputDescription;
use mc2_protocol::Name;
use mc2_sandbox::{InputError, InputFile, InputTree};

use super::{error::BareError, options::BareStdin};
use crate::seal::source::{Source, SourceFile};

/// Files held open from their first read on; any more are opened for each read.
const HELD_OPEN: usize = 256;
/// The input that is the guest's standard input too.
const STDIN: &str = "stdin";

/// What the guest finds under `/in`.
pub(super) struct Inputs {
    pub(super) tree: InputTree,
    pub(super) stdin: Option<Arc<dyn InputFile>>,
    pub(super) descriptions: Vec<InputDescription>,
}

impl Inputs {
    /// Looks at all of them. What is no file, such as a pipe, is read to its end here.
    pub(super) fn open(named: &[(String, PathBuf)], stdin: BareStdin) -> Result<Self, BareError> {
        let mut inputs = Self {
            tree: InputTree::new(),
            stdin: None,
            descriptions: Vec::new(),
        };
        let mut met = BTreeSet::new();
        let held = Arc::new(AtomicUsize::new(0));
        for (name, path) in named {
            let name = check_name("input", name)?;
            if !met.insert(name.clone()) {
                return Err(BareError::Invalid(format!(
                    "two inputs are called {:?}",
                    name.as_str()
                )));
            }
            let source = Source::scan(path).map_err(|source| BareError::Input {
                name: name.to_string(),
                source,
            })?;
            inputs.add(&name, &source, &held)?;
        }
        if matches!(stdin, BareStdin::Inherit) && inputs.stdin.is_none() {
            for standard in Source::standard_input().files() {
                inputs.stdin = Some(Arc::new(LocalFile::new(STDIN, standard, &held)?));
            }
        }
        Ok(inputs)
    }

    fn add(
        &mut self,
        name: &Name,
        source: &Source,
        held: &Arc<AtomicUsize>,
    ) -> Result<(), BareError> {
        let mut files = Vec::new();
        for file in source.files() {
            files.push(LocalFile::new(name.as_str(), file, held)?);
        }
        self.descriptions.push(InputDescription {
            name: name.to_string(),
            media_type: source
                .media_type()
                .map_err(|source| BareError::Input {
                    name: name.to_string(),
                    source,
                })?
                .as_str()
                .to_owned(),
            length: files.iter().map(|file| file.length).sum(),
            folder: source.is_folder(),
        });
        if source.is_folder() {
            let named = source.files().iter().zip(files);
            self.tree.add_folder(
                name.as_str(),
                named.map(|(file, local)| (file.name.clone(), Arc::new(local) as _)),
            );
            return Ok(());
        }
        for file in files {
            let file: Arc<dyn InputFile> = Arc::new(file);
            if name.as_str() == STDIN {
                self.stdin = Some(Arc::clone(&file));
            }
            self.tree.add_file(name.as_str(), file);
        }
        Ok(())
    }
}

/// Refuses what no policy could name.
pub(super) fn check_name(what: &str, name: &str) -> Result<Name, BareError> {
    name.parse()
        .map_err(|error| BareError::Invalid(format!("{what}: {error}")))
}

/// A file of this machine. It is read as it is by then: its length alone is known before.
struct LocalFile {
    path: PathBuf,
    length: u64,
    open: OnceLock<File>,
    held: Arc<AtomicUsize>,
}

impl LocalFile {
    fn new(name: &str, file: &SourceFile, held: &Arc<AtomicUsize>) -> Result<Self, BareError> {
        let mut local = Self {
            path: file.path.clone().unwrap_or_default(),
            length: file.length,
            open: OnceLock::new(),
            held: Arc::clone(held),
        };
        let is_file = |path: &Path| path.metadata().is_ok_and(|about| about.is_file());
        if !file.path.as_deref().is_some_and(is_file) {
            let kept = keep(file).map_err(|error| {
                BareError::Invalid(format!("--in {name} cannot be read to its end: {error}"))
            })?;
            local.length = kept.metadata().map_or(0, |about| about.len());
            // It was empty a moment ago.
            let _ = local.open.set(kept);
        }
        Ok(local)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let more = self.length.saturating_sub(offset);
        let mut bytes = vec![0; len.min(usize::try_from(more).unwrap_or(usize::MAX))];
        let read = match self.open.get() {
            Some(file) => file.read_at(&mut bytes, offset)?,
            None => {
                let file = File::open(&self.path)?;
                let read = file.read_at(&mut bytes, offset)?;
                if self.held.fetch_add(1, Ordering::Relaxed) < HELD_OPEN {
                    // Where another instance was faster, its file is as good.
                    let _ = self.open.set(file);
                }
                read
            }
        };
        if read == 0 {
            let text = "it became shorter while it was read";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        bytes.truncate(read);
        Ok(bytes.into())
    }
}

#[async_trait::async_trait]
impl InputFile for LocalFile {
    fn size(&self) -> u64 {
        self.length
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Bytes> {
        self.read(offset, len).ok()
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, InputError> {
        self.read(offset, len)
            .map_err(|error| InputError::Unavailable(error.to_string()))
    }
}

/// Reads a stream to its end, into a file without a name.
fn keep(file: &SourceFile) -> io::Result<File> {
    let mut stream = file.open().map_err(io::Error::other)?;
    let mut kept = tempfile::tempfile()?;
    io::copy(&mut stream, &mut kept)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn named(path: &Path) -> [(String, PathBuf); 1] {
        [("data".to_owned(), path.to_owned())]
    }

    #[tokio::test]
    async fn a_file_is_read_where_it_is_and_described() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        fs::write(&path, "a,b\n").unwrap();
        let inputs = Inputs::open(&named(&path), BareStdin::Empty).unwrap();
        assert_eq!(inputs.descriptions[0].media_type, "text/csv");
        assert_eq!(inputs.descriptions[0].length, 4);
        let file = LocalFile::new(
            "data",
            &Source::scan(&path).unwrap().files()[0],
            &Arc::default(),
        )
        .unwrap();
        assert_eq!(file.read_at(2, 100).await.unwrap(), "b\n");
        fs::write(&path, "a").unwrap();
        let error = file.read_at(2, 100).await.unwrap_err().to_string();
        assert!(error.contains("shorter"), "{error}");
    }

    #[test]
    fn more_files_than_are_held_open_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let held = Arc::new(AtomicUsize::new(HELD_OPEN));
        let path = folder.path().join("x");
        fs::write(&path, "abc").unwrap();
        let source = Source::scan(&path).unwrap();
        let file = LocalFile::new("x", &source.files()[0], &held).unwrap();
        for _ in 0..2 {
            assert_eq!(file.try_read_at(1, 2).unwrap(), "bc");
        }
        assert!(file.open.get().is_none());
    }
}
