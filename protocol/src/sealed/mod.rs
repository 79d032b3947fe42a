//! Sealed objects: Tink's streaming AEAD, AES256-GCM-HKDF-SHA256, byte for byte (protocol.md §4).
//!
//! A sealed file is a 40-byte header and then segments of `segment_size` ciphertext bytes, the
//! first shortened by the header. Each segment is AES-256-GCM under a key derived from the data
//! key, the header's salt and the associated data; its nonce holds its position and whether it is
//! the last. Segments can be opened in any order.

pub mod manifest;
pub mod paths;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    crypto::{
        aead::{Aes256Gcm, AuthenticationError, NONCE_LEN, TAG_LEN},
        label,
        secret::SecretKey,
    },
    encoding::Hex,
    name::Name,
};

/// Length in bytes of a sealed file's header.
pub const HEADER_LEN: usize = 40;
/// The ciphertext segment size this release writes, in bytes.
pub const SEGMENT_SIZE: u32 = 64 * 1024;
/// Smallest segment size accepted: Tink's `AES256_GCM_HKDF_4KB`.
pub const MIN_SEGMENT_SIZE: u32 = 4 * 1024;
/// Largest segment size accepted: Tink's `AES256_GCM_HKDF_1MB`.
pub const MAX_SEGMENT_SIZE: u32 = 1024 * 1024;
/// Length in bytes of one entry of a file's list of segment digests.
pub const DIGEST_LEN: usize = 32;

const SALT_LEN: usize = 32;
const NONCE_PREFIX_LEN: usize = 7;

/// Why a sealed file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// A header that is not Tink's for a 256-bit derived key.
    #[error("the header is not that of AES256-GCM-HKDF-SHA256: expected its first byte to be 40")]
    Header,
    /// A segment size outside the accepted range.
    #[error("segment size {found} bytes: expected {MIN_SEGMENT_SIZE} to {MAX_SEGMENT_SIZE} bytes")]
    SegmentSize {
        /// The stated size in bytes.
        found: u32,
    },
    /// The file has more segments than the nonce can count (2³²), or a length that overflows.
    #[error("a plaintext of {length} bytes is too long for this segment size")]
    TooLong {
        /// The stated plaintext length in bytes.
        length: u64,
    },
    /// Ciphertext of another length than the segment has.
    #[error("segment {index} has {found} bytes, expected {expected}")]
    SegmentLength {
        /// Position of the segment.
        index: u32,
        /// Its length in bytes.
        found: usize,
        /// The length in bytes that it must have.
        expected: usize,
    },
    /// The segment is not the one the manifest names.
    #[error("segment {index} is not the one this object names: its BLAKE3 digest differs")]
    SegmentDigest {
        /// Position of the segment.
        index: u32,
    },
    /// The list of digests is not the one the manifest names.
    #[error("the list of segment digests is not the one this object names")]
    DigestList,
    /// Authentication failed: another key, other associated data, or altered bytes.
    #[error("segment {index} did not authenticate: wrong key, another dataset, or altered bytes")]
    Authentication {
        /// Position of the segment.
        index: u32,
    },
    /// The key is not the one the object was sealed with.
    #[error("wrong key: it does not match the object's commitment")]
    WrongKey,
}

/// The random start of a sealed file: `0x28 ‖ salt (32) ‖ nonce prefix (7)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Hex<HEADER_LEN>", into = "Hex<HEADER_LEN>")]
pub struct Header {
    salt: [u8; SALT_LEN],
    nonce_prefix: [u8; NONCE_PREFIX_LEN],
}

impl Header {
    /// A fresh header.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut header = Self {
            salt: [0; SALT_LEN],
            nonce_prefix: [0; NONCE_PREFIX_LEN],
        };
        rng.fill_bytes(&mut header.salt);
        rng.fill_bytes(&mut header.nonce_prefix);
        header
    }

    /// Parses the first 40 bytes of a sealed file.
    ///
    /// # Errors
    /// [`SealedError::Header`].
    pub fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Result<Self, SealedError> {
        if usize::from(bytes[0]) != HEADER_LEN {
            return Err(SealedError::Header);
        }
        let mut header = Self {
            salt: [0; SALT_LEN],
            nonce_prefix: [0; NONCE_PREFIX_LEN],
        };
        header.salt.copy_from_slice(&bytes[1..=SALT_LEN]);
        header.nonce_prefix.copy_from_slice(&bytes[1 + SALT_LEN..]);
        Ok(header)
    }

    /// The 40 bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        // HEADER_LEN is 40 and fits a byte.
        bytes[0] = HEADER_LEN as u8;
        bytes[1..=SALT_LEN].copy_from_slice(&self.salt);
        bytes[1 + SALT_LEN..].copy_from_slice(&self.nonce_prefix);
        bytes
    }

    /// HKDF-SHA256 of the data key under this header's salt: what binds file and key together.
    pub fn commitment(&self, key: &SecretKey) -> [u8; 32] {
        *derive(key, &self.salt, label::KEY_COMMITMENT.as_bytes()).expose()
    }
}

impl TryFrom<Hex<HEADER_LEN>> for Header {
    type Error = SealedError;

    fn try_from(bytes: Hex<HEADER_LEN>) -> Result<Self, SealedError> {
        Self::from_bytes(&bytes.0)
    }
}

impl From<Header> for Hex<HEADER_LEN> {
    fn from(header: Header) -> Self {
        Hex(header.to_bytes())
    }
}

/// The associated data of every file of the dataset called `dataset`.
pub fn associated_data(dataset: &Name) -> Vec<u8> {
    label::context(label::ASSOCIATED_DATA, &[dataset.as_str().as_bytes()])
}

/// The associated data of the table of paths of the folder called `dataset`.
pub fn path_table_associated_data(dataset: &Name) -> Vec<u8> {
    label::context(label::PATH_TABLE, &[dataset.as_str().as_bytes()])
}

/// The associated data of the folder called `dataset` where it is packed into one stream.
pub fn packed_folder_associated_data(dataset: &Name) -> Vec<u8> {
    label::context(label::PACKED_FOLDER, &[dataset.as_str().as_bytes()])
}

/// Where the segments of a sealed file lie, from its plaintext length and segment size alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    length: u64,
    segment_size: u32,
    segments: u32,
}

impl Layout {
    /// The layout of `length` plaintext bytes in segments of `segment_size` ciphertext bytes.
    ///
    /// # Errors
    /// A segment size outside the accepted range, or more than 2³² segments.
    pub fn new(length: u64, segment_size: u32) -> Result<Self, SealedError> {
        if !(MIN_SEGMENT_SIZE..=MAX_SEGMENT_SIZE).contains(&segment_size) {
            return Err(SealedError::SegmentSize {
                found: segment_size,
            });
        }
        let body = u64::from(segment_size) - TAG_LEN as u64;
        let segments = length
            .checked_add(HEADER_LEN as u64)
            .map(|padded| padded.div_ceil(body).max(1))
            .and_then(|segments| u32::try_from(segments).ok())
            .ok_or(SealedError::TooLong { length })?;
        Ok(Self {
            length,
            segment_size,
            segments,
        })
    }

    /// Plaintext length in bytes.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Ciphertext bytes in a full segment.
    pub const fn segment_size(&self) -> u32 {
        self.segment_size
    }

    /// Number of segments, at least one.
    pub const fn segments(&self) -> u32 {
        self.segments
    }

    /// Length in bytes of the whole sealed file, header included.
    pub fn sealed_length(&self) -> u64 {
        self.length + HEADER_LEN as u64 + u64::from(self.segments) * TAG_LEN as u64
    }

    /// The segment that holds plaintext byte `offset`.
    pub fn segment_of(&self, offset: u64) -> u32 {
        // `offset` < `length`, whose segment count fits a u32.
        ((offset + HEADER_LEN as u64) / self.body()) as u32
    }

    /// First plaintext byte of segment `index` and the number of plaintext bytes in it.
    pub fn plaintext(&self, index: u32) -> (u64, usize) {
        let body = self.body();
        let start = (u64::from(index) * body).saturating_sub(HEADER_LEN as u64);
        let end = ((u64::from(index) + 1) * body - HEADER_LEN as u64).min(self.length);
        (start, (end - start) as usize)
    }

    /// First byte in the sealed file of segment `index` and its number of ciphertext bytes.
    pub fn ciphertext(&self, index: u32) -> (u64, usize) {
        let offset = u64::from(index) * u64::from(self.segment_size);
        let offset = if index == 0 {
            HEADER_LEN as u64
        } else {
            offset
        };
        (offset, self.plaintext(index).1 + TAG_LEN)
    }

    const fn body(&self) -> u64 {
        self.segment_size as u64 - TAG_LEN as u64
    }
}

/// The derived key of one sealed file: seals and opens its segments.
pub struct SegmentCipher {
    key: Aes256Gcm,
    nonce_prefix: [u8; NONCE_PREFIX_LEN],
}

impl SegmentCipher {
    /// Derives the file's key as Tink does: HKDF-SHA256(data key, salt, info = associated data).
    pub fn new(key: &SecretKey, header: &Header, associated_data: &[u8]) -> Self {
        let derived = derive(key, &header.salt, associated_data);
        Self {
            key: Aes256Gcm::new(&derived),
            nonce_prefix: header.nonce_prefix,
        }
    }

    /// Encrypts `buffer` in place as segment `index` and returns its tag.
    pub fn seal(&self, index: u32, last: bool, buffer: &mut [u8]) -> [u8; TAG_LEN] {
        self.key.seal(self.nonce(index, last), b"", buffer)
    }

    /// Opens segment `index` standing at `buffer[start..]`, moves its plaintext to the front and
    /// returns the plaintext's length.
    ///
    /// # Errors
    /// [`SealedError::Authentication`].
    pub fn open_within(
        &self,
        index: u32,
        last: bool,
        buffer: &mut [u8],
        start: usize,
    ) -> Result<usize, SealedError> {
        self.key
            .open_within(self.nonce(index, last), b"", buffer, start)
            .map_err(|AuthenticationError| SealedError::Authentication { index })
    }

    fn nonce(&self, index: u32, last: bool) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[..NONCE_PREFIX_LEN].copy_from_slice(&self.nonce_prefix);
        nonce[NONCE_PREFIX_LEN..NONCE_LEN - 1].copy_from_slice(&index.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(last);
        nonce
    }
}

/// Opens the segments of one file in any order, checking each against its digest and its tag.
pub struct Opener {
    cipher: SegmentCipher,
    layout: Layout,
}

impl Opener {
    /// An opener for the file that starts with `header`.
    pub fn new(key: &SecretKey, header: &Header, associated_data: &[u8], layout: Layout) -> Self {
        Self {
            cipher: SegmentCipher::new(key, header, associated_data),
            layout,
        }
    }

    /// The file's layout.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Checks and opens the segment `index` standing at `buffer[start..]`, its plaintext moved to
    /// the front of `buffer`; returns the plaintext's length in bytes.
    ///
    /// # Errors
    /// Wrong length, wrong digest, or failed authentication.
    pub fn open_within(
        &self,
        index: u32,
        digest: &[u8; DIGEST_LEN],
        buffer: &mut [u8],
        start: usize,
    ) -> Result<usize, SealedError> {
        let (_, expected) = self.layout.ciphertext(index);
        let found = buffer.len() - start;
        if found != expected {
            return Err(SealedError::SegmentLength {
                index,
                found,
                expected,
            });
        }
        if blake3::hash(&buffer[start..]).as_bytes() != digest {
            return Err(SealedError::SegmentDigest { index });
        }
        self.cipher
            .open_within(index, index + 1 == self.layout.segments, buffer, start)
    }
}

/// Seals the segments of one file, in order, where they stand.
pub struct SegmentSealer {
    cipher: SegmentCipher,
    header: Header,
    commitment: [u8; 32],
    index: u32,
    length: u64,
    digests: Vec<u8>,
}

impl SegmentSealer {
    /// Starts a file with a fresh header under `key`.
    pub fn new(key: &SecretKey, associated_data: &[u8], rng: &mut impl CryptoRng) -> Self {
        let header = Header::generate(rng);
        Self {
            cipher: SegmentCipher::new(key, &header, associated_data),
            commitment: header.commitment(key),
            header,
            index: 0,
            length: 0,
            digests: Vec::new(),
        }
    }

    /// The file's header, which stands before its first segment.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Plaintext bytes in the next segment where segments have `segment_size` ciphertext bytes
    /// and it is full.
    pub const fn room(&self, segment_size: u32) -> usize {
        let body = segment_size as usize - TAG_LEN;
        if self.index == 0 {
            body - HEADER_LEN
        } else {
            body
        }
    }

    /// Seals the next segment: `segment` is its plaintext and room for the tag, [`TAG_LEN`] bytes,
    /// behind it.
    ///
    /// # Errors
    /// [`SealedError::TooLong`]: 2³² segments were sealed already.
    ///
    /// # Panics
    /// When `segment` has no room for the tag.
    pub fn seal(&mut self, segment: &mut [u8], last: bool) -> Result<(), SealedError> {
        let next = self.index.checked_add(1).ok_or(SealedError::TooLong {
            length: self.length,
        })?;
        let length = segment.len() - TAG_LEN;
        let (plaintext, tag) = segment.split_at_mut(length);
        tag.copy_from_slice(&self.cipher.seal(self.index, last, plaintext));
        self.digests
            .extend_from_slice(blake3::hash(segment).as_bytes());
        self.index = next;
        self.length += length as u64;
        Ok(())
    }

    /// What the manifest says of the file; its last segment must have been sealed.
    pub fn finish(self) -> SealedFile {
        SealedFile {
            length: self.length,
            header: self.header,
            key_commitment: self.commitment,
            digests: self.digests,
        }
    }
}

/// Seals one file as it is written, holding one segment in memory.
pub struct Sealer {
    segments: SegmentSealer,
    segment_size: u32,
    /// Wiped on drop: it may hold plaintext that was never sealed.
    buffer: Zeroizing<Vec<u8>>,
    started: bool,
}

/// What a manifest says of a file that was sealed.
#[derive(Clone, Debug)]
pub struct SealedFile {
    /// Plaintext length in bytes.
    pub length: u64,
    /// The file's header.
    pub header: Header,
    /// [`Header::commitment`] of the data key.
    pub key_commitment: [u8; 32],
    /// The BLAKE3 digest of every segment's ciphertext in order, 32 bytes each, end to end.
    pub digests: Vec<u8>,
}

impl SealedFile {
    /// BLAKE3 of the list of digests.
    pub fn digest_list_digest(&self) -> [u8; 32] {
        *blake3::hash(&self.digests).as_bytes()
    }
}

impl Sealer {
    /// Starts a file with a fresh header under `key`.
    ///
    /// # Panics
    /// When `segment_size` is outside [`MIN_SEGMENT_SIZE`]..=[`MAX_SEGMENT_SIZE`].
    pub fn new(
        key: &SecretKey,
        associated_data: &[u8],
        segment_size: u32,
        rng: &mut impl CryptoRng,
    ) -> Self {
        assert!((MIN_SEGMENT_SIZE..=MAX_SEGMENT_SIZE).contains(&segment_size));
        Self {
            segments: SegmentSealer::new(key, associated_data, rng),
            segment_size,
            buffer: Zeroizing::new(Vec::with_capacity(segment_size as usize)),
            started: false,
        }
    }

    /// Takes plaintext and hands every finished stretch of the sealed file, in order, to `sink`.
    ///
    /// # Errors
    /// Whatever `sink` returns; the sealer must then be dropped.
    pub fn write<E>(
        &mut self,
        mut plaintext: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !plaintext.is_empty() {
            let capacity = self.segments.room(self.segment_size);
            if self.buffer.len() == capacity {
                // More plaintext follows, so this segment is not the last.
                self.flush(false, &mut sink)?;
                continue;
            }
            let room = capacity - self.buffer.len();
            let (now, rest) = plaintext.split_at(room.min(plaintext.len()));
            self.buffer.extend_from_slice(now);
            plaintext = rest;
        }
        Ok(())
    }

    /// Seals the last segment.
    ///
    /// # Errors
    /// Whatever `sink` returns.
    pub fn finish<E>(
        mut self,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<SealedFile, E> {
        self.flush(true, &mut sink)?;
        Ok(self.segments.finish())
    }

    fn flush<E>(
        &mut self,
        last: bool,
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !std::mem::replace(&mut self.started, true) {
            sink(&self.segments.header.to_bytes())?;
        }
        self.buffer.extend_from_slice(&[0; TAG_LEN]);
        self.segments
            .seal(&mut self.buffer, last)
            // 2³² segments of at least 4 KiB are 16 TiB, which no output limit allows.
            .unwrap_or_else(|error| unreachable!("{error}"));
        sink(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn derive(key: &SecretKey, salt: &[u8], info: &[u8]) -> SecretKey {
    SecretKey::filled(|derived| {
        Hkdf::<Sha256>::new(Some(salt), key.expose())
            .expand(info, derived)
            // 32 bytes is within HKDF's 255 × 32.
            .unwrap_or_else(|error| unreachable!("HKDF of 32 bytes: {error}"));
    })
}

#[cfg(test)]
mod tests;
