//! Notes that wait for whom they are to: a mailbox for each card of a session's policy.
//!
//! A note is numbered when it is left, and stays until it is old enough or its session is pruned.
//! Nobody can read others' notes away, and nobody can fill the host with them: a mailbox has so much
//! room, and a session has.
//!
//! A record is the Unix time in seconds when the note was left (8 bytes, big-endian), and the note.
//! Of a mailbox's last note the time stays, so that its number is given to no other.

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
    clock::now,
    refusal::{Refusal, blocking},
    waiting::lock,
};

/// Most notes to one card in one session.
const MAX_NOTES: usize = 1024;
/// Most bytes of notes to one card in one session.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Most bytes of notes of one session.
const MAX_SESSION_BYTES: u64 = 256 * 1024 * 1024;
/// Most bytes of notes in one answer; one note is answered whatever its size.
const ANSWER: usize = 4 * 1024 * 1024;
/// Bytes of a record before the note.
const HEAD: usize = 8;
/// Records that are looked at before others are let to them.
const AT_ONCE: usize = 64;
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
        if mailbox.notes >= MAX_NOTES
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
        let value = [now().to_be_bytes().as_slice(), &body].concat();
        let record = Change::put(Table::Notes, key(&session, &to, number), value);
        let hollow = mailbox.hollow;
        let hollow = hollow.then(|| Change::remove(Table::Notes, key(&session, &to, mailbox.last)));
        self.records
            .write(hollow.into_iter().chain([record]).collect())?;
        mailbox.last = number;
        mailbox.hollow = false;
        mailbox.notes += 1;
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
        while let Some((key, value)) = self.records.range(Table::Notes, &mailbox, &from, 1)?.pop() {
            let number = number(&key)?;
            from = key;
            from.push(0);
            let Some(body) = body(&value) else { continue };
            size += body.len();
            if size > ANSWER && !found.is_empty() {
                break;
            }
            found.push(Note { number, body });
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
                .range(Table::Notes, session.as_bytes(), &from, AT_ONCE)?;
            let Some((last, _)) = records.last() else {
                return Ok(boxes);
            };
            from.clone_from(last);
            from.push(0);
            for (key, value) in records {
                let mailbox = boxes.of.entry(addressee(&key)?).or_default();
                mailbox.last = mailbox.last.max(number(&key)?);
                mailbox.hollow = body(&value).is_none();
                if let Some(body) = body(&value) {
                    mailbox.notes += 1;
                    mailbox.bytes += body.len() as u64;
                    boxes.bytes += body.len() as u64;
                }
            }
        }
    }

    /// Lets go what is in memory of sessions that are `known` no more.
    pub(super) fn keep_only(&self, known: impl Fn(&Digest) -> bool) {
        lock(&self.sessions).retain(|session, _| known(session));
    }

    /// Removes notes that were left before `before`, until `stop` says so; how many. May block.
    pub(super) fn prune(&self, before: u64, stop: &dyn Fn() -> bool) -> Result<usize, Refusal> {
        let mut removed = 0;
        let mut from = Vec::new();
        loop {
            let found = self.records.range(Table::Notes, &[], &from, AT_ONCE)?;
            let Some((last, _)) = found.last().filter(|_| !stop()) else {
                return Ok(removed);
            };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in found {
                if left_at(&value).is_some_and(|at| at < before) {
                    removed += usize::from(self.remove(key)?);
                }
            }
        }
    }

    fn remove(&self, key: Vec<u8>) -> Result<bool, Refusal> {
        let (session, to) = (session(&key)?, addressee(&key)?);
        let boxes = Arc::clone(lock(&self.sessions).entry(session).or_default());
        let mut boxes = lock(&boxes);
        if !boxes.known {
            *boxes = self.count(&session)?;
        }
        // It may have gone with its session, or be a last one that went before.
        let value = self.records.get(Table::Notes, &key)?;
        let Some((time, body)) = value.and_then(|value| Some((left_at(&value)?, body(&value)?)))
        else {
            return Ok(false);
        };
        let mailbox = boxes.of.entry(to).or_default();
        let size = body.len() as u64;
        let last = number(&key)? == mailbox.last;
        let change = match last {
            // One byte less than any note has.
            true => Change::put(Table::Notes, key, time.to_be_bytes()[..HEAD - 1].to_vec()),
            false => Change::remove(Table::Notes, key),
        };
        self.records.write(vec![change])?;
        mailbox.hollow |= last;
        mailbox.notes = mailbox.notes.saturating_sub(1);
        mailbox.bytes = mailbox.bytes.saturating_sub(size);
        boxes.bytes = boxes.bytes.saturating_sub(size);
        Ok(true)
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
    /// The highest number that was given.
    last: u64,
    notes: usize,
    bytes: u64,
    /// Whether of the last note only the number is left.
    hollow: bool,
}

fn mailbox(session: &Digest, to: &Digest) -> Vec<u8> {
    [session.as_bytes().as_slice(), to.as_bytes()].concat()
}

fn key(session: &Digest, to: &Digest, number: u64) -> Vec<u8> {
    let mut key = mailbox(session, to);
    key.extend(number.to_be_bytes());
    key
}

/// The note of a record; `None` where only its number is left.
fn body(value: &Bytes) -> Option<Bytes> {
    (value.len() >= HEAD).then(|| value.slice(HEAD..))
}

/// When the note of a record was left; `None` where only its number is left.
fn left_at(value: &[u8]) -> Option<u64> {
    let (time, _) = value.split_first_chunk()?;
    Some(u64::from_be_bytes(*time))
}

fn session(key: &[u8]) -> io::Result<Digest> {
    let bytes = key.get(..32).and_then(|bytes| bytes.try_into().ok());
    bytes.map(Digest::from_bytes).ok_or_else(damaged)
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
            for number in 1..=MAX_NOTES as u64 {
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

    #[tokio::test]
    async fn an_old_note_goes_and_its_number_is_given_to_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (session, card) = (Digest::of(b"one"), Digest::of(b"card"));
        let mut notes = notes(folder.path());
        let post = async |notes: &Arc<Notes>, body: &'static str| {
            notes.post(session, card, body.into()).await.unwrap()
        };
        assert_eq!(post(&notes, "first").await, 1);
        assert_eq!(post(&notes, "").await, 2);
        let young = notes.prune(now() - 60, &|| false);
        assert_eq!(young.unwrap(), 0);
        let read = async |notes: &Arc<Notes>| {
            let found = notes.read(session, card, 0, Duration::ZERO).await.unwrap();
            found.iter().map(|note| note.number).collect::<Vec<_>>()
        };
        assert_eq!(read(&notes).await, [1, 2]);
        assert_eq!(notes.prune(u64::MAX, &|| false).unwrap(), 2);
        assert_eq!(notes.prune(u64::MAX, &|| false).unwrap(), 0);
        for next in 3..=4 {
            assert!(read(&notes).await.is_empty());
            assert_eq!(post(&notes, "next").await, next);
            assert_eq!(read(&notes).await, [next]);
            assert_eq!(notes.prune(u64::MAX, &|| false).unwrap(), 1);
            {
                let boxes = lock(&notes.sessions)[&session].clone();
                assert_eq!(lock(&boxes).bytes, 0);
            }
            drop(notes);
            notes = self::notes(folder.path());
        }
        post(&notes, "kept").await;
        notes.keep_only(|known| *known == session);
        assert_eq!(lock(&notes.sessions).len(), 1);
        notes.keep_only(|_| false);
        assert!(lock(&notes.sessions).is_empty());
        assert_eq!(notes.prune(u64::MAX, &|| false).unwrap(), 1);
        // Of all of them one number is left.
        let left = notes.records.range(Table::Notes, &[], &[], 9).unwrap();
        assert_eq!(left.len(), 1);
    }
}
