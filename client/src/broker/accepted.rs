//! The policies that a broker's owner accepted.

use std::{fs, io, path::PathBuf, time::SystemTime};

use mc2_protocol::{
    Card, Digest, Name,
    encoding::{Base64, parse_json, to_json},
    policy::{self, Dataset, Policy},
};
use serde::{Deserialize, Serialize};

use super::{
    error::BrokerError,
    folder::{ACCEPTED, Folder, record},
};
use crate::{
    custody,
    files::{failed, read_capped, write_private},
    party::Parties,
    state::ledger::{Accepted, Entry, Withdrawn},
};

const ENDING: &str = ".json";
const WHAT: &str = "accepted policy";
/// A policy's base64, and what stands beside it.
const MAX_LEN: usize = policy::MAX_LEN * 4 / 3 + 4096;

/// As it lies in the folder.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    /// The policy's exact bytes.
    policy: Base64,
    /// Whether its owner stated its digest: then its cards need not be known here.
    stated: bool,
}

impl Folder {
    /// Accepts a policy: sessions under it get what it lets this broker release.
    ///
    /// # Errors
    /// It does not name this broker, has ended, or has cards that are not known and `stated` is not
    /// its digest.
    pub fn accept(
        &self,
        policy: &Policy,
        stated: Option<&Digest>,
        now: SystemTime,
    ) -> Result<(), BrokerError> {
        let card = self.card()?;
        self.check_marked()?;
        check_named(policy, &card)?;
        check_not_ended(policy, now)?;
        self.check_cards(policy, stated)?;
        let stored = Stored {
            version: mc2_protocol::VERSION,
            policy: Base64(policy.bytes().to_vec()),
            stated: stated.is_some(),
        };
        self.state().folder(ACCEPTED)?;
        let entry = Entry::Accepted(Accepted {
            policy: *policy.digest(),
        });
        // Nothing is released under what the ledger does not tell of.
        self.ledger()?.note(entry, now)?;
        write_private(&self.accepted_path(policy.digest()), &to_json(&stored))?;
        Ok(())
    }

    /// Accepts a policy no more: nothing is released under it once this returns.
    ///
    /// # Errors
    /// It is not accepted.
    pub fn withdraw(&self, policy: &Digest, now: SystemTime) -> Result<(), BrokerError> {
        let path = self.accepted_path(policy);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BrokerError::NotAccepted { digest: *policy });
            }
            removed => removed.map_err(failed("remove", &path))?,
        }
        let entry = Entry::Withdrawn(Withdrawn { policy: *policy });
        self.ledger()?.note(entry, now)?;
        Ok(self.state().await_releases()?)
    }

    /// The accepted policies.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn accepted(&self) -> Result<Vec<Policy>, BrokerError> {
        let names = self.state().stems_in(ACCEPTED, ENDING)?;
        let digests = names.iter().filter_map(|name| name.parse().ok());
        digests.map(|digest| self.policy(&digest)).collect()
    }

    /// The accepted policy of this digest.
    ///
    /// # Errors
    /// It is not accepted, or its file is not it.
    pub fn policy(&self, digest: &Digest) -> Result<Policy, BrokerError> {
        Ok(self.stored_policy(digest)?.0)
    }

    /// The accepted policy of this digest, if anything may be granted under it now: it names this
    /// broker, has not ended, and its cards are those that are known here.
    ///
    /// # Errors
    /// Which of these is not so.
    pub(super) fn granting(&self, digest: &Digest, now: SystemTime) -> Result<Policy, BrokerError> {
        let (policy, stated) = self.stored_policy(digest)?;
        check_named(&policy, &self.card()?)?;
        check_not_ended(&policy, now)?;
        self.check_cards(&policy, stated.then_some(digest))?;
        Ok(policy)
    }

    /// A policy, and whether its owner stated its digest.
    fn stored_policy(&self, digest: &Digest) -> Result<(Policy, bool), BrokerError> {
        let path = self.accepted_path(digest);
        let bytes = match read_capped(&path, MAX_LEN) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                return Err(BrokerError::NotAccepted { digest: *digest });
            }
            bytes => bytes?,
        };
        let stored: Stored =
            parse_json("the accepted policy", &bytes, MAX_LEN).map_err(record(&path, WHAT))?;
        let policy = Policy::parse(stored.policy.as_slice())?;
        if policy.digest() != digest {
            return Err(BrokerError::Misplaced { path, what: WHAT });
        }
        Ok((policy, stored.stated))
    }

    /// Checks that every card of a policy is known to this broker.
    fn check_cards(&self, policy: &Policy, stated: Option<&Digest>) -> Result<(), BrokerError> {
        let parties = Parties::load(self.state())?.with_own(&self.card()?);
        Ok(parties.check(policy, stated)?)
    }

    fn accepted_path(&self, policy: &Digest) -> PathBuf {
        let folder = self.state().root().join(ACCEPTED);
        folder.join(format!("{policy}{ENDING}"))
    }
}

/// The datasets whose keys the broker with this card may release under a policy, and the outputs in
/// its custody.
pub fn datasets_of(policy: &Policy, broker: &Digest) -> Vec<Name> {
    let is_named = |dataset: &&Dataset| {
        let named = dataset.broker.as_ref();
        named.is_some_and(|card| card.digest() == broker)
    };
    let named = policy.datasets().iter().filter(is_named);
    let in_custody = custody::outputs(policy);
    let in_custody = in_custody.filter(|(_, custody)| custody.holder.digest() == broker);
    named
        .map(|dataset| &dataset.name)
        .chain(in_custody.map(|(output, _)| output))
        .cloned()
        .collect()
}

/// Refuses a policy that gives this broker nothing to do.
fn check_named(policy: &Policy, card: &Card) -> Result<(), BrokerError> {
    match policy.broker(card.digest()) {
        Some(_) => Ok(()),
        None => Err(BrokerError::NotNamed {
            broker: card.name().clone(),
        }),
    }
}

/// Refuses a policy that has ended.
fn check_not_ended(policy: &Policy, now: SystemTime) -> Result<(), BrokerError> {
    if policy.is_expired(crate::unix_seconds(now)) {
        return Err(BrokerError::Ended {
            ended: crate::policy::rfc3339(policy.expires()),
        });
    }
    Ok(())
}
