//! The streams between the instances of one step, and what ends all of them at once.
//!
//! Between every two instances there is one [`Pipe`] each way, in enclave memory and nowhere
//! else. All pipes of a step are behind one lock, because two things are a matter of all of
//! them: a failure, which stops every instance, and a deadlock, where each that is left waits
//! for another. The lock is held for moving pointers and small copies, never across a wait.

mod files;
mod pipe;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::cancel::Cancellation;
use crate::failure::Failure;
use crate::files::Gone;
use crate::limits::PEER_BYTES;
use pipe::Pipe;

/// The instances of one step.
pub(crate) struct Peers {
    size: usize,
    stop: Cancellation,
    state: Mutex<State>,
}

struct State {
    /// The one from `a` to `b` is at `a * size + b`; those at `a * size + a` stay unused.
    pipes: Vec<Pipe>,
    seats: Vec<SeatState>,
    failure: Option<FirstFailure>,
}

/// Why all instances ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstFailure {
    /// The instance that failed; none where it was no single one.
    pub(crate) rank: Option<usize>,
    pub(crate) failure: Failure,
}

#[derive(Default)]
struct SeatState {
    ended: bool,
    /// Pipes it waits for.
    waits: usize,
    /// It also waits for something that is no pipe, or only looks.
    several: usize,
}

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Reads,
    Writes,
}

impl Peers {
    /// `size` instances, none of which has begun.
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            size,
            stop: Cancellation::new(),
            state: Mutex::new(State {
                pipes: (0..size * size).map(|_| Pipe::default()).collect(),
                seats: (0..size).map(|_| SeatState::default()).collect(),
                failure: None,
            }),
        })
    }

    /// Enclave memory that the pipes of so many instances may take.
    pub(crate) fn bytes(size: usize) -> u64 {
        (size * size.saturating_sub(1) * 2 * PEER_BYTES) as u64
    }

    /// The place of instance `rank`, to be taken once.
    pub(crate) fn seat(self: &Arc<Self>, rank: usize) -> Seat {
        assert!(
            rank < self.size,
            "there is no instance {rank} of {}",
            self.size
        );
        Seat {
            peers: Arc::clone(self),
            rank,
            ended: false,
        }
    }

    /// Cancelled when the first instance fails.
    pub(crate) fn stop(&self) -> &Cancellation {
        &self.stop
    }

    /// Stops all instances; the first call says why.
    pub(crate) fn fail(&self, rank: Option<usize>, failure: Failure) {
        self.update(|state| {
            state.failure.get_or_insert(FirstFailure { rank, failure });
        });
    }

    /// Why all were stopped, if they were.
    pub(crate) fn failure(&self) -> Option<FirstFailure> {
        self.lock().failure.clone()
    }

    fn index(&self, from: usize, to: usize) -> usize {
        from * self.size + to
    }

    /// The instance at one end of a pipe.
    fn owner(&self, pipe: usize, side: Side) -> usize {
        match side {
            Side::Reads => pipe % self.size,
            Side::Writes => pipe / self.size,
        }
    }

    /// Makes a change and sees whether anybody can go on after it.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        if state.failure.is_none() && state.is_deadlocked() {
            state.failure = Some(FirstFailure {
                rank: None,
                failure: Failure::Deadlock,
            });
        }
        let failed = state.failure.is_some();
        drop(state);
        if failed && !self.stop.is_cancelled() {
            self.stop.cancel();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets whoever waits at this end of the pipe look again.
    fn wake(&self, state: &mut State, pipe: usize, side: Side) {
        if let Some(waker) = self.forget(state, pipe, side) {
            waker.wake();
        }
    }

    fn forget(&self, state: &mut State, pipe: usize, side: Side) -> Option<Waker> {
        let waker = state.pipes[pipe].waiting(side).take()?;
        state.seats[self.owner(pipe, side)].waits -= 1;
        Some(waker)
    }

    /// Whether this end of the pipe has something to do. After a failure it never has: the
    /// instance is being stopped, and must not take that for the end of a stream.
    fn is_ready(&self, state: &State, pipe: usize, side: Side) -> bool {
        let reader = self.owner(pipe, Side::Reads);
        let pipe = &state.pipes[pipe];
        state.failure.is_none()
            && match side {
                Side::Reads => pipe.has_data() || pipe.is_closed(),
                Side::Writes => pipe.room() > 0 || state.seats[reader].ended,
            }
    }

    fn end(&self, rank: usize) {
        self.update(|state| {
            state.seats[rank].ended = true;
            for other in (0..self.size).filter(|other| *other != rank) {
                let (out, into) = (self.index(rank, other), self.index(other, rank));
                state.pipes[out].close();
                self.wake(state, out, Side::Reads);
                // Nobody will read it any more.
                state.pipes[into].clear();
                self.wake(state, into, Side::Writes);
            }
        });
    }
}

impl State {
    /// Whether every instance that has not ended waits for another. Whoever changes a pipe takes
    /// the one that waits for it off its wait under the same lock, so nobody counts as waiting
    /// who could go on.
    fn is_deadlocked(&self) -> bool {
        let mut left = self.seats.iter().filter(|seat| !seat.ended).peekable();
        left.peek().is_some() && left.all(|seat| seat.waits > 0 && seat.several == 0)
    }
}

/// One instance's place among its peers. Dropped before [`end`](Self::end) it fails them all.
pub(crate) struct Seat {
    peers: Arc<Peers>,
    rank: usize,
    ended: bool,
}

impl Seat {
    /// The other instances' numbers with the streams from and to them.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (usize, PeerIn, PeerOut)> {
        let end = |pipe| End {
            peers: Arc::clone(&self.peers),
            pipe,
        };
        let others = (0..self.peers.size).filter(|other| *other != self.rank);
        others.map(move |other| {
            let into = end(self.peers.index(other, self.rank));
            let out = end(self.peers.index(self.rank, other));
            (
                other,
                PeerIn(into),
                PeerOut {
                    end: out,
                    open: None,
                },
            )
        })
    }

    /// For calls that wait for more than one thing.
    pub(crate) fn polls(&self) -> Polls {
        Polls {
            peers: Arc::clone(&self.peers),
            rank: self.rank,
        }
    }

    /// The instance has ended. To be called while its files are still open: what closes with it
    /// after a failure must not look like the end of a stream.
    pub(crate) fn end(mut self, result: &Result<(), Failure>) {
        self.ended = true;
        match result {
            Ok(()) => self.peers.end(self.rank),
            Err(failure) => self.peers.fail(Some(self.rank), failure.clone()),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.ended {
            let failure = Failure::Internal("an instance went away".to_owned());
            self.peers.fail(Some(self.rank), failure);
        }
    }
}

/// Says of an instance that it waits for several things at once.
pub(crate) struct Polls {
    peers: Arc<Peers>,
    rank: usize,
}

impl Polls {
    /// As long as this is held, the instance counts as one that can go on.
    pub(crate) fn several(&self) -> Several {
        let (peers, rank) = (Arc::clone(&self.peers), self.rank);
        peers.update(|state| state.seats[rank].several += 1);
        Several { peers, rank }
    }
}

/// See [`Polls::several`].
pub(crate) struct Several {
    peers: Arc<Peers>,
    rank: usize,
}

impl Drop for Several {
    fn drop(&mut self) {
        let rank = self.rank;
        self.peers.update(|state| state.seats[rank].several -= 1);
    }
}

/// One pipe of its step.
#[derive(Clone)]
struct End {
    peers: Arc<Peers>,
    pipe: usize,
}

impl End {
    fn wait(&self, side: Side) -> Wait<'_> {
        Wait { end: self, side }
    }
}

/// The reading end of a stream from another instance.
#[derive(Clone)]
pub(crate) struct PeerIn(End);

impl PeerIn {
    /// What has arrived, `len` bytes at most: empty at the stream's end, `None` where there is
    /// nothing yet.
    pub(crate) fn try_read(&self, len: usize) -> Option<Bytes> {
        if len == 0 {
            return Some(Bytes::new());
        }
        let End { peers, pipe } = &self.0;
        peers.update(|state| {
            if let Some(bytes) = state.pipes[*pipe].pop(len) {
                peers.wake(state, *pipe, Side::Writes);
                return Some(bytes);
            }
            let ended = peers.is_ready(state, *pipe, Side::Reads);
            ended.then(Bytes::new)
        })
    }

    /// Returns once there is something to read, or the stream's end.
    pub(crate) async fn readable(&self) {
        self.0.wait(Side::Reads).await;
    }

    /// At least one byte; none at the stream's end.
    pub(crate) async fn read(&self, len: usize) -> Bytes {
        loop {
            if let Some(bytes) = self.try_read(len) {
                return bytes;
            }
            self.readable().await;
        }
    }
}

/// The writing end of a stream to another instance.
#[derive(Clone)]
pub(crate) struct PeerOut {
    end: End,
    /// Held by those that were opened to write.
    open: Option<Arc<Opened>>,
}

/// The stream ends when the last of these that share it is gone.
struct Opened(End);

impl PeerOut {
    /// The same end, open for writing until it and all clones of it are gone.
    pub(crate) fn open(&self) -> Result<Self, Gone> {
        let End { peers, pipe } = &self.end;
        peers.update(|state| state.pipes[*pipe].open())?;
        Ok(Self {
            end: self.end.clone(),
            open: Some(Arc::new(Opened(self.end.clone()))),
        })
    }

    /// How many bytes it takes now.
    pub(crate) fn room(&self) -> Result<usize, Gone> {
        let End { peers, pipe } = &self.end;
        let state = peers.lock();
        if state.failure.is_some() {
            return Ok(0);
        }
        if self.open.is_none() || state.seats[peers.owner(*pipe, Side::Reads)].ended {
            return Err(Gone);
        }
        Ok(state.pipes[*pipe].room())
    }

    /// Sends as much of the front of `bytes` as there is room for, and takes it off them.
    pub(crate) fn try_write(&self, bytes: &mut Bytes) -> Result<(), Gone> {
        let fits = self.room()?.min(bytes.len());
        if fits > 0 {
            let End { peers, pipe } = &self.end;
            let bytes = bytes.split_to(fits);
            peers.update(|state| {
                state.pipes[*pipe].push(bytes);
                peers.wake(state, *pipe, Side::Reads);
            });
        }
        Ok(())
    }

    /// Returns once there is room, or nobody to write to.
    pub(crate) async fn writable(&self) {
        self.end.wait(Side::Writes).await;
    }

    /// Sends all of `bytes`.
    pub(crate) async fn write(&self, mut bytes: Bytes) -> Result<(), Gone> {
        loop {
            self.try_write(&mut bytes)?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.writable().await;
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let End { peers, pipe } = &self.0;
        peers.update(|state| {
            if state.pipes[*pipe].release() {
                peers.wake(state, *pipe, Side::Reads);
            }
        });
    }
}

/// Waits at one end of a pipe until it is ready.
struct Wait<'a> {
    end: &'a End,
    side: Side,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (End { peers, pipe }, side) = (self.end, self.side);
        peers.update(|state| {
            if peers.is_ready(state, *pipe, side) {
                peers.forget(state, *pipe, side);
                return Poll::Ready(());
            }
            let waiting = state.pipes[*pipe].waiting(side);
            if waiting.replace(cx.waker().clone()).is_none() {
                state.seats[peers.owner(*pipe, side)].waits += 1;
            }
            Poll::Pending
        })
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let (End { peers, pipe }, side) = (self.end, self.side);
        peers.update(|state| peers.forget(state, *pipe, side));
    }
}

#[cfg(test)]
mod tests;
