//! Sealing as a `Write`.

use std::io::{self, Read, Write};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{SealedFile, Sealer};
use crate::{SecretKey, crypto::aead::TAG_LEN};

/// Takes a sealed file, part by part.
pub trait PartSink {
    /// Takes `part`, which begins at byte `offset` of the sealed file. It may take the buffer away.
    ///
    /// # Errors
    /// Whatever stops the sealing; the writer must then be dropped.
    fn part(&mut self, offset: u64, part: &mut Vec<u8>) -> io::Result<()>;
}

impl<F: FnMut(u64, &mut Vec<u8>) -> io::Result<()>> PartSink for F {
    fn part(&mut self, offset: u64, part: &mut Vec<u8>) -> io::Result<()> {
        self(offset, part)
    }
}

/// A sealed file in memory.
impl PartSink for Vec<u8> {
    fn part(&mut self, _: u64, part: &mut Vec<u8>) -> io::Result<()> {
        if self.is_empty() {
            std::mem::swap(self, part);
        } else {
            self.extend_from_slice(part);
        }
        Ok(())
    }
}

/// Seals one file as it is written. Plaintext is put where its ciphertext will stand, sealed there,
/// and handed on in parts of whole segments; no more than one part is in memory.
///
/// ```
/// use std::io::Write as _;
///
/// use mc2_protocol::{
///     SecretKey,
///     sealed::{Layout, SEGMENT_SIZE, Sealer, Writer, associated_data},
/// };
///
/// # let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
/// let (key, purpose) = (SecretKey::generate(&mut rng), associated_data(&"orders".parse()?));
/// let sealer = Sealer::new(&key, &purpose, SEGMENT_SIZE, &mut rng);
/// // Parts could go anywhere; here they stay in memory.
/// let mut writer = Writer::new(sealer, 8 * 1024 * 1024, Vec::new());
/// writer.write_all(b"id,amount\n1,42\n")?;
/// let (_file, sealed) = writer.finish()?;
/// assert_eq!(sealed.len() as u64, Layout::new(15, SEGMENT_SIZE)?.sealed_length());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer<S> {
    sealer: Sealer,
    sink: S,
    /// A part of the sealed file, at its end the plaintext of a segment that may still grow. Wiped
    /// on drop.
    buffer: Zeroizing<Vec<u8>>,
    /// Where that segment begins in the buffer.
    start: usize,
    /// Where the buffer begins in the sealed file.
    offset: u64,
    /// Bytes of a part: at least one segment.
    part_len: usize,
}

/// Why [`Writer::copy_from`] stopped.
#[derive(Debug)]
pub enum CopyError {
    /// The reader failed.
    Read(io::Error),
    /// The sink failed, or the file has more segments than a nonce can count.
    Write(io::Error),
}

impl<S: PartSink> Writer<S> {
    /// Starts the file of `sealer`, which has sealed nothing yet, in parts of at most `part_len`
    /// bytes, or of one segment where those are longer.
    pub fn new(sealer: Sealer, part_len: usize, sink: S) -> Self {
        let header = sealer.header().to_bytes();
        let part_len = part_len.max(sealer.segment_size());
        Self {
            sealer,
            sink,
            start: header.len(),
            buffer: Zeroizing::new(header.to_vec()),
            offset: 0,
            part_len,
        }
    }

    /// Seals in `buffer`, whose bytes are given up and whose room is used again. Nothing was written
    /// yet.
    #[must_use]
    pub fn in_buffer(mut self, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&self.buffer);
        self.buffer = Zeroizing::new(buffer);
        self
    }

    /// Says how many bytes are likely to be written, which sizes the buffer and nothing else.
    pub fn expect(&mut self, plaintext: u64) {
        let segment = self.sealer.segment_size();
        let likely = usize::try_from(plaintext)
            .unwrap_or(usize::MAX)
            .saturating_add(segment);
        // Tags and header of so many segments fit into one segment more.
        let likely = likely.saturating_add(likely / segment * TAG_LEN);
        self.reserve(likely.min(self.part_len));
    }

    /// Where the parts go.
    pub const fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Seals everything `reader` gives.
    ///
    /// # Errors
    /// [`CopyError`]; the writer must then be dropped, since bytes may be missing.
    pub fn copy_from(&mut self, reader: &mut (impl Read + ?Sized)) -> Result<(), CopyError> {
        loop {
            if self.missing() == 0 {
                // Whether this segment is the last shows only when another byte comes.
                let mut byte = [0];
                if fill(reader, &mut byte).map_err(CopyError::Read)? == 0 {
                    return Ok(());
                }
                self.write_all(&byte).map_err(CopyError::Write)?;
            }
            let (from, missing) = (self.buffer.len(), self.missing());
            self.reserve(from + missing + TAG_LEN);
            self.buffer.resize(from + missing, 0);
            let filled = fill(reader, &mut self.buffer[from..]);
            let length = filled.as_ref().map_or(0, |length| *length);
            self.buffer.truncate(from + length);
            filled.map_err(CopyError::Read)?;
            if length < missing {
                return Ok(());
            }
        }
    }

    /// Seals the last segment and hands on what is left; returns what a manifest says of the file,
    /// and the sink.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(mut self) -> io::Result<(SealedFile, S)> {
        self.seal(true)?;
        self.hand_on()?;
        Ok((self.sealer.finish(), self.sink))
    }

    /// Plaintext bytes that the open segment still takes.
    fn missing(&self) -> usize {
        self.sealer.room() - (self.buffer.len() - self.start)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        self.reserve(self.buffer.len() + TAG_LEN);
        self.buffer.extend_from_slice(&[0; TAG_LEN]);
        self.sealer
            .seal(&mut self.buffer[self.start..], last)
            .map_err(|error| io::Error::new(io::ErrorKind::FileTooLarge, error))?;
        self.start = self.buffer.len();
        Ok(())
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let length = self.buffer.len() as u64;
        self.sink.part(self.offset, &mut self.buffer)?;
        self.offset += length;
        self.buffer.clear();
        self.start = 0;
        Ok(())
    }

    /// Makes room for `length` bytes in all. Plaintext that moves is wiped where it stood.
    fn reserve(&mut self, length: usize) {
        if length > self.buffer.capacity() {
            let doubled = (2 * self.buffer.capacity()).min(self.part_len);
            let mut larger = Zeroizing::new(Vec::with_capacity(length.max(doubled)));
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
    }
}

impl<S: PartSink> Write for Writer<S> {
    fn write(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        if plaintext.is_empty() {
            return Ok(0);
        }
        if self.missing() == 0 {
            // More follows, so this segment is not the last.
            self.seal(false)?;
            if self.buffer.len() + self.sealer.segment_size() > self.part_len {
                self.hand_on()?;
                self.reserve(self.part_len);
            }
        }
        let length = plaintext.len().min(self.missing());
        self.reserve(self.buffer.len() + length + TAG_LEN);
        self.buffer.extend_from_slice(&plaintext[..length]);
        Ok(length)
    }

    /// Does nothing: a segment is sealed when it is full or the last.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Seals `plaintext` as one file in memory: its bytes, and what a manifest says of them.
///
/// # Panics
/// When `segment_size` is outside what [`Sealer::new`] takes.
pub fn seal_bytes(
    key: &SecretKey,
    associated_data: &[u8],
    segment_size: u32,
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> (Vec<u8>, SealedFile) {
    let sealer = Sealer::new(key, associated_data, segment_size, rng);
    let mut writer = Writer::new(sealer, usize::MAX, Vec::new());
    writer.expect(plaintext.len() as u64);
    let sealed = writer.write_all(plaintext).and_then(|()| writer.finish());
    // 2³² - 1 segments of at least 4 KiB are 16 TiB, which is in no memory.
    let (file, sealed) = sealed.unwrap_or_else(|error| unreachable!("{error}"));
    (sealed, file)
}

/// Reads until `buffer` is full or the reader is at its end; returns how many bytes came.
fn fill(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
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
