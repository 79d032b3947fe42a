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
    /// How many are storing each of these.
    pub(super) storing: HashMap<(Table, Digest), usize>,
    pub(super) removing: Option<(Table, Digest)>,
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

    /// Counts bytes of an upload that is there already.
    pub(in crate::store) fn found(&self, bytes: u64) -> Reserved {
        self.0.accounts.found(bytes)
    }

    /// Notes an object or component that is about to be stored, or is stored again. It is not removed
    /// while the guard lives; one that was being removed is gone first. May block.
    pub(in crate::store) fn storing(
        &self,
        table: Table,
        digest: &Digest,
        new: Kept,
    ) -> io::Result<Storing<'_>> {
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
                ..known.clone()
            },
            None => new,
        };
        self.write(table, digest, &kept)?;
        if known.is_none() {
            self.0.accounts.add(table, &kept);
        }
        *now.storing.entry(key).or_default() += 1;
        Ok(Storing {
            keeping: self,
            key,
            new: known.is_none().then_some(kept),
        })
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

/// Somebody stores an object or component.
pub(in crate::store) struct Storing<'a> {
    keeping: &'a Keeping,
    key: (Table, Digest),
    /// What nothing was known of before.
    new: Option<Kept>,
}

impl Storing<'_> {
    /// It is there.
    pub(in crate::store) fn stored(mut self) {
        self.new = None;
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        let Keeping(inner) = self.keeping;
        let (table, digest) = self.key;
        let mut now = lock(&inner.now);
        let storing = now.storing.get_mut(&self.key);
        let last = storing.is_none_or(|count| {
            *count -= 1;
            *count == 0
        });
        if !last {
            return;
        }
        now.storing.remove(&self.key);
        if let Some(new) = &self.new {
            // It was not stored after all. A record that stays tells of nothing, and goes by age.
            let forget = Change::remove(table, digest.as_bytes());
            if inner.records.write(vec![forget]).is_ok() {
                inner.accounts.take(table, new);
            }
        }
    }
}
