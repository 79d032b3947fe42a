//! What a job reads: `/in/NAME`.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use mc2_description::InputDescription;

use crate::positioned;
use crate::{Context, Error, Result};

/// One asks the host for at most this much in one call anyway.
const BUFFER: usize = 64 * 1024;

/// An input of the job: one file, or a folder of files.
///
/// ```
/// # let root = std::env::temp_dir().join(format!("mc2-doc-input-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("in"))?;
/// # std::fs::write(root.join("in/text"), "one two")?;
/// let job = mc2_guest::Job::open_at(&root)?;
/// let text = job.input("text")?;
/// assert_eq!(text.len(), 7);
/// assert_eq!(text.media_type(), "application/octet-stream");
/// assert_eq!(std::io::read_to_string(text.reader()?)?, "one two");
/// # std::fs::remove_dir_all(root)?;
/// # Ok::<(), mc2_guest::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Input {
    path: PathBuf,
    description: InputDescription,
}

impl Input {
    pub(crate) fn new(folder: &Path, description: InputDescription) -> Self {
        Self {
            path: folder.join(&description.name),
            description,
        }
    }

    /// Its name in the job.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// Where it is, for libraries that open files themselves.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The media type its owner sealed it with; `application/octet-stream` where unknown.
    pub fn media_type(&self) -> &str {
        &self.description.media_type
    }

    /// Length in bytes; of a folder, the sum over its files.
    pub fn len(&self) -> u64 {
        self.description.length
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.description.folder
    }

    /// Its files, ordered by path; an input that is a file is its own only one.
    ///
    /// ```no_run
    /// # fn main() -> mc2_guest::Result {
    /// # let job = mc2_guest::Job::load()?;
    /// for file in job.input("orders")?.files()? {
    ///     println!("{} {}", file.name(), file.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where a folder can't be listed.
    pub fn files(&self) -> Result<Vec<InputFile>> {
        let doing = || format!("listing the input `{}`", self.name());
        let mut files = Vec::new();
        if self.is_folder() {
            list(&self.path, "", &mut files).with_context(doing)?;
            files.sort_by(|a, b| a.name.cmp(&b.name));
        } else {
            files.push(self.only_file()?);
        }
        Ok(files)
    }

    /// Reads it from start to end.
    ///
    /// # Errors
    /// Where it is a folder (read its [`files`](Self::files)) or can't be opened.
    pub fn reader(&self) -> Result<BufReader<File>> {
        self.only_file()?.reader()
    }

    /// Reads it at random.
    ///
    /// # Errors
    /// Where it is a folder (read its [`files`](Self::files)) or can't be opened.
    pub fn random(&self) -> Result<RandomReader> {
        self.only_file()?.random()
    }

    fn only_file(&self) -> Result<InputFile> {
        if self.is_folder() {
            let name = self.name();
            return Err(Error::new(format!(
                "the input `{name}` is a folder, and one file is wanted: give a file as \
                 `{name}`, or read its files()"
            )));
        }
        Ok(InputFile {
            name: self.name().to_owned(),
            path: self.path.clone(),
            length: self.len(),
        })
    }
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<InputFile>) -> Result {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| Error::new(format!("the file name {} is not UTF-8", name.display())))?;
        let metadata = fs::metadata(entry.path()).with_context(|| format!("{prefix}{name}"))?;
        if metadata.is_dir() {
            list(&entry.path(), &format!("{prefix}{name}/"), files)?;
        } else {
            let name = format!("{prefix}{name}");
            files.push(InputFile {
                name,
                path: entry.path(),
                length: metadata.len(),
            });
        }
    }
    Ok(())
}

/// One file of an input; not open yet, so that a folder of thousands is cheap to hold.
///
/// ```
/// # let root = std::env::temp_dir().join(format!("mc2-doc-file-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("in/days/2026"))?;
/// # std::fs::write(root.join("in/days/2026/monday.csv"), "a,b\n")?;
/// let job = mc2_guest::Job::open_at(&root)?;
/// let files = job.input("days")?.files()?;
/// assert_eq!(files[0].name(), "2026/monday.csv");
/// assert_eq!(files[0].len(), 4);
/// # std::fs::remove_dir_all(root)?;
/// # Ok::<(), mc2_guest::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct InputFile {
    name: String,
    path: PathBuf,
    length: u64,
}

impl InputFile {
    /// Its path within the input, with `/` between folders; the input's name where that is a
    /// file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, for libraries that open files themselves.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads it from start to end.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn reader(&self) -> Result<BufReader<File>> {
        Ok(BufReader::with_capacity(BUFFER, self.open()?))
    }

    /// Reads it at random.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn random(&self) -> Result<RandomReader> {
        Ok(RandomReader {
            file: self.open()?,
            length: self.length,
        })
    }

    fn open(&self) -> Result<File> {
        File::open(&self.path).with_context(|| format!("opening the input `{}`", self.name))
    }
}

/// Reads a file at any offset, without a cursor; one call to the host each.
///
/// ```
/// # let root = std::env::temp_dir().join(format!("mc2-doc-random-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("in"))?;
/// # std::fs::write(root.join("in/text"), "one two")?;
/// let text = mc2_guest::Job::open_at(&root)?.input("text")?.random()?;
/// let mut word = [0; 3];
/// text.read_exact_at(&mut word, 4)?;
/// assert_eq!(&word, b"two");
/// assert_eq!(text.read_at(&mut word, text.len())?, 0);
/// # std::fs::remove_dir_all(root)?;
/// # Ok::<(), mc2_guest::Error>(())
/// ```
#[derive(Debug)]
pub struct RandomReader {
    file: File,
    length: u64,
}

impl RandomReader {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads at `offset`, at most `buffer.len()` bytes, and says how many; 0 is the end.
    ///
    /// # Errors
    /// Where reading fails.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        positioned::read_at(&self.file, buffer, offset)
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file ends before, or where reading fails.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
