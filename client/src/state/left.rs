//! Submissions that left from here and whose answers were not heard yet.
//!
//! A message is signed and sealed once and has one sequence number: whatever becomes of the process
//! that sent it, the same bytes may be sent again, and the enclave takes them once.

use std::{
    fs::{self, File},
    io,
};

use mc2_protocol::{
    Digest,
    documents::{hosting::TicketId, message, message::PendingAnswer},
    encoding::{Base64, secret_json},
};
use serde::{Deserialize, Serialize};

use super::{State, error::StateError, submissions::broken};
use crate::files::{failed, read_secret, try_lock, write_private};

const WHAT: &str = "submission on its way";
/// A message's base64, and what stands beside it.
const MAX_LEN: usize = message::MAX_LEN * 4 / 3 + 64 * 1024;

/// A submission on its way.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    version: u32,
    /// The job.
    pub job: Digest,
    /// The message that submits it, signed and sealed.
    pub message: Base64,
    /// What opens its answer.
    pub pending: PendingAnswer,
    /// By which the host's queue is asked for the answer, once it was left there.
    pub ticket: Option<TicketId>,
}

impl Left {
    /// The submission of `job` by this message.
    pub const fn new(job: Digest, message: Vec<u8>, pending: PendingAnswer) -> Self {
        Self {
            version: mc2_protocol::VERSION,
            job,
            message: Base64(message),
            pending,
            ticket: None,
        }
    }
}

impl State {
    /// Keeps a submission that is about to leave, or how far it is.
    ///
    /// # Errors
    /// The system's.
    pub fn store_left(&self, left: &Left) -> Result<(), StateError> {
        let folder = self.folder("left")?;
        let path = folder.join(format!("{}.json", left.job));
        Ok(write_private(&path, &secret_json(left))?)
    }

    /// The submission of `job`, where it left and its answer was not heard.
    ///
    /// # Errors
    /// The system's, or a file that is no such thing.
    pub fn left(&self, job: &Digest) -> Result<Option<Left>, StateError> {
        let path = self.root.join("left").join(format!("{job}.json"));
        let bytes = match read_secret(&path, MAX_LEN) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        match serde_json::from_slice::<Left>(&bytes) {
            Ok(left) if left.job == *job => Ok(Some(left)),
            Ok(_) => Err(broken(path, WHAT, "it is another job's")),
            Err(error) => Err(broken(path, WHAT, &error.to_string())),
        }
    }

    /// Sees to a submission on its way until the answer is dropped; `None` where another process
    /// does.
    ///
    /// # Errors
    /// The system's.
    pub fn hold_left(&self, job: &Digest) -> Result<Option<File>, StateError> {
        let path = self.folder("left")?.join(format!("{job}.lock"));
        Ok(try_lock(&path)?)
    }

    /// Its answer was heard, or it never left.
    ///
    /// # Errors
    /// The system's.
    pub fn forget_left(&self, job: &Digest) -> Result<(), StateError> {
        for ending in ["json", "lock"] {
            let path = self.root.join("left").join(format!("{job}.{ending}"));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &path)(error).into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}
