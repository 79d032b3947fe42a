//! Notes that wait for whom they are to: a mailbox for each card of a session's policy.
//!
//! A note is numbered when it is left, and stays until the session is pruned. Nobody can read
//! others' notes away, and nobody can fill the host with them: a mailbox has so much room, and a
//! session has.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use mc2_protocol::Digest;
use tokio::sync::watch;

use super::records::{Change, Records, Table};
use crate::{
    refusal::{Refusal, blocking},
    waiting::lock,
};

/// Most notes to one card in one session.
const MAX_NOTES: u64 = 1024;
/// Most bytes of notes to one card in one session.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Most bytes of notes of one session.
const MAX_SESSION_BYTES: u64 = 256 * 1024 * 1024;
/// Most bytes of notes in one answer; one note is answered whatever its size.
const ANSWER: usize = 4 * 1024 * 1024;
/// Most who wait for notes at once.
const MAX_WAITING: usize = 4096;

/// All mailboxes.
pub(crate) struct Notes {
    records: Arc<Records>,
    /// Of sessions that were written to since the host's start.
    sessions: Mutex<HashMap<Digest, Arc<Mutex<Boxes>>>>,
    /// Counts notes that were left, for those who wait.
    left: watch::Sender<u64>,
}

/// A note as it was left.
pub(crate) struct Note {
    pub(crate) number: u64,
    pub(crate) body: Bytes,
}

impl Notes {
    pub(super) fn new(records: Arc<Records>) -> Arc<Self> {
        Arc::new(Self {
            records,
            sessions: Mutex::default(),
            left: watch::Sender::default(),
        })
    }

    /// Leaves a note for a card; its number, once it is recorded.
    ///
    /// # Errors
    /// There is no room, or it cannot be recorded.
    pub(crate) async fn post(
        self: &Arc<Self>,
        session: Digest,
        to: Digest,
        body: Bytes,
    ) -> Result<u64, Refusal> {
        let this = Arc::clone(self);
        blocking(move || this.write(session, to, body)).await
    }

    /// The notes to a card after number `after`; waits up to `wait` for one.
    pub(crate) async fn read(
        self: &Arc<Self>,
        session: Digest,
        to: Digest,
        after: u64,
        wait: Duration,
    ) -> Result<Vec<Note>, Refusal> {
        // Whoever asks when so many wait is answered at once.
        let wait = if self.left.receiver_count() < MAX_WAITING {
            wait
        } else {
            Duration::ZERO
        };
        let mut left = self.left.subscribe();
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            left.mark_unchanged();
            let this = Arc::clone(self);
            let found = blocking(move || this.list(session, to, after)).await?;
            if !found.is_empty()
                || tokio::time::timeout_at(deadline, left.changed())
                    .await
                    .is_err()
            {
                return Ok(found);
            }
        }
    }

    fn write(&self, session: Digest, to: Digest, body: Bytes) -> Result<u64, Refusal> {
        let boxes = Arc::clone(lock(&self.sessions).entry(session).or_default());
        // Held while it is recorded, so that notes get their numbers in order and in the bounds.
        let mut boxes = lock(&boxes);
        if !boxes.known {
            *boxes = self.count(&session)?;
        }
        let size = body.len() as u64;
        let total = boxes.bytes + size;
        let mailbox = boxes.of.entry(to).or_default();
        if mailbox.last >= MAX_NOTES
            || mailbox.bytes + size > MAX_BYTES
            || total > MAX_SESSION_BYTES
        {
            let message = format!(
                "a mailbox takes at most {MAX_NOTES} notes of {MAX_BYTES} bytes in all, a session \
                 {MAX_SESSION_BYTES} bytes; open a new session"
            );
            return Err(Refusal::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "notes-full",
                message,
            ));
        }
        let number = mailbox.last + 1;
        let record = Change::put(Table::Notes, key(&session, &to, number), body);
        self.records.write(vec![record])?;
        mailbox.last = number;
        mailbox.bytes += size;
        boxes.bytes = total;
        drop(boxes);
        self.left.send_modify(|count| *count += 1);
        Ok(number)
    }

    fn list(&self, session: Digest, to: Digest, after: u64) -> Result<Vec<Note>, Refusal> {
        let mailbox = mailbox(&session, &to);
        let Some(first) = after.checked_add(1) else {
            return Ok(Vec::new());
        };
        let mut from = key(&session, &to, first);
        let mut found = Vec::new();
        let mut size = 0;
        // One by one: a note may have two megabytes.
        while let Some((key, body)) = self.records.range(Table::Notes, &mailbox, &from, 1)?.pop() {
            size += body.len();
            if size > ANSWER && !found.is_empty() {
                break;
            }
            let number = number(&key)?;
            found.push(Note { number, body });
            from = key;
            from.push(0);
        }
        Ok(found)
    }

    /// What a session has already.
    fn count(&self, session: &Digest) -> Result<Boxes, Refusal> {
        let mut boxes = Boxes {
            known: true,
            ..Boxes::default()
        };
        let mut from = session.as_bytes().to_vec();
        loop {
            let records = self
                .records
                .range(Table::Notes, session.as_bytes(), &from, 64)?;
            let Some((last, _)) = records.last() else {
                return Ok(boxes);
            };
            from.clone_from(last);
            from.push(0);
            for (key, body) in records {
                let mailbox = boxes.of.entry(addressee(&key)?).or_default();
                mailbox.last = mailbox.last.max(number(&key)?);
                mailbox.bytes += body.len() as u64;
                boxes.bytes += body.len() as u64;
            }
        }
    }
}

/// What the mailboxes of a session have.
#[derive(Default)]
struct Boxes {
    /// Whether what was there before the host's start is counted.
    known: bool,
    bytes: u64,
    of: HashMap<Digest, Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    last: u64,
    bytes: u64,
}

fn mailbox(session: &Digest, to: &Digest) -> Vec<u8> {
    [session.as_bytes().as_slice(), to.as_bytes()].concat()
}

fn key(session: &Digest, to: &Digest, number: u64) -> Vec<u8> {
    let mut key = mailbox(session, to);
    key.extend(number.to_be_bytes());
    key
}

fn addressee(key: &[u8]) -> io::Result<Digest> {
    let bytes = key.get(32..64).and_then(|bytes| bytes.try_into().ok());
    bytes.map(Digest::from_bytes).ok_or_else(damaged)
}

fn number(key: &[u8]) -> io::Result<u64> {
    let bytes = key.get(64..).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_be_bytes).ok_or_else(damaged)
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a note's key is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(folder: &std::path::Path) -> Arc<Notes> {
        Notes::new(Arc::new(Records::open(folder, false).unwrap()))
    }

    fn code(answer: Result<u64, Refusal>) -> Result<u64, &'static str> {
        answer.map_err(|refusal| refusal.code)
    }

    /// Row 39: a mailbox that strangers fill is full for itself alone.
    #[tokio::test]
    async fn a_mailbox_takes_so_many_notes_and_a_session_so_many_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let to = |name: u8| Digest::of(&[name]);
        {
            let notes = notes(folder.path());
            for number in 1..=MAX_NOTES {
                let body = Bytes::from_static(b"note");
                assert_eq!(code(notes.post(one, to(1), body).await), Ok(number));
            }
        }
        // Counted anew after a start.
        let notes = notes(folder.path());
        let small = || Bytes::from_static(b"note");
        assert_eq!(
            code(notes.post(one, to(1), small()).await),
            Err("notes-full")
        );
        assert_eq!(code(notes.post(one, to(2), small()).await), Ok(1));
        assert_eq!(code(notes.post(other, to(1), small()).await), Ok(1));

        let large = Bytes::from(vec![7; 16 * 1024 * 1024]);
        for number in 1..=4 {
            assert_eq!(
                code(notes.post(other, to(3), large.clone()).await),
                Ok(number)
            );
        }
        assert_eq!(
            code(notes.post(other, to(3), small()).await),
            Err("notes-full")
        );
        assert_eq!(code(notes.post(other, to(1), small()).await), Ok(2));
        // An answer ends at its bound, and always has one.
        let read = notes.read(other, to(3), 1, Duration::ZERO).await.unwrap();
        let numbers: Vec<u64> = read.iter().map(|note| note.number).collect();
        assert_eq!(numbers, [2]);
        let read = notes.read(one, to(1), 1000, Duration::ZERO).await.unwrap();
        assert_eq!((read.len(), read[0].number), (24, 1001));
        let none = notes.read(one, to(1), u64::MAX, Duration::ZERO).await;
        assert!(none.unwrap().is_empty());
    }
}
