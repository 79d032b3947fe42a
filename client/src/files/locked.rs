//! Folders that do not outlive their process for long.
//!
//! A process that is killed removes nothing. So each of these folders is locked while its process
//! lives, and whoever makes the next one of its kind removes those whose lock is free: folders of
//! the same user only, and never what a link in them leads to.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, statat,
        unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use tempfile::TempDir;

use super::error::{FileError, failed};

/// How often a folder is made anew that another process took for an abandoned one.
const TRIES: usize = 16;
/// How deep in an abandoned folder something is still removed.
const MAX_DEPTH: usize = 64;
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A temporary folder that is locked while this process lives. Dropped, it is removed.
pub struct LockedFolder {
    folder: TempDir,
    /// The lock is the open folder's.
    _lock: File,
}

impl LockedFolder {
    /// Makes one in `parent`, with permissions `mode` less the process's mask.
    ///
    /// # Errors
    /// The system's.
    pub fn create(parent: &Path, prefix: &str, mode: u32) -> Result<Self, FileError> {
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new()
                .prefix(prefix)
                .permissions(Permissions::from_mode(mode))
                .tempdir_in(parent)
                .map_err(failed("make a folder in", parent))?;
            let opened = OpenOptions::new()
                .read(true)
                .custom_flags(FOLDER.bits() as i32)
                .open(folder.path());
            let lock = match opened {
                // Taken for an abandoned one before it was locked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed("open", folder.path()))?,
            };
            // Where a file system has no locks nothing is ever removed.
            let locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
            if locked != Err(Errno::WOULDBLOCK) && is_there(&lock, folder.path()) {
                return Ok(Self {
                    folder,
                    _lock: lock,
                });
            }
        }
        let error = io::Error::other("another process removes it again and again");
        Err(failed("make a folder in", parent)(error))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves it where it is, or where it was moved to.
    pub fn keep(self) {
        let _ = self.folder.keep();
    }

    /// Removes it.
    ///
    /// # Errors
    /// The system's.
    pub fn close(self) -> io::Result<()> {
        self.folder.close()
    }
}

/// Removes this user's folders in `parent` whose names start with `prefix` and whose processes are
/// gone. What cannot be removed stays.
pub fn remove_abandoned(parent: &Path, prefix: &str) {
    // The parent may well be a link, such as /tmp on some systems.
    let opened = openat(
        CWD,
        parent,
        FOLDER.difference(OFlags::NOFOLLOW),
        Mode::empty(),
    );
    let Ok(parent) = opened else { return };
    for name in names(&parent) {
        if name.to_bytes().starts_with(prefix.as_bytes()) {
            let _ = remove_if_abandoned(&parent, &name);
        }
    }
}

fn remove_if_abandoned(parent: &OwnedFd, name: &std::ffi::CStr) -> rustix::io::Result<()> {
    // A link is not followed, here or below: opening one as a folder fails.
    let folder = openat(parent, name, FOLDER, Mode::empty())?;
    let found = fstat(&folder)?;
    if found.st_uid != geteuid().as_raw() {
        return Ok(());
    }
    // Held until the folder is gone, so whoever just made it notices.
    flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
    empty(&folder, found.st_dev, MAX_DEPTH);
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Removes what is in an open folder, as far as it is on the same file system.
fn empty(folder: &OwnedFd, device: u64, depth: usize) {
    for name in names(folder) {
        let Ok(found) = statat(folder, &*name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            let _ = unlinkat(folder, &*name, AtFlags::empty());
            continue;
        }
        if found.st_dev != device || depth == 0 {
            continue;
        }
        if let Ok(inner) = openat(folder, &*name, FOLDER, Mode::empty()) {
            empty(&inner, device, depth - 1);
            let _ = unlinkat(folder, &*name, AtFlags::REMOVEDIR);
        }
    }
}

fn names(folder: &OwnedFd) -> Vec<std::ffi::CString> {
    let Ok(entries) = Dir::read_from(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_owned()))
        .filter(|name| ![b".".as_slice(), b".."].contains(&name.to_bytes()))
        .collect()
}

/// Whether the open folder is still the one of this name.
fn is_there(open: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (open.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::symlink, path::PathBuf};

    const PREFIX: &str = "mc2-test-";

    /// A folder as a killed process leaves it.
    fn abandoned(parent: &Path) -> PathBuf {
        let path = LockedFolder::create(parent, PREFIX, 0o700).unwrap();
        let kept = path.path().to_owned();
        path.keep();
        fs::create_dir_all(kept.join("a/b")).unwrap();
        fs::write(kept.join("a/b/c"), "sealed").unwrap();
        kept
    }

    #[test]
    fn a_folder_whose_process_is_gone_is_removed_and_a_live_one_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let live = LockedFolder::create(parent.path(), PREFIX, 0o700).unwrap();
        fs::write(live.path().join("x"), "x").unwrap();
        let gone = abandoned(parent.path());
        let other = parent.path().join("mc2-else-1");
        fs::create_dir(&other).unwrap();
        remove_abandoned(parent.path(), PREFIX);
        assert!(!gone.exists());
        assert!(live.path().join("x").exists() && other.exists());
        live.close().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_link_is_followed_on_the_way() {
        let parent = tempfile::tempdir().unwrap();
        let precious = tempfile::tempdir().unwrap();
        fs::write(precious.path().join("file"), "precious").unwrap();
        symlink(precious.path(), parent.path().join("mc2-test-link")).unwrap();
        let gone = abandoned(parent.path());
        symlink(precious.path(), gone.join("a/link")).unwrap();
        symlink(precious.path().join("file"), gone.join("file")).unwrap();
        remove_abandoned(parent.path(), PREFIX);
        assert!(!gone.exists());
        assert!(parent.path().join("mc2-test-link").is_symlink());
        assert!(precious.path().join("file").exists());
    }

    #[test]
    fn a_folder_of_somebody_else_stays() {
        if !geteuid().is_root() {
            // Only root can give a folder away.
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let theirs = abandoned(parent.path());
        std::os::unix::fs::chown(&theirs, Some(1), None).unwrap();
        remove_abandoned(parent.path(), PREFIX);
        assert!(theirs.join("a/b/c").exists());
    }

    #[test]
    fn folders_made_while_others_are_removed_are_whole() {
        let parent = tempfile::tempdir().unwrap();
        let make = || {
            for _ in 0..200 {
                let folder = LockedFolder::create(parent.path(), PREFIX, 0o700).unwrap();
                fs::write(folder.path().join("x"), "x").unwrap();
                remove_abandoned(parent.path(), PREFIX);
                assert!(folder.path().join("x").exists());
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(make);
            }
        });
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
