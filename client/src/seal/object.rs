//! A sealed object as a folder: `manifest`, `files/0`, `digests/0`, and so on, as a host keeps it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use mc2_protocol::{
    Card, Digest, Identity, Manifest, Name, SecretKey,
    sealed::manifest::{self, ManifestError},
};

use super::{SealError, Sealed, Sink, seal, source::Source};
use crate::{
    exit::Exit,
    files::{FileError, StagedFolder, failed, read_capped},
    state::{State, StateError},
};

/// What a sealed folder's name ends with.
pub const EXTENSION: &str = "sealed";

/// A sealed object in a folder whose manifest was read.
pub struct LocalObject {
    root: PathBuf,
    id: Digest,
    manifest: Manifest,
    bytes: Vec<u8>,
}

/// Why a folder is no sealed object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The manifest is not good.
    #[error("{} is not a sealed object", path.display())]
    Manifest {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl ObjectError {
    /// How the process ends for it, where the object was to be read.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::File(_) | Self::Seal(_) => Exit::BadInput,
            Self::Manifest { .. } => Exit::DataTampered,
        }
    }
}

impl LocalObject {
    /// Whether `path` looks like a sealed object's folder.
    pub fn is_at(path: &Path) -> bool {
        path.join("manifest").is_file() && path.join("files").is_dir()
    }

    /// Reads the manifest of the object in the folder `path`.
    ///
    /// # Errors
    /// There is none, or it is not valid.
    pub fn read(path: &Path) -> Result<Self, ObjectError> {
        let bytes = read_capped(&path.join("manifest"), manifest::MAX_LEN)?;
        let manifest = Manifest::parse(&bytes).map_err(|source| ObjectError::Manifest {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            root: path.to_owned(),
            id: Digest::of(&bytes),
            manifest,
            bytes,
        })
    }

    /// SHA-256 of its manifest.
    pub const fn id(&self) -> &Digest {
        &self.id
    }

    /// Its manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its manifest's exact bytes.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The list of segment digests of stream `index`; not believed yet.
    pub(crate) fn digests(&self, index: usize, length: usize) -> Result<Vec<u8>, FileError> {
        read_capped(&self.root.join(format!("digests/{index}")), length)
    }

    /// The sealed bytes of stream `index`.
    pub(crate) fn file(&self, index: usize) -> Result<ObjectFile, FileError> {
        let path = self.root.join(format!("files/{index}"));
        let file = File::open(&path).map_err(failed("open", &path))?;
        Ok(ObjectFile { file, path })
    }
}

/// One sealed file of an object.
pub(crate) struct ObjectFile {
    file: File,
    path: PathBuf,
}

impl ObjectFile {
    pub(crate) fn length(&self) -> Result<u64, FileError> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(failed("read", &self.path))?.len())
    }

    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(failed("read", &self.path))
    }
}

/// Seals `source` as a version of `dataset` into the folder `target`, which has its name only
/// when all of it is there.
///
/// ```
/// use mc2_client::seal::{
///     object::{LocalObject, seal_to_folder},
///     source::Source,
/// };
/// # use mc2_protocol::Identity;
/// # let folder = tempfile::tempdir()?;
/// # let (file, target) = (folder.path().join("orders.csv"), folder.path().join("orders.sealed"));
/// # let owner = Identity::generate("bank-a".parse()?, &mut mc2_client::random());
///
/// std::fs::write(&file, "id,amount\n1,42\n")?;
/// let source = Source::scan(&file)?;
/// let (id, _, _key) =
///     seal_to_folder(&source, &"orders".parse()?, owner.card(), &target, &mut |_bytes| ())?;
/// assert_eq!(*LocalObject::read(&target)?.id(), id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The source cannot be read, or the folder cannot be written or is taken.
pub fn seal_to_folder(
    source: &Source,
    dataset: &Name,
    owner: &Card,
    target: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(Digest, Manifest, SecretKey), ObjectError> {
    let staged = StagedFolder::create(target)?;
    for folder in ["files", "digests"] {
        let path = staged.path().join(folder);
        fs::create_dir(&path).map_err(failed("make the folder", &path))?;
    }
    let mut sink = FolderSink {
        root: staged.path().to_owned(),
        open: None,
    };
    let Sealed {
        object,
        manifest,
        manifest_bytes,
        key,
    } = seal(source, dataset, owner, &mut sink, progress)?;
    let path = staged.path().join("manifest");
    File::create_new(&path)
        .and_then(|mut file| {
            file.write_all(&manifest_bytes)?;
            file.sync_all()
        })
        .map_err(failed("write", &path))?;
    staged.publish()?;
    Ok((object, manifest, key))
}

/// The data key of an object: kept in the state folder, or wrapped to this identity in the
/// manifest.
///
/// # Errors
/// The state folder cannot be read.
pub fn key_for(
    object: &LocalObject,
    state: &State,
    identity: &Identity,
) -> Result<Option<SecretKey>, StateError> {
    let wrapped = object.manifest().owner();
    let own = wrapped.filter(|wrapped| wrapped.card == *identity.card().digest());
    let dataset = object.manifest().dataset();
    let opened = own.and_then(|own| own.open_as_owner(dataset, identity.private_key()).ok());
    match opened {
        Some(key) => Ok(Some(key)),
        None => state.data_key(object.id()),
    }
}

struct FolderSink {
    root: PathBuf,
    open: Option<(usize, File)>,
}

impl Sink for FolderSink {
    fn part(&mut self, index: usize, offset: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        let path = self.root.join(format!("files/{index}"));
        let file = match &mut self.open {
            Some((open, file)) if *open == index => file,
            open => {
                let created = File::create_new(&path).map_err(failed("write", &path));
                let file = created.map_err(io::Error::other)?;
                &mut open.insert((index, file)).1
            }
        };
        file.write_all_at(bytes, offset)
            .map_err(failed("write", &path))
            .map_err(io::Error::other)
    }

    fn digests(&mut self, index: usize, digests: Vec<u8>) -> io::Result<()> {
        if let Some((_, file)) = self.open.take() {
            let path = self.root.join(format!("files/{index}"));
            file.sync_all()
                .map_err(failed("store", &path))
                .map_err(io::Error::other)?;
        }
        let path = self.root.join(format!("digests/{index}"));
        File::create_new(&path)
            .and_then(|mut file| {
                file.write_all(&digests)?;
                file.sync_all()
            })
            .map_err(failed("write", &path))
            .map_err(io::Error::other)
    }
}
