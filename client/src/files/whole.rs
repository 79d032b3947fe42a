//! Small files, read and written whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use zeroize::Zeroizing;

use super::{
    error::{FileError, failed},
    staged::{Staged, folder_of, sync_folder},
};

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// The system's, or a file that is larger.
pub fn read_capped(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(failed("open", path))?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    if bytes.len() > limit {
        return Err(failed("read", path)(too_large(limit)));
    }
    Ok(bytes)
}

/// Reads a whole file that holds a secret, of at most `limit` bytes, into a buffer that is never
/// moved and is wiped when it is dropped.
///
/// # Errors
/// The system's, or a file that is larger.
pub fn read_secret(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", path)(error)),
        }
    }
    if filled > limit {
        return Err(failed("read", path)(too_large(limit)));
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Opens, or makes, the file `path` and waits until no other process has it locked: the lock is this
/// process's until the file is dropped.
///
/// # Errors
/// The system's.
pub fn lock(path: &Path) -> Result<File, FileError> {
    let file = open_private(path)?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| failed("lock", path)(error.into()))?;
    Ok(file)
}

/// As [`lock`], but for any number at once, who all wait for one that has it by itself.
///
/// # Errors
/// The system's.
pub fn lock_shared(path: &Path) -> Result<File, FileError> {
    let file = open_private(path)?;
    flock(&file, FlockOperation::LockShared).map_err(|error| failed("lock", path)(error.into()))?;
    Ok(file)
}

/// As [`lock`], but where another process has it locked returns nothing at once.
///
/// # Errors
/// The system's.
pub fn try_lock(path: &Path) -> Result<Option<File>, FileError> {
    let file = open_private(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(None),
        locked => locked
            .map(|()| Some(file))
            .map_err(|error| failed("lock", path)(error.into())),
    }
}

/// Opens the file `path` for reading and writing, or makes it, readable by its owner alone.
///
/// # Errors
/// The system's.
pub fn open_private(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed("open", path))
}

/// Makes `path` and its parents; what is made is readable by its owner alone.
///
/// # Errors
/// The system's.
pub fn private_folder(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make the folder", path))
}

/// Writes a file that only its owner can read, so that it holds either its old or its new bytes
/// whatever happens, and returns when it will survive a power cut.
///
/// # Errors
/// The system's; the file is then what it was.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut staged = Staged::create(path, 0o600)?;
    staged.write_all(bytes).map_err(failed("write", path))?;
    staged.publish()?;
    sync_folder(folder_of(path))
}

/// Writes as [`write_private`] does, but only where nothing has that name yet: of several who try
/// at once one succeeds.
///
/// # Errors
/// The system's, [`AlreadyExists`](io::ErrorKind::AlreadyExists) among them; what is there stays.
pub fn write_private_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut staged = Staged::create(path, 0o600)?;
    staged.write_all(bytes).map_err(failed("write", path))?;
    staged.publish_new()?;
    sync_folder(folder_of(path))
}

/// Writes as [`write_private`] does, but does not wait for the disk: for what can be made again.
///
/// # Errors
/// The system's; the file is then what it was.
pub fn write_private_soon(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut staged = Staged::create(path, 0o600)?;
    staged.write_all(bytes).map_err(failed("write", path))?;
    staged.rename()
}

fn too_large(limit: usize) -> io::Error {
    let text = format!("it is larger than the {limit} bytes accepted");
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_read_whole_or_refused_where_it_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, b"secret").unwrap();
        assert_eq!(*read_secret(&path, 6).unwrap(), b"secret");
        let error = read_secret(&path, 5).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_private_file_replaces_the_old_one_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_private(&path, b"old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
