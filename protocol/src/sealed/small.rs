//! A small object in one piece: what it is made of, end to end, where one request and one record do
//! the work of many (protocol.md §9).

use super::{
    DIGEST_LEN,
    manifest::{Manifest, ManifestError},
};

/// Most bytes of a small object.
pub const MAX_LEN: usize = 64 * 1024;
/// Bytes of the number before the manifest.
const NUMBER: usize = 4;

/// A small object, in parts of the bytes that it was read from. Nothing but lengths was checked.
#[derive(Debug)]
pub struct SmallObject<'b> {
    manifest: Manifest,
    manifest_bytes: &'b [u8],
    streams: Vec<Stream<'b>>,
}

/// One of its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream<'b> {
    /// The list of its segments' digests.
    pub digests: &'b [u8],
    /// Its sealed bytes.
    pub file: &'b [u8],
}

/// Why bytes are no small object.
#[derive(Debug, thiserror::Error)]
pub enum SmallObjectError {
    /// More than [`MAX_LEN`] bytes.
    #[error("a small object has at most {MAX_LEN} bytes, found {found}")]
    TooLong {
        /// How many there are.
        found: usize,
    },
    /// Its manifest is none.
    #[error("the small object's manifest is not valid: {0}")]
    Manifest(#[from] ManifestError),
    /// Too few bytes, or too many.
    #[error("a small object of {found} bytes is not as long as its parts are")]
    Length {
        /// How many there are.
        found: usize,
    },
}

impl<'b> SmallObject<'b> {
    /// The object in one piece: the manifest's length as a big-endian `u32`, the manifest, and for each
    /// stream the list of its digests and its sealed bytes. `None` where it is not small.
    pub fn encode(
        manifest: &[u8],
        streams: impl IntoIterator<Item = Stream<'b>>,
    ) -> Option<Vec<u8>> {
        let mut bytes = u32::try_from(manifest.len()).ok()?.to_be_bytes().to_vec();
        bytes.extend_from_slice(manifest);
        for Stream { digests, file } in streams {
            if bytes.len() + digests.len() + file.len() > MAX_LEN {
                return None;
            }
            bytes.extend_from_slice(digests);
            bytes.extend_from_slice(file);
        }
        (bytes.len() <= MAX_LEN).then_some(bytes)
    }

    /// Whether the object of this manifest, which has `length` bytes, is small.
    pub fn is_small(manifest: &Manifest, length: usize) -> bool {
        let streams = (0..manifest.stream_count()).map(|index| {
            let [digests, file] = lengths(manifest, index);
            digests.saturating_add(file)
        });
        let all = streams.fold((NUMBER + length) as u64, u64::saturating_add);
        all <= MAX_LEN as u64
    }

    /// Reads an object in one piece.
    ///
    /// # Errors
    /// [`SmallObjectError`].
    pub fn parse(bytes: &'b [u8]) -> Result<Self, SmallObjectError> {
        let found = bytes.len();
        if found > MAX_LEN {
            return Err(SmallObjectError::TooLong { found });
        }
        let short = SmallObjectError::Length { found };
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return Err(short);
        };
        let length = u32::from_be_bytes(*length) as usize;
        let Some((manifest_bytes, mut rest)) = rest.split_at_checked(length) else {
            return Err(short);
        };
        let manifest = Manifest::parse(manifest_bytes)?;
        let mut take = |length: u64| -> Option<&'b [u8]> {
            let (part, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = left;
            Some(part)
        };
        let mut streams = Vec::new();
        for index in 0..manifest.stream_count() {
            let [digests, file] = lengths(&manifest, index).map(&mut take);
            let (Some(digests), Some(file)) = (digests, file) else {
                return Err(short);
            };
            streams.push(Stream { digests, file });
        }
        if !rest.is_empty() {
            return Err(short);
        }
        Ok(Self {
            manifest,
            manifest_bytes,
            streams,
        })
    }

    /// Its manifest.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its manifest's exact bytes.
    pub const fn manifest_bytes(&self) -> &'b [u8] {
        self.manifest_bytes
    }

    /// Its streams, in the manifest's order.
    pub fn streams(&self) -> &[Stream<'b>] {
        &self.streams
    }
}

/// Bytes of a stream's digests, and of the stream.
fn lengths(manifest: &Manifest, index: usize) -> [u64; 2] {
    let layout = manifest.layout(index);
    let digests = u64::from(layout.segments()) * DIGEST_LEN as u64;
    [digests, layout.sealed_length()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SecretKey,
        sealed::{
            SEGMENT_SIZE, associated_data,
            manifest::{Content, MediaType, SealedStream},
            seal_bytes,
        },
    };

    fn object(length: usize) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let name = "data".parse().unwrap();
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let key = SecretKey::generate(&mut rng);
        let aad = associated_data(&name);
        let (bytes, file) = seal_bytes(&key, &aad, SEGMENT_SIZE, &vec![7; length], &mut rng);
        let content = Content::File(SealedStream::new(&file));
        let manifest =
            Manifest::new(name, MediaType::octet_stream(), SEGMENT_SIZE, content, None).unwrap();
        (manifest.to_bytes(), file.digests, bytes)
    }

    #[test]
    fn what_was_put_together_is_taken_apart_alike_and_nothing_else_is() {
        for length in [0, 1, 50_000] {
            let (manifest, digests, file) = object(length);
            let stream = Stream {
                digests: &digests,
                file: &file,
            };
            let whole = SmallObject::encode(&manifest, [stream]).unwrap();
            let parsed = SmallObject::parse(&whole).unwrap();
            assert_eq!(parsed.manifest_bytes(), manifest);
            assert_eq!(parsed.streams(), [stream]);
            assert!(SmallObject::is_small(parsed.manifest(), manifest.len()));
            for cut in 0..whole.len() {
                assert!(SmallObject::parse(&whole[..cut]).is_err(), "{cut}");
            }
            let longer = [whole.as_slice(), b"x"].concat();
            assert!(SmallObject::parse(&longer).is_err());
        }
    }

    #[test]
    fn what_is_not_small_is_not_put_together() {
        let (manifest, digests, file) = object(MAX_LEN);
        let stream = Stream {
            digests: &digests,
            file: &file,
        };
        assert_eq!(SmallObject::encode(&manifest, [stream]), None);
        let parsed = Manifest::parse(&manifest).unwrap();
        assert!(!SmallObject::is_small(&parsed, manifest.len()));
        let long = vec![0; MAX_LEN + 1];
        assert!(matches!(
            SmallObject::parse(&long),
            Err(SmallObjectError::TooLong { .. })
        ));
    }
}
