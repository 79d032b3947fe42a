//! Who has approved what in one session.

use std::collections::{BTreeMap, BTreeSet};

use super::{Policy, job::Approve as Rule, job::When};
use crate::{Digest, documents::message::Approve};

/// Most jobs a party may have approved in a session that have not run yet.
pub const MAX_WAITING_APPROVALS: usize = 64;

/// The approvals a session has taken: sets of card digests, so that one party counts once.
///
/// ```
/// use mc2_protocol::{
///     Digest,
///     documents::message::Approve,
///     policy::{Approvals, Policy},
/// };
///
/// let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/one-party.toml"))?;
/// let policy = Policy::parse(&text)?;
/// let party = policy.parties()[0].digest();
/// let mut approvals = Approvals::new();
/// approvals.record(&policy, party, &Approve::Policy(*policy.digest()))?;
/// // What is no party's, or to another policy, counts for nothing.
/// let other = Approve::Policy(Digest::of(b"another policy"));
/// assert!(approvals.record(&policy, party, &other).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    session: BTreeSet<Digest>,
    jobs: BTreeMap<Digest, BTreeSet<Digest>>,
}

/// The approvals of one job, taken away for a run.
#[derive(Clone, Debug, Default)]
pub struct SpentApprovals(Option<(Digest, BTreeSet<Digest>)>);

/// Why an approval was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// From somebody else.
    #[error("card {sender} is no party of this policy, so its approval counts for nothing")]
    NotAParty {
        /// Digest of the sender's card.
        sender: Digest,
    },
    /// To another policy.
    #[error("the approval is to policy {found}, this session's is {expected}")]
    OtherPolicy {
        /// The session's policy.
        expected: Digest,
        /// The policy that was approved.
        found: Digest,
    },
    /// Too many at once.
    #[error(
        "{MAX_WAITING_APPROVALS} jobs approved by this party have not run yet; submit some first"
    )]
    TooMany,
}

impl ApprovalError {
    /// A stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAParty { .. } => "not-a-party",
            Self::OtherPolicy { .. } => "other-policy",
            Self::TooMany => "too-many-approvals",
        }
    }
}

impl Approvals {
    /// No approvals yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an approval whose signature was checked to be `sender`'s. The same one again changes
    /// nothing.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn record(
        &mut self,
        policy: &Policy,
        sender: &Digest,
        approve: &Approve,
    ) -> Result<(), ApprovalError> {
        if policy.party(sender).is_none() {
            return Err(ApprovalError::NotAParty { sender: *sender });
        }
        match *approve {
            Approve::Policy(found) if found == *policy.digest() => {
                self.session.insert(*sender);
            }
            Approve::Policy(found) => {
                let expected = *policy.digest();
                return Err(ApprovalError::OtherPolicy { expected, found });
            }
            Approve::Job(job) => {
                let approved = |cards: &BTreeSet<Digest>| cards.contains(sender);
                if self.jobs.get(&job).is_some_and(approved) {
                    return Ok(());
                }
                let waiting = self.jobs.values().filter(|cards| approved(cards)).count();
                if waiting >= MAX_WAITING_APPROVALS {
                    return Err(ApprovalError::TooMany);
                }
                self.jobs.entry(job).or_default().insert(*sender);
            }
        }
        Ok(())
    }

    /// Takes the approvals of one job away: each is good for one run.
    pub fn spend(&mut self, job: &Digest) -> SpentApprovals {
        SpentApprovals(self.jobs.remove_entry(job))
    }

    /// Undoes [`spend`](Self::spend): the run did not start.
    pub fn give_back(&mut self, spent: SpentApprovals) {
        if let Some((job, cards)) = spent.0 {
            self.jobs.entry(job).or_default().extend(cards);
        }
    }

    /// The cards of those who approved the policy for the session.
    pub fn of_session(&self) -> impl Iterator<Item = &Digest> {
        self.session.iter()
    }

    /// The single jobs that are approved and have not run, with the cards of those who approved.
    pub fn of_jobs(&self) -> impl Iterator<Item = (&Digest, &BTreeSet<Digest>)> {
        self.jobs.iter()
    }

    /// Those of `rule` whose approval of the session or of `job` was taken, in the rule's order.
    pub(super) fn given(&self, rule: &Rule, job: &Digest) -> Vec<Digest> {
        let cards = match rule.when {
            When::Session => Some(&self.session),
            When::Job => self.jobs.get(job),
        };
        let listed = rule.of.iter().map(|card| *card.digest());
        listed
            .filter(|card| cards.is_some_and(|cards| cards.contains(card)))
            .collect()
    }
}
