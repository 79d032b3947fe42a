//! What is forgotten.

use std::{fs, io};

use mc2_protocol::Digest;

use super::inner::Inner;
use crate::{
    store::records::{Change, Table},
    waiting::lock,
};

impl Inner {
    /// Forgets a session with all its jobs.
    pub(super) fn forget(&self, session: &Digest) -> io::Result<()> {
        let mut sessions = lock(&self.sessions);
        let Some((known, last)) = sessions.remove(session) else {
            return Ok(());
        };
        let mut changes = vec![Change::remove(Table::Sessions, session.as_bytes())];
        if last {
            let policy = known.owner.tenant;
            changes.push(Change::remove(Table::Policies, policy.as_bytes()));
        }
        for table in [Table::Running, Table::Ended] {
            let jobs = self
                .records
                .range(table, session.as_bytes(), &[], usize::MAX)?;
            changes.extend(jobs.into_iter().map(|(key, _)| Change::remove(table, key)));
        }
        // Under the lock, so that a session opened now finds its policy here or records it.
        self.records.write(changes)?;
        drop(sessions);
        // What is left is nobody's.
        let _ = fs::remove_dir_all(self.events.join(session.to_string()));
        if let Err(error) = self.blobs.remove(&format!("receipts/{session}")) {
            tracing::warn!(%error, %session, "receipts of a session that is forgotten are left");
        }
        Ok(())
    }
}
