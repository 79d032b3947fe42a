//! What a path given by a person holds as a dataset: one file, or a folder of files.
//!
//! A folder is every regular file below it, hidden ones included, in the order of their paths'
//! bytes. Anything else in it (links, sockets, devices, names that are not UTF-8) is an error:
//! leaving something out without a word would seal another dataset than the person meant.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use mc2_protocol::{
    Digest,
    sealed::{
        manifest::MediaType,
        paths::{MAX_FILES, PathEntry, PathTable, PathTableError, is_clean_path},
    },
};

use super::media;

/// A dataset on disk, or about to be read from a stream.
///
/// ```
/// use mc2_client::seal::source::Source;
///
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("orders.csv");
/// std::fs::write(&file, "id,amount\n1,42\n")?;
/// let source = Source::scan(&file)?;
/// assert!(!source.is_folder());
/// assert_eq!(source.length(), 15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    folder: bool,
    files: Vec<SourceFile>,
    length: u64,
    /// Where it is made by this process: what it holds.
    made: Option<MediaType>,
}

/// What a stream that this process makes is read from, once.
type Made = Arc<Mutex<Option<Box<dyn io::Read + Send>>>>;

/// One file of a [`Source`].
#[derive(Clone)]
pub struct SourceFile {
    /// Its path in the dataset; empty where the dataset is one file.
    pub name: String,
    /// Where it is; `None` is a stream: this process's standard input, or one that it makes.
    pub path: Option<PathBuf>,
    /// Its length when it was looked at, in bytes; 0 for a stream.
    pub length: u64,
    made: Option<Made>,
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Why a path cannot be a dataset.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing is there.
    #[error("{} does not exist; expected a file or a folder", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither a regular file nor a folder.
    #[error("{} is a {found}; expected regular files only", path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A name no manifest can hold.
    #[error(
        "{} has a name no dataset can hold; expected UTF-8 without control characters or \\, at \
         most 1,024 bytes",
        path.display()
    )]
    FileName {
        /// The path.
        path: PathBuf,
    },
    /// More files than a manifest holds.
    #[error("{} holds more than {MAX_FILES} files; put them together or seal parts", path.display())]
    TooManyFiles {
        /// The path.
        path: PathBuf,
    },
    /// Paths of more bytes than a table of them holds.
    #[error("{} cannot be a dataset; put files together or seal parts", path.display())]
    Paths {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: PathTableError,
    },
    /// A folder without files.
    #[error("the folder {} holds no file; expected at least one", path.display())]
    Empty {
        /// The path.
        path: PathBuf,
    },
}

impl Source {
    /// Looks at `path` and checks that all of it can be read.
    ///
    /// # Errors
    /// [`SourceError`], naming the first file that cannot be part of a dataset.
    pub fn scan(path: &Path) -> Result<Self, SourceError> {
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if metadata.is_dir() {
            return Self::scan_folder(path);
        }
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_fifo() {
            return Err(refused(path, kind));
        }
        if kind.is_file() {
            // A pipe can be opened only once, so its reader finds out.
            File::open(path).map_err(|error| unreadable(path, error))?;
        }
        let length = metadata.len();
        Ok(Self {
            path: path.to_owned(),
            folder: false,
            files: vec![SourceFile {
                name: String::new(),
                path: Some(path.to_owned()),
                length,
                made: None,
            }],
            length,
            made: None,
        })
    }

    /// This process's standard input as one file.
    pub fn standard_input() -> Self {
        Self {
            path: PathBuf::from("-"),
            folder: false,
            files: vec![SourceFile {
                name: String::new(),
                path: None,
                length: 0,
                made: None,
            }],
            length: 0,
            made: None,
        }
    }

    /// What `reader` gives as one file of this media type, called `path` where something is said of it:
    /// data that this process makes and never writes to a disk. It is read once.
    pub fn made(path: PathBuf, media_type: MediaType, reader: Box<dyn io::Read + Send>) -> Self {
        Self {
            path,
            folder: false,
            files: vec![SourceFile {
                name: String::new(),
                path: None,
                length: 0,
                made: Some(Arc::new(Mutex::new(Some(reader)))),
            }],
            length: 0,
            made: Some(media_type),
        }
    }

    /// The path it was made of.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a folder of files rather than one file.
    pub fn is_folder(&self) -> bool {
        self.folder
    }

    /// The files in a manifest's order.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Bytes of all files together when they were looked at.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What tells these files from what they are after any change: their names, lengths and times, and
    /// which files they are; not what is in them. `None` for a stream, which is gone once read.
    ///
    /// # Errors
    /// A file cannot be looked at.
    pub fn mark(&self) -> Result<Option<Digest>, SourceError> {
        let mut told = String::new();
        for file in &self.files {
            let Some(path) = &file.path else {
                return Ok(None);
            };
            let found = fs::metadata(path).map_err(|error| unreadable(path, error))?;
            if !found.is_file() {
                return Ok(None);
            }
            let name = &file.name;
            let of_file = [found.dev(), found.ino(), found.len()];
            let times = [
                (found.mtime(), found.mtime_nsec()),
                (found.ctime(), found.ctime_nsec()),
            ];
            told += &format!("{} {name} {of_file:?} {times:?}\n", name.len());
        }
        Ok(Some(Digest::of(told.as_bytes())))
    }

    /// What the files hold: for a folder, what its first file holds.
    ///
    /// # Errors
    /// The first file cannot be read.
    pub fn media_type(&self) -> Result<MediaType, SourceError> {
        if let Some(made) = &self.made {
            return Ok(made.clone());
        }
        let Some(path) = self.files.first().and_then(|file| file.path.as_deref()) else {
            return Ok(MediaType::octet_stream());
        };
        let mut head = Vec::new();
        let io = |error| unreadable(path, error);
        if fs::metadata(path).map_err(io)?.is_file() {
            File::open(path)
                .and_then(|file| file.take(media::HEAD as u64).read_to_end(&mut head))
                .map_err(io)?;
        }
        Ok(media::detect(path, &head))
    }

    fn scan_folder(path: &Path) -> Result<Self, SourceError> {
        let mut files = Vec::new();
        collect(path, "", &mut files)?;
        if files.is_empty() {
            return Err(SourceError::Empty {
                path: path.to_owned(),
            });
        }
        if files.len() > MAX_FILES {
            return Err(SourceError::TooManyFiles {
                path: path.to_owned(),
            });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let entries = files.iter().map(|file| PathEntry {
            path: file.name.clone(),
            length: file.length,
        });
        // Better said now than when all files are sealed.
        PathTable::new(entries.collect()).map_err(|source| SourceError::Paths {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            folder: true,
            length: files.iter().map(|file| file.length).sum(),
            files,
            made: None,
        })
    }
}

impl SourceFile {
    /// Opens it for reading.
    ///
    /// # Errors
    /// The system's.
    pub fn open(&self) -> Result<Box<dyn io::Read + Send>, SourceError> {
        if let Some(made) = &self.made {
            let mut reader = made.lock().unwrap_or_else(PoisonError::into_inner);
            return reader.take().ok_or_else(|| {
                let again = io::Error::other("it was read before, and is not kept");
                unreadable(self.display_path(), again)
            });
        }
        match &self.path {
            None => Ok(Box::new(io::stdin())),
            Some(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(unreadable(path, error)),
            },
        }
    }

    /// Where it is, for people.
    pub fn display_path(&self) -> &Path {
        let stream = match self.made {
            Some(_) => "the data given",
            None => "standard input",
        };
        self.path.as_deref().unwrap_or(Path::new(stream))
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<SourceFile>) -> Result<(), SourceError> {
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        let path = entry.path();
        let name = entry
            .file_name()
            .to_str()
            .map(|name| format!("{prefix}{name}"))
            .filter(|name| is_clean_path(name))
            .ok_or_else(|| SourceError::FileName { path: path.clone() })?;
        let kind = entry
            .file_type()
            .map_err(|error| unreadable(&path, error))?;
        if kind.is_dir() {
            collect(&path, &format!("{name}/"), files)?;
            continue;
        }
        if !kind.is_file() {
            return Err(refused(&path, kind));
        }
        if files.len() > MAX_FILES {
            return Ok(());
        }
        let length = File::open(&path)
            .and_then(|file| file.metadata())
            .map_err(|error| unreadable(&path, error))?
            .len();
        files.push(SourceFile {
            name,
            path: Some(path),
            length,
            made: None,
        });
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        return SourceError::Missing { path };
    }
    SourceError::Io { path, source }
}

fn refused(path: &Path, kind: fs::FileType) -> SourceError {
    let found = if kind.is_symlink() {
        "symbolic link"
    } else if kind.is_fifo() {
        "pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    };
    SourceError::Kind {
        path: path.to_owned(),
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_all_its_files_in_the_order_of_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("b")).unwrap();
        for name in ["b/1", "b.x", "a", ".hidden"] {
            fs::write(root.join(name), name).unwrap();
        }
        let source = Source::scan(root).unwrap();
        let names: Vec<&str> = source.files().iter().map(|file| &*file.name).collect();
        assert_eq!(names, [".hidden", "a", "b.x", "b/1"]);
        assert_eq!(source.length(), 14);
    }

    #[test]
    fn what_this_process_makes_is_read_once_and_is_what_it_says() {
        let media_type = MediaType::try_from("text/csv".to_owned()).unwrap();
        let source = Source::made("sales".into(), media_type.clone(), Box::new(&b"a,b\n"[..]));
        assert_eq!(source.media_type().unwrap(), media_type);
        assert_eq!(source.mark().unwrap(), None);
        let mut text = String::new();
        let mut reader = source.files()[0].open().unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a,b\n");
        assert!(source.files()[0].open().is_err());
    }

    #[test]
    fn links_in_a_folder_and_empty_folders_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(matches!(Source::scan(root), Err(SourceError::Empty { .. })));
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
        let error = Source::scan(root).unwrap_err().to_string();
        assert!(error.contains("link is a symbolic link"), "{error}");
        let error = Source::scan(&root.join("nothing")).unwrap_err();
        assert!(matches!(error, SourceError::Missing { .. }));
        assert!(matches!(
            Source::scan(Path::new("/dev/null")),
            Err(SourceError::Kind {
                found: "device",
                ..
            })
        ));
    }
}
