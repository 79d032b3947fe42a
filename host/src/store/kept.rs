//! What is known of each stored object and component: how large it is, and when it was used last.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use http::StatusCode;
use mc2_protocol::{Digest, encoding::to_json};
use serde::{Deserialize, Serialize};

use super::records::{Change, Records, Table};
use crate::{
    clock::now,
    config::{Quota, Token},
    refusal::Refusal,
    transfer::Side,
    waiting::lock,
};

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
    /// The name of the token it was stored with first, where there was one.
    pub(crate) holder: Option<String>,
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
    quota: Quota,
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
    /// Bytes of objects and of components that clients have on their way, or are allowed to send.
    staged: [u64; 2],
    /// Bytes of all these that were sent with each token, by its name.
    holders: HashMap<String, u64>,
}

impl Now {
    const fn bytes(&mut self, table: Table) -> &mut u64 {
        match table {
            Table::Components => &mut self.components,
            _ => &mut self.objects,
        }
    }

    const fn staged(&mut self, table: Table) -> &mut u64 {
        match table {
            Table::Components => &mut self.staged[1],
            _ => &mut self.staged[0],
        }
    }

    fn add(&mut self, table: Table, kept: &Kept) {
        *self.bytes(table) += kept.bytes;
        if let Some(holder) = &kept.holder {
            *self.holders.entry(holder.clone()).or_default() += kept.bytes;
        }
    }

    fn take(&mut self, table: Table, kept: &Kept) {
        *self.bytes(table) -= kept.bytes;
        if let Some(holder) = &kept.holder {
            self.give_back(holder, kept.bytes);
        }
    }

    fn give_back(&mut self, holder: &str, bytes: u64) {
        if let Some(held) = self.holders.get_mut(holder) {
            *held -= bytes;
            if *held == 0 {
                self.holders.remove(holder);
            }
        }
    }
}

impl Keeping {
    /// Reads what is known. `shortest` is the shortest time in seconds after which something that is
    /// not used is removed.
    pub(super) fn open(
        records: Arc<Records>,
        quota: Quota,
        shortest: Option<u64>,
    ) -> io::Result<Self> {
        let mut now = Now::default();
        for table in [Table::Objects, Table::Components] {
            let mut from = Vec::new();
            while let Some((all, next)) = page(&records, table, &from)? {
                for (_, kept) in &all {
                    now.add(table, kept);
                }
                from = next;
            }
        }
        Ok(Self(Arc::new(Inner {
            records,
            quota,
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

    /// Bytes of all objects and of all components.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let now = lock(&self.0.now);
        (now.objects, now.components)
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
            now.add(table, &kept);
        }
        *now.storing.entry(key).or_default() += 1;
        Ok(Storing {
            keeping: self,
            key,
            new: known.is_none().then_some(kept),
        })
    }

    /// Lets a peer send so many bytes, which count until what is returned is dropped. What jobs leave
    /// is never refused, because their runs are spent.
    ///
    /// # Errors
    /// 507 `quota`: it would be more than is kept of all clients, or of this one's token.
    pub(super) fn reserve(
        &self,
        payer: &Payer,
        table: Table,
        bytes: u64,
    ) -> Result<Reserved, Refusal> {
        let mut reserved = Reserved {
            keeping: self.clone(),
            table,
            token: payer.token.clone(),
            bytes: 0,
        };
        if payer.side == Side::Runtime {
            return Ok(reserved);
        }
        let mut now = lock(&self.0.now);
        let (most, what) = match table {
            Table::Components => (self.0.quota.component_bytes, "components"),
            _ => (self.0.quota.object_bytes, "objects"),
        };
        let used = now.bytes(table).saturating_add(*now.staged(table));
        if let Some(most) = most.filter(|most| used.saturating_add(bytes) > *most) {
            return Err(full(format!(
                "this host keeps at most {most} bytes of {what}, and has {used}"
            )));
        }
        if let Some(token) = &payer.token {
            let used = now.holders.get(&token.name).copied().unwrap_or(0);
            let most = token.bytes;
            if let Some(most) = most.filter(|most| used.saturating_add(bytes) > *most) {
                return Err(full(format!(
                    "this host keeps at most {most} bytes of the token {:?}, and has {used}",
                    token.name
                )));
            }
        }
        reserved.count(&mut now, bytes);
        Ok(reserved)
    }

    /// Counts bytes of an upload that is there already.
    pub(super) fn found(&self, bytes: u64) -> Reserved {
        let mut found = Reserved {
            keeping: self.clone(),
            table: Table::Objects,
            token: None,
            bytes: 0,
        };
        found.count(&mut lock(&self.0.now), bytes);
        found
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
    /// were, until `stop` says so. Whether something is needed is asked while no session can be opened.
    /// May block.
    pub(super) fn sweep(
        &self,
        table: Table,
        before: u64,
        stop: &dyn Fn() -> bool,
        mut needed: impl FnMut(&Digest, &Kept) -> bool,
        remove: impl Fn(&Digest) -> Result<(), Refusal>,
    ) -> Result<usize, Refusal> {
        let mut removed = 0;
        let mut from = Vec::new();
        while let Some((found, next)) = page(&self.0.records, table, &from)? {
            from = next;
            for (digest, kept) in found {
                if stop() {
                    return Ok(removed);
                }
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
            now.take(table, &kept);
        }
        drop(now);
        self.0.removed.notify_all();
        gone.map(|()| true)
    }

    /// Whether one is there, or about to be.
    pub(super) fn is_known(&self, table: Table, digest: &Digest) -> io::Result<bool> {
        Ok(self.find(table, digest)?.is_some())
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
    keeping: &'a Keeping,
    key: (Table, Digest),
    /// What nothing was known of before.
    new: Option<Kept>,
}

impl Storing<'_> {
    /// It is there.
    pub(super) fn stored(mut self) {
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
                now.take(table, new);
            }
        }
    }
}

/// Who stores something.
#[derive(Clone, Debug)]
pub(crate) struct Payer {
    pub(crate) side: Side,
    /// The token that was shown.
    pub(crate) token: Option<Arc<Token>>,
}

/// Bytes that count for a client until this is dropped.
pub(super) struct Reserved {
    keeping: Keeping,
    table: Table,
    token: Option<Arc<Token>>,
    bytes: u64,
}

impl Reserved {
    fn count(&mut self, now: &mut Now, bytes: u64) {
        self.bytes = bytes;
        *now.staged(self.table) += bytes;
        if let Some(token) = &self.token {
            *now.holders.entry(token.name.clone()).or_default() += bytes;
        }
    }

    fn give_back(&mut self, bytes: u64) {
        let mut now = lock(&self.keeping.0.now);
        self.bytes -= bytes;
        *now.staged(self.table) -= bytes;
        if let Some(token) = &self.token {
            now.give_back(&token.name, bytes);
        }
    }

    /// Keeps no more than so many of them.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        self.give_back(self.bytes.saturating_sub(bytes));
    }

    /// The token that they count for.
    pub(super) fn token(&self) -> Option<&Arc<Token>> {
        self.token.as_ref()
    }

    /// Takes another's over, if they count for the same.
    pub(super) fn absorb(&mut self, mut other: Self) -> Option<Self> {
        let name = |reserved: &Self| reserved.token.as_ref().map(|token| token.name.clone());
        if self.table != other.table || name(self) != name(&other) {
            return Some(other);
        }
        self.bytes += std::mem::take(&mut other.bytes);
        None
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

fn full(message: String) -> Refusal {
    let message = format!("{message}: nothing more is taken until some are removed");
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "quota", message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const OBJECT: Digest = Digest::from_bytes([7; 32]);

    fn open(folder: &std::path::Path) -> Keeping {
        let records = Arc::new(Records::open(folder, false).unwrap());
        Keeping::open(records, Quota::default(), None).unwrap()
    }

    fn new(used: u64) -> Kept {
        Kept {
            bytes: 10,
            stored: used,
            used,
            dataset: "data".into(),
            output: false,
            holder: None,
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
            &|| false,
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
    fn a_sweep_ends_with_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        for number in 0..10_u8 {
            store(&kept, &Digest::of(&[number]), 1);
        }
        let asked = Mutex::new(0);
        let stop = || {
            *lock(&asked) += 1;
            *lock(&asked) > 3
        };
        let swept = kept.sweep(Table::Objects, 9, &stop, |_, _| false, |_| Ok(()));
        assert_eq!((swept.unwrap(), objects(&kept)), (3, 70));
    }

    #[test]
    fn what_is_being_stored_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        store(&kept, &OBJECT, 1);
        let sweep = || {
            let swept = kept.sweep(Table::Objects, 9, &|| false, |_, _| false, |_| Ok(()));
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
            let swept = kept.sweep(Table::Objects, 2, &|| false, |_, _| false, removing);
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
        let swept = kept.sweep(Table::Objects, 9, &|| false, asked, |_| {
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
        let swept = kept.sweep(Table::Objects, day_ago, &|| false, |_, _| false, |_| Ok(()));
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
        let swept = kept.sweep(Table::Objects, 9, &|| false, |_, _| false, failing);
        assert_eq!(swept.unwrap(), 0);
        assert_eq!((objects(&kept), is_known(&kept, &OBJECT)), (10, true));
    }

    fn payer(side: Side, token: Option<(&str, u64)>) -> Payer {
        let token = token.map(|(name, bytes)| {
            Arc::new(Token {
                name: name.into(),
                sha256: [0; 32],
                rate: None,
                bytes: Some(bytes),
            })
        });
        Payer { side, token }
    }

    #[test]
    fn clients_send_as_much_as_is_kept_of_them_and_of_their_token_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let limited = |objects| {
            let quota = Quota {
                object_bytes: Some(objects),
                component_bytes: Some(5),
                ..Quota::default()
            };
            let records = Arc::new(Records::open(folder.path(), false).unwrap());
            Keeping::open(records, quota, None).unwrap()
        };
        let kept = limited(100);
        let reserve = |kept: &Keeping, payer: &Payer, table, bytes| {
            let reserved = kept.reserve(payer, table, bytes);
            reserved.map_err(|refusal| (refusal.status.as_u16(), refusal.code))
        };
        let full = Some((507, "quota"));
        let (anybody, runtime) = (payer(Side::Client, None), payer(Side::Runtime, None));
        let bank = payer(Side::Client, Some(("bank", 60)));
        let mut room = reserve(&kept, &anybody, Table::Objects, 50).ok().unwrap();
        assert_eq!(reserve(&kept, &anybody, Table::Objects, 51).err(), full);
        // Of a part that was sent before nothing is new.
        room.shrink_to(20);
        let mut more = reserve(&kept, &bank, Table::Objects, 60).ok().unwrap();
        assert_eq!(reserve(&kept, &bank, Table::Objects, 1).err(), full);
        assert_eq!(reserve(&kept, &anybody, Table::Objects, 21).err(), full);
        // Each counts for its own: they are not one.
        more = room.absorb(more).unwrap();
        // What jobs leave is taken, and counts.
        assert!(reserve(&kept, &runtime, Table::Objects, 1000).is_ok());
        store(&kept, &OBJECT, 1);
        assert_eq!(reserve(&kept, &anybody, Table::Objects, 11).err(), full);
        drop(room);
        assert!(reserve(&kept, &anybody, Table::Objects, 30).is_ok());
        // Components have a bound of their own, and count for the token as well.
        assert_eq!(reserve(&kept, &anybody, Table::Components, 6).err(), full);
        assert_eq!(reserve(&kept, &bank, Table::Components, 1).err(), full);
        drop(more);
        let held = Kept {
            holder: Some("bank".into()),
            bytes: 58,
            ..new(1)
        };
        let other = Digest::of(b"other");
        let storing = kept.storing(Table::Objects, &other, held).unwrap();
        storing.stored();
        drop(kept);
        // Counted anew after a start.
        let kept = limited(100);
        assert_eq!(reserve(&kept, &bank, Table::Objects, 3).err(), full);
        assert!(reserve(&kept, &bank, Table::Objects, 2).is_ok());
        assert_eq!(reserve(&kept, &anybody, Table::Objects, 33).err(), full);
        let gone = kept.sweep(Table::Objects, 9, &|| false, |_, _| false, |_| Ok(()));
        assert_eq!(gone.unwrap(), 2);
        assert!(reserve(&kept, &bank, Table::Objects, 60).is_ok());
        assert!(lock(&kept.0.now).holders.is_empty());
    }
}
