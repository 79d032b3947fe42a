//! Answering for a dataset when a job that reads it is about to start.

use std::time::SystemTime;

use mc2_protocol::{
    Card, Identity, Name,
    documents::{
        message::{Body, Outcome, StartAnswer},
        storage::StartQuestion,
    },
};

use super::{error::SessionError, telling::Session};

const START: &str = "the answer to a job's start";

impl Session<'_> {
    /// Lets a job start, as far as `sender`, an owner or a broker, answers for what it reads: the
    /// policy has not ended at `now`. The question is the host's word, and an answer to one that the
    /// enclave did not ask does nothing. Returns the datasets that were answered for.
    ///
    /// # Errors
    /// The policy has ended, or is another; nothing is asked of this sender; the enclave refuses.
    pub async fn answer_start(
        &self,
        sender: &Identity,
        question: &StartQuestion,
        now: SystemTime,
    ) -> Result<Vec<Name>, SessionError> {
        let policy = self.policy();
        if question.policy != *policy.digest() {
            return Err(SessionError::OtherPolicy {
                expected: *policy.digest(),
                found: question.policy,
            });
        }
        if policy.is_expired(crate::unix_seconds(now)) {
            return Err(SessionError::Expired {
                policy: *policy.digest(),
            });
        }
        let datasets = self.answered_by(sender.card(), question);
        if datasets.is_empty() {
            return Err(SessionError::NotAsked);
        }
        let body = Body::Start(StartAnswer {
            job: question.job,
            challenge: question.challenge,
            datasets: datasets.clone(),
        });
        match self.send(sender, &body, START).await? {
            Outcome::Answered => Ok(datasets),
            _ => Err(SessionError::Mismatch { asked: START }),
        }
    }

    /// The datasets of a question for which `card` may answer.
    pub fn answered_by(&self, card: &Card, question: &StartQuestion) -> Vec<Name> {
        let may = |dataset: &&Name| self.may_answer(card, dataset);
        question.datasets.iter().filter(may).cloned().collect()
    }

    /// Whether `card` may answer for `dataset`.
    pub(super) fn may_answer(&self, card: &Card, dataset: &Name) -> bool {
        let answerers = self.policy().answerers(dataset);
        answerers.is_some_and(|cards| cards.iter().any(|one| ***one == *card))
    }
}
