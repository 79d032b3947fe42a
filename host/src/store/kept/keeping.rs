//! What is done with them just now: what is being stored is not removed.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use mc2_protocol::{Digest, encoding::to_json};

use super::{
    accounts::{Accounts, Payer, Reserved},
    entry::{Kept, page},
};
use crate::{
    clock::now,
    config::Quota,
    refusal::Refusal,
    store::records::{Change, Records, Table},
    waiting::lock,
};

/// A use is noted again after so many seconds.
const AGAIN: u64 = 3600;
/// At least as often as this in the shortest time that something is kept.
const OFTEN: u64 = 8;

/// All of them; a clone is the same.
#[derive(Clone)]
pub(crate) struct Keeping(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) records: Arc<Records>,
    pub(super) accounts: Accounts,
    /// Seconds after which a use is noted again.
    again: u64,
    pub(super) now: Mutex<Now>,
    /// Told when what was being removed is gone.
    pub(super) removed: Condvar,
    /// Held while a session is opened, and from the question whether something is needed until it is
    /// removed. Taken before `now`.
    pub(super) opening: Mutex<()>,
}

/// What is done just now. Records of what is kept are written under its lock.
#[derive(Default)]
pub(super) struct Now {
    /// Those who are storing each of these.
    pub(super) storing: HashMap<(Table, Digest), Storers>,
    pub(super) removing: Option<(Table, Digest)>,
}

/// Those who are storing the same.
#[derive(Default)]
pub(super) struct Storers {
    count: usize,
    /// What was not known before them, until one of them has stored it.
    new: Option<Kept>,
}

impl Keeping {
    /// Reads what is known. `shortest` is the shortest time in seconds after which something that is
    /// not used is removed.
    pub(in crate::store) fn open(
        records: Arc<Records>,
        quota: Quota,
        shortest: Option<u64>,
    ) -> io::Result<Self> {
        let accounts = Accounts::new(quota);
        for table in [Table::Objects, Table::Components] {
            let mut from = Vec::new();
            while let Some((all, next)) = page(&records, table, &from)? {
                for (_, kept) in &all {
                    accounts.add(table, kept);
                }
                from = next;
            }
        }
        Ok(Self(Arc::new(Inner {
            records,
            accounts,
            again: shortest.map_or(AGAIN, |age| AGAIN.min(age / OFTEN)),
            now: Mutex::default(),
            removed: Condvar::new(),
            opening: Mutex::default(),
        })))
    }

    /// Held while a session is opened: nothing that it needs is removed meanwhile.
    pub(in crate::store) fn opening(&self) -> MutexGuard<'_, ()> {
        lock(&self.0.opening)
    }

    /// Bytes of all objects and of all components.
    pub(in crate::store) fn bytes(&self) -> (u64, u64) {
        self.0.accounts.bytes()
    }

    /// Lets a peer send so many bytes, which count until what is returned is dropped. What jobs leave
    /// is never refused, because their runs are spent.
    ///
    /// # Errors
    /// 507 `quota`: it would be more than is kept of all clients, or of this one's token.
    pub(in crate::store) fn reserve(
        &self,
        payer: &Payer,
        table: Table,
        bytes: u64,
    ) -> Result<Reserved, Refusal> {
        self.0.accounts.reserve(payer, table, bytes)
    }

    /// Counts bytes of an upload that is there already, for the token of this name.
    pub(in crate::store) fn found(&self, bytes: u64, holder: Option<String>) -> Reserved {
        self.0.accounts.found(bytes, holder)
    }

    /// Notes an object or component that is about to be stored, or is stored again. It is not removed
    /// while the guard lives; one that was being removed is gone first. May block.
    pub(in crate::store) fn storing(
        &self,
        table: Table,
        digest: &Digest,
        new: Kept,
    ) -> Result<Storing<'_>, Refusal> {
        self.storing_with(table, digest, new, None)
    }

    /// The same with what it is made of, where that is a record, too: both are there or neither. What
    /// is there already stays.
    pub(in crate::store) fn storing_with(
        &self,
        table: Table,
        digest: &Digest,
        new: Kept,
        content: Option<Content<'_>>,
    ) -> Result<Storing<'_>, Refusal> {
        let key = (table, *digest);
        let mut now = lock(&self.0.now);
        while now.removing == Some(key) {
            let waited = self.0.removed.wait(now);
            now = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let known = self.find(table, digest)?;
        let kept = match &known {
            Some(known) => Kept {
                used: new.used,
                // What a runtime stores again is an output of a job that ran now.
                stored: if new.output { new.stored } else { known.stored },
                output: known.output || new.output,
                ..known.clone()
            },
            None => new,
        };
        let record = Change::put(table, digest.as_bytes(), to_json(&kept));
        let mut changes = vec![record];
        if let Some(content) = content
            && !(content.there)()?
        {
            changes.push(content.change);
        }
        self.0.records.write(changes)?;
        let storers = now.storing.entry(key).or_default();
        storers.count += 1;
        if known.is_none() {
            self.0.accounts.add(table, &kept);
            storers.new = Some(kept);
        }
        Ok(Storing { keeping: self, key })
    }

    /// Notes one that was found to be there though nothing is known of it; whether that is so still.
    pub(in crate::store) fn found_stored(
        &self,
        table: Table,
        digest: &Digest,
        kept: &Kept,
    ) -> io::Result<bool> {
        let now = lock(&self.0.now);
        if now.removing == Some((table, *digest)) || self.is_known(table, digest)? {
            return Ok(false);
        }
        self.write(table, digest, kept)?;
        self.0.accounts.add(table, kept);
        Ok(true)
    }

    /// Notes that one is used now. May block.
    pub(in crate::store) fn touch(&self, table: Table, digest: &Digest) -> io::Result<()> {
        let old = |kept: &Kept| kept.used + self.0.again <= now();
        if !self.find(table, digest)?.as_ref().is_some_and(old) {
            return Ok(());
        }
        let now_done = lock(&self.0.now);
        if now_done.removing == Some((table, *digest)) {
            return Ok(());
        }
        // It may have been removed before the lock was had.
        match self.find(table, digest)? {
            Some(kept) => {
                let used = now();
                self.write(table, digest, &Kept { used, ..kept })
            }
            None => Ok(()),
        }
    }

    /// Whether one is there, or about to be.
    pub(in crate::store) fn is_known(&self, table: Table, digest: &Digest) -> io::Result<bool> {
        Ok(self.find(table, digest)?.is_some())
    }

    pub(super) fn find(&self, table: Table, digest: &Digest) -> io::Result<Option<Kept>> {
        let found = self.0.records.get(table, digest.as_bytes())?;
        Ok(found.and_then(|value| Some(Kept::read(digest.as_bytes(), &value)?.1)))
    }

    fn write(&self, table: Table, digest: &Digest, kept: &Kept) -> io::Result<()> {
        let change = Change::put(table, digest.as_bytes(), to_json(kept));
        self.0.records.write(vec![change])
    }
}

/// What something is made of, where that is a record.
pub(in crate::store) struct Content<'a> {
    pub(in crate::store) change: Change,
    /// Whether it is there already.
    pub(in crate::store) there: &'a dyn Fn() -> Result<bool, Refusal>,
}

/// Somebody stores an object or component.
pub(in crate::store) struct Storing<'a> {
    keeping: &'a Keeping,
    key: (Table, Digest),
}

impl Storing<'_> {
    /// It is there, or something of it that takes room.
    pub(in crate::store) fn stored(&self) {
        if let Some(storers) = lock(&self.keeping.0.now).storing.get_mut(&self.key) {
            storers.new = None;
        }
    }

    /// Does something while nobody's record becomes what an object is made of.
    pub(in crate::store) fn alone<T>(&self, what: impl FnOnce() -> T) -> T {
        let _now = lock(&self.keeping.0.now);
        what()
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        let Keeping(inner) = self.keeping;
        let (table, digest) = self.key;
        let mut now = lock(&inner.now);
        let Some(storers) = now.storing.get_mut(&self.key) else {
            return;
        };
        storers.count -= 1;
        if storers.count > 0 {
            return;
        }
        let new = now.storing.remove(&self.key).and_then(|it| it.new);
        if let Some(new) = &new {
            // None of them stored it after all. A record that stays tells of nothing, and goes by age.
            let forget = Change::remove(table, digest.as_bytes());
            if inner.records.write(vec![forget]).is_ok() {
                inner.accounts.take(table, new);
            }
        }
    }
}
