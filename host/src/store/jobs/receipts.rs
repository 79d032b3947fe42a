//! Where the sealed receipts of jobs are: small ones among the records, written with the end of their
//! jobs, others as files, and small ones too while too much waits for the records' database. A host
//! that has a bucket writes all as files there.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use mc2_protocol::{
    Digest,
    documents::{control::JobState, storage::MAX_RECEIPT_LEN},
};

use super::recorded::{comes_with_status, key};
use crate::{
    refusal::Refusal,
    store::{
        blobs::{Blob, Blobs},
        records::{Change, Records, Table},
    },
};

/// Most bytes of a receipt that is a record; that of a job of few steps has about 6 KiB.
pub(super) const MAX_RECORD: usize = 64 * 1024;

/// All of them.
pub(super) struct Receipts {
    pub(super) records: Arc<Records>,
    pub(super) blobs: Blobs,
}

impl Receipts {
    /// Stores a receipt. Where it is to be a record it is there with the change that is returned, to be
    /// made with the one that ends its job. May block.
    pub(super) fn put(
        &self,
        session: &Digest,
        number: u64,
        state: JobState,
        receipt: &Bytes,
    ) -> Result<Option<Change>, Refusal> {
        // Where the database does not keep up, what waits for it in memory must not grow.
        let as_record = matches!(self.blobs, Blobs::Folder(_))
            && receipt.len() <= MAX_RECORD
            && self.records.room(Duration::ZERO);
        if as_record {
            let key = key(session, number);
            return Ok(Some(Change::put(Table::Receipts, key, receipt.clone())));
        }
        let written = self
            .blobs
            .put(&name(session, number, state), receipt.clone())?;
        self.records.flush_later(written);
        Ok(None)
    }

    /// The receipt of a job that ended so. May block.
    pub(super) fn read(
        &self,
        session: &Digest,
        number: u64,
        state: JobState,
    ) -> Result<Option<Bytes>, Refusal> {
        match self.record(session, number)? {
            Some(receipt) => Ok(Some(receipt)),
            None => self.blobs.read(&name(session, number, state)),
        }
    }

    /// The same where it may come with its job's status. May block.
    pub(super) fn small(
        &self,
        session: &Digest,
        number: u64,
        state: JobState,
    ) -> Result<Option<Bytes>, Refusal> {
        let receipt = match self.record(session, number)? {
            Some(receipt) => Some(receipt),
            None => {
                let name = name(session, number, state);
                let length = self.blobs.length(&name)?;
                if length.is_none_or(|length| length > MAX_RECEIPT_LEN as u64) {
                    return Ok(None);
                }
                self.blobs.read(&name)?
            }
        };
        Ok(receipt.filter(|receipt| comes_with_status(receipt)))
    }

    /// The same to be sent. May block.
    pub(super) fn get(
        &self,
        session: &Digest,
        number: u64,
        state: JobState,
    ) -> Result<Option<Blob>, Refusal> {
        match self.record(session, number)? {
            Some(receipt) => Ok(Some(Blob::Bytes(receipt))),
            None => self.blobs.get(&name(session, number, state)),
        }
    }

    /// How a job ended whose receipt is a file, though no record may say it. May block.
    pub(super) fn end_told_by_a_file(
        &self,
        session: &Digest,
        number: u64,
    ) -> Result<Option<JobState>, Refusal> {
        for state in [JobState::Done, JobState::Failed] {
            if self.blobs.exists(&name(session, number, state))? {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// Removes a receipt where it is a file. May block.
    pub(super) fn remove_file(
        &self,
        session: &Digest,
        number: u64,
        state: JobState,
    ) -> Result<(), Refusal> {
        self.blobs.remove(&name(session, number, state))
    }

    /// Removes all receipts of a session that are files. May block.
    pub(super) fn remove_files(&self, session: &Digest) -> Result<(), Refusal> {
        self.blobs.remove(&format!("receipts/{session}"))
    }

    /// The receipt where it is a record: with a bucket too, as the host may have had a folder before.
    fn record(&self, session: &Digest, number: u64) -> Result<Option<Bytes>, Refusal> {
        Ok(self.records.get(Table::Receipts, &key(session, number))?)
    }
}

/// The name of a receipt that is a file. It says how its job ended, and so outweighs a record that does
/// not say it yet.
fn name(session: &Digest, number: u64, state: JobState) -> String {
    let end = match state {
        JobState::Done => "done",
        _ => "failed",
    };
    format!("receipts/{session}/{number}.{end}")
}
