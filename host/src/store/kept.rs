//! What is known of each stored object and component: how large it is, and when it was used last.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use mc2_protocol::{Digest, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::records::{Change, Records, Table};
use crate::{clock::now, refusal::Refusal, waiting::lock};

/// A use is noted again after so many seconds.
const AGAIN: u64 = 3600;
/// At least as often as this in the shortest time that something is kept.
const OFTEN: u64 = 8;
/// Records looked at before others are let to them.
const AT_ONCE: usize = 256;

/// One object or component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// All its bytes.
    pub(crate) bytes: u64,
    /// When it was stored first, in Unix time by the host's clock.
    pub(crate) stored: u64,
    /// When it was used last.
    pub(crate) used: u64,
    /// The dataset or output of an object's manifest; empty for a component.
    pub(crate) dataset: String,
    /// Whether a runtime stored it.
    pub(crate) output: bool,
}

impl Kept {
    fn read(key: &[u8], value: &[u8]) -> Option<(Digest, Self)> {
        let digest = key.try_into().ok().map(Digest::from_bytes)?;
        Some((digest, serde_json::from_slice(value).ok()?))
    }
}

/// All of them; a clone is the same.
#[derive(Clone)]
pub(crate) struct Keeping(Arc<Inner>);

struct Inner {
    records: Arc<Records>,
    /// Seconds after which a use is noted again.
    again: u64,
    now: Mutex<Now>,
    /// Told when what was being removed is gone.
    removed: Condvar,
    /// Held while a session is opened, and from the question whether something is needed until it is
    /// removed. Taken before `now`.
    opening: Mutex<()>,
}

/// What is done just now. Records of what is kept are written under its lock.
#[derive(Default)]
struct Now {
    /// How many are storing each of these.
    storing: HashMap<(Table, Digest), usize>,
    removing: Option<(Table, Digest)>,
    objects: u64,
    components: u64,
}

impl Now {
    const fn bytes(&mut self, table: Table) -> &mut u64 {
        match table {
            Table::Components => &mut self.components,
            _ => &mut self.objects,
        }
    }
}

impl Keeping {
    /// Reads what is known. `shortest` is the shortest time in seconds after which something that is
    /// not used is removed.
    pub(super) fn open(records: Arc<Records>, shortest: Option<u64>) -> io::Result<Self> {
        let mut now = Now::default();
        for table in [Table::Objects, Table::Components] {
            let mut from = Vec::new();
            while let Some((all, next)) = page(&records, table, &from)? {
                *now.bytes(table) += all.iter().map(|(_, kept)| kept.bytes).sum::<u64>();
                from = next;
            }
        }
        Ok(Self(Arc::new(Inner {
            records,
            again: shortest.map_or(AGAIN, |age| AGAIN.min(age / OFTEN)),
            now: Mutex::new(now),
            removed: Condvar::new(),
            opening: Mutex::default(),
        })))
    }

    /// Held while a session is opened: nothing that it needs is removed meanwhile.
    pub(super) fn opening(&self) -> MutexGuard<'_, ()> {
        lock(&self.0.opening)
    }

    /// Notes an object or component that is about to be stored, or is stored again. It is not removed
    /// while the guard lives; one that was being removed is gone first. May block.
    pub(super) fn storing(
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
            *now.bytes(table) += kept.bytes;
        }
        *now.storing.entry(key).or_default() += 1;
        Ok(Storing {
            kept: self,
            key,
            new: known.is_none(),
            bytes: kept.bytes,
        })
    }

    /// Notes that one is used now. May block.
    pub(super) fn touch(&self, table: Table, digest: &Digest) -> io::Result<()> {
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

    /// Removes of a table what was used last before `before` and is not `needed`; how many those
    /// were. Whether something is needed is asked while no session can be opened. May block.
    pub(super) fn sweep(
        &self,
        table: Table,
        before: u64,
        mut needed: impl FnMut(&Digest, &Kept) -> bool,
        remove: impl Fn(&Digest) -> Result<(), Refusal>,
    ) -> Result<usize, Refusal> {
        let mut removed = 0;
        let mut from = Vec::new();
        while let Some((found, next)) = page(&self.0.records, table, &from)? {
            from = next;
            for (digest, kept) in found {
                if kept.used >= before || needed(&digest, &kept) {
                    continue;
                }
                match self.remove(table, &digest, before, &mut needed, &remove) {
                    Ok(gone) => removed += usize::from(gone),
                    // The next time perhaps; the others go all the same.
                    Err(error) => {
                        tracing::error!(%error, %digest, "what is too old could not be removed");
                    }
                }
            }
        }
        Ok(removed)
    }

    fn remove(
        &self,
        table: Table,
        digest: &Digest,
        before: u64,
        mut needed: impl FnMut(&Digest, &Kept) -> bool,
        remove: impl Fn(&Digest) -> Result<(), Refusal>,
    ) -> Result<bool, Refusal> {
        let key = (table, *digest);
        let _opening = self.opening();
        let mut now = lock(&self.0.now);
        // It may have been used since, and who stores it counts on it.
        let kept = self.find(table, digest)?.filter(|it| it.used < before);
        let Some(kept) = kept.filter(|_| !now.storing.contains_key(&key)) else {
            return Ok(false);
        };
        if needed(digest, &kept) {
            return Ok(false);
        }
        now.removing = Some(key);
        drop(now);
        let gone = remove(digest).and_then(|()| {
            let forget = Change::remove(table, digest.as_bytes());
            Ok(self.0.records.write(vec![forget])?)
        });
        let mut now = lock(&self.0.now);
        now.removing = None;
        if gone.is_ok() {
            *now.bytes(table) -= kept.bytes;
        }
        drop(now);
        self.0.removed.notify_all();
        gone.map(|()| true)
    }

    fn find(&self, table: Table, digest: &Digest) -> io::Result<Option<Kept>> {
        let found = self.0.records.get(table, digest.as_bytes())?;
        Ok(found.and_then(|value| Some(Kept::read(digest.as_bytes(), &value)?.1)))
    }

    fn write(&self, table: Table, digest: &Digest, kept: &Kept) -> io::Result<()> {
        let change = Change::put(table, digest.as_bytes(), to_json(kept));
        self.0.records.write(vec![change])
    }
}

type Page = (Vec<(Digest, Kept)>, Vec<u8>);

/// Some records of a table from this key on, and the key to go on from; `None` at the end.
fn page(records: &Records, table: Table, from: &[u8]) -> io::Result<Option<Page>> {
    let found = records.range(table, &[], from, AT_ONCE)?;
    let Some((last, _)) = found.last() else {
        return Ok(None);
    };
    let next = [last.as_slice(), &[0]].concat();
    let kept = found
        .iter()
        .filter_map(|(key, value)| Kept::read(key, value));
    Ok(Some((kept.collect(), next)))
}

/// Somebody stores an object or component.
pub(super) struct Storing<'a> {
    kept: &'a Keeping,
    key: (Table, Digest),
    /// Whether nothing was known of it before.
    new: bool,
    bytes: u64,
}

impl Storing<'_> {
    /// It is there.
    pub(super) fn stored(mut self) {
        self.new = false;
    }
}

impl Drop for Storing<'_> {
    fn drop(&mut self) {
        let Keeping(inner) = self.kept;
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
        if self.new {
            // It was not stored after all. A record that stays tells of nothing, and goes by age.
            let forget = Change::remove(table, digest.as_bytes());
            if inner.records.write(vec![forget]).is_ok() {
                *now.bytes(table) -= self.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const OBJECT: Digest = Digest::from_bytes([7; 32]);

    fn open(folder: &std::path::Path) -> Keeping {
        let records = Arc::new(Records::open(folder, false).unwrap());
        Keeping::open(records, None).unwrap()
    }

    fn new(used: u64) -> Kept {
        Kept {
            bytes: 10,
            stored: used,
            used,
            dataset: "data".into(),
            output: false,
        }
    }

    fn store(kept: &Keeping, object: &Digest, used: u64) {
        let storing = kept.storing(Table::Objects, object, new(used)).unwrap();
        storing.stored();
    }

    fn objects(kept: &Keeping) -> u64 {
        lock(&kept.0.now).objects
    }

    fn is_known(kept: &Keeping, object: &Digest) -> bool {
        kept.find(Table::Objects, object).unwrap().is_some()
    }

    #[test]
    fn what_is_young_or_needed_stays_and_the_rest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        let all: Vec<Digest> = (0..600_u32).map(|n| Digest::of(&n.to_be_bytes())).collect();
        for (object, used) in all.iter().zip(0..) {
            store(&kept, object, used);
        }
        assert_eq!(objects(&kept), 6000);
        let odd = |object: &Digest| all.iter().position(|it| it == object).unwrap() % 2 == 1;
        let gone = Mutex::new(Vec::new());
        let swept = kept.sweep(
            Table::Objects,
            400,
            |object, _| odd(object),
            |object| {
                lock(&gone).push(*object);
                Ok(())
            },
        );
        assert_eq!(swept.unwrap(), 200);
        let gone = lock(&gone);
        for (place, object) in all.iter().enumerate() {
            let goes = place < 400 && place % 2 == 0;
            assert_eq!(gone.contains(object), goes, "{place}");
            assert_eq!(is_known(&kept, object), !goes, "{place}");
        }
        assert_eq!(objects(&kept), 4000);
        drop(kept);
        // Counted anew after a start.
        assert_eq!(objects(&open(folder.path())), 4000);
    }

    #[test]
    fn what_is_being_stored_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        store(&kept, &OBJECT, 1);
        let sweep = || {
            let swept = kept.sweep(Table::Objects, 9, |_, _| false, |_| Ok(()));
            swept.unwrap()
        };
        // Another upload of the same object, from before the sweep's time.
        let storing = kept.storing(Table::Objects, &OBJECT, new(2)).unwrap();
        assert_eq!(sweep(), 0);
        storing.stored();
        assert_eq!(sweep(), 1);
        assert_eq!((objects(&kept), is_known(&kept, &OBJECT)), (0, false));
    }

    #[test]
    fn who_stores_what_is_being_removed_stores_it_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        store(&kept, &OBJECT, 1);
        let (there, begun) = (AtomicBool::new(true), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let removing = |_: &Digest| {
                scope.spawn(|| {
                    begun.store(true, Ordering::SeqCst);
                    let storing = kept.storing(Table::Objects, &OBJECT, new(2)).unwrap();
                    there.store(true, Ordering::SeqCst);
                    storing.stored();
                });
                while !begun.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                // Long enough for one who does not wait.
                std::thread::sleep(std::time::Duration::from_millis(100));
                there.store(false, Ordering::SeqCst);
                Ok(())
            };
            let swept = kept.sweep(Table::Objects, 2, |_, _| false, removing);
            assert_eq!(swept.unwrap(), 1);
        });
        assert!(there.load(Ordering::SeqCst) && is_known(&kept, &OBJECT));
        assert_eq!(objects(&kept), 10);
    }

    #[test]
    fn no_session_is_opened_between_the_question_what_is_needed_and_the_removal() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        store(&kept, &OBJECT, 1);
        let is_opening = || kept.0.opening.try_lock().is_err();
        let held = Mutex::new(Vec::new());
        let asked = |_: &Digest, _: &Kept| {
            lock(&held).push(is_opening());
            false
        };
        let swept = kept.sweep(Table::Objects, 9, asked, |_| {
            lock(&held).push(is_opening());
            Ok(())
        });
        assert_eq!(swept.unwrap(), 1);
        // The first question is only whether it is worth the lock.
        assert_eq!(*lock(&held), [false, true, true]);
    }

    #[test]
    fn what_was_read_lately_stays() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        store(&kept, &OBJECT, 1);
        kept.touch(Table::Objects, &OBJECT).unwrap();
        let day_ago = now() - 86400;
        let swept = kept.sweep(Table::Objects, day_ago, |_, _| false, |_| Ok(()));
        assert_eq!(swept.unwrap(), 0);
        // What is not there is not there for being asked for.
        let other = Digest::of(b"other");
        kept.touch(Table::Objects, &other).unwrap();
        assert!(!is_known(&kept, &other));
    }

    #[test]
    fn what_could_not_be_stored_does_not_count_and_what_could_not_be_removed_does() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        drop(kept.storing(Table::Objects, &OBJECT, new(1)).unwrap());
        assert_eq!((objects(&kept), is_known(&kept, &OBJECT)), (0, false));
        store(&kept, &OBJECT, 1);
        let failing = |_: &Digest| Err(Refusal::busy("storage-unavailable", "out of reach"));
        let swept = kept.sweep(Table::Objects, 9, |_, _| false, failing);
        assert_eq!(swept.unwrap(), 0);
        assert_eq!((objects(&kept), is_known(&kept, &OBJECT)), (10, true));
    }
}
