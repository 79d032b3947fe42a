//! Sealing a dataset in one pass and constant memory, into a folder or onto a host.
//!
//! [`seal`] writes every file of a [`Source`], and a folder's table of paths, under one fresh data
//! key through a [`Writer`], whose parts of 64 segments go to a [`Sink`], and ends with the manifest.

pub mod media;
pub mod object;
pub mod source;

use std::io::{self, Read, Write as _};

use mc2_protocol::{
    Card, Digest, Manifest, Name, SecretKey,
    sealed::{
        CopyError, PartSink, SEGMENT_SIZE, SealedError, SealedFile, Sealer, Writer,
        associated_data,
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
    fn part(&mut self, index: usize, offset: u64, bytes: &mut Vec<u8>) -> io::Result<()>;

    /// Takes the whole list of segment digests of stream `index`.
    ///
    /// # Errors
    /// Whatever stops the sealing.
    fn digests(&mut self, index: usize, digests: Vec<u8>) -> io::Result<()>;
}

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
    Sink(#[source] io::Error),
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
        let take = |offset, bytes: &mut Vec<u8>| {
            let taken = bytes.len() as u64;
            sink.part(index, offset, bytes)?;
            progress(done + (offset + taken).min(file.length));
            Ok(())
        };
        let sealed = seal_file(&mut reader, file.length, &key, &associated_data, take)
            .map_err(|error| failed(error, file))?;
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
    let associated_data = path_table_associated_data(dataset);
    let mut writer = writer(key, &associated_data, |offset, part: &mut Vec<u8>| {
        sink.part(index, offset, part)
    });
    let written = writer.write_all(&table).and_then(|()| writer.finish());
    let (stream, _) = written.map_err(SealError::Sink)?;
    let entry = SealedStream::new(&stream);
    sink.digests(index, stream.digests)
        .map_err(SealError::Sink)?;
    Ok(entry)
}

/// Seals all of `reader`, a file of about `expected` bytes, and hands it to `sink`.
fn seal_file(
    reader: &mut dyn Read,
    expected: u64,
    key: &SecretKey,
    associated_data: &[u8],
    sink: impl PartSink,
) -> Result<SealedFile, CopyError> {
    let mut writer = writer(key, associated_data, sink);
    writer.expect(expected);
    writer.copy_from(reader)?;
    let (file, _) = writer.finish().map_err(CopyError::Write)?;
    Ok(file)
}

fn writer<S: PartSink>(key: &SecretKey, associated_data: &[u8], sink: S) -> Writer<S> {
    let sealer = Sealer::new(key, associated_data, SEGMENT_SIZE, &mut crate::random());
    Writer::new(sealer, PART_LEN, sink)
}

fn failed(error: CopyError, file: &SourceFile) -> SealError {
    let path = || file.display_path().display().to_string();
    match error {
        CopyError::Read(source) => SealError::Read {
            path: path(),
            source,
        },
        CopyError::Write(error)
            if error
                .get_ref()
                .is_some_and(|error| error.is::<SealedError>()) =>
        {
            SealError::TooLong { path: path() }
        }
        CopyError::Write(error) => SealError::Sink(error),
    }
}
