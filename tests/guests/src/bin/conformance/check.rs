//! Claims as errors: a panic would end the suite, for a component's panic is a trap.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use mc2_guest::{Context, Error, Job, Result};
use mc2_test_guests::Random;

/// What the message of a skipped case begins with.
pub(crate) const SKIPPED: &str = "skipped";

/// What a case works with.
pub(crate) struct World<'a> {
    pub(crate) job: &'a Job,
    /// Whether this is the sandbox and not plain Wasmtime.
    pub(crate) sandbox: bool,
    /// An empty folder under `/tmp`, for this case alone.
    pub(crate) folder: PathBuf,
}

impl World<'_> {
    /// A path in the case's own folder.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// A file in the case's own folder with this content.
    pub(crate) fn file(&self, path: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.path(path);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Ends the case as not applicable here.
pub(crate) fn skip(reason: &str) -> Result {
    Err(Error::new(reason).context(SKIPPED))
}

pub(crate) fn equal<T: PartialEq + Debug>(found: T, expected: T, what: &str) -> Result {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(format!(
        "{what}: expected {expected:?}, found {found:?}"
    )))
}

pub(crate) fn holds(claim: bool, what: &str) -> Result {
    if claim {
        Ok(())
    } else {
        Err(Error::new(format!("{what}: it is not so")))
    }
}

/// The call failed, in one of these ways (or in any, where none is named).
pub(crate) fn fails<T>(result: io::Result<T>, kinds: &[ErrorKind], what: &str) -> Result {
    match result {
        Ok(_) => Err(Error::new(format!(
            "{what}: expected {kinds:?}, but it worked"
        ))),
        Err(error) if kinds.is_empty() || kinds.contains(&error.kind()) => Ok(()),
        Err(error) => {
            let found = error.kind();
            Err(Error::new(format!(
                "{what}: expected {kinds:?}, found {found:?} ({error})"
            )))
        }
    }
}

/// As [`fails`], for the one error std has no kind for on this target.
pub(crate) fn fails_as_not_empty<T>(result: io::Result<T>, what: &str) -> Result {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        Err(error) => Err(Error::new(format!(
            "{what}: expected ENOTEMPTY, found {error}"
        ))),
        Ok(_) => Err(Error::new(format!(
            "{what}: expected ENOTEMPTY, but it worked"
        ))),
    }
}

/// The file's content is this. Contents are compared and never printed: they may be long.
pub(crate) fn content(path: &Path, expected: &[u8]) -> Result {
    let found = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    same(&found, expected, &path.display().to_string())
}

/// The bytes are these.
pub(crate) fn same(found: &[u8], expected: &[u8], what: &str) -> Result {
    equal(found.len(), expected.len(), &format!("length of {what}"))?;
    match found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected)
    {
        None => Ok(()),
        Some(at) => equal(found[at], expected[at], &format!("byte {at} of {what}")),
    }
}

/// A handle that reads and writes a file, which is created where it is missing.
pub(crate) fn read_write(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Bytes that repeat in no period a wrong block size could hide behind.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Random::new(length as u64).fill(&mut bytes);
    bytes
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry.with_context(|| format!("listing {}", folder.display()))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
