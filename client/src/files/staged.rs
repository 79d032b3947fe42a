//! Files and folders that have no name, or another one, until they are complete.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::AsRawFd as _,
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, linkat};
use tempfile::{NamedTempFile, TempPath};

use super::{
    error::{FileError, failed},
    locked::{LockedFolder, remove_abandoned},
};

/// What the name of a folder starts with that is not complete.
const STAGED_FOLDER: &str = ".mc2-folder-";

/// A file that has no name until it is complete.
///
/// Where the file system can, it has no name at all before [`publish`](Self::publish), so nothing
/// of it remains however the process ends.
///
/// ```
/// use std::io::Write as _;
///
/// use mc2_client::files::Staged;
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("result.csv");
/// let mut staged = Staged::create(&path, 0o600)?;
/// staged.write_all(b"id,amount\n")?;
/// assert!(!path.exists());
/// staged.publish()?;
/// assert!(path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Staged {
    file: File,
    /// Where the file system cannot make nameless files.
    named: Option<TempPath>,
    target: PathBuf,
}

impl Staged {
    /// A staged file for `target`, whose folder must exist, with permissions `mode` less the
    /// process's mask.
    ///
    /// # Errors
    /// The system's.
    pub fn create(target: &Path, mode: u32) -> Result<Self, FileError> {
        let target = target.to_owned();
        let nameless = OpenOptions::new()
            .read(true)
            .write(true)
            .mode(mode)
            .custom_flags(rustix::fs::OFlags::TMPFILE.bits() as i32)
            .open(folder_of(&target));
        if let Ok(file) = nameless {
            return Ok(Self {
                file,
                named: None,
                target,
            });
        }
        let (file, path) = builder(mode)
            .tempfile_in(folder_of(&target))
            .map_err(failed("write a file beside", &target))?
            .into_parts();
        Ok(Self {
            file,
            named: Some(path),
            target,
        })
    }

    /// The file, for writing.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Waits until the bytes are stored and gives the file its name, replacing what had it.
    ///
    /// # Errors
    /// The system's; nothing is left behind then.
    pub fn publish(self) -> Result<(), FileError> {
        self.file
            .sync_all()
            .map_err(failed("store", &self.target))?;
        self.rename()
    }

    /// As [`publish`](Self::publish), but replaces nothing.
    ///
    /// # Errors
    /// The system's; nothing is left behind then.
    pub fn publish_new(self) -> Result<(), FileError> {
        self.file
            .sync_all()
            .map_err(failed("store", &self.target))?;
        let (named, target) = self.named()?;
        named
            .persist_noclobber(&target)
            .map_err(|error| failed("give its name to", &target)(error.error))
    }

    /// Gives the file its name without waiting for the disk.
    pub(super) fn rename(self) -> Result<(), FileError> {
        let (named, target) = self.named()?;
        named
            .persist(&target)
            .map_err(|error| failed("give its name to", &target)(error.error))
    }

    /// The file under a name of its own beside its target.
    fn named(self) -> Result<(TempPath, PathBuf), FileError> {
        let named = match self.named {
            Some(path) => path,
            None => link(&self.file, &self.target)?,
        };
        Ok((named, self.target))
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A folder that has its final name only when it is complete. One that a killed process left beside
/// it is removed.
pub struct StagedFolder {
    folder: LockedFolder,
    target: PathBuf,
}

impl StagedFolder {
    /// A staged folder for `target`, which must not exist or be an empty folder.
    ///
    /// # Errors
    /// The system's.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        vacant(target)?;
        remove_abandoned(folder_of(target), STAGED_FOLDER);
        Ok(Self {
            folder: LockedFolder::create(folder_of(target), STAGED_FOLDER, 0o777)?,
            target: target.to_owned(),
        })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// The system's; nothing is left behind then.
    pub fn publish(self) -> Result<(), FileError> {
        let target = self.target;
        fs::rename(self.folder.path(), &target).map_err(failed("give its name to", &target))?;
        // It has another name now: nothing is left to remove.
        self.folder.keep();
        sync_folder(folder_of(&target))
    }
}

/// Checks that a folder may be put at `target`.
///
/// # Errors
/// Something is there that would be lost.
pub fn vacant(target: &Path) -> Result<(), FileError> {
    let taken = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    if taken {
        let text = "something is there already; name a folder that does not exist or is empty";
        let error = io::Error::new(io::ErrorKind::AlreadyExists, text);
        return Err(failed("make the folder", target)(error));
    }
    Ok(())
}

/// The folder `path` lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Gives a nameless file a name of its own beside `target`.
fn link(file: &File, target: &Path) -> Result<TempPath, FileError> {
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Only a name that is free is wanted here, so the made file goes away again.
    let name = tempfile::Builder::new()
        .prefix(".mc2-")
        .make_in(folder_of(target), |path| {
            linkat(CWD, &source, CWD, path, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
        })
        .map_err(failed("give a name to", target))?;
    Ok(name.into_temp_path())
}

/// A named temporary file that its owner alone can read.
///
/// # Errors
/// The system's.
pub fn private_temporary(folder: &Path) -> Result<NamedTempFile, FileError> {
    builder(0o600)
        .tempfile_in(folder)
        .map_err(failed("write a file in", folder))
}

fn builder(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(".mc2-")
        .permissions(Permissions::from_mode(mode));
    builder
}

/// Waits until what was done in a folder is stored.
///
/// # Errors
/// The system's.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("store", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_file_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut staged = Staged::create(&folder.path().join("x"), 0o600).unwrap();
        staged.write_all(b"half").unwrap();
        drop(staged);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_with_something_in_it_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        let staged = StagedFolder::create(&target).unwrap();
        fs::write(staged.path().join("a"), b"1").unwrap();
        staged.publish().unwrap();
        assert_eq!(fs::read(target.join("a")).unwrap(), b"1");
        assert!(StagedFolder::create(&target).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
