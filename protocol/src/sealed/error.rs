//! Why sealed data is refused.

use super::{MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE};

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
