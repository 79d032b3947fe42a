//! Compiled components in the user's own cache folder.
//!
//! Native code is as good as the file it was read from, so a folder or file that anybody else
//! could have written is not used. The enclave's runtime never reads these files.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use mc2_sandbox::{CodeCache, CodeName};

/// Compiled components kept; more are forgotten, the oldest first.
const KEPT: usize = 8;

/// A folder only its owner can write.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens or makes the folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        private(folder, true)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn find(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.path(name);
        private(&path, false)?;
        fs::read(path)
    }

    fn keep(&self, name: &str, code: &[u8]) -> io::Result<()> {
        // Made with mode 0600, and seen under its name only when whole.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(code)?;
        file.persist(self.path(name)).map_err(|error| error.error)?;
        self.forget_oldest()
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "cwasm")
            {
                kept.push((fs::metadata(&path)?.modified()?, path));
            }
        }
        kept.sort();
        let over = kept.len().saturating_sub(KEPT);
        kept[..over]
            .iter()
            .try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.cwasm"))
    }
}

// SAFETY: only this user can have written the file ([`private`] looks at the owner and the mode of
// folder and file), it was renamed into place whole under the digest of its name, and whoever can
// write as this user can replace this program as well.
#[allow(unsafe_code)]
#[async_trait::async_trait]
unsafe impl CodeCache for Cache {
    async fn get(&self, name: &CodeName) -> Option<Vec<u8>> {
        self.find(&name.digest()).ok()
    }

    async fn put(&self, name: &CodeName, code: Vec<u8>) {
        if let Err(error) = self.keep(&name.digest(), &code) {
            tracing::warn!("compiled code could not be kept: {error}");
        }
    }
}

/// Refuses what belongs to somebody else or what others may write.
fn private(path: &Path, folder: bool) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = if folder {
        metadata.is_dir()
    } else {
        metadata.is_file()
    };
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if kind && own && metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "somebody else can write it; it must be yours with mode 0700 (a folder) or 0600 (a file)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("a/b")).unwrap();
        assert!(cache.find("key").is_err());
        cache.keep("key", b"code").unwrap();
        assert_eq!(cache.find("key").unwrap(), b"code");
        assert_eq!(
            fs::metadata(cache.path("key"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        for key in 0..=KEPT {
            cache.keep(&key.to_string(), b"code").unwrap();
            let file = fs::File::options()
                .append(true)
                .open(cache.path(&key.to_string()));
            let time =
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(key as u64);
            file.unwrap().set_modified(time).unwrap();
        }
        cache.keep("new", b"code").unwrap();
        assert!(cache.find("0").is_err() && cache.find("1").is_err());
        assert!(cache.find("2").is_ok() && cache.find("new").is_ok());
    }

    #[test]
    fn a_file_others_can_write_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("c")).unwrap();
        cache.keep("key", b"code").unwrap();
        let path = cache.path("key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(cache.find("key").is_err());
    }

    #[test]
    fn a_folder_others_can_write_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(&path).is_err());
    }
}
