//! The approvals a session has taken, with the signed messages that receipts repeat.
//!
//! A party may approve jobs that never come, so what it leaves here is bounded: so many jobs, and
//! so many bytes for each.

use mc2_protocol::{
    Digest,
    documents::{
        dsse::Envelope,
        message::{Approve, Refused},
    },
    policy::{AdmittedJob, Approvals, Policy, When},
};

use super::refusal;

/// Most bytes of a signed approval. This release writes some 350; spaces are the sender's choice.
const APPROVAL_BYTES: usize = 2 * 1024;

/// What the parties of one session have consented to.
#[derive(Default)]
pub(crate) struct Consents {
    given: Approvals,
    signed: Vec<Signed>,
}

/// One approval as its sender signed it.
struct Signed {
    by: Digest,
    to: Approve,
    envelope: Envelope,
}

impl Consents {
    /// Takes an approval whose signature was checked to be `sender`'s. The same one again changes
    /// nothing.
    pub(crate) fn take(
        &mut self,
        policy: &Policy,
        sender: Digest,
        to: Approve,
        envelope: Option<Envelope>,
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
            return Err(refusal("approval-too-long", message));
        }
        self.given
            .record(policy, &sender, &to)
            .map_err(|error| refusal(error.code(), error))?;
        let known = |signed: &Signed| signed.by == sender && signed.to == to;
        if !self.signed.iter().any(known) {
            let signed = envelope.map(|envelope| Signed {
                by: sender,
                to,
                envelope,
            });
            self.signed.extend(signed);
        }
        Ok(())
    }

    /// What was approved.
    pub(crate) fn given(&self) -> &Approvals {
        &self.given
    }

    /// The signed approvals that count for this job.
    pub(crate) fn of(&self, job: &AdmittedJob) -> Vec<Envelope> {
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

    /// Forgets the approvals of one job: each is good for one run, and the run has started.
    pub(crate) fn spend(&mut self, job: &Digest) {
        self.given.spend(job);
        self.signed.retain(|signed| signed.to != Approve::Job(*job));
    }
}
