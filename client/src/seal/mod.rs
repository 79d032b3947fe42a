//! Sealing a dataset in one pass and constant memory, into a folder or onto a host.
//!
//! [`seal_stream`] is the inner loop: plaintext is read to where its ciphertext will stand, sealed
//! there, and handed on in parts of 64 segments. [`seal`] does that for every file of a
//! [`Source`], and for a folder's table of paths, under one fresh data key and ends with the
//! manifest.

pub mod media;
pub mod object;
pub mod source;

use std::io::{self, Read};

use mc2_protocol::{
    Card, Digest, Manifest, Name, SecretKey,
    crypto::aead::TAG_LEN,
    sealed::{
        HEADER_LEN, Layout, SEGMENT_SIZE, SealedError, SealedFile, SegmentSealer, associated_data,
        manifest::{Content, ManifestError, SealedStream, WrappedKey},
        path_table_associated_data,
        paths::{PathEntry, PathTable, PathTableError},
    },
};

use source::{Source, SourceError, SourceFile};

/// Bytes of a sealed file that are handed on at once: 64 segments.
pub const PART_LEN: usize = 64 * SEGMENT_SIZE as usize;

/// Where the pieces of a sealed object go.
pub trait Sink {
    /// Takes the bytes of stream `index` from `offset` on. It may take the buffer away.
    ///
    /// # Errors
    /// Whatever stops the sealing.
    fn part(&mut self, index: usize, offset: u64, bytes: &mut Vec<u8>) -> Result<(), SinkError>;

    /// Takes the whole list of segment digests of stream `index`.
    ///
    /// # Errors
    /// Whatever stops the sealing.
    fn digests(&mut self, index: usize, digests: Vec<u8>) -> Result<(), SinkError>;
}

/// Why a sink took no more.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// Why a dataset was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Reading a file failed on the way.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file has more segments than a nonce can count.
    #[error("{path} is longer than a sealed file can be")]
    TooLong {
        /// The file.
        path: String,
    },
    /// The pieces could not be stored.
    #[error("the sealed data could not be stored")]
    Sink(#[source] SinkError),
    /// The dataset is one no manifest can describe.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The folder's paths are such as no folder can have.
    #[error("the folder's table of paths cannot be made")]
    Paths(#[from] PathTableError),
}

/// A dataset that was sealed, and its key.
pub struct Sealed {
    /// SHA-256 of the manifest: the object's id.
    pub object: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's exact bytes.
    pub manifest_bytes: Vec<u8>,
    /// The data key.
    pub key: SecretKey,
}

/// Seals all of `source` as a version of `dataset` for `owner`, telling `progress` how many
/// plaintext bytes are done.
///
/// # Errors
/// [`SealError`]; what the sink took so far is then of no use.
pub fn seal(
    source: &Source,
    dataset: &Name,
    owner: &Card,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(u64),
) -> Result<Sealed, SealError> {
    let mut rng = crate::random();
    let key = SecretKey::generate(&mut rng);
    let associated_data = associated_data(dataset);
    let media_type = source.media_type()?;
    let mut done = 0;
    let mut files = Vec::with_capacity(source.files().len());
    let mut paths = Vec::with_capacity(source.files().len());
    for (index, file) in source.files().iter().enumerate() {
        let mut reader = file.open()?;
        let mut take = |offset, bytes: &mut Vec<u8>| {
            let taken = bytes.len() as u64;
            sink.part(index, offset, bytes)?;
            progress(done + (offset + taken).min(file.length));
            Ok(())
        };
        let sealed = seal_stream(&mut reader, &key, &associated_data, file.length, &mut take)
            .map_err(|error| error.of(file))?;
        done += sealed.length;
        progress(done);
        files.push(SealedStream::new(&sealed));
        paths.push(PathEntry {
            path: file.name.clone(),
            length: sealed.length,
        });
        sink.digests(index, sealed.digests)
            .map_err(SealError::Sink)?;
    }
    let content = match files.pop() {
        Some(file) if !source.is_folder() => Content::File(file),
        last => {
            files.extend(last);
            let table = seal_table(paths, &key, dataset, files.len(), sink)?;
            Content::Folder { files, table }
        }
    };
    let owner = WrappedKey::for_owner(dataset, *owner.digest(), owner.public_key(), &key, &mut rng);
    let manifest = Manifest::new(
        dataset.clone(),
        media_type,
        SEGMENT_SIZE,
        content,
        Some(owner),
    )?;
    let manifest_bytes = manifest.to_bytes();
    Ok(Sealed {
        object: Digest::of(&manifest_bytes),
        manifest,
        manifest_bytes,
        key,
    })
}

/// Seals a folder's padded table of paths as stream `index`.
fn seal_table(
    paths: Vec<PathEntry>,
    key: &SecretKey,
    dataset: &Name,
    index: usize,
    sink: &mut dyn Sink,
) -> Result<SealedStream, SealError> {
    let table = PathTable::new(paths)?.encode_padded();
    let mut sealed = Vec::new();
    let associated_data = path_table_associated_data(dataset);
    let stream = seal_bytes(&table, key, &associated_data, &mut sealed);
    // A table has few segments.
    let stream = stream.unwrap_or_else(|error| unreachable!("a capped table: {error}"));
    let mut offset = 0;
    for part in sealed.chunks(PART_LEN) {
        let length = part.len() as u64;
        sink.part(index, offset, &mut part.to_vec())
            .map_err(SealError::Sink)?;
        offset += length;
    }
    let entry = SealedStream::new(&stream);
    sink.digests(index, stream.digests)
        .map_err(SealError::Sink)?;
    Ok(entry)
}

/// Why [`seal_stream`] stopped.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The reader failed.
    #[error("reading failed")]
    Read(#[source] io::Error),
    /// More than 2³² segments.
    #[error("more data than a sealed file can hold")]
    TooLong,
    /// The sink failed.
    #[error("storing failed")]
    Sink(#[source] SinkError),
}

impl StreamError {
    fn of(self, file: &SourceFile) -> SealError {
        let path = file.display_path().display().to_string();
        match self {
            Self::Read(source) => SealError::Read { path, source },
            Self::TooLong => SealError::TooLong { path },
            Self::Sink(error) => SealError::Sink(error),
        }
    }
}

/// Takes the offset and the bytes of each part of one sealed file; it may take the buffer away.
pub type PartSink<'a> = dyn FnMut(u64, &mut Vec<u8>) -> Result<(), SinkError> + 'a;

/// Seals everything `reader` gives as one file and hands it, header first, to `sink` in parts of
/// at most [`PART_LEN`] bytes with their offsets.
///
/// `expected` is how many bytes are likely to come; it sizes the buffer and nothing else.
///
/// # Errors
/// [`StreamError`].
pub fn seal_stream(
    reader: &mut dyn Read,
    key: &SecretKey,
    associated_data: &[u8],
    expected: u64,
    sink: &mut PartSink<'_>,
) -> Result<SealedFile, StreamError> {
    let mut segments = SegmentSealer::new(key, associated_data, &mut crate::random());
    let segment_size = SEGMENT_SIZE as usize;
    let likely = (expected as usize)
        .saturating_add(segment_size)
        .next_multiple_of(segment_size);
    let mut buffer = vec![0; likely.min(PART_LEN)];
    buffer[..HEADER_LEN].copy_from_slice(&segments.header().to_bytes());

    // Where the next segment's plaintext starts in the buffer, and the buffer in the file.
    let mut start = HEADER_LEN;
    let mut offset = 0;
    let mut peeked = None;
    loop {
        let room = segments.room(SEGMENT_SIZE);
        let plaintext = &mut buffer[start..start + room];
        let mut length = 0;
        if let Some(byte) = peeked.take() {
            plaintext[0] = byte;
            length = 1;
        }
        length += fill(reader, &mut plaintext[length..]).map_err(StreamError::Read)?;
        if length == room {
            let mut byte = [0];
            if fill(reader, &mut byte).map_err(StreamError::Read)? == 1 {
                peeked = Some(byte[0]);
            }
        }
        let last = peeked.is_none();
        let end = start + length + TAG_LEN;
        segments
            .seal(&mut buffer[start..end], last)
            .map_err(|_| StreamError::TooLong)?;

        if last || end == buffer.len() {
            buffer.truncate(end);
            sink(offset, &mut buffer).map_err(StreamError::Sink)?;
            if last {
                return Ok(segments.finish());
            }
            offset += end as u64;
            start = 0;
            buffer.resize(PART_LEN, 0);
        } else {
            start = end;
        }
    }
}

/// Seals `plaintext` as one file behind what `out` holds already.
///
/// # Errors
/// [`SealedError::TooLong`].
pub fn seal_bytes(
    plaintext: &[u8],
    key: &SecretKey,
    associated_data: &[u8],
    out: &mut Vec<u8>,
) -> Result<SealedFile, SealedError> {
    let layout = Layout::new(plaintext.len() as u64, SEGMENT_SIZE)?;
    out.reserve(layout.sealed_length() as usize);
    let mut segments = SegmentSealer::new(key, associated_data, &mut crate::random());
    out.extend_from_slice(&segments.header().to_bytes());
    let mut rest = plaintext;
    loop {
        let (now, later) = rest.split_at(segments.room(SEGMENT_SIZE).min(rest.len()));
        // Sealed where it is to stand, while it is still in the second-level cache.
        let start = out.len();
        out.extend_from_slice(now);
        out.extend_from_slice(&[0; TAG_LEN]);
        segments.seal(&mut out[start..], later.is_empty())?;
        if later.is_empty() {
            return Ok(segments.finish());
        }
        rest = later;
    }
}

/// Reads until `buffer` is full or the reader is at its end; returns how many bytes came.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::open_bytes;
    use mc2_protocol::sealed::Opener;

    fn sealed(plaintext: &[u8], expected: u64) -> (SecretKey, Vec<u8>, SealedFile) {
        let key = SecretKey::from_bytes([5; 32]);
        let mut out = Vec::new();
        let file = seal_stream(
            &mut &*plaintext,
            &key,
            b"ad",
            expected,
            &mut |offset, bytes| {
                assert_eq!(offset, out.len() as u64);
                assert!(bytes.len() <= PART_LEN);
                out.extend_from_slice(bytes);
                Ok(())
            },
        );
        (key, out, file.unwrap())
    }

    fn opened(key: &SecretKey, sealed: &[u8], file: &SealedFile) -> Vec<u8> {
        let layout = Layout::new(file.length, SEGMENT_SIZE).unwrap();
        assert_eq!(sealed.len() as u64, layout.sealed_length());
        assert_eq!(sealed[..HEADER_LEN], file.header.to_bytes());
        let opener = Opener::new(key, &file.header, b"ad", layout);
        let mut plaintext = Vec::new();
        for index in 0..layout.segments() {
            let (offset, length) = layout.ciphertext(index);
            let mut segment = sealed[offset as usize..][..length].to_vec();
            let digest = file.digests[index as usize * 32..][..32]
                .try_into()
                .unwrap();
            let length = opener.open_within(index, digest, &mut segment, 0).unwrap();
            plaintext.extend_from_slice(&segment[..length]);
        }
        plaintext
    }

    #[test]
    fn lengths_around_segments_and_parts_come_back_whatever_was_expected() {
        let body = SEGMENT_SIZE as usize - TAG_LEN;
        let part = 64 * body - HEADER_LEN;
        let lengths = [0, 1, 1000].into_iter().chain(
            [body - HEADER_LEN, 2 * body - HEADER_LEN, part, part + body]
                .into_iter()
                .flat_map(|length| [length - 1, length, length + 1]),
        );
        for length in lengths {
            let plaintext: Vec<u8> = (0..length).map(|i| (i * 7 + i / 256) as u8).collect();
            for expected in [0, length as u64, u64::MAX / 2] {
                let (key, bytes, file) = sealed(&plaintext, expected);
                assert!(
                    opened(&key, &bytes, &file) == plaintext,
                    "{length} {expected}"
                );
            }
            let key = SecretKey::from_bytes([5; 32]);
            let mut bytes = Vec::new();
            let file = seal_bytes(&plaintext, &key, b"ad", &mut bytes).unwrap();
            assert!(opened(&key, &bytes, &file) == plaintext, "{length}");
            let layout = Layout::new(file.length, SEGMENT_SIZE).unwrap();
            let opener = Opener::new(&key, &file.header, b"ad", layout);
            let mut read = vec![7];
            open_bytes(&opener, &file.digests, &bytes, &mut read).unwrap();
            assert!(read[0] == 7 && read[1..] == plaintext, "{length}");
            bytes.truncate(bytes.len() - 1);
            assert!(open_bytes(&opener, &file.digests, &bytes, &mut read).is_err());
            assert!(read.len() == plaintext.len() + 1, "{length}");
        }
    }

    #[test]
    fn a_reader_that_fails_seals_nothing_more() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let key = SecretKey::from_bytes([5; 32]);
        let result = seal_stream(&mut Broken, &key, b"", 0, &mut |_, _| unreachable!());
        assert!(matches!(result, Err(StreamError::Read(_))));
    }
}
