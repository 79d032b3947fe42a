//! Manifests: the exact version of a dataset, named by the SHA-256 of the manifest's bytes
//! (protocol.md §5).

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Name, SecretKey,
    encoding::{Hex, JsonError, check_version, parse_json, to_json},
    hpke::{HpkeError, PrivateKey, PublicKey, Sealed},
    label,
    sealed::{Header, Layout, Opener, SealedError, SealedFile, associated_data},
};

/// Largest manifest accepted, in bytes.
pub const MAX_LEN: usize = 16 * 1024 * 1024;
/// Most files one dataset may have.
pub const MAX_FILES: usize = 32 * 1024;

/// One version of a dataset or one output of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    dataset: Name,
    media_type: MediaType,
    folder: bool,
    segment_size: u32,
    files: Vec<FileEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<WrappedKey>,
}

/// One file of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path below the dataset's folder with `/` between its parts; empty for a single file.
    pub path: String,
    /// Plaintext length in bytes.
    pub length: u64,
    /// Tink's header, 40 bytes.
    pub header: Header,
    /// HKDF-SHA256 commitment to the data key.
    pub key_commitment: Hex<32>,
    /// BLAKE3 of the list of the segments' BLAKE3 digests.
    pub segments: Hex<32>,
}

/// A key sealed to one card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// Digest of the card it is sealed to.
    pub card: Digest,
    /// The HPKE encapsulated key and the sealed 32 bytes.
    pub key: Sealed,
}

/// An Internet media type: printable ASCII, 3 to 127 bytes with one `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(String);

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest at all.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Paths or counts that a dataset cannot have.
    #[error("the manifest of {dataset} is not valid: {reason}")]
    Invalid {
        /// The dataset it names.
        dataset: Name,
        /// What is wrong with it.
        reason: String,
    },
    /// Sizes that a sealed file cannot have.
    #[error("the manifest of {dataset} is not valid: {source}")]
    Layout {
        /// The dataset it names.
        dataset: Name,
        /// Why the layout is impossible.
        source: SealedError,
    },
    /// The bytes are not those the object id names.
    #[error("the manifest's digest is {found}, expected {expected}: it is not this object's")]
    ObjectId {
        /// The object id asked for.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
}

impl Manifest {
    /// The manifest of a dataset whose files were just sealed.
    ///
    /// # Errors
    /// As [`parse`](Self::parse): paths must be relative, clean, sorted and unique.
    pub fn new(
        dataset: Name,
        media_type: MediaType,
        folder: bool,
        segment_size: u32,
        files: Vec<FileEntry>,
        owner: Option<WrappedKey>,
    ) -> Result<Self, ManifestError> {
        let version = crate::VERSION;
        Self {
            version,
            dataset,
            media_type,
            folder,
            segment_size,
            files,
            owner,
        }
        .checked()
    }

    /// Parses a manifest.
    ///
    /// # Errors
    /// Not a manifest of this version, more than [`MAX_LEN`] bytes or [`MAX_FILES`] files, a path
    /// that leaves its folder, is repeated or out of order, or an impossible length.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        parse_json::<Self>("the manifest", bytes, MAX_LEN)?.checked()
    }

    /// Parses the manifest that `id` names, after checking that the bytes are those.
    ///
    /// # Errors
    /// [`ManifestError::ObjectId`], or as [`parse`](Self::parse).
    pub fn parse_object(id: &Digest, bytes: &[u8]) -> Result<Self, ManifestError> {
        let found = Digest::of(bytes);
        if found != *id {
            return Err(ManifestError::ObjectId {
                expected: *id,
                found,
            });
        }
        Self::parse(bytes)
    }

    /// The exact bytes; their SHA-256 is the object id.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The dataset's name.
    pub const fn dataset(&self) -> &Name {
        &self.dataset
    }

    /// What the files are.
    pub const fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Whether the dataset is a folder of files rather than one file.
    pub const fn is_folder(&self) -> bool {
        self.folder
    }

    /// The files in order.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The data key wrapped to the owner's card, where there is an owner.
    pub const fn owner(&self) -> Option<&WrappedKey> {
        self.owner.as_ref()
    }

    /// Sum of the files' plaintext lengths in bytes.
    pub fn length(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.length))
    }

    /// Where file `index`'s segments lie.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn layout(&self, index: usize) -> Layout {
        Layout::new(self.files[index].length, self.segment_size)
            // `checked` made this very layout.
            .unwrap_or_else(|error| unreachable!("checked layout: {error}"))
    }

    /// An opener for file `index`, if `key` is the one it was sealed with.
    ///
    /// # Errors
    /// [`SealedError::WrongKey`].
    ///
    /// # Panics
    /// When there is no such file.
    pub fn opener(&self, index: usize, key: &SecretKey) -> Result<Opener, SealedError> {
        let file = &self.files[index];
        if file.header.commitment(key) != file.key_commitment.0 {
            return Err(SealedError::WrongKey);
        }
        Ok(Opener::new(
            key,
            &file.header,
            &associated_data(&self.dataset),
            self.layout(index),
        ))
    }

    fn checked(self) -> Result<Self, ManifestError> {
        check_version("the manifest", self.version)?;
        let invalid = |reason: String| ManifestError::Invalid {
            dataset: self.dataset.clone(),
            reason,
        };
        if self.files.len() > MAX_FILES {
            return Err(invalid(format!(
                "{} files, at most {MAX_FILES} are accepted",
                self.files.len()
            )));
        }
        if !self.folder && (self.files.len() != 1 || !self.files[0].path.is_empty()) {
            return Err(invalid(
                "a single file has exactly one entry, with an empty path".into(),
            ));
        }
        for file in &self.files {
            if self.folder && !is_clean_path(&file.path) {
                return Err(invalid(format!(
                    "{:?} is not a clean relative path",
                    file.path
                )));
            }
            Layout::new(file.length, self.segment_size).map_err(|source| {
                ManifestError::Layout {
                    dataset: self.dataset.clone(),
                    source,
                }
            })?;
        }
        for pair in self.files.windows(2) {
            if pair[0].path >= pair[1].path {
                return Err(invalid(format!(
                    "{:?} is repeated or out of order",
                    pair[1].path
                )));
            }
            // Sorted by bytes, a file that is also a folder need not stand right before its
            // children, so this is checked for every prefix below.
        }
        let paths: std::collections::BTreeSet<&str> =
            self.files.iter().map(|file| file.path.as_str()).collect();
        for path in &paths {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(parent) = parents.into_iter().find(|parent| paths.contains(parent)) {
                return Err(invalid(format!("{parent:?} is both a file and a folder")));
            }
        }
        Ok(self)
    }
}

impl FileEntry {
    /// The entry for a file sealed under `path`.
    pub fn new(path: String, file: &SealedFile) -> Self {
        Self {
            path,
            length: file.length,
            header: file.header,
            key_commitment: Hex(file.key_commitment),
            segments: Hex(file.digest_list_digest()),
        }
    }
}

impl WrappedKey {
    /// Wraps a dataset's data key to its owner.
    pub fn for_owner(
        dataset: &Name,
        card: Digest,
        to: &PublicKey,
        key: &SecretKey,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Self {
        Self {
            card,
            key: to.seal(&owner_info(dataset, &card), key.expose(), rng),
        }
    }

    /// Unwraps the data key with the owner's private key.
    ///
    /// # Errors
    /// [`HpkeError`] when it was wrapped to another card or for another dataset.
    pub fn open_as_owner(&self, dataset: &Name, with: &PrivateKey) -> Result<SecretKey, HpkeError> {
        unwrap(self, &owner_info(dataset, &self.card), with)
    }
}

/// Opens a wrapped key with the purpose `info`.
pub(crate) fn unwrap(
    wrapped: &WrappedKey,
    info: &[u8],
    with: &PrivateKey,
) -> Result<SecretKey, HpkeError> {
    let bytes = with.open(info, &wrapped.key)?;
    <[u8; 32]>::try_from(bytes.as_slice())
        .map(SecretKey::from_bytes)
        .map_err(|_| HpkeError::Open)
}

fn owner_info(dataset: &Name, card: &Digest) -> Vec<u8> {
    label::context(
        label::OWNER_KEY,
        &[dataset.as_str().as_bytes(), card.as_bytes()],
    )
}

/// Whether `path` is relative and stays below its folder: no empty, `.` or `..` part, no
/// backslash, no control character, at most 1,024 bytes.
pub fn is_clean_path(path: &str) -> bool {
    path.len() <= 1024
        && path
            .split('/')
            .all(|part| !part.is_empty() && part.len() <= 255 && part != "." && part != "..")
        && !path.chars().any(|c| c == '\\' || c.is_control())
}

impl MediaType {
    /// Bytes of unknown kind.
    pub fn octet_stream() -> Self {
        Self("application/octet-stream".to_owned())
    }

    /// The media type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MediaType {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let printable = text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        if !(3..=127).contains(&text.len()) || !printable || !text.contains('/') {
            return Err("a media type is 3 to 127 printable ASCII characters with a /");
        }
        Ok(Self(text))
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> Self {
        media_type.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> FileEntry {
        FileEntry {
            path: path.to_owned(),
            length: 5,
            header: Header::from_bytes(&{
                let mut bytes = [9; 40];
                bytes[0] = 40;
                bytes
            })
            .unwrap(),
            key_commitment: Hex([1; 32]),
            segments: Hex([2; 32]),
        }
    }

    fn folder(paths: &[&str]) -> Result<Manifest, ManifestError> {
        let files = paths.iter().map(|path| entry(path)).collect();
        let name = "data".parse().unwrap();
        Manifest::new(name, MediaType::octet_stream(), true, 65536, files, None)
    }

    #[test]
    fn a_manifest_survives_its_bytes_and_is_named_by_them() {
        let manifest = folder(&["a", "b/c"]).unwrap();
        let bytes = manifest.to_bytes();
        let id = Digest::of(&bytes);
        assert_eq!(Manifest::parse_object(&id, &bytes).unwrap(), manifest);
        let other = Digest::of(b"x");
        assert!(matches!(
            Manifest::parse_object(&other, &bytes),
            Err(ManifestError::ObjectId { .. })
        ));
    }

    #[test]
    fn paths_that_leave_the_folder_or_collide_are_refused() {
        let bad: [&[&str]; 9] = [
            &["../x"],
            &["/x"],
            &["a/../b"],
            &["a//b"],
            &[""],
            &["b", "a"],
            &["a", "a"],
            &["a", "a/b"],
            &["a", "a!", "a/b"],
        ];
        for paths in bad {
            assert!(folder(paths).is_err(), "{paths:?}");
        }
    }

    #[test]
    fn unknown_and_duplicate_fields_are_refused() {
        let text = String::from_utf8(folder(&["a"]).unwrap().to_bytes()).unwrap();
        let unknown = text.replacen('{', "{\"extra\":1,", 1);
        assert!(Manifest::parse(unknown.as_bytes()).is_err());
        let duplicate = text.replacen('{', "{\"version\":1,", 1);
        assert!(Manifest::parse(duplicate.as_bytes()).is_err());
        let version = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(matches!(
            Manifest::parse(version.as_bytes()),
            Err(ManifestError::Json(JsonError::Version { found: 2, .. }))
        ));
    }
}
