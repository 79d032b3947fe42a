//! An object as a step reads it: its files by name, each in its true length.

use std::sync::Arc;

use mc2_protocol::{
    DataKey, Manifest,
    sealed::{
        manifest::Content,
        paths::{PathTable, START_LEN},
    },
};

use super::{cache::BlockCache, error::InputError, file::SealedFile, window::Window};
use crate::storage::Storage;

/// The files of an object.
pub enum ObjectFiles {
    /// It is a file.
    File(Window),
    /// It is a folder: each file with its path, in the order of the paths' bytes.
    Folder(Vec<(String, Window)>),
}

impl ObjectFiles {
    /// Opens the object that `manifest` describes, if `key` is its own. Of a
    /// folder the table of paths is fetched and checked. `exact` is the plaintext's length without
    /// padding, where it is known.
    ///
    /// # Errors
    /// [`InputError`].
    pub async fn open(
        storage: &Arc<Storage>,
        cache: &Arc<BlockCache>,
        key: &DataKey,
        manifest: &Manifest,
        exact: Option<u64>,
    ) -> Result<Self, InputError> {
        let stream = |index| {
            let (storage, cache) = (Arc::clone(storage), Arc::clone(cache));
            SealedFile::new(storage, cache, key, manifest, index)
                .map(Arc::new)
                .map_err(InputError::from)
        };
        match manifest.content() {
            Content::File(_) => {
                let file = stream(0)?;
                let length = exact.unwrap_or(file.len());
                Window::new(file, 0, length)
                    .map(Self::File)
                    .ok_or(InputError::Short)
            }
            Content::Folder { files, .. } => {
                let sealed = stream(files.len())?;
                let table = PathTable::parse_padded(&sealed.read_all().await?)?;
                table.check_files(files.iter().map(|file| file.length))?;
                let named = table.files().iter().enumerate().map(|(index, entry)| {
                    let window = Window::new(stream(index)?, 0, entry.length);
                    Ok((entry.path.clone(), window.ok_or(InputError::Short)?))
                });
                Ok(Self::Folder(named.collect::<Result<_, InputError>>()?))
            }
            Content::Packed(_) => {
                let packed = stream(0)?;
                let table = packed_table(&packed).await?;
                table.check_packed(packed.len(), exact)?;
                let named = table.packed().map(|(start, entry)| {
                    let window = Window::new(Arc::clone(&packed), start, entry.length);
                    Ok((entry.path.clone(), window.ok_or(InputError::Short)?))
                });
                Ok(Self::Folder(named.collect::<Result<_, InputError>>()?))
            }
        }
    }

    /// Bytes of all files.
    pub fn length(&self) -> u64 {
        match self {
            Self::File(file) => file.len(),
            Self::Folder(files) => files.iter().map(|(_, file)| file.len()).sum(),
        }
    }
}

/// The table at the start of a packed folder.
async fn packed_table(packed: &SealedFile) -> Result<PathTable, InputError> {
    let start = packed.read_exact(START_LEN).await?;
    let start = start.first_chunk().ok_or(InputError::Short)?;
    let length = PathTable::stated_len(start)?;
    Ok(PathTable::parse(&packed.read_exact(length).await?)?)
}
