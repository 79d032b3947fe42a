//! An object that is opened: every stream of it, and of a folder its table of paths first.

use std::{
    io::{self, Write},
    path::Path,
};

use mc2_protocol::{
    Digest, Manifest, SecretKey,
    crypto::digest::Hasher,
    documents::receipt::OutputSecret,
    sealed::{
        DIGEST_LEN, HEADER_LEN, SealedError,
        manifest::Content,
        paths::{PathTable, PathTableError},
    },
};

use super::{
    error::OpenError,
    origin::Sealed,
    staged::{Hashing, StagedKind, StagedOutput},
    unpack::{UnpackError, Unpacker, create_below},
};
use crate::{
    files::{Staged, StagedFolder, failed},
    seal::PART_LEN,
};

/// An object whose parts can be fetched, its key, and how much of it counts.
///
/// ```
/// use mc2_client::{
///     open::{Opening, Sealed},
///     seal::{
///         object::{LocalObject, seal_to_folder},
///         source::Source,
///     },
/// };
/// # use mc2_protocol::Identity;
/// # let folder = tempfile::tempdir()?;
/// # let (file, sealed) = (folder.path().join("orders.csv"), folder.path().join("orders.sealed"));
/// # let owner = Identity::generate("bank-a".parse()?, &mut mc2_client::random());
/// # std::fs::write(&file, "id,amount\n1,42\n")?;
///
/// let source = Source::scan(&file)?;
/// let (_, _, key) =
///     seal_to_folder(&source, &"orders".parse()?, owner.card(), &sealed, &mut |_bytes| ())?;
///
/// let object = LocalObject::read(&sealed)?;
/// let opening = Opening {
///     manifest: object.manifest(),
///     key: &key,
///     exact: None,
///     from: Sealed::Folder(&object),
/// };
/// let mut plain = Vec::new();
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// opening.to_sink(&mut plain).await??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// assert_eq!(plain, b"id,amount\n1,42\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Opening<'a> {
    /// Its manifest, checked against the object id it was asked for by.
    pub manifest: &'a Manifest,
    /// Its data key.
    pub key: &'a SecretKey,
    /// What its receipt says of the plaintext without padding; `None` where there is no receipt,
    /// and no padding.
    pub exact: Option<Exact>,
    /// Where the bytes are.
    pub from: Sealed<'a>,
}

/// The plaintext that an object must open to.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    /// Its length in bytes before padding; of a folder with its table of paths.
    pub length: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl From<&OutputSecret> for Exact {
    fn from(secret: &OutputSecret) -> Self {
        Self {
            length: secret.length,
            sha256: secret.sha256,
        }
    }
}

impl Opening<'_> {
    /// Opens the object to `target`: a file, or a folder where the object is one. Files replace
    /// what was there; a folder must not hold anything yet.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is left behind then.
    pub async fn to_path(
        &self,
        target: &Path,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), OpenError> {
        Ok(self.stage(target, progress).await?.publish()?)
    }

    /// Opens the object beside `target`, where it has no name yet.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is left behind then.
    pub async fn stage(
        &self,
        target: &Path,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<StagedOutput, OpenError> {
        let files = match self.manifest.content() {
            Content::File(_) => {
                let mut staged = Staged::create(target, 0o666)?;
                let mut length = 0;
                let mut progress = |more| {
                    length += more;
                    progress(more);
                };
                let written = self.content_to(&mut staged, &mut progress).await?;
                written.map_err(failed("write", target))?;
                return Ok(StagedOutput {
                    length,
                    staged: StagedKind::File(staged),
                });
            }
            Content::Folder { .. } if self.exact.is_some() => {
                // No job leaves one.
                let what = self.what(0);
                return Err(OpenError::Plaintext { what });
            }
            Content::Folder { files, .. } => files,
            Content::Packed(_) => return self.stage_packed(target, progress).await,
        };
        let table = self.table(files.len()).await?;
        table
            .check_files(files.iter().map(|file| file.length))
            .map_err(|source| self.bad_table(source))?;
        let staged = StagedFolder::create(target)?;
        for (index, entry) in table.files().iter().enumerate() {
            let (path, mut file) = create_below(staged.path(), &entry.path)?;
            let all = entry.length;
            let written = self.stream_to(index, all, &mut file, progress).await?;
            written
                .and_then(|()| file.sync_all())
                .map_err(failed("write", &path))?;
        }
        Ok(StagedOutput {
            length: table.content(),
            staged: StagedKind::Folder(staged),
        })
    }

    /// Opens the object's one file into `sink`, which must forget what it got on an error.
    ///
    /// # Errors
    /// [`OpenError`] for the sealed bytes, the inner one for the sink.
    pub async fn to_sink(
        &self,
        sink: &mut (impl Write + Send),
    ) -> Result<io::Result<()>, OpenError> {
        if self.manifest.is_folder() {
            let what = self.what(0);
            return Err(OpenError::Folder { what });
        }
        self.content_to(sink, &mut |_| ()).await
    }

    /// Opens the one stream of a file or a packed folder, without its padding.
    async fn content_to(
        &self,
        sink: &mut (impl Write + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<io::Result<()>, OpenError> {
        let all = self.manifest.stream(0).length;
        let Some(exact) = self.exact else {
            return self.stream_to(0, all, sink, progress).await;
        };
        let mut hashing = Hashing {
            sink,
            sha256: Hasher::default(),
        };
        let written = self.stream_to(0, exact.length, &mut hashing, progress);
        let written = written.await?;
        let found = hashing.sha256.finish();
        if written.is_ok() && found != exact.sha256 {
            let what = self.what(0);
            return Err(OpenError::Plaintext { what });
        }
        Ok(written)
    }

    /// The table of paths that is stream `index`.
    async fn table(&self, index: usize) -> Result<PathTable, OpenError> {
        let mut bytes = Vec::new();
        let all = self.manifest.stream(index).length;
        // A vector takes everything.
        let _ = self.stream_to(index, all, &mut bytes, &mut |_| ()).await?;
        PathTable::parse_padded(&bytes).map_err(|source| self.bad_table(source))
    }

    async fn stage_packed(
        &self,
        target: &Path,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<StagedOutput, OpenError> {
        let staged = StagedFolder::create(target)?;
        let all = self.manifest.stream(0).length;
        let exact = self.exact.map(|exact| exact.length);
        let mut unpacker = Unpacker::new(staged.path(), all, exact);
        let written = self.content_to(&mut unpacker, progress).await?;
        let length = match (unpacker.finish(), written) {
            (Err(UnpackError::Paths(source)), _) => return Err(self.bad_table(source)),
            (Err(UnpackError::File(error)), _) => return Err(error.into()),
            (Ok(_), Err(error)) => return Err(failed("write", target)(error).into()),
            (Ok(length), Ok(())) => length,
        };
        Ok(StagedOutput {
            length,
            staged: StagedKind::Folder(staged),
        })
    }

    fn bad_table(&self, source: PathTableError) -> OpenError {
        OpenError::Paths {
            what: self.manifest.dataset().to_string(),
            source,
        }
    }

    /// Opens stream `index` and writes its first `keep` bytes.
    async fn stream_to(
        &self,
        index: usize,
        mut keep: u64,
        sink: &mut (impl Write + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<io::Result<()>, OpenError> {
        let what = self.what(index);
        let sealed = |source| OpenError::Sealed {
            what: what.clone(),
            source,
        };
        let entry = self.manifest.stream(index);
        let layout = self.manifest.layout(index);
        if keep > entry.length {
            return Err(OpenError::Length {
                what,
                found: entry.length,
                expected: keep,
            });
        }
        let opener = self
            .manifest
            .opener(index, self.key)
            .map_err(|error| match error {
                SealedError::WrongKey => OpenError::WrongKey { what: what.clone() },
                other => sealed(other),
            })?;

        let mut from = self.from.file(index, &layout, &what).await?;
        let digests = from
            .digests(layout.segments() as usize * DIGEST_LEN)
            .await?;
        if !entry.names_digests(&digests) {
            return Err(sealed(SealedError::DigestList));
        }

        let (digests, _) = digests.as_chunks::<DIGEST_LEN>();
        let at_once = PART_LEN as u32 / layout.segment_size();
        for span in layout.spans(at_once) {
            let (offset, length) = layout.sealed(span);
            // The header stands before the first segment.
            let before = if span.first == 0 { HEADER_LEN } else { 0 };
            let part = from.read(offset - before as u64, before + length).await?;
            let (header, part) = part.split_at_mut(before);
            if span.first == 0 && header != entry.header.to_bytes() {
                return Err(sealed(SealedError::Header));
            }
            let of_span = &digests[span.first as usize..=span.last() as usize];
            let length = opener.open_span(span, of_span, part).map_err(sealed)?;
            let wanted = (length as u64).min(keep) as usize;
            keep -= wanted as u64;
            progress(wanted as u64);
            if let Err(error) = sink.write_all(&part[..wanted]) {
                return Ok(Err(error));
            }
        }
        Ok(sink.flush())
    }

    /// A stream's name for people. Paths stay in the table.
    fn what(&self, index: usize) -> String {
        let dataset = self.manifest.dataset();
        match self.manifest.content() {
            Content::Folder { files, .. } if index < files.len() => {
                format!("{dataset} (file {index})")
            }
            Content::Folder { .. } => format!("{dataset} (table of paths)"),
            Content::File(_) | Content::Packed(_) => dataset.to_string(),
        }
    }
}
