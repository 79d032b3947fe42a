//! The approvals a session has taken, with the signed messages that receipts repeat.
//!
//! A party may approve jobs that never come, so what it leaves here is bounded: so many jobs, so
//! many bytes for each, and so many of one party in all sessions of the process.

use std::sync::Arc;

use mc2_protocol::{
    Digest,
    documents::{
        dsse::Envelope,
        message::{Approve, Refused},
    },
    policy::{AdmittedJob, Approvals, Policy, SpentApprovals, When},
};

use super::places::{APPROVALS, Place, Places};

/// Most bytes of a signed approval. This release writes some 350; spaces are the sender's choice.
const APPROVAL_BYTES: usize = 2 * 1024;

/// What the parties of one session have consented to.
#[derive(Default)]
pub(super) struct Consents {
    given: Approvals,
    signed: Vec<Signed>,
}

/// The approvals of one job that were taken away.
pub(super) struct Spent {
    given: SpentApprovals,
    signed: Vec<Signed>,
}

/// One approval as its sender signed it.
struct Signed {
    by: Digest,
    to: Approve,
    envelope: Envelope,
    /// Its place among its sender's in all sessions, where it is to a job.
    _place: Option<Place>,
}

impl Consents {
    /// Takes an approval whose signature was checked to be `sender`'s. The same one again changes
    /// nothing.
    pub(super) fn take(
        &mut self,
        policy: &Policy,
        sender: Digest,
        to: Approve,
        envelope: Option<Envelope>,
        places: &Arc<Places>,
    ) -> Result<(), Refused> {
        let found = envelope
            .iter()
            .map(|envelope| envelope.payload.as_slice().len());
        let found = found.sum::<usize>();
        if found > APPROVAL_BYTES {
            let message = format!(
                "the signed approval has {found} bytes, at most {APPROVAL_BYTES} are taken: write \
                 it without spaces"
            );
            return Err(Refused::new("approval-too-long", message));
        }
        let same = |signed: &Signed| signed.by == sender && signed.to == to;
        if self.signed.iter().any(same) {
            return Ok(());
        }
        // A session keeps one approval of its policy from each party, and those are counted with it.
        let place = match to {
            Approve::Policy(_) => None,
            Approve::Job(_) => Some(places.take(sender, 1).ok_or_else(|| {
                let message = format!(
                    "{APPROVALS} jobs approved by this party in sessions of this runtime have not \
                     run yet; submit some first, or end sessions"
                );
                Refused::new("approvals-waiting", message)
            })?),
        };
        self.given
            .record(policy, &sender, &to)
            .map_err(|error| Refused::new(error.code(), error))?;
        self.keep(envelope.map(|envelope| Signed {
            by: sender,
            to,
            envelope,
            _place: place,
        }));
        Ok(())
    }

    /// What was approved.
    pub(super) fn given(&self) -> &Approvals {
        &self.given
    }

    /// The signed approvals that count for this job.
    pub(super) fn of(&self, job: &AdmittedJob) -> Vec<Envelope> {
        let counts = |signed: &&Signed| {
            job.approved_by.contains(&signed.by)
                && match signed.to {
                    Approve::Policy(_) => job.approved_when == Some(When::Session),
                    Approve::Job(digest) => {
                        job.approved_when == Some(When::Job) && digest == job.digest
                    }
                }
        };
        let counting = self.signed.iter().filter(counts);
        counting.map(|signed| signed.envelope.clone()).collect()
    }

    /// Takes the approvals of one job away: each is good for one run.
    pub(super) fn spend(&mut self, job: &Digest) -> Spent {
        let spent = |signed: &mut Signed| signed.to == Approve::Job(*job);
        Spent {
            given: self.given.spend(job),
            signed: self.signed.extract_if(.., spent).collect(),
        }
    }

    /// Undoes [`spend`](Self::spend): the run did not start.
    pub(super) fn give_back(&mut self, spent: Spent) {
        self.given.give_back(spent.given);
        self.keep(spent.signed);
    }

    /// Keeps signed approvals, each once.
    fn keep(&mut self, signed: impl IntoIterator<Item = Signed>) {
        for one in signed {
            let same = |other: &Signed| other.by == one.by && other.to == one.to;
            if !self.signed.iter().any(same) {
                self.signed.push(one);
            }
        }
    }
}
