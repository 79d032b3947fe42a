//! Bodies coming in: bounded in size and in time, and read before they get a place that others
//! need.
//!
//! A slow client must not keep a fast one waiting, so nothing is waited for while a body comes.
//! Its first bytes are everybody's; more is kept in memory while the side has memory left, and
//! otherwise in a file without a name. Only a body that is whole is given a place in the queue of
//! those that are read back.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    ops::Deref,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    config::Pace,
    refusal::{Refusal, blocking},
};

/// Bytes of a body that are kept in memory whatever else is there.
const ALWAYS: usize = 256 * 1024;
/// Pieces shorter than this are copied together, so that none keeps a whole buffer of hyper's.
const SMALL: usize = 64 * 1024;
/// Bytes that one permit of a side's memory stands for.
const UNIT: usize = 64 * 1024;
/// Bodies that are read back from files at once.
const LOADING: usize = 8;

/// Receives a request's body piece by piece, never more than `limit` bytes in all, and never
/// slower than `pace`.
pub(crate) struct Incoming {
    body: Body,
    limit: usize,
    received: usize,
    pace: Pace,
    /// Time spent waiting for the peer, which is not the time that storing takes.
    waited: Duration,
}

impl Incoming {
    pub(crate) fn new(body: Body, limit: usize, pace: Pace) -> Self {
        Self {
            body,
            limit,
            received: 0,
            pace,
            waited: Duration::ZERO,
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Too large, too slow, or broken off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.body.size_hint().lower() > (self.limit - self.received) as u64 {
            return Err(Refusal::too_large("this body", self.limit));
        }
        loop {
            let left = self
                .pace
                .time_for(self.received)
                .saturating_sub(self.waited);
            let asked = Instant::now();
            let frame = tokio::time::timeout(left.min(self.pace.pause), self.body.frame()).await;
            self.waited += asked.elapsed();
            let frame = match frame {
                Err(_) => return Err(self.too_slow()),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => {
                    return Err(Refusal::bad(
                        "broken-body",
                        "the body ended before its length",
                    ));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers mean nothing here.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.received += data.len();
            if self.received > self.limit {
                return Err(Refusal::too_large("this body", self.limit));
            }
            return Ok(Some(data));
        }
    }

    fn too_slow(&self) -> Refusal {
        let Pace {
            pause,
            grace,
            slowest,
        } = self.pace;
        let message = format!(
            "{} bytes of the body came in {:?}: expected no pause over {pause:?}, and after \
             {grace:?} at least {slowest} bytes a second; send smaller parts, or over a faster link",
            self.received, self.waited
        );
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "too-slow", message)
    }
}

/// What one side's bodies may take of the host's memory.
pub(crate) struct Pool {
    memory: Arc<Semaphore>,
    loading: Arc<Semaphore>,
    /// Where bodies go that memory has no room for.
    folder: PathBuf,
}

impl Pool {
    pub(crate) fn new(memory: usize, folder: PathBuf) -> Self {
        Self {
            memory: Arc::new(Semaphore::new((memory / UNIT).min(Semaphore::MAX_PERMITS))),
            loading: Arc::new(Semaphore::new(LOADING)),
            folder,
        }
    }

    /// Reads a body to its end.
    ///
    /// # Errors
    /// As [`Incoming::next`], or it cannot be kept.
    pub(crate) async fn gather(&self, mut body: Incoming) -> Result<Gathered, Refusal> {
        let mut gathered = Gathered {
            length: 0,
            pieces: Vec::new(),
            tail: BytesMut::new(),
            file: None,
            memory: Vec::new(),
            loading: Arc::clone(&self.loading),
        };
        let mut in_memory = 0;
        let mut allowed = ALWAYS;
        while let Some(piece) = body.next().await? {
            in_memory += piece.len();
            gathered.push(piece);
            if in_memory <= allowed {
                continue;
            }
            if gathered.file.is_none() {
                let units = (in_memory - allowed).div_ceil(UNIT);
                let permits = u32::try_from(units).unwrap_or(u32::MAX);
                if let Ok(more) = Arc::clone(&self.memory).try_acquire_many_owned(permits) {
                    gathered.memory.push(more);
                    allowed += units * UNIT;
                    continue;
                }
                let folder = self.folder.clone();
                let file = blocking(move || Ok(tempfile::tempfile_in(folder)?)).await?;
                gathered.file = Some(file);
            }
            gathered.write_out().await?;
            gathered.memory.clear();
            (in_memory, allowed) = (0, ALWAYS);
        }
        if gathered.file.is_some() {
            gathered.write_out().await?;
        }
        gathered.end_tail();
        Ok(gathered)
    }
}

/// A body that came whole.
pub(crate) struct Gathered {
    length: usize,
    pieces: Vec<Bytes>,
    /// Short pieces, copied together.
    tail: BytesMut,
    file: Option<File>,
    memory: Vec<OwnedSemaphorePermit>,
    loading: Arc<Semaphore>,
}

impl Gathered {
    /// Its length in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// Hands its bytes to `take` in order, and stops where that fails. Blocks.
    pub(crate) fn read(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Some(file) = &self.file else {
            return self.pieces.iter().try_for_each(|piece| take(piece));
        };
        let mut buffer = vec![0; ALWAYS];
        let mut at = 0;
        while at < self.length {
            let piece = &mut buffer[..ALWAYS.min(self.length - at)];
            file.read_exact_at(piece, at as u64)?;
            take(piece)?;
            at += piece.len();
        }
        Ok(())
    }

    /// All of it in memory, end to end.
    ///
    /// # Errors
    /// It cannot be read back.
    pub(crate) async fn whole(mut self) -> Result<Whole, Refusal> {
        if self.file.is_none() {
            let bytes = match self.pieces.len() {
                0 => Bytes::new(),
                1 => self.pieces.remove(0),
                _ => self.pieces.concat().into(),
            };
            return Ok(Whole {
                bytes,
                loading: None,
                _memory: self.memory,
            });
        }
        let place = Arc::clone(&self.loading).acquire_owned().await;
        let bytes = blocking(move || {
            let mut bytes = Vec::with_capacity(self.length);
            self.read(|piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            Ok(bytes)
        })
        .await?;
        Ok(Whole {
            bytes: bytes.into(),
            // The semaphore is never closed.
            loading: place.ok(),
            _memory: Vec::new(),
        })
    }

    fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() < SMALL {
            self.tail.extend_from_slice(&piece);
            return;
        }
        self.end_tail();
        self.pieces.push(piece);
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(self.tail.split().freeze());
        }
    }

    async fn write_out(&mut self) -> Result<(), Refusal> {
        self.end_tail();
        let pieces = std::mem::take(&mut self.pieces);
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let file = blocking(move || {
            append(&file, &pieces)?;
            Ok(file)
        })
        .await?;
        self.file = Some(file);
        Ok(())
    }
}

fn append(mut file: &File, pieces: &[Bytes]) -> io::Result<()> {
    file.seek(SeekFrom::End(0))?;
    pieces.iter().try_for_each(|piece| file.write_all(piece))
}

/// A whole body in memory, and its places among those that are.
#[derive(Default)]
pub(crate) struct Whole {
    bytes: Bytes,
    loading: Option<OwnedSemaphorePermit>,
    _memory: Vec<OwnedSemaphorePermit>,
}

impl Whole {
    /// The bytes, to be passed on: whoever they go to may take long, so the place for reading back
    /// is given to the next.
    pub(crate) fn relayed(&mut self) -> Bytes {
        self.loading = None;
        self.bytes.clone()
    }
}

impl Deref for Whole {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const PACE: Pace = Pace {
        pause: Duration::from_secs(10),
        grace: Duration::from_secs(20),
        slowest: 1000,
    };

    /// A body of `pieces` pieces of `length` bytes, one every `pause`.
    fn dripping(pieces: usize, length: usize, pause: Duration) -> Body {
        Body::from_stream(stream::unfold(0, move |sent| async move {
            if sent == pieces {
                return None;
            }
            tokio::time::sleep(pause).await;
            let piece = Bytes::from(vec![sent as u8; length]);
            Some((Ok::<_, Infallible>(piece), sent + 1))
        }))
    }

    async fn length(body: Body, limit: usize) -> Result<usize, Refusal> {
        let pool = Pool::new(0, std::env::temp_dir());
        let incoming = Incoming::new(body, limit, PACE);
        pool.gather(incoming).await.map(|gathered| gathered.len())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_but_neither_pause_long_nor_drip_without_end() {
        let second = Duration::from_secs(1);
        // 1,000 bytes a second are enough, for as long as they come.
        assert_eq!(
            length(dripping(100, 1000, second), 1 << 20).await.unwrap(),
            100_000
        );
        // The grace covers what is small.
        assert_eq!(
            length(dripping(4, 1, 4 * second), 1 << 20).await.unwrap(),
            4
        );
        let refused = |answer: Result<usize, Refusal>| answer.unwrap_err().code;
        let begun = Instant::now();
        assert_eq!(
            refused(length(dripping(10_000, 1, second), 1 << 20).await),
            "too-slow"
        );
        assert!(begun.elapsed() <= 21 * second, "{:?}", begun.elapsed());
        let begun = Instant::now();
        assert_eq!(
            refused(length(dripping(2, 50_000, 11 * second), 1 << 20).await),
            "too-slow"
        );
        assert!(begun.elapsed() <= 11 * second, "{:?}", begun.elapsed());
        assert_eq!(
            refused(length(dripping(100, 1000, second), 9_999).await),
            "too-large"
        );
    }

    #[tokio::test]
    async fn a_body_is_the_same_from_memory_and_from_a_file() {
        for (memory, piece) in [
            (0, 100_000),
            (300_000, 100_000),
            (16 << 20, 100_000),
            (0, 700),
        ] {
            let pool = Pool::new(memory, std::env::temp_dir());
            let body = dripping(1_000_000 / piece, piece, Duration::ZERO);
            let gathered = pool
                .gather(Incoming::new(body, 1 << 20, PACE))
                .await
                .unwrap();
            let expected: Vec<u8> = (0..1_000_000 / piece)
                .flat_map(|index| vec![index as u8; piece])
                .collect();
            let mut read = Vec::new();
            gathered
                .read(|bytes| {
                    read.extend_from_slice(bytes);
                    Ok(())
                })
                .unwrap();
            assert!(read == expected, "{memory} {piece}");
            assert_eq!(gathered.file.is_some(), memory < 1_000_000 - ALWAYS);
            assert!(
                **gathered.whole().await.unwrap() == expected,
                "{memory} {piece}"
            );
        }
    }
}
