//! Opening as a `Read` and `Seek`.

use std::io::{self, Read, Seek, SeekFrom};

use zeroize::Zeroizing;

use super::{DIGEST_LEN, Opener, SealedError};
use crate::crypto::aead::TAG_LEN;

/// The bytes of a sealed file, wherever they lie.
pub trait ReadAt {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Reading failed, or the file ends before.
    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for &[u8] {
    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).ok();
        let bytes = from
            .and_then(|from| self.get(from..))
            .and_then(|rest| rest.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// The plaintext of one sealed file, read in order or at any place. Nothing is given that was not
/// checked; a segment that is not right is an error of the kind `InvalidData` around a
/// [`SealedError`].
///
/// [`Manifest::reader`](super::manifest::Manifest::reader) makes one.
pub struct Reader<S> {
    opener: Opener,
    digests: Vec<u8>,
    source: S,
    position: u64,
    /// The number of the segment that was opened last, and its plaintext.
    opened: Option<(u32, Zeroizing<Vec<u8>>)>,
}

impl<S: ReadAt> Reader<S> {
    /// Reads what `opener` opens from `source`; the list of digests was compared with the manifest.
    pub(super) fn new(opener: Opener, digests: Vec<u8>, source: S) -> io::Result<Self> {
        let empty = opener.layout().length() == 0;
        let mut reader = Self {
            opener,
            digests,
            source,
            position: 0,
            opened: None,
        };
        if empty {
            // No read would open its one segment.
            reader.open(0, &mut [0; TAG_LEN])?;
        }
        Ok(reader)
    }

    /// Fills `buffer` with as much plaintext from `offset` on as there is and fits; returns how
    /// many bytes that is.
    ///
    /// # Errors
    /// The source's, and [`SealedError`].
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(offset + filled as u64, &mut buffer[filled..])? {
                0 => break,
                more => filled += more,
            }
        }
        Ok(filled)
    }

    /// At most the rest of one segment.
    fn read_some(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let layout = *self.opener.layout();
        if offset >= layout.length() {
            return Ok(0);
        }
        let index = layout.segment_of(offset);
        let (start, length) = layout.plaintext(index);
        if offset == start && buffer.len() >= length + TAG_LEN {
            // Opened where its plaintext is to stand.
            return self.open(index, &mut buffer[..length + TAG_LEN]);
        }
        let plaintext = match self.opened.take() {
            Some((opened, plaintext)) if opened == index => plaintext,
            other => {
                // Room for any segment: a buffer that grew would leave plaintext where it was.
                let room = || Zeroizing::new(Vec::with_capacity(layout.segment_size() as usize));
                let mut buffer = other.map_or_else(room, |(_, buffer)| buffer);
                buffer.resize(length + TAG_LEN, 0);
                let length = self.open(index, &mut buffer)?;
                buffer.truncate(length);
                buffer
            }
        };
        let rest = &plaintext[(offset - start) as usize..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.opened = Some((index, plaintext));
        Ok(length)
    }

    fn open(&mut self, index: u32, buffer: &mut [u8]) -> io::Result<usize> {
        let (from, _) = self.opener.layout().ciphertext(index);
        self.source.read_exact_at(from, buffer)?;
        let (digests, _) = self.digests.as_chunks::<DIGEST_LEN>();
        let opened = digests
            .get(index as usize)
            .ok_or(SealedError::DigestList)
            .and_then(|digest| self.opener.open_within(index, digest, buffer, 0));
        opened.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl<S: ReadAt> Read for Reader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read_some(self.position, buffer)?;
        self.position += read as u64;
        Ok(read)
    }

    fn read_to_end(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        let rest = self.opener.layout().length().saturating_sub(self.position);
        let rest = usize::try_from(rest).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // The last segment's tag stands behind the plaintext for a moment.
        out.try_reserve(rest + TAG_LEN)?;
        let before = out.len();
        let segment = self.opener.layout().segment_size() as usize;
        loop {
            let start = out.len();
            let left = rest - (start - before);
            out.resize(start + segment.min(left + TAG_LEN), 0);
            let read = self.read(&mut out[start..]);
            out.truncate(start + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(out.len() - before);
            }
        }
    }
}

impl<S: ReadAt> Seek for Reader<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let length = self.opener.layout().length();
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => length.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
