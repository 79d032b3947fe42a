//! What a job writes: `/out/NAME`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use crate::{Context, Error, Result};

const BUFFER: usize = 64 * 1024;

/// One output file, buffered. Nothing is promised before [`finish`](Self::finish).
///
/// Written in order it costs least: a file that only grows is sealed as it grows.
///
/// ```
/// # let root = std::env::temp_dir().join(format!("mc2-doc-output-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("out"))?;
/// use std::io::Write;
///
/// let job = mc2_guest::Job::open_at(&root)?;
/// let mut counts = job.output("counts")?;
/// writeln!(counts, "word,count")?;
/// counts.finish()?;
/// assert_eq!(std::fs::read_to_string(root.join("out/counts"))?, "word,count\n");
/// # std::fs::remove_dir_all(root)?;
/// # Ok::<(), mc2_guest::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an output is whole only after finish()"]
pub struct Output {
    name: String,
    file: BufWriter<File>,
}

impl Output {
    pub(crate) fn create(path: &Path, name: &str) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("creating the output `{name}`"))?;
        Ok(Self {
            name: name.to_owned(),
            file: BufWriter::with_capacity(BUFFER, file),
        })
    }

    /// Its name in the job; in a folder, with the path within it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes what is still buffered. Only now is everything known to be written.
    ///
    /// # Errors
    /// Where a write is refused, as past the job's output limit.
    pub fn finish(mut self) -> Result {
        self.file
            .flush()
            .with_context(|| format!("writing the output `{}`", self.name))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Output {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// An output that is a folder of files.
///
/// ```
/// # let root = std::env::temp_dir().join(format!("mc2-doc-folder-{}", std::process::id()));
/// # std::fs::create_dir_all(root.join("out"))?;
/// use std::io::Write;
///
/// let job = mc2_guest::Job::open_at(&root)?;
/// let parts = job.output_folder("parts")?;
/// let mut part = parts.file("2026/part-0.csv")?;
/// writeln!(part, "a,b")?;
/// part.finish()?;
/// assert!(root.join("out/parts/2026/part-0.csv").is_file());
/// assert!(parts.file("../elsewhere").is_err());
/// # std::fs::remove_dir_all(root)?;
/// # Ok::<(), mc2_guest::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OutputFolder {
    name: String,
    path: PathBuf,
}

impl OutputFolder {
    pub(crate) fn create(path: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("creating the output folder `{name}`"))?;
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Its name in the job.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, for libraries that create files themselves.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file in it, and the folders on the way.
    ///
    /// # Errors
    /// Where `path` is absolute or has `..` in it, or where the file can't be created.
    pub fn file(&self, path: impl AsRef<Path>) -> Result<Output> {
        let path = path.as_ref();
        let name = format!("{}/{}", self.name, path.display());
        let plain = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !plain || path.as_os_str().is_empty() {
            return Err(Error::new(format!(
                "creating the output `{name}`: a path within the folder is wanted"
            )));
        }
        let path = self.path.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating `{name}`'s folder"))?;
        }
        Output::create(&path, &name)
    }
}
