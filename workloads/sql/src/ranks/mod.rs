//! One query on several instances.
//!
//! All instances run the same program with the same inputs and arguments, so each plans every statement
//! itself, and nothing but rows and a few messages goes between them. [`share`] makes an instance's part
//! of a plan, [`exchange`] is where rows go from one to another in it, [`together`] runs it; [`links`] are
//! the streams and [`wire`] what rows are on them. What is shared by several exchanges on one stream is
//! the crate `sql-core`'s (`ranks`).

mod drive;
mod exchange;
mod first;
mod links;
mod planning;
mod share;
mod together;
mod wire;

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
};

use datafusion::{arrow::array::RecordBatch, common::DataFusionError};
use mc2_guest::{Error, Job};
use sql_core::ranks::{Failed, Message, Mux, Verdict};

use self::links::Links;
pub(crate) use self::{
    drive::block_on,
    planning::{Planned, Planning, Rule, Sharing},
    together::{Interrupt, Reported, Together},
};

/// Bytes of one exchange on their way to or from an instance, over all others; a batch may be more.
const WINDOWS: usize = 4 << 20;

/// This instance among those that run the same query.
pub(crate) struct Ranks {
    pub(crate) rank: usize,
    pub(crate) size: usize,
    mux: Mutex<Mux<RecordBatch>>,
    links: Mutex<Links>,
    run: AtomicU32,
    pub(crate) planning: Planning,
}

impl Ranks {
    pub(crate) fn new(job: &Job) -> mc2_guest::Result<Arc<Self>> {
        let peers = job.peers()?;
        let (rank, size) = (peers.rank() as usize, peers.size() as usize);
        Ok(Arc::new(Self {
            rank,
            size,
            mux: Mutex::new(Mux::new(rank, size, WINDOWS / size)),
            links: Mutex::new(Links::open(&peers)?),
            run: AtomicU32::new(0),
            planning: Planning::default(),
        }))
    }

    pub(crate) fn is_first(&self) -> bool {
        self.rank == 0
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.rank;
        (0..self.size).filter(move |rank| *rank != own)
    }

    /// The instances whose messages this one waits for.
    fn heard(&self) -> impl Iterator<Item = usize> + use<> {
        let is_first = self.is_first();
        self.others().filter(move |rank| is_first || *rank == 0)
    }

    fn mux(&self) -> MutexGuard<'_, Mux<RecordBatch>> {
        lock(&self.mux)
    }

    /// Which run of a statement this is.
    fn run(&self) -> u32 {
        self.run.load(Ordering::Relaxed)
    }

    /// Starts the run of a statement, the first or the one with joins that spill. Its number is the same
    /// in all instances, whichever of them had to run what came before.
    pub(crate) fn begin(&self, statement: usize, spilling: bool) {
        // Their text is in memory, so there are fewer than half of all numbers.
        let run = statement as u32 * 2 + u32::from(spilling) + 1;
        self.run.store(run, Ordering::Relaxed);
        self.mux().begin(run);
    }

    /// Tells the first, which may wait for it, that this instance cannot plan the statement.
    pub(crate) fn give_up(&self) {
        if !self.is_first() {
            self.tell(0, &Message::Planned(None));
        }
    }

    /// Moves bytes, without waiting for any.
    fn pump(&self) -> Result<bool, DataFusionError> {
        lock(&self.links)
            .pump(&mut self.mux())
            .map_err(DataFusionError::Execution)
    }

    /// Tells an instance something of this run.
    fn tell(&self, rank: usize, message: &Message) {
        self.mux().tell(rank, self.run(), message);
    }

    /// From the first to all others, now as far as there is room.
    pub(crate) fn tell_all(&self, message: &Message) -> Result<(), DataFusionError> {
        self.others().for_each(|rank| self.tell(rank, message));
        self.pump().map(drop)
    }

    /// What another instance says of this run.
    async fn message(&self) -> mc2_guest::Result<(usize, Message)> {
        poll_fn(|context| {
            let mut mux = self.mux();
            match mux.poll_message(context) {
                Poll::Ready(told) => Poll::Ready(Ok(told)),
                Poll::Pending => match self.heard().find(|rank| mux.is_ended(*rank)) {
                    Some(rank) => Poll::Ready(Err(Error::new(format!(
                        "instance {rank} ended before this one"
                    )))),
                    None => Poll::Pending,
                },
            }
        })
        .await
    }

    /// Whether all have planned the statement alike, so that they run it together. `digest` is this
    /// instance's plan's.
    pub(crate) async fn agree(&self, digest: Option<u64>) -> mc2_guest::Result<bool> {
        if !self.is_first() {
            self.tell(0, &Message::Planned(digest));
            return match self.message().await? {
                (0, Message::Together) => Ok(true),
                (0, Message::Alone) => Ok(false),
                told => Err(strange(&told)),
            };
        }
        let mut alike = digest.is_some();
        for _ in self.others() {
            match self.message().await? {
                (_, Message::Planned(other)) => alike &= other == digest,
                told => return Err(strange(&told)),
            }
        }
        self.tell_all(match alike {
            true => &Message::Together,
            false => &Message::Alone,
        })
        .map_err(Error::new)?;
        Ok(alike)
    }

    /// Tells the first that this instance's part of a run failed, and hears what is next.
    pub(crate) async fn report(&self, failed: Failed) -> mc2_guest::Result<Verdict> {
        self.tell(0, &Message::Failed(failed));
        match self.message().await? {
            (0, Message::Ended(verdict)) => Ok(verdict),
            told => Err(strange(&told)),
        }
    }

    /// Sends what is still to be sent.
    pub(crate) fn flush(&self) -> mc2_guest::Result {
        lock(&self.links).flush(&mut self.mux()).map_err(Error::new)
    }
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance {} of {}", self.rank, self.size)
    }
}

fn strange((rank, message): &(usize, Message)) -> Error {
    Error::new(format!(
        "instance {rank} is out of step: it says {message:?}"
    ))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
