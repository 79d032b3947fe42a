//! The other instances of a step: `/run/mc2/peers/N/{in,out}`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::mem;
use std::path::PathBuf;

use crate::{Context, Error, Result};

const BUFFER: usize = 64 * 1024;

/// This instance's place among those that run the same step.
///
/// Between every two instances there is one stream each way, which holds 256 KiB: writes beyond
/// that wait for the reader, as reads wait for the writer. An instance that fails fails the job,
/// and so does a state in which all wait for each other, so nobody waits for ever. A job without
/// peers is rank 0 of 1. For sums and the like see [`Collective`](crate::Collective).
///
/// ```no_run
/// use std::io::{Read, Write};
///
/// # fn main() -> mc2_guest::Result {
/// let job = mc2_guest::Job::load()?;
/// let peers = job.peers()?;
/// let mine = 7_u64;
/// if peers.rank() == 0 {
///     let mut sum = mine;
///     for rank in peers.others() {
///         let mut theirs = [0; 8];
///         peers.receive_from(rank)?.read_exact(&mut theirs)?;
///         sum += u64::from_le_bytes(theirs);
///     }
///     println!("{sum}");
/// } else {
///     let mut root = peers.send_to(0)?;
///     root.write_all(&mine.to_le_bytes())?;
///     root.finish()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Peers {
    folder: PathBuf,
    rank: u32,
    size: u32,
}

impl Peers {
    pub(crate) fn new(folder: PathBuf, rank: u32, size: u32) -> Result<Self> {
        if size == 0 || rank >= size {
            return Err(Error::new(format!(
                "the job's description says instance {rank} of {size}, which can't be"
            )));
        }
        Ok(Self { folder, rank, size })
    }

    /// This instance's number, from 0.
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// How many instances there are, this one included.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The ranks of all the others, ascending.
    pub fn others(&self) -> impl Iterator<Item = u32> + use<> {
        let own = self.rank;
        (0..self.size).filter(move |rank| *rank != own)
    }

    /// The stream to `rank`. Open it once and keep it.
    ///
    /// # Errors
    /// Where there is no such other instance, or its stream can't be opened.
    pub fn send_to(&self, rank: u32) -> Result<PeerWriter> {
        let path = self.stream(rank, "out")?;
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .with_context(|| format!("opening the stream to instance {rank}"))?;
        Ok(PeerWriter(Some(BufWriter::with_capacity(BUFFER, file))))
    }

    /// The stream from `rank`. Open it once and keep it: what a reader has buffered is gone with
    /// it.
    ///
    /// # Errors
    /// Where there is no such other instance, or its stream can't be opened.
    pub fn receive_from(&self, rank: u32) -> Result<PeerReader> {
        let path = self.stream(rank, "in")?;
        let file =
            File::open(path).with_context(|| format!("opening the stream from instance {rank}"))?;
        Ok(PeerReader(BufReader::with_capacity(BUFFER, file)))
    }

    fn stream(&self, rank: u32, direction: &str) -> Result<PathBuf> {
        if rank >= self.size || rank == self.rank {
            return Err(Error::new(format!(
                "instance {} of {} has no peer {rank}",
                self.rank, self.size
            )));
        }
        Ok(self.folder.join(rank.to_string()).join(direction))
    }
}

/// A buffered stream to another instance; [`flush`](Write::flush) before waiting for an answer.
///
/// Its end is sent by [`finish`](Self::finish), or with the program's success. Dropped before, it
/// stays open: a program that gives up must not look to its peers like one that has said all.
#[derive(Debug)]
#[must_use = "what is sent is sent only after finish() or flush()"]
pub struct PeerWriter(Option<BufWriter<File>>);

impl PeerWriter {
    /// Sends what is still buffered, and the stream's end.
    ///
    /// # Errors
    /// Where the other instance has ended.
    pub fn finish(mut self) -> Result {
        self.flush().context("sending to a peer")?;
        self.0.take();
        Ok(())
    }

    fn inner(&mut self) -> &mut BufWriter<File> {
        self.0
            .as_mut()
            // Taken by `finish` and by dropping alone, after which nobody has it.
            .unwrap_or_else(|| unreachable!("a finished stream is gone"))
    }
}

impl Drop for PeerWriter {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            let (file, _unsent) = writer.into_parts();
            mem::forget(file);
        }
    }
}

impl Write for PeerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().flush()
    }
}

/// A buffered stream from another instance; reads wait, and its end is the other side's.
#[derive(Debug)]
pub struct PeerReader(BufReader<File>);

impl Read for PeerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for PeerReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}
