//! Manifests: the exact version of a dataset, named by the SHA-256 of the manifest's bytes
//! (protocol.md §5).
//!
//! The host reads them, so no path stands in one: a folder's files have numbers here, and names in
//! a table that is sealed as they are ([`PathTable`](crate::sealed::paths::PathTable)).

use std::{io, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Name, SecretKey,
    crypto::{
        hpke::{HpkeError, PrivateKey, PublicKey, Sealed},
        label,
    },
    encoding::{Hex, JsonError, check_version, parse_json, to_json},
    sealed::{
        HEADER_LEN, Header, Layout, Opener, ReadAt, Reader, SealedError, SealedFile,
        associated_data, packed_folder_associated_data, path_table_associated_data,
        paths::{self, MAX_FILES},
    },
};

/// Largest manifest accepted, in bytes.
pub const MAX_LEN: usize = 16 * 1024 * 1024;
/// The media type of bytes of unknown kind.
const OCTET_STREAM: &str = "application/octet-stream";
/// Most sealed streams one object may have: the files of a folder, and their table of paths.
pub const MAX_STREAMS: usize = MAX_FILES + 1;

/// One version of a dataset or one output of a job.
///
/// ```
/// use std::io::Read as _;
///
/// use mc2_protocol::{
///     Digest, Identity, Manifest, SecretKey,
///     sealed::{
///         associated_data,
///         manifest::{Content, MediaType, SealedStream, WrappedKey},
///         seal_bytes,
///     },
/// };
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let owner = Identity::generate("bank-a".parse()?, &mut rng);
/// let (dataset, key) = ("orders".parse()?, SecretKey::generate(&mut rng));
///
/// // One sealed file, which goes to the host, and its manifest, which says what it is.
/// let purpose = associated_data(&dataset);
/// let (sealed, file) = seal_bytes(&key, &purpose, 4096, b"id,amount\n1,42\n", &mut rng);
/// let content = Content::File(SealedStream::new(&file));
/// let card = owner.card();
/// let wrapped = WrappedKey::for_owner(&dataset, *card.digest(), card.public_key(), &key, &mut rng);
/// let media_type = MediaType::octet_stream();
/// let bytes = Manifest::new(dataset, media_type, 4096, content, Some(wrapped))?.to_bytes();
///
/// // The object is called what its manifest hashes to, and that is checked before it is read.
/// let manifest = Manifest::parse_object(&Digest::of(&bytes), &bytes)?;
/// let wrapped = manifest.owner().expect("it was sealed by its owner");
/// let key = wrapped.open_as_owner(manifest.dataset(), owner.private_key())?;
/// let mut text = String::new();
/// manifest.reader(0, &key, file.digests, sealed.as_slice())?.read_to_string(&mut text)?;
/// assert_eq!(text, "id,amount\n1,42\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    dataset: Name,
    media_type: MediaType,
    segment_size: u32,
    content: Content,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<WrappedKey>,
}

/// What an object is, and its sealed streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Content {
    /// A single file.
    File(SealedStream),
    /// A folder whose files are sealed one by one, as an owner seals it: the host knows them by
    /// number.
    Folder {
        /// The files in the order of their paths' bytes.
        files: Vec<SealedStream>,
        /// The padded table of their paths. As a stream its number follows the last file's.
        table: SealedStream,
    },
    /// A folder in one stream, as a job leaves it: the table of its paths, then its files end to
    /// end. The host knows neither how many there are nor how long each is.
    Packed(SealedStream),
}

/// One sealed stream of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedStream {
    /// Plaintext length in bytes, padding included.
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(String);

/// Why a manifest was refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest at all.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Counts or lengths that a dataset cannot have.
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
    /// The manifest of a dataset whose streams were just sealed.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn new(
        dataset: Name,
        media_type: MediaType,
        segment_size: u32,
        content: Content,
        owner: Option<WrappedKey>,
    ) -> Result<Self, ManifestError> {
        let version = crate::VERSION;
        Self {
            version,
            dataset,
            media_type,
            segment_size,
            content,
            owner,
        }
        .checked()
    }

    /// Parses a manifest.
    ///
    /// # Errors
    /// Not a manifest of this version, more than [`MAX_LEN`] bytes or [`MAX_FILES`] files, or an
    /// impossible length.
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

    /// What the object is.
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// Whether the dataset is a folder of files rather than one file.
    pub const fn is_folder(&self) -> bool {
        !matches!(self.content, Content::File(_))
    }

    /// How many sealed streams the object has. They have numbers from 0.
    pub fn stream_count(&self) -> usize {
        match &self.content {
            Content::File(_) | Content::Packed(_) => 1,
            Content::Folder { files, .. } => files.len() + 1,
        }
    }

    /// The streams in the order of their numbers.
    pub fn streams(&self) -> impl Iterator<Item = &SealedStream> {
        let (files, table) = match &self.content {
            Content::File(one) | Content::Packed(one) => (&[][..], one),
            Content::Folder { files, table } => (&files[..], table),
        };
        files.iter().chain([table])
    }

    /// Stream `index`.
    ///
    /// # Panics
    /// When there is no such stream.
    pub fn stream(&self, index: usize) -> &SealedStream {
        match &self.content {
            Content::Folder { files, .. } if index < files.len() => &files[index],
            Content::File(last) | Content::Packed(last) | Content::Folder { table: last, .. } => {
                assert_eq!(index, self.stream_count() - 1, "a stream's number");
                last
            }
        }
    }

    /// The owner's wrapped data key, where there is an owner.
    pub const fn owner(&self) -> Option<&WrappedKey> {
        self.owner.as_ref()
    }

    /// Sum of the files' plaintext lengths in bytes, as far as the manifest tells: of a packed
    /// folder with its table and padding.
    pub fn length(&self) -> u64 {
        let files = match &self.content {
            Content::File(one) | Content::Packed(one) => std::slice::from_ref(one),
            Content::Folder { files, .. } => files,
        };
        files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.length))
    }

    /// Where stream `index`'s segments lie.
    ///
    /// # Panics
    /// When there is no such stream.
    pub fn layout(&self, index: usize) -> Layout {
        Layout::new(self.stream(index).length, self.segment_size)
            // `checked` made this very layout.
            .unwrap_or_else(|error| unreachable!("checked layout: {error}"))
    }

    /// An opener for stream `index`, if `key` is the one it was sealed with.
    ///
    /// # Errors
    /// [`SealedError::WrongKey`].
    ///
    /// # Panics
    /// When there is no such stream.
    pub fn opener(&self, index: usize, key: &SecretKey) -> Result<Opener, SealedError> {
        let stream = self.stream(index);
        if stream.header.commitment(key) != stream.key_commitment.0 {
            return Err(SealedError::WrongKey);
        }
        let dataset = &self.dataset;
        let associated_data = match &self.content {
            Content::Packed(_) => packed_folder_associated_data(dataset),
            Content::Folder { files, .. } if index == files.len() => {
                path_table_associated_data(dataset)
            }
            Content::File(_) | Content::Folder { .. } => associated_data(dataset),
        };
        let layout = self.layout(index);
        Ok(Opener::new(key, &stream.header, &associated_data, layout))
    }

    /// The plaintext of stream `index`, whose bytes `source` has and whose list of segment digests
    /// is `digests`, if `key` is the one it was sealed with.
    ///
    /// # Errors
    /// [`SealedError`], in an error of the kind `InvalidData`: another key, list or header; and the
    /// source's.
    ///
    /// # Panics
    /// When there is no such stream.
    pub fn reader<S: ReadAt>(
        &self,
        index: usize,
        key: &SecretKey,
        digests: Vec<u8>,
        mut source: S,
    ) -> io::Result<Reader<S>> {
        let refused = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let opener = self.opener(index, key).map_err(refused)?;
        let stream = self.stream(index);
        if !stream.names_digests(&digests) {
            return Err(refused(SealedError::DigestList));
        }
        let mut header = [0; HEADER_LEN];
        source.read_exact_at(0, &mut header)?;
        if header != stream.header.to_bytes() {
            return Err(refused(SealedError::Header));
        }
        Reader::new(opener, digests, source)
    }

    fn checked(self) -> Result<Self, ManifestError> {
        check_version("the manifest", self.version)?;
        let invalid = |reason: String| ManifestError::Invalid {
            dataset: self.dataset.clone(),
            reason,
        };
        if let Content::Folder { files, table } = &self.content {
            if files.len() > MAX_FILES {
                return Err(invalid(format!(
                    "{} files, at most {MAX_FILES} are accepted",
                    files.len()
                )));
            }
            if table.length > paths::MAX_LEN as u64 {
                return Err(invalid(format!(
                    "a table of paths of {} bytes, at most {} are accepted",
                    table.length,
                    paths::MAX_LEN
                )));
            }
        }
        for stream in self.streams() {
            Layout::new(stream.length, self.segment_size).map_err(|source| {
                ManifestError::Layout {
                    dataset: self.dataset.clone(),
                    source,
                }
            })?;
        }
        Ok(self)
    }
}

impl SealedStream {
    /// What a manifest says of a stream that was sealed.
    pub fn new(file: &SealedFile) -> Self {
        Self {
            length: file.length,
            header: file.header,
            key_commitment: Hex(file.key_commitment),
            segments: Hex(file.digest_list_digest()),
        }
    }

    /// Whether `digests` is the list of its segments' digests.
    pub fn names_digests(&self, digests: &[u8]) -> bool {
        *blake3::hash(digests).as_bytes() == self.segments.0
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
    SecretKey::from_slice(&bytes).ok_or(HpkeError::Open)
}

fn owner_info(dataset: &Name, card: &Digest) -> Vec<u8> {
    label::context(
        label::OWNER_KEY,
        &[dataset.as_str().as_bytes(), card.as_bytes()],
    )
}

impl MediaType {
    /// Bytes of unknown kind.
    pub fn octet_stream() -> Self {
        Self(OCTET_STREAM.to_owned())
    }

    /// Whether nothing is known of the bytes.
    pub fn is_octet_stream(&self) -> bool {
        self.0 == OCTET_STREAM
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

impl FromStr for MediaType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
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

    fn stream(length: u64) -> SealedStream {
        SealedStream {
            length,
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

    fn manifest(content: Content) -> Result<Manifest, ManifestError> {
        let name = "data".parse().unwrap();
        Manifest::new(name, MediaType::octet_stream(), 65536, content, None)
    }

    fn folder(files: usize, table: u64) -> Content {
        Content::Folder {
            files: vec![stream(5); files],
            table: stream(table),
        }
    }

    #[test]
    fn a_manifest_survives_its_bytes_and_is_named_by_them() {
        for content in [
            Content::File(stream(5)),
            folder(2, 4096),
            Content::Packed(stream(5)),
        ] {
            let manifest = manifest(content).unwrap();
            let bytes = manifest.to_bytes();
            let id = Digest::of(&bytes);
            assert_eq!(Manifest::parse_object(&id, &bytes).unwrap(), manifest);
            let other = Digest::of(b"x");
            assert!(matches!(
                Manifest::parse_object(&other, &bytes),
                Err(ManifestError::ObjectId { .. })
            ));
            assert_eq!(manifest.streams().count(), manifest.stream_count());
            for (index, stream) in manifest.streams().enumerate() {
                assert_eq!(manifest.stream(index), stream);
                assert_eq!(manifest.layout(index).length(), stream.length);
            }
        }
    }

    #[test]
    fn counts_and_lengths_are_bounded() {
        assert!(manifest(folder(MAX_FILES, 4096)).is_ok());
        assert!(manifest(folder(MAX_FILES + 1, 4096)).is_err());
        assert!(manifest(folder(1, paths::MAX_LEN as u64)).is_ok());
        assert!(manifest(folder(1, paths::MAX_LEN as u64 + 1)).is_err());
        assert!(manifest(Content::Packed(stream(u64::MAX))).is_err());
    }

    #[test]
    fn unknown_and_duplicate_fields_are_refused() {
        let text = String::from_utf8(manifest(folder(1, 4096)).unwrap().to_bytes()).unwrap();
        for (from, to) in [
            ("{", "{\"extra\":1,"),
            ("{", "{\"version\":1,"),
            ("\"folder\":{", "\"folder\":{\"extra\":1,"),
            ("\"length\":5", "\"length\":5,\"path\":\"a\""),
            ("\"content\":{", "\"content\":{\"file\":null,"),
        ] {
            assert!(text.contains(from), "{from}");
            let other = text.replacen(from, to, 1);
            assert!(Manifest::parse(other.as_bytes()).is_err(), "{to}");
        }
        let version = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(matches!(
            Manifest::parse(version.as_bytes()),
            Err(ManifestError::Json(JsonError::Version { found: 2, .. }))
        ));
    }
}
