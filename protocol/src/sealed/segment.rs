//! One segment at a time: the cipher, and who seals and opens with it.

use rand_core::CryptoRng;

use super::{
    DIGEST_LEN, HEADER_LEN, Header, Layout, MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE, SealedError, Span,
    header::NONCE_PREFIX_LEN,
};
use crate::{
    SecretKey,
    crypto::aead::{Aes256Gcm, AuthenticationError, NONCE_LEN, TAG_LEN},
};

/// Seals the segments of one file, in order, where they stand.
pub struct Sealer {
    segment_size: u32,
    cipher: SegmentCipher,
    header: Header,
    commitment: [u8; 32],
    index: u32,
    length: u64,
    digests: Vec<u8>,
}

impl Sealer {
    /// Starts a file with a fresh header under `key`, in segments of `segment_size` ciphertext bytes.
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
        let header = Header::generate(rng);
        Self {
            segment_size,
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

    /// Ciphertext bytes in a full segment.
    pub const fn segment_size(&self) -> usize {
        self.segment_size as usize
    }

    /// Plaintext bytes in the next segment where it is full.
    pub const fn room(&self) -> usize {
        let body = self.segment_size() - TAG_LEN;
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
            .open_within(index, index + 1 == self.layout.segments(), buffer, start)
    }

    /// Checks and opens the segments of `span`, which are the whole of `buffer`, and moves their
    /// plaintext to its front, end to end; returns the plaintext's length in bytes. `digests` are
    /// theirs.
    ///
    /// # Errors
    /// As [`open_within`](Self::open_within), for the first segment that is not right.
    pub fn open_span(
        &self,
        span: Span,
        digests: &[[u8; DIGEST_LEN]],
        buffer: &mut [u8],
    ) -> Result<usize, SealedError> {
        let (mut read, mut written) = (0, 0);
        for (place, index) in span.segments().enumerate() {
            let (_, expected) = self.layout.ciphertext(index);
            let end = (read + expected).min(buffer.len());
            let digest = digests.get(place).ok_or(SealedError::DigestList)?;
            let window = &mut buffer[written..end];
            written += self.open_within(index, digest, window, read - written)?;
            read = end;
        }
        if read != buffer.len() {
            let (_, expected) = self.layout.sealed(span);
            return Err(SealedError::SegmentLength {
                index: span.last(),
                found: buffer.len(),
                expected,
            });
        }
        Ok(written)
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
        let derived = key.derive(&header.salt, associated_data);
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
