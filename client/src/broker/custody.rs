//! The keys in a broker's custody: taken out of receipts, and released to later jobs of the policy.

use std::{fs, io, path::PathBuf, time::SystemTime};

use mc2_protocol::{
    Digest, Name,
    documents::{
        dsse::Envelope,
        receipt::{self, Statement},
    },
    encoding::{parse_json, to_json},
    policy::Policy,
};
use serde::{Deserialize, Serialize};

use super::{
    error::BrokerError,
    folder::{Broker, Folder, record},
};
use crate::{
    collateral::Collateral,
    custody::{self, CustodyKey},
    files::{failed, read_capped, write_private},
    keys::Wrapped,
    results::RECEIPT,
    state::ledger::{Entry, Kept},
    verify::{Expected, Verified, verify},
};

const FOLDER: &str = "custody";
const ENDING: &str = ".json";
const MAX_LEN: usize = 32 * 1024;
const WHAT: &str = "key in custody";
const PURPOSE: &str = "a broker's key in custody";

/// An output in custody, without its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InCustody {
    /// The policy whose later jobs may take it.
    pub policy: Digest,
    /// Its name in the policy.
    pub output: Name,
    /// Its object.
    pub object: Digest,
    /// The job that left it.
    pub job: Digest,
    /// For how many runs keys of that output are released in all.
    pub runs: u32,
}

/// As it lies in the folder.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    /// The line of the ledger that says so: of several the last is the newest.
    line: u64,
    output: InCustody,
    key: Wrapped,
}

impl Broker {
    /// Takes what a job left in this broker's custody out of its receipt, once every link of that
    /// holds: `receipt.json`, or the folder of a result. What was taken before is left as it is.
    ///
    /// # Errors
    /// Its policy is not accepted, it does not verify, or it leaves nothing to this broker.
    pub fn add_receipt(
        &self,
        path: &std::path::Path,
        allow_simulated: bool,
        now: SystemTime,
    ) -> Result<Vec<InCustody>, BrokerError> {
        self.folder.check_marked()?;
        let path = match path.is_dir() {
            true => path.join(RECEIPT),
            false => path.to_owned(),
        };
        let bytes = read_capped(&path, 2 * receipt::MAX_LEN)?;
        let no_receipt = record(&path, "receipt");
        let envelope: Envelope = parse_json("the receipt's envelope", &bytes, 2 * receipt::MAX_LEN)
            .map_err(no_receipt)?;
        let claimed = Statement::claimed(&envelope).map_err(|source| BrokerError::NoReceipt {
            path: path.clone(),
            source,
        })?;
        let policy = Digest::of(claimed.predicate.policy.as_slice());
        let policy = self.folder.policy(&policy)?;
        let state = self.folder.state();
        let trust = state.trusted()?;
        let collateral = Collateral::usual(state.collateral())?;
        let verdict = verify(
            &envelope,
            &Expected {
                trust: &trust,
                allow_simulated,
                now,
                policy: Some(&policy),
                components: None,
                nonce: None,
                session: None,
                number: None,
                job: None,
                submitter: None,
                collateral: collateral.as_ref(),
            },
        );
        let verified = verdict.accept()?;
        state.note_seen(&verified.session, now)?;
        let card = self.card().digest();
        let left = verified.receipt.custody.iter();
        let own: Vec<_> = left.filter(|one| one.holder.card == *card).collect();
        if own.is_empty() {
            return Err(BrokerError::NothingLeft {
                job: verified.receipt.job,
                broker: self.card().name().clone(),
            });
        }
        // Whoever asks for it by name wants it again.
        for one in own {
            self.folder.forget_removal(&one.object)?;
        }
        self.take(&verified, now)
    }

    /// Takes what a verified receipt gives into this broker's custody, and returns what was not there
    /// before.
    pub(super) fn take(
        &self,
        verified: &Verified,
        now: SystemTime,
    ) -> Result<Vec<InCustody>, BrokerError> {
        let mut taken = Vec::new();
        for key in custody::kept(verified, &self.identity)? {
            if self.folder.stored_custody(&key.object)?.is_some()
                || self.folder.was_removed(&key.object)?
            {
                continue;
            }
            self.folder.check_marked()?;
            let output = InCustody {
                policy: key.policy,
                output: key.output.clone(),
                object: key.object,
                job: key.job,
                runs: key.runs,
            };
            let entry = Entry::Kept(Kept {
                policy: output.policy,
                output: output.output.clone(),
                object: output.object,
                job: output.job,
                runs: output.runs,
            });
            let line = self.folder.ledger()?.note(entry, now)?.lines;
            let stored = Stored {
                version: mc2_protocol::VERSION,
                line,
                key: self.keeper.wrap(&purpose(&output), &key.to_bytes())?,
                output: output.clone(),
            };
            self.folder.state().folder(FOLDER)?;
            let path = self.folder.custody_path(&output.object);
            write_private(&path, &to_json(&stored))?;
            taken.push(output);
        }
        Ok(taken)
    }

    /// The key of an output that may be released under `policy`: of the version that was taken last.
    /// Nothing while there is none.
    pub(super) fn key_in_custody(
        &self,
        policy: &Policy,
        output: &Name,
    ) -> Result<Option<CustodyKey>, BrokerError> {
        let mut newest: Option<Stored> = None;
        for stored in self.folder.all_in_custody()? {
            let is_of = stored.output.policy == *policy.digest() && stored.output.output == *output;
            if is_of && newest.as_ref().is_none_or(|one| one.line < stored.line) {
                newest = Some(stored);
            }
        }
        let Some(Stored { output, key, .. }) = newest else {
            return Ok(None);
        };
        let bytes = self.keeper.unwrap(&purpose(&output), &key)?;
        let key = CustodyKey::parse(&bytes)?;
        if key.object != output.object || key.policy != output.policy || key.output != output.output
        {
            return Err(BrokerError::Misplaced {
                path: self.folder.custody_path(&output.object),
                what: WHAT,
            });
        }
        Ok(Some(key))
    }
}

impl Folder {
    /// The outputs whose keys are held.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn in_custody(&self) -> Result<Vec<InCustody>, BrokerError> {
        let mut held = self.all_in_custody()?;
        held.sort_by_key(|one| one.line);
        Ok(held.into_iter().map(|one| one.output).collect())
    }

    /// Forgets the key of an output, where there is one of this object: its receipt, which a host shows
    /// again at will, does not bring it back.
    pub(super) fn forget_custody(&self, object: &Digest) -> Result<bool, BrokerError> {
        let path = self.custody_path(object);
        if !path.exists() {
            return Ok(false);
        }
        write_private(&self.removed_path(object), b"")?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => Ok(removed.map(|()| true).map_err(failed("remove", &path))?),
        }
    }

    fn forget_removal(&self, object: &Digest) -> Result<(), BrokerError> {
        let path = self.removed_path(object);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed.map_err(failed("remove", &path))?),
        }
    }

    fn was_removed(&self, object: &Digest) -> Result<bool, BrokerError> {
        let path = self.removed_path(object);
        Ok(path.try_exists().map_err(failed("look for", &path))?)
    }

    fn removed_path(&self, object: &Digest) -> PathBuf {
        self.state()
            .root()
            .join(FOLDER)
            .join(format!("{object}.removed"))
    }

    fn all_in_custody(&self) -> Result<Vec<Stored>, BrokerError> {
        let names = self.state().stems_in(FOLDER, ENDING)?;
        let objects = names.iter().filter_map(|name| name.parse().ok());
        let mut held = Vec::new();
        for object in objects {
            held.extend(self.stored_custody(&object)?);
        }
        Ok(held)
    }

    fn stored_custody(&self, object: &Digest) -> Result<Option<Stored>, BrokerError> {
        let path = self.custody_path(object);
        let bytes = match read_capped(&path, MAX_LEN) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let stored: Stored =
            parse_json("the key in custody", &bytes, MAX_LEN).map_err(record(&path, WHAT))?;
        if stored.output.object != *object {
            return Err(BrokerError::Misplaced { path, what: WHAT });
        }
        Ok(Some(stored))
    }

    fn custody_path(&self, object: &Digest) -> PathBuf {
        let folder = self.state().root().join(FOLDER);
        folder.join(format!("{object}{ENDING}"))
    }
}

/// What a key is wrapped for: under another policy, or another name, it does not open.
fn purpose(of: &InCustody) -> Vec<u8> {
    let parts = [
        PURPOSE.as_bytes(),
        of.policy.as_bytes(),
        of.object.as_bytes(),
    ];
    [&parts.concat(), of.output.as_str().as_bytes()].concat()
}
