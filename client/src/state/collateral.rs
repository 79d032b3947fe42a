//! What this person's verifier keeps about collateral: the bundle it uses where none is named, the
//! evidence that was refused last, and how new the collateral was that it accepted.

use std::{path::PathBuf, time::SystemTime};

use mc2_attestation::{AppraisedSession, Evidence, UnixSeconds, evidence};
use mc2_protocol::encoding::to_json;

use super::{State, error::StateError, submissions::read_record};
use crate::{
    files::{private_folder, write_private},
    unix_seconds,
};

/// The evidence in base64, its type beside it.
const MAX_LEN: usize = evidence::MAX_LEN * 2;

impl State {
    /// The bundle of collateral that is used where none is named.
    pub fn collateral(&self) -> PathBuf {
        self.root.join("collateral.json")
    }

    /// Notes how new the vendor's collateral was that a session was accepted by: from `now` on older
    /// collateral is refused (row 35 of SECURITY.md).
    ///
    /// # Errors
    /// The trust store cannot be read or written.
    pub fn note_seen(
        &self,
        accepted: &AppraisedSession,
        now: SystemTime,
    ) -> Result<(), StateError> {
        let marks = accepted.marks();
        if marks.is_empty() || self.trusted()?.has_seen(marks) {
            return Ok(());
        }
        self.change_trust(|trust| {
            trust.note_seen(marks, UnixSeconds(unix_seconds(now)));
            Ok(())
        })
    }

    /// Keeps evidence that was refused, in place of the last: collateral can be fetched for it.
    ///
    /// # Errors
    /// The system's.
    pub fn keep_refused(&self, evidence: &Evidence) -> Result<(), StateError> {
        private_folder(&self.root)?;
        Ok(write_private(&self.refused_path(), &to_json(evidence))?)
    }

    /// The evidence that was refused last.
    ///
    /// # Errors
    /// The system's, or a file of something else.
    pub fn refused(&self) -> Result<Option<Evidence>, StateError> {
        read_record(&self.refused_path(), "evidence that was refused", MAX_LEN)
    }

    fn refused_path(&self) -> PathBuf {
        self.root.join("refused.json")
    }
}
