//! What several instances that do one thing together tell each other.

mod link;
#[cfg(test)]
mod tests;

use std::fmt;

use self::link::{Call, HEADER, Head, Link};
use crate::{Error, Peers, Result};

/// Bytes that are sent before something is received: half of what a stream holds, see
/// [`Collective::exchange`].
const PIECE: usize = 128 * 1024;
/// Longer sums are made in parts, each by one instance, where there are more than two.
const LONG: usize = 64 * 1024;
const WORD: usize = size_of::<f64>();

/// How [`Collective::allreduce`] puts values together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// The sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// Sums, maxima and bytes shared by all instances of a step.
///
/// Every instance makes the same calls in the same order, and all get the same answer to the bit:
/// values are put together in the order of ranks, wherever that happens. Messages may be of any
/// length. One instance alone gets back what it gives.
///
/// ```no_run
/// use mc2_guest::Reduce;
///
/// # fn main() -> mc2_guest::Result {
/// let job = mc2_guest::Job::load()?;
/// let mut all = job.peers()?.collective()?;
/// let mut histogram = vec![0.0; 256];
/// histogram[all.rank() as usize] = 1.0;
/// all.allreduce(&mut histogram, Reduce::Sum)?;
/// let mut model = if all.rank() == 0 { b"trees".to_vec() } else { Vec::new() };
/// all.broadcast(&mut model, 0)?;
/// let names = all.allgather(format!("instance {}", all.rank()).as_bytes())?;
/// assert_eq!(names.len(), all.size() as usize);
/// # Ok(())
/// # }
/// ```
pub struct Collective {
    rank: usize,
    /// By rank; none at the own one.
    links: Vec<Option<Link>>,
    piece: usize,
    calls: u32,
    /// A message for each instance; the last where all get the same.
    outgoing: Vec<Vec<u8>>,
    /// What each instance sent last.
    incoming: Vec<Vec<u8>>,
}

/// Which of the outgoing messages an instance gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Messages {
    /// Everybody the same.
    One,
    /// Each its own.
    Each,
}

impl Peers {
    /// The streams to all others, for the calls of a [`Collective`] and nothing else.
    ///
    /// # Errors
    /// Where a stream can't be opened.
    pub fn collective(&self) -> Result<Collective> {
        let link = |rank: u32| {
            if rank == self.rank() {
                return Ok(None);
            }
            Ok(Some(Link {
                out: Box::new(self.send_to(rank)?),
                into: Box::new(self.receive_from(rank)?),
            }))
        };
        let links = (0..self.size()).map(link).collect::<Result<Vec<_>>>()?;
        Ok(Collective::over(self.rank() as usize, links, PIECE))
    }
}

impl Collective {
    fn over(rank: usize, links: Vec<Option<Link>>, piece: usize) -> Self {
        let size = links.len();
        Self {
            rank,
            links,
            piece,
            calls: 0,
            outgoing: vec![Vec::new(); size],
            incoming: vec![Vec::new(); size],
        }
    }

    /// This instance's number, from 0.
    pub fn rank(&self) -> u32 {
        self.rank as u32
    }

    /// How many instances there are, this one included.
    pub fn size(&self) -> u32 {
        self.links.len() as u32
    }

    /// Replaces `values` by what all instances' values come to, element by element.
    ///
    /// # Errors
    /// Where another instance gives another number of values, makes another call, or is gone.
    pub fn allreduce(&mut self, values: &mut [f64], how: Reduce) -> Result {
        let (size, count) = (self.links.len(), values.len());
        let all = size - 1;
        if size == 1 {
            return Ok(());
        }
        if size == 2 || count * WORD <= LONG {
            self.pack(all, values);
            self.exchange(Call::Allreduce, Messages::One)?;
            return self.fold(all, values, how);
        }
        // Each puts one part together and hands it to all.
        for rank in 0..size {
            self.pack(rank, &values[part(count, size, rank)]);
        }
        self.exchange(Call::Allreduce, Messages::Each)?;
        let own = part(count, size, self.rank);
        self.fold(self.rank, &mut values[own.clone()], how)?;
        self.pack(all, &values[own]);
        self.exchange(Call::Allreduce, Messages::One)?;
        for rank in (0..size).filter(|rank| *rank != self.rank) {
            let part = &mut values[part(count, size, rank)];
            let given = words(self.given(rank, part.len())?);
            part.iter_mut()
                .zip(given)
                .for_each(|(value, word)| *value = word);
        }
        Ok(())
    }

    /// Replaces `bytes` by those of instance `root`.
    ///
    /// # Errors
    /// Where there is no such instance, another makes another call, or is gone.
    pub fn broadcast(&mut self, bytes: &mut Vec<u8>, root: u32) -> Result {
        let (root, size, piece) = (root as usize, self.links.len(), self.piece);
        if root >= size {
            return Err(Error::new(format!(
                "there is no instance {root} of {size} to hear from"
            )));
        }
        let head = self.head(Call::Broadcast);
        if root != self.rank {
            let link = link(&mut self.links, root);
            let length = link.header(root, head)?;
            bytes.clear();
            let mut filled = 0;
            while filled < length {
                filled = link.receive(root, bytes, filled, length, piece)?;
            }
            return Ok(());
        }
        let message = [&head.with(bytes.len()), &bytes[..]].concat();
        for next in message.chunks(piece) {
            for other in (0..size).filter(|other| *other != root) {
                link(&mut self.links, other).send(other, next)?;
            }
        }
        Ok(())
    }

    /// Everybody's `bytes`, in the order of ranks.
    ///
    /// # Errors
    /// Where another instance makes another call, or is gone.
    pub fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let message = &mut self.outgoing[self.links.len() - 1];
        message.clear();
        message.resize(HEADER, 0);
        message.extend_from_slice(bytes);
        self.exchange(Call::Allgather, Messages::One)?;
        let mut all: Vec<Vec<u8>> = self.incoming.iter_mut().map(std::mem::take).collect();
        all[self.rank] = bytes.to_vec();
        Ok(all)
    }

    /// Makes values the message at `place`, behind room for its header.
    fn pack(&mut self, place: usize, values: &[f64]) {
        let message = &mut self.outgoing[place];
        message.resize(HEADER + size_of_val(values), 0);
        let (words, _) = message[HEADER..].as_chunks_mut();
        for (word, value) in words.iter_mut().zip(values) {
            *word = value.to_le_bytes();
        }
    }

    /// Sends every other instance its message and receives theirs, piece by piece.
    ///
    /// Everybody sends its next piece to all before it receives one from any. Nobody gets more
    /// than one piece ahead of an instance it hears from, so no stream ever has to hold more than
    /// two pieces, which is what it holds: sending never waits for one that waits itself.
    fn exchange(&mut self, call: Call, messages: Messages) -> Result {
        let (size, piece) = (self.links.len(), self.piece);
        let head = self.head(call);
        for message in self.outgoing.iter_mut().filter(|m| !m.is_empty()) {
            let length = message.len() - HEADER;
            message[..HEADER].copy_from_slice(&head.with(length));
        }
        let others: Vec<usize> = (0..size).filter(|other| *other != self.rank).collect();
        let mut lengths = vec![0; size];
        let mut filled = vec![0; size];
        let mut sent = 0;
        loop {
            let mut done = true;
            for &other in &others {
                let message = &self.outgoing[match messages {
                    Messages::One => size - 1,
                    Messages::Each => other,
                }];
                let next = &message[sent.min(message.len())..(sent + piece).min(message.len())];
                if !next.is_empty() {
                    done = false;
                    link(&mut self.links, other).send(other, next)?;
                }
            }
            for &other in &others {
                let link = link(&mut self.links, other);
                let buffer = &mut self.incoming[other];
                let mut room = piece;
                if sent == 0 {
                    lengths[other] = link.header(other, head)?;
                    buffer.truncate(usize::try_from(lengths[other]).unwrap_or(usize::MAX));
                    room -= HEADER;
                }
                if filled[other] < lengths[other] {
                    done = false;
                    filled[other] =
                        link.receive(other, buffer, filled[other], lengths[other], room)?;
                }
            }
            if done {
                return Ok(());
            }
            sent += piece;
        }
    }

    /// Puts together what all instances gave, in the order of ranks; the own part is the message
    /// at `place`.
    fn fold(&self, place: usize, values: &mut [f64], how: Reduce) -> Result {
        for rank in 0..self.links.len() {
            let given = if rank == self.rank {
                &self.outgoing[place][HEADER..]
            } else {
                self.given(rank, values.len())?
            };
            let pairs = values.iter_mut().zip(words(given));
            match how {
                _ if rank == 0 => pairs.for_each(|(value, word)| *value = word),
                Reduce::Sum => pairs.for_each(|(value, word)| *value += word),
                Reduce::Max => pairs.for_each(|(value, word)| *value = value.max(word)),
                Reduce::Min => pairs.for_each(|(value, word)| *value = value.min(word)),
            }
        }
        Ok(())
    }

    /// The values an instance sent, which must be so many.
    fn given(&self, rank: usize, count: usize) -> Result<&[u8]> {
        let bytes = &self.incoming[rank];
        if bytes.len() != count * WORD {
            return Err(Error::new(format!(
                "instance {rank} gave {} values where instance {} expected {count}; all instances \
                 must give the same number",
                bytes.len() / WORD,
                self.rank,
            )));
        }
        Ok(bytes)
    }

    /// What the messages of the next exchange begin with.
    fn head(&mut self, call: Call) -> Head {
        self.calls = self.calls.wrapping_add(1);
        Head {
            number: self.calls,
            call,
        }
    }
}

impl fmt::Debug for Collective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collective({} of {})", self.rank, self.links.len())
    }
}

fn link(links: &mut [Option<Link>], rank: usize) -> &mut Link {
    links[rank]
        .as_mut()
        // Only the own place is empty, and nobody asks for that.
        .unwrap_or_else(|| unreachable!("an instance has no stream to itself"))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = f64> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| f64::from_le_bytes(*word))
}

/// The part of `count` values that instance `rank` puts together.
fn part(count: usize, size: usize, rank: usize) -> std::ops::Range<usize> {
    let at = |rank| count / size * rank + (count % size).min(rank);
    at(rank)..at(rank + 1)
}
