//! What is known here: sessions, jobs, results, uploads, keys in custody, revocations.

use std::path::PathBuf;

use mc2_protocol::Name;

use super::{error::VerbError, member::Member};
use crate::{
    custody::CustodyKey,
    state::{KnownSession, Revoked, Submission, Upload},
};

/// Everything of a state folder that has to do with sessions.
pub struct Known {
    /// Sessions, each with its policy's name where that can be read.
    pub sessions: Vec<(KnownSession, Option<Name>)>,
    /// Jobs that were submitted from here, each with its receipt where one is kept.
    pub jobs: Vec<(Submission, Option<PathBuf>)>,
    /// Versions of datasets.
    pub uploads: Vec<Upload>,
    /// Keys in this person's custody, each with the runs that were released of its output.
    pub custody: Vec<(CustodyKey, u64)>,
    /// What was revoked, and when.
    pub revoked: Vec<(Revoked, u64)>,
}

impl Member {
    /// What is known here; nobody is asked.
    ///
    /// # Errors
    /// The state folder cannot be read.
    pub fn list(&self) -> Result<Known, VerbError> {
        let named = |known: KnownSession| {
            let name = known.policy().ok().map(|policy| policy.name().clone());
            (known, name)
        };
        let with_receipt = |job: Submission| {
            let receipt = self.state.receipt_path(&job.job);
            let receipt = receipt.is_file().then_some(receipt);
            (job, receipt)
        };
        let ledger = self.state.ledger();
        let mut custody = Vec::new();
        for key in self.state.custody_keys()? {
            let spent = ledger.spent(&key.policy, &key.holder, &key.output)?;
            custody.push((key, spent));
        }
        Ok(Known {
            sessions: self.state.sessions()?.into_iter().map(named).collect(),
            jobs: self
                .state
                .submissions()?
                .into_iter()
                .map(with_receipt)
                .collect(),
            uploads: self.state.uploads()?,
            custody,
            revoked: self.state.revocations()?,
        })
    }
}
