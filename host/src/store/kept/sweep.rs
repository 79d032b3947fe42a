//! What goes: what was not used for long enough and nobody needs.

use mc2_protocol::Digest;

use super::{
    entry::{Kept, page},
    keeping::Keeping,
};
use crate::{
    refusal::Refusal,
    store::records::{Change, Table},
    waiting::lock,
};

impl Keeping {
    /// Removes of a table what was used last before `before` and is not `needed`; how many those
    /// were, until `stop` says so. Whether something is needed is asked while no session can be opened.
    /// May block.
    pub(in crate::store) fn sweep(
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
            self.0.accounts.take(table, &kept);
        }
        drop(now);
        self.0.removed.notify_all();
        gone.map(|()| true)
    }
}
