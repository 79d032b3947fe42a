//! What several instances that do one thing together tell each other.

use std::fmt;
use std::io::{Read, Write};

use crate::{Context, Error, Peers, Result};

/// Bytes that are sent before something is received: half of what a stream holds, see
/// [`Collective::exchange`].
const PIECE: usize = 128 * 1024;
/// Longer sums are made in parts, each by one instance, where there are more than two.
const LONG: usize = 64 * 1024;
/// Before every message: which call it belongs to, which kind of call that is, and its length.
const HEADER: usize = 16;
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

/// The streams to and from another instance.
struct Link {
    out: Box<dyn Write + Send>,
    into: Box<dyn Read + Send>,
}

/// A kind of call, so that instances out of step notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Call {
    Allreduce = 1,
    Broadcast = 2,
    Allgather = 3,
}

/// What a message begins with, before its length.
#[derive(Clone, Copy)]
struct Head {
    number: u32,
    call: Call,
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

impl Link {
    fn send(&mut self, rank: usize, bytes: &[u8]) -> Result {
        self.out
            .write_all(bytes)
            .and_then(|()| self.out.flush())
            .with_context(|| format!("sending to instance {rank}"))
    }

    /// The next message's length, where it belongs to this call.
    fn header(&mut self, rank: usize, head: Head) -> Result<u64> {
        let mut found = [0; HEADER];
        self.into
            .read_exact(&mut found)
            .with_context(|| format!("hearing from instance {rank}"))?;
        let length = u64::from_le_bytes(*found.last_chunk().unwrap_or(&[0; 8]));
        if head.with(0)[..8] != found[..8] {
            return Err(Error::new(format!(
                "instance {rank} is out of step: it does not make exchange {}, {:?}, which this \
                 one makes; all instances must make the same calls in the same order",
                head.number, head.call,
            )));
        }
        Ok(length)
    }

    /// Receives up to `room` bytes of a message of which `filled` are there, and says how many
    /// there are then. `buffer` grows only as far as bytes have come.
    fn receive(
        &mut self,
        rank: usize,
        buffer: &mut Vec<u8>,
        filled: u64,
        length: u64,
        room: usize,
    ) -> Result<u64> {
        let more = (length - filled).min(room as u64);
        let (from, to) = (filled as usize, (filled + more) as usize);
        if buffer.len() < to {
            buffer.resize(to, 0);
        }
        self.into
            .read_exact(&mut buffer[from..to])
            .with_context(|| format!("hearing from instance {rank}"))?;
        Ok(filled + more)
    }
}

impl Head {
    fn with(self, length: usize) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&self.number.to_le_bytes());
        header[4..8].copy_from_slice(&(self.call as u32).to_le_bytes());
        header[8..].copy_from_slice(&(length as u64).to_le_bytes());
        header
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

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::thread;

    use super::*;

    /// A quarter of what the system's pipes hold.
    const SMALL_PIECE: usize = 16 * 1024;

    fn collectives(size: usize) -> Vec<Collective> {
        let mut links: Vec<Vec<Option<Link>>> = Vec::new();
        links.resize_with(size, || (0..size).map(|_| None).collect());
        let pairs = (0..size).flat_map(|low| (low + 1..size).map(move |high| (low, high)));
        for (low, high) in pairs {
            let (up, down) = (pipe().unwrap(), pipe().unwrap());
            links[low][high] = Some(Link {
                out: Box::new(up.1),
                into: Box::new(down.0),
            });
            links[high][low] = Some(Link {
                out: Box::new(down.1),
                into: Box::new(up.0),
            });
        }
        let make = |(rank, links)| Collective::over(rank, links, SMALL_PIECE);
        links.into_iter().enumerate().map(make).collect()
    }

    /// What `work` comes to in each of `size` instances at once.
    fn all<T: Send + 'static>(
        size: usize,
        work: impl Fn(&mut Collective) -> T + Clone + Send + 'static,
    ) -> Vec<T> {
        let start = |mut collective| {
            let work = work.clone();
            thread::spawn(move || work(&mut collective))
        };
        let threads: Vec<_> = collectives(size).into_iter().map(start).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    }

    fn value(rank: usize, index: usize) -> f64 {
        let wild = (rank as u64 * 1_000_003 + index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (wild >> 11) as f64 * 10_f64.powi((wild % 30) as i32 - 20)
    }

    #[test]
    fn all_get_the_same_sums_in_the_order_of_ranks_whatever_the_length() {
        for size in 1..6 {
            for count in [0, 1, 7, 5_000, 20_000, 40_001] {
                let sums = all(size, move |collective| {
                    let rank = collective.rank() as usize;
                    let mut values: Vec<f64> = (0..count).map(|i| value(rank, i)).collect();
                    collective.allreduce(&mut values, Reduce::Sum).unwrap();
                    values
                });
                let expected: Vec<f64> = (0..count)
                    .map(|i| (1..size).fold(value(0, i), |sum, rank| sum + value(rank, i)))
                    .collect();
                for sum in sums {
                    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
                    assert!(
                        sum.iter().zip(&expected).all(same) && sum.len() == count,
                        "{size} {count}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_largest_and_the_smallest_are_found() {
        let found = all(3, |collective| {
            let rank = f64::from(collective.rank());
            let mut values = [rank, -rank, 5.0];
            collective.allreduce(&mut values, Reduce::Max).unwrap();
            let max = values;
            values = [rank, -rank, 5.0];
            collective.allreduce(&mut values, Reduce::Min).unwrap();
            (max, values)
        });
        for (max, min) in found {
            assert_eq!((max, min), ([2.0, 0.0, 5.0], [0.0, -2.0, 5.0]));
        }
    }

    #[test]
    fn what_one_says_all_hear() {
        for length in [0, 3, 300_000] {
            let heard = all(3, move |collective| {
                let mut heard = Vec::new();
                for root in 0..3 {
                    let mut bytes = vec![collective.rank() as u8; length + root as usize];
                    collective.broadcast(&mut bytes, root).unwrap();
                    heard.push(bytes);
                }
                heard
            });
            for heard in heard {
                for (root, bytes) in heard.iter().enumerate() {
                    assert!(*bytes == vec![root as u8; length + root]);
                }
            }
        }
    }

    #[test]
    fn everybody_s_bytes_come_in_the_order_of_ranks_whatever_their_lengths() {
        let lengths = [200_000, 0, 70_000, 5];
        let gathered = all(4, move |collective| {
            let rank = collective.rank() as usize;
            let mut all = Vec::new();
            for _ in 0..3 {
                all = collective
                    .allgather(&vec![rank as u8; lengths[rank]])
                    .unwrap();
            }
            all
        });
        for all in gathered {
            for (rank, bytes) in all.iter().enumerate() {
                assert!(*bytes == vec![rank as u8; lengths[rank]], "{rank}");
            }
        }
    }

    #[test]
    fn calls_of_every_kind_follow_each_other() {
        let ends = all(2, |collective| {
            for round in 0..200 {
                let mut values = vec![1.0; 100 * round];
                collective.allreduce(&mut values, Reduce::Sum).unwrap();
                assert!(values.iter().all(|value| *value == 2.0));
                let mut bytes = vec![round as u8];
                collective.broadcast(&mut bytes, round as u32 % 2).unwrap();
                assert_eq!(
                    collective.allgather(&bytes).unwrap(),
                    [bytes.clone(), bytes]
                );
            }
        });
        assert_eq!(ends.len(), 2);
    }

    fn messages(work: impl Fn(&mut Collective) -> Result + Clone + Send + 'static) -> Vec<String> {
        let ends = all(2, work);
        ends.into_iter()
            .map(|end| end.unwrap_err().to_string())
            .collect()
    }

    #[test]
    fn instances_out_of_step_are_told_so() {
        let said = messages(|collective| match collective.rank() {
            0 => collective.allreduce(&mut [1.0], Reduce::Sum),
            _ => collective.allgather(b"x").map(drop),
        });
        assert!(said[0].contains("instance 1 is out of step"), "{said:?}");
        assert!(said[1].contains("instance 0 is out of step"), "{said:?}");
        let said = messages(|collective| {
            let mut values = vec![0.0; 1 + collective.rank() as usize];
            collective.allreduce(&mut values, Reduce::Sum)
        });
        assert!(said[0].contains("instance 1 gave 2 values"), "{said:?}");
        let said = messages(|collective| collective.broadcast(&mut Vec::new(), 2));
        assert!(said[0].contains("there is no instance 2 of 2"), "{said:?}");
    }

    #[test]
    fn an_instance_that_is_gone_is_named() {
        let mut two = collectives(2);
        drop(two.pop());
        let error = two[0].allgather(b"x").unwrap_err().to_string();
        assert!(error.contains("instance 1"), "{error}");
    }
}
