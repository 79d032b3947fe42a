//! The answers that a job waits for before it starts.
//!
//! An enclave has no clock. Where a dataset has a broker, its policy's expiry binds every single
//! run: the session draws a challenge for the admitted job, and the job starts once the broker or
//! the owner of each such dataset, who have looked at their clocks, have sent it back. Until then
//! what the job took can be given back.

use std::{collections::BTreeSet, mem};

use mc2_protocol::{
    Digest, Name,
    documents::{
        message::{JobPhase, Refused, StartAnswer},
        storage::{StartChallenge, StartQuestion},
    },
    encoding::Hex,
    policy::{AdmittedJob, Policy},
};
use mc2_sandbox::Cancellation;
use tokio::sync::oneshot;

use super::{Order, Running, State, approvals::Spent};
use crate::random;

/// How far a job is.
pub(super) enum Phase {
    /// It was admitted; it may still be given back.
    Starting,
    /// It is ready, and answers are missing; it may still be given back.
    Waiting(Awaited),
    /// What it took is spent.
    Running,
}

/// What a job waits for.
pub(super) struct Awaited {
    challenge: StartChallenge,
    /// All that must be answered for.
    datasets: Vec<Name>,
    missing: BTreeSet<Name>,
    all_answered: oneshot::Sender<()>,
}

/// A job that waits for its start: its session [settles](super::Session::settle) what becomes of it.
#[must_use]
pub(crate) struct Waiting {
    pub(crate) question: StartQuestion,
    /// Comes when all is answered.
    pub(crate) all_answered: oneshot::Receiver<()>,
    pub(super) order: Box<Order>,
    pub(super) consents: Spent,
}

/// What became of a job that waited.
pub(crate) enum Settled {
    /// It starts: what it took is spent.
    Starts(Box<Order>),
    /// It does not, and nothing was used.
    GivenBack(Box<Order>),
}

impl Waiting {
    /// Its number in the session.
    pub(crate) fn number(&self) -> u64 {
        self.order.number
    }

    /// Where its submitter stops it.
    pub(crate) const fn cancellation(&self) -> &Cancellation {
        &self.order.cancellation
    }
}

impl Phase {
    /// Whether what the job took may still come back.
    pub(super) const fn may_come_back(&self) -> bool {
        matches!(self, Self::Starting | Self::Waiting(_))
    }

    fn waits_for(&self, challenge: &StartChallenge) -> bool {
        matches!(self, Self::Waiting(awaited) if awaited.challenge == *challenge)
    }

    fn answered(&mut self, datasets: &[Name]) -> Result<(), Refused> {
        let Self::Waiting(awaited) = self else {
            return Err(not_waiting());
        };
        let asked = |dataset: &Name| awaited.datasets.contains(dataset);
        if datasets.is_empty() || !datasets.iter().all(asked) {
            let message = "the answer must name datasets that the job waits for, and no others";
            return Err(Refused::new("not-asked", message));
        }
        for dataset in datasets {
            awaited.missing.remove(dataset);
        }
        if awaited.missing.is_empty()
            && let Self::Waiting(awaited) = mem::replace(self, Self::Running)
        {
            // From here on it runs, whether that is heard now or when the wait ends.
            let _ = awaited.all_answered.send(());
        }
        Ok(())
    }

    /// What parties are told of it.
    pub(super) fn told(&self) -> JobPhase {
        match self {
            Self::Starting => JobPhase::Starting,
            Self::Waiting(awaited) => JobPhase::Waiting {
                datasets: awaited.missing.iter().cloned().collect(),
            },
            Self::Running => JobPhase::Running,
        }
    }
}

impl Awaited {
    /// A new challenge for a job, what is to be asked of others, and how the end is heard of.
    pub(super) fn new(
        policy: &Digest,
        job: &AdmittedJob,
    ) -> (Self, StartQuestion, oneshot::Receiver<()>) {
        let challenge = Hex(random::bytes());
        let (all_answered, heard) = oneshot::channel();
        let question = StartQuestion {
            policy: *policy,
            job: job.digest,
            challenge,
            datasets: job.answers.clone(),
        };
        let awaited = Self {
            challenge,
            datasets: job.answers.clone(),
            missing: job.answers.iter().cloned().collect(),
            all_answered,
        };
        (awaited, question, heard)
    }
}

impl State {
    /// Takes an answer of `sender`, whose signature was checked. The job starts with the last one
    /// that is missing.
    pub(super) fn answer(
        &mut self,
        policy: &Policy,
        sender: &Digest,
        answer: &StartAnswer,
    ) -> Result<(), Refused> {
        for dataset in &answer.datasets {
            let may = policy.answerers(dataset);
            if !may.is_some_and(|cards| cards.iter().any(|card| card.digest() == sender)) {
                let message = format!(
                    "for dataset {dataset} only its broker and its owner answer, where it has a \
                     broker"
                );
                return Err(Refused::new("not-the-answerer", message));
            }
        }
        let same = |running: &&mut Running| {
            running.job == answer.job && !running.cancellation.is_cancelled()
        };
        let jobs = self.jobs.values_mut().filter(same);
        let mut phases = jobs.map(|running| &mut running.phase);
        let waiting = phases.find(|phase| phase.waits_for(&answer.challenge));
        waiting.ok_or_else(not_waiting)?.answered(&answer.datasets)
    }
}

fn not_waiting() -> Refused {
    let message = "no job of this digest waits for this challenge: it has started, was given up, or \
                   the challenge is another's";
    Refused::new("not-waiting", message)
}
