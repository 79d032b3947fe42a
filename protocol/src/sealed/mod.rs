//! Sealed objects: Tink's streaming AEAD, AES256-GCM-HKDF-SHA256, byte for byte (protocol.md §4).
//!
//! A sealed file is a 40-byte [`Header`] and then segments of `segment_size` ciphertext bytes, the
//! first shortened by the header; [`Layout`] says where each lies. A segment is AES-256-GCM under a
//! key derived from the data key, the header's salt and the associated data; its nonce holds its
//! position and whether it is the last, so segments can be opened in any order.
//!
//! [`Writer`] is a `Write` that seals and [`Reader`] a `Read` and `Seek` that opens. Who fetches
//! segments otherwise opens them with an [`Opener`], many at once. The [`manifest`] says what
//! belongs to an object, and [`paths`] which files a folder has. [`PageCipher`] is for scratch pages,
//! which nobody but their own enclave opens.

mod error;
mod header;
pub mod key;
mod layout;
pub mod manifest;
mod pages;
pub mod paths;
mod reader;
mod segment;
pub mod small;
mod writer;

pub use error::SealedError;
pub use header::{
    Header, associated_data, packed_folder_associated_data, path_table_associated_data,
};
pub use layout::{Layout, Span};
pub use pages::PageCipher;
pub use reader::{ReadAt, Reader};
pub use segment::{Opener, SealedFile, Sealer, SegmentCipher};
pub use writer::{CopyError, PartSink, Writer, seal_bytes};

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

#[cfg(test)]
mod tests;
