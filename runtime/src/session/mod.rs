//! One session: a policy, its measured components, fresh keys, and what its parties have said.
//!
//! A job comes in three steps. The session admits it, which reserves its keys, approvals and run;
//! its start, which may take the TEE a while, happens outside the session's lock; then the session
//! commits what it reserved, or takes it back. Where a dataset has a broker, the job then waits for
//! the answers that let it start ([`start`]), and may still be given back until they are there.

mod approvals;
mod challenges;
mod error;
mod guest_keys;
mod keys;
mod order;
mod places;
mod start;
mod status;
mod terms;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    Digest, Name, SecretKey,
    crypto::hpke::PrivateKey,
    documents::message::{
        Answer, AnswerKey, AskStatus, Body, End, Message, Outcome, Refused, SealedMessage,
        SequenceWindow, Submit,
    },
};
use mc2_sandbox::Cancellation;

use crate::random;
use approvals::{Consents, Spent};
pub(crate) use challenges::Challenges;
pub use error::SessionError;
use guest_keys::GuestKeys;
use keys::ReleasedKeys;
pub(crate) use order::Order;
pub(crate) use places::Accounts;
use start::{Awaited, Phase};
pub(crate) use start::{Settled, Waiting};
pub(crate) use terms::Terms;

/// What is said of a message that could not be opened.
const UNREADABLE: &str = "the message could not be opened: it is no message of version 1, was \
                          sealed to another session or as another type, or was altered";
/// Jobs of one session that may run at once.
const RUNNING_JOBS: usize = 4;

/// Refusals for want of what [`Session::give_back`] gives back.
const GIVEN_BACK: [&str; 3] = ["runs-spent", "not-approved", "no-key"];

/// An open session.
pub(crate) struct Session {
    terms: Arc<Terms>,
    private_key: PrivateKey,
    /// Digest of the card that opened it and may end it.
    opener: Digest,
    /// What is counted over all sessions of the process.
    accounts: Accounts,
    state: Mutex<State>,
}

/// What the parties have said so far.
#[derive(Default)]
struct State {
    sequences: HashMap<Digest, SequenceWindow>,
    keys: ReleasedKeys,
    guest_keys: GuestKeys,
    consents: Consents,
    /// Runs of each of the policy's jobs that started or are about to.
    runs: HashMap<Name, u32>,
    jobs: HashMap<u64, Running>,
    /// The last job's number.
    number: u64,
    /// Its opener ended it.
    over: bool,
}

impl State {
    /// A job that was admitted does not run: all it took is there again.
    fn take_back(&mut self, order: &Order, consents: Spent) {
        self.keys.give_back(&order.keys);
        self.consents.give_back(consents);
        if let Some(runs) = self.runs.get_mut(&order.job.name) {
            *runs -= 1;
        }
        self.jobs.remove(&order.number);
    }
}

/// What a session remembers of a job that runs, or was admitted and is about to.
struct Running {
    submitter: Digest,
    /// The job digest.
    job: Digest,
    phase: Phase,
    cancellation: Cancellation,
}

/// What came of a message.
pub(crate) enum Received {
    /// It is done, or refused; the answer is signed either way.
    Answered(Answer),
    /// A job was admitted and is to be started.
    Admitted(Admitted),
}

/// A job that was admitted: what it needs is taken, until the session
/// [commits](Session::commit) to it or has it [given back](Session::give_back).
#[must_use]
pub(crate) struct Admitted {
    pub(crate) order: Box<Order>,
    consents: Spent,
    reply: Reply,
}

/// A job that was taken.
pub(crate) enum Begun {
    /// It starts now.
    Starts(Box<Order>),
    /// It waits for its start.
    Waits(Box<Waiting>),
}

/// What it takes to answer a message.
struct Reply {
    request: Digest,
    key: Option<AnswerKey>,
}

impl Session {
    pub(crate) fn new(
        terms: Terms,
        private_key: PrivateKey,
        opener: Digest,
        accounts: Accounts,
    ) -> Self {
        Self {
            terms: Arc::new(terms),
            private_key,
            opener,
            accounts,
            state: Mutex::default(),
        }
    }

    /// What stands for all its life.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Opens, checks and acts on one message.
    pub(crate) fn receive(&self, bytes: &[u8]) -> Received {
        let request = Digest::of(bytes);
        let (session, private_key) = (&self.terms.digest, &self.private_key);
        let sealed = SealedMessage::parse(bytes).ok();
        let opened = sealed.and_then(|message| message.open(session, private_key).ok());
        // What can be told of a message that does not open, everybody may hear: nothing of it.
        let Some((opened, key)) = opened else {
            let reply = Reply { request, key: None };
            let refused = Refused::new("unreadable", UNREADABLE);
            return Received::Answered(self.answer(reply, Outcome::Refused(refused)));
        };
        let reply = Reply {
            request,
            key: Some(key),
        };
        let speaker = |sender: &Digest| self.terms.policy.speaker(sender).map(AsRef::as_ref);
        let acted = match opened.verify(speaker) {
            Ok(message) => self.act(message),
            Err(error) => Err(Refused::new(error.code(), error)),
        };
        match acted {
            Ok(Act::Done(outcome)) => Received::Answered(self.answer(reply, outcome)),
            Ok(Act::Admitted(order, consents)) => Received::Admitted(Admitted {
                order,
                consents,
                reply,
            }),
            Err(refused) => Received::Answered(self.answer(reply, Outcome::Refused(refused))),
        }
    }

    /// The admitted job is taken. It starts, and what it took is spent however it ends; or it waits
    /// for the answers to its start.
    pub(crate) fn commit(&self, admitted: Admitted) -> (Begun, Answer) {
        let Admitted {
            order,
            consents,
            reply,
        } = admitted;
        let number = order.number;
        let (phase, begun) = if order.job.answers.is_empty() {
            (Phase::Running, Begun::Starts(order))
        } else {
            let policy = self.terms.policy.digest();
            let (awaited, question, all_answered) = Awaited::new(policy, &order.job);
            let waiting = Waiting {
                question,
                all_answered,
                order,
                consents,
            };
            (Phase::Waiting(awaited), Begun::Waits(Box::new(waiting)))
        };
        if let Some(job) = self.state().jobs.get_mut(&number) {
            job.phase = phase;
        }
        (begun, self.answer(reply, Outcome::Submitted { number }))
    }

    /// The wait for a job's start is over: all was answered, or it is given up and what the job took
    /// comes back. Its number stays its own.
    pub(crate) fn settle(&self, waiting: Waiting) -> Settled {
        let Waiting {
            order, consents, ..
        } = waiting;
        let mut state = self.state();
        let job = state.jobs.get(&order.number);
        if job.is_some_and(|job| !job.phase.may_come_back()) {
            return Settled::Starts(order);
        }
        state.take_back(&order, consents);
        Settled::GivenBack(order)
    }

    /// The admitted job does not start: nothing ran, so no key, approval or run was used.
    pub(crate) fn give_back(&self, admitted: Admitted, why: Refused) -> Answer {
        let Admitted {
            order,
            consents,
            reply,
        } = admitted;
        let mut state = self.state();
        state.take_back(&order, consents);
        // The next job has this number, unless one came in between.
        if state.number == order.number {
            state.number -= 1;
        }
        drop(state);
        self.answer(reply, Outcome::Refused(why))
    }

    /// Forgets a job that has ended.
    pub(crate) fn ended(&self, number: u64) {
        self.state().jobs.remove(&number);
    }

    /// How many more jobs may run in it now.
    pub(crate) fn free_places(&self) -> usize {
        RUNNING_JOBS.saturating_sub(self.state().jobs.len())
    }

    /// Whether its opener ended it: then nobody needs it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state().over
    }

    fn act(&self, message: Message) -> Result<Act, Refused> {
        let state = &mut *self.state();
        if state.over {
            let message = "this session was ended by its opener: open another";
            return Err(Refused::new("session-over", message));
        }
        let Message {
            sender,
            sequence,
            body,
            approval,
        } = message;
        if !state.sequences.entry(sender).or_default().accept(sequence) {
            let message = format!(
                "sequence number {sequence} of this sender was seen before or is more than 1,024 \
                 behind; send the message again under the next number"
            );
            return Err(Refused::new("replayed", message));
        }
        let policy = &self.terms.policy;
        if policy.party(&sender).is_none() && !is_broker_s(&body) {
            let message = "a broker releases keys, answers starts and asks for the status; what else \
                           is asked of a session its parties ask themselves";
            return Err(Refused::new("a-broker-s-card", message));
        }
        let outcome = match body {
            Body::Release(release) => {
                policy
                    .check_release(&sender, &release.key.dataset, &release.key.object)
                    .map_err(|error| Refused::new(error.code(), &error))?;
                let in_custody = policy.custody(&release.key.dataset).is_some();
                if release.length.is_some() != in_custody {
                    let message = "the release of what is in custody states its length, and no other \
                                   release does";
                    return Err(Refused::new("wrong-length", message));
                }
                state.keys.add(release)?;
                Outcome::Released
            }
            Body::GuestKey(given) => {
                policy
                    .check_guest_key(&sender, &given.name)
                    .map_err(|error| Refused::new(error.code(), &error))?;
                let account = &self.accounts.guest_keys;
                state.guest_keys.add(sender, given, account)?;
                Outcome::KeyTaken
            }
            Body::Approve(approve) => {
                let places = &self.accounts.approvals;
                state
                    .consents
                    .take(policy, sender, approve, approval, places)?;
                Outcome::Approved
            }
            Body::Submit(submit) => return self.admit(state, sender, submit),
            Body::Cancel(cancel) => {
                let job = state.jobs.get(&cancel.number);
                if job.is_some_and(|job| job.submitter != sender) {
                    let message = "only a job's submitter may stop it";
                    return Err(Refused::new("not-submitter", message));
                }
                if let Some(job) = job {
                    job.cancellation.cancel();
                }
                Outcome::Cancelled
            }
            Body::End(End {}) => {
                self.end(state, &sender)?;
                Outcome::Ended
            }
            Body::Status(AskStatus {}) => Outcome::Status(state.status()),
            Body::Start(answer) => {
                state.answer(policy, &sender, &answer)?;
                Outcome::Answered
            }
        };
        Ok(Act::Done(outcome))
    }

    /// Checks a job and takes what it needs, under the one lock that it was checked under.
    fn admit(&self, state: &mut State, sender: Digest, submit: Submit) -> Result<Act, Refused> {
        let starting = state.jobs.values().any(|job| job.phase.may_come_back());
        self.take(state, sender, submit).map_err(|refused| {
            // What a job that is about to start has taken may still come back.
            if starting && GIVEN_BACK.contains(&refused.code.as_str()) {
                let message = "a job of this session is being started, or waits for its start, with \
                               what this one needs; submit it again in a moment";
                return Refused::new("busy", message);
            }
            refused
        })
    }

    fn take(&self, state: &mut State, sender: Digest, submit: Submit) -> Result<Act, Refused> {
        let runs = |name: &Name| state.runs.get(name).copied().unwrap_or(0);
        let job = self
            .terms
            .policy
            .admit(submit.job.as_slice(), &sender, state.consents.given(), runs)
            .map_err(|error| Refused::new(error.code(), &error))?;
        if state.jobs.len() >= RUNNING_JOBS {
            let message = format!("{RUNNING_JOBS} jobs of this session run already; wait for one");
            return Err(Refused::new("busy", message));
        }
        let guest_keys = state.guest_keys.of(&job)?;
        let keys = state.keys.take(&job.datasets)?;
        let approvals = state.consents.of(&job);
        let consents = state.consents.spend(&job.digest);
        *state.runs.entry(job.name.clone()).or_default() += 1;
        state.number += 1;
        let cancellation = Cancellation::new();
        let running = Running {
            submitter: sender,
            job: job.digest,
            phase: Phase::Starting,
            cancellation: cancellation.clone(),
        };
        state.jobs.insert(state.number, running);
        let order = Order {
            terms: Arc::clone(&self.terms),
            number: state.number,
            job,
            keys,
            guest_keys,
            approvals,
            nonce: submit.nonce,
            endorsements: submit.endorsements,
            cancellation,
        };
        Ok(Act::Admitted(Box::new(order), consents))
    }

    /// Ends the session: its keys are wiped now, and the rest of it with its last job's memory.
    fn end(&self, state: &mut State, sender: &Digest) -> Result<(), Refused> {
        if *sender != self.opener {
            let message = "only the party that opened a session may end it";
            return Err(Refused::new("not-the-opener", message));
        }
        if !state.jobs.is_empty() {
            let message = "a job of this session runs: stop it, or wait for it";
            return Err(Refused::new("busy", message));
        }
        *state = State {
            over: true,
            ..State::default()
        };
        Ok(())
    }

    fn answer(&self, reply: Reply, outcome: Outcome) -> Answer {
        Answer::new(
            outcome,
            self.terms.digest,
            reply.request,
            &self.terms.signing_key,
            reply.key.as_ref(),
            &mut random::rng(),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything can panic.
        self.state.lock().unwrap_or_else(|error| error.into_inner())
    }
}

/// Whether a broker may send it.
const fn is_broker_s(body: &Body) -> bool {
    matches!(body, Body::Release(_) | Body::Start(_) | Body::Status(_))
}

/// What a message that was taken comes to.
enum Act {
    Done(Outcome),
    Admitted(Box<Order>, Spent),
}

/// The keys of one session, made at its start and never stored.
pub(crate) struct SessionKeys {
    pub(crate) private_key: PrivateKey,
    pub(crate) signing_key: SigningKey,
}

impl SessionKeys {
    pub(crate) fn generate() -> Self {
        let seed = SecretKey::generate(&mut random::rng());
        Self {
            private_key: PrivateKey::generate(&mut random::rng()),
            signing_key: SigningKey::from_bytes(seed.expose()),
        }
    }
}

#[cfg(test)]
mod tests;
