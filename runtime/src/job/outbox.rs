//! Receipts that the host has not stored yet.
//!
//! A receipt is kept sealed, as it will lie on the host, and sent again until the host has taken
//! it; meanwhile the host may ask for it on a client's behalf. What may wait is bounded: room for
//! a receipt is reserved before its job starts, so that a run is never spent without one.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use mc2_protocol::Digest;
use mc2_wire::routes::{events_path, receipt_path, start_path};
use tokio::sync::Notify;

use crate::storage::Storage;

/// Most bytes of receipts in one process, those that wait and those that jobs under way may need.
pub(crate) const CAPACITY: usize = 64 * 1024 * 1024;
/// Pauses between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Pause between two questions about one job's start.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(2);

/// The receipts of one process that wait to be stored.
pub(crate) struct Outbox {
    storage: Arc<Storage>,
    waiting: Mutex<Waiting>,
    host_is_back: Notify,
}

#[derive(Default)]
struct Waiting {
    receipts: BTreeMap<(Digest, u64), Bytes>,
    /// Bytes of these receipts and of all reservations.
    taken: usize,
}

/// There is no room for another receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this job's receipt may need {wanted} bytes, and of the {CAPACITY} there are for receipts \
     that the host has not stored yet {taken} are taken: submit it again when the host stores \
     receipts again"
)]
pub(crate) struct OutboxFull {
    wanted: usize,
    taken: usize,
}

/// Room for the receipt of one job. While there is one, the process does not end by itself.
pub(crate) struct Reservation {
    outbox: Arc<Outbox>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn new(storage: Arc<Storage>) -> Arc<Self> {
        Arc::new(Self {
            storage,
            waiting: Mutex::default(),
            host_is_back: Notify::new(),
        })
    }

    /// Reserves room for a receipt of at most so many bytes.
    ///
    /// # Errors
    /// [`OutboxFull`].
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, OutboxFull> {
        let mut waiting = self.waiting();
        let taken = waiting.taken;
        if bytes > CAPACITY - taken.min(CAPACITY) {
            return Err(OutboxFull {
                wanted: bytes,
                taken,
            });
        }
        waiting.taken += bytes;
        drop(waiting);
        Ok(Reservation {
            outbox: Arc::clone(self),
            bytes,
        })
    }

    /// The sealed receipt of a job that has ended, while it waits.
    pub(crate) fn receipt(&self, session: Digest, number: u64) -> Option<Bytes> {
        self.waiting().receipts.get(&(session, number)).cloned()
    }

    /// Whether no job runs and no receipt waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting().taken == 0
    }

    /// Sends what waits at once: the host was heard of.
    pub(crate) fn host_is_back(&self) {
        self.host_is_back.notify_waiters();
    }

    /// Tells the host that a job runs, until it has heard.
    pub(crate) async fn announce(&self, session: Digest, number: u64) {
        let path = events_path(&session, number);
        self.insist(|| self.storage.post(&path, Bytes::new())).await;
    }

    /// The same without insisting: it is told so once, and the receipt will say more.
    pub(crate) async fn announce_once(&self, session: Digest, number: u64) {
        let _ = self
            .storage
            .post(&events_path(&session, number), Bytes::new())
            .await;
    }

    /// Has the host hand on what a job's start waits for. It is asked again whenever it is heard of:
    /// it may have been started anew and know nothing of it. Does not end by itself.
    pub(crate) async fn ask_start(
        &self,
        session: Digest,
        number: u64,
        question: Bytes,
    ) -> Infallible {
        let path = start_path(&session, number);
        loop {
            let back = self.host_is_back.notified();
            self.insist(|| self.storage.post(&path, question.clone()))
                .await;
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
            back.await;
        }
    }

    /// Does a request again and again until it is done.
    async fn insist<T, E, F>(&self, request: impl Fn() -> F)
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            // Heard from here on, so that no word of the host's return is missed.
            let back = self.host_is_back.notified();
            if request().await.is_ok() {
                return;
            }
            // Whichever comes first.
            let _ = tokio::time::timeout(pause, back).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Every change under this lock is complete before anything can panic.
        self.waiting
            .lock()
            .unwrap_or_else(|error| error.into_inner())
    }
}

impl Reservation {
    /// Keeps the sealed receipt until the host has stored it. Comes back at once.
    pub(crate) fn keep(mut self, session: Digest, number: u64, success: bool, sealed: Bytes) {
        let mut waiting = self.outbox.waiting();
        waiting.taken = waiting.taken - self.bytes + sealed.len();
        waiting.receipts.insert((session, number), sealed.clone());
        drop(waiting);
        self.bytes = sealed.len();
        tokio::spawn(async move {
            let path = receipt_path(&session, number);
            let path = format!("{path}?success={success}");
            let outbox = &self.outbox;
            outbox
                .insist(|| outbox.storage.put(&path, sealed.clone()))
                .await;
            outbox.waiting().receipts.remove(&(session, number));
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.outbox.waiting().taken -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::encoding::Hex;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixListener,
    };

    use super::*;

    /// An outbox whose host answers as it is told, and counts what it was asked.
    struct Host {
        outbox: Arc<Outbox>,
        answer: Arc<Mutex<&'static str>>,
        asked: Arc<Mutex<usize>>,
        _folder: tempfile::TempDir,
    }

    fn host(answer: &'static str) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("host.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let asked = Arc::new(Mutex::new(0));
        let (told, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 65536]).await;
                *counted.lock().unwrap() += 1;
                let answer = format!(
                    "HTTP/1.1 {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    told.lock().unwrap()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let address = mc2_wire::Address::Unix(socket);
        let storage = Arc::new(Storage::new(address, Hex([1; 16])));
        Host {
            outbox: Outbox::new(storage),
            answer,
            asked,
            _folder: folder,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_receipt_is_sent_until_it_is_taken_and_is_there_meanwhile() {
        let host = host("507 no room");
        let session = Digest::of(b"session");
        let reservation = host.outbox.reserve(100).unwrap();
        reservation.keep(session, 1, true, Bytes::from_static(b"sealed"));
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let asked = *host.asked.lock().unwrap();
        assert!(
            (100..1000).contains(&asked),
            "asked {asked} times in an hour"
        );
        assert_eq!(host.outbox.receipt(session, 1).unwrap(), "sealed");
        assert_eq!(host.outbox.receipt(session, 2), None);
        assert!(!host.outbox.is_idle());
        *host.answer.lock().unwrap() = "204 taken";
        host.outbox.host_is_back();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(host.outbox.receipt(session, 1), None);
        assert!(host.outbox.is_idle());
    }

    #[tokio::test]
    async fn what_waits_and_what_may_come_is_bounded() {
        let host = host("507 no room");
        let first = host.outbox.reserve(CAPACITY - 10).unwrap();
        assert!(host.outbox.reserve(11).is_err());
        first.keep(
            Digest::of(b"s"),
            1,
            false,
            Bytes::from(vec![0; CAPACITY - 20]),
        );
        let second = host.outbox.reserve(20).unwrap();
        let refused = host.outbox.reserve(1).err().unwrap();
        assert_eq!(refused.taken, CAPACITY);
        drop(second);
        host.outbox.reserve(20).unwrap();
        // An odd job whose receipt is larger than was foreseen is kept all the same.
        let odd = host.outbox.reserve(1).unwrap();
        odd.keep(Digest::of(b"s"), 2, false, Bytes::from(vec![0; 100]));
        assert!(host.outbox.reserve(0).is_ok() && host.outbox.reserve(1).is_err());
    }
}
