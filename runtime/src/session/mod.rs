//! One session: a policy, its measured components, fresh keys, and what its parties have said.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    Digest, Name, SecretKey,
    crypto::hpke::PrivateKey,
    documents::{
        control::OpeningError,
        dsse::Envelope,
        message::{
            Answer, AnswerKey, Approve, Body, End, Message, Outcome, Refused, Release,
            SealedMessage, SequenceWindow, Submit,
        },
    },
    policy::{Policy, PolicyError},
};
use mc2_sandbox::{MeasureError, MeasuredComponent};

mod approvals;
pub(crate) mod challenges;

use approvals::Consents;

use crate::{
    AttesterError,
    job::{Order, Running},
    random,
};

/// What is said of a message that could not be opened.
const UNREADABLE: &str = "the message could not be opened: it is no message of version 1, was \
                          sealed to another session or as another type, or was altered";
/// Jobs of one session that may run at once.
const RUNNING_JOBS: usize = 4;

/// Why a session was not opened. Unsigned: until there is a session, nothing can sign.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The policy is not one this runtime can enforce.
    #[error("the policy is refused: {0}")]
    Policy(#[from] PolicyError),
    /// The challenge is another process's, or was taken before.
    #[error(
        "the challenge is none of this runtime process's, or was used before: ask for another and \
         sign again"
    )]
    Challenge,
    /// No party of the policy asks.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// A component the policy names could not be measured.
    #[error("component {name} is refused: {source}")]
    Component {
        /// Its name in the policy.
        name: Name,
        /// Why.
        source: MeasureError,
    },
    /// The process serves somebody else for as long as it lives.
    #[error(
        "this runtime process already serves another tenant and serves nobody else for its life: \
         the host must start another process"
    )]
    Tenant,
    /// The policy is for other hardware.
    #[error("the policy does not allow the kind of enclave this runtime is in, {own}")]
    Tee {
        /// What this runtime is in.
        own: &'static str,
    },
    /// Too many sessions in one process.
    #[error("this runtime process holds as many sessions as it may; start another")]
    TooMany,
    /// The TEE gave no evidence.
    #[error(transparent)]
    Attester(#[from] AttesterError),
}

impl SessionError {
    /// A stable word in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Policy(_) => "policy-refused",
            Self::Challenge => "unknown-challenge",
            Self::Opening(_) => "not-the-opener",
            Self::Component { .. } => "component-refused",
            Self::Tenant => "other-tenant",
            Self::Tee { .. } => "other-tee",
            Self::TooMany => "too-many-sessions",
            Self::Attester(_) => "no-evidence",
        }
    }
}

/// An open session.
pub(crate) struct Session {
    /// The session digest.
    pub(crate) digest: Digest,
    /// The record's exact bytes.
    pub(crate) record: Vec<u8>,
    pub(crate) policy: Policy,
    /// The policy's exact bytes.
    pub(crate) policy_bytes: Vec<u8>,
    pub(crate) components: BTreeMap<Name, Arc<MeasuredComponent>>,
    pub(crate) signing_key: SigningKey,
    private_key: PrivateKey,
    /// Digest of the card that opened it and may end it.
    opener: Digest,
    state: Mutex<State>,
}

/// What the parties have said so far.
#[derive(Default)]
struct State {
    sequences: HashMap<Digest, SequenceWindow>,
    releases: HashMap<Name, Released>,
    consents: Consents,
    /// Runs started of each of the policy's jobs.
    runs: HashMap<Name, u32>,
    jobs: HashMap<u64, Running>,
    numbers: u64,
    /// Its opener ended it.
    over: bool,
}

struct Released {
    object: Digest,
    key: SecretKey,
    runs: u32,
}

impl Session {
    pub(crate) fn new(
        digest: Digest,
        record: Vec<u8>,
        policy: Policy,
        policy_bytes: Vec<u8>,
        components: BTreeMap<Name, Arc<MeasuredComponent>>,
        keys: SessionKeys,
        opener: Digest,
    ) -> Self {
        Self {
            digest,
            record,
            policy,
            policy_bytes,
            components,
            signing_key: keys.signing_key,
            private_key: keys.private_key,
            opener,
            state: Mutex::default(),
        }
    }

    /// Opens, checks and acts on one message; whatever happens, the answer is signed.
    pub(crate) fn receive(
        self: &Arc<Self>,
        bytes: &[u8],
        start: impl FnOnce(Order) -> Result<(), Refused>,
    ) -> Answer {
        let request = Digest::of(bytes);
        let sealed = SealedMessage::parse(bytes).ok();
        let opened = sealed.and_then(|message| message.open(&self.digest, &self.private_key).ok());
        // What can be told of a message that does not open, everybody may hear: nothing of it.
        let Some((opened, key)) = opened else {
            return self.answer(request, refused("unreadable", UNREADABLE), None);
        };
        let outcome = match opened.verify(|sender| self.policy.party(sender).map(AsRef::as_ref)) {
            Ok(message) => self.act(message, start).unwrap_or_else(Outcome::Refused),
            Err(error) => refused(error.code(), error),
        };
        self.answer(request, outcome, Some(&key))
    }

    /// Whether its opener ended it: then nobody needs it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state().over
    }

    /// Forgets a job that has ended.
    pub(crate) fn ended(&self, number: u64) {
        self.state().jobs.remove(&number);
    }

    fn act(
        self: &Arc<Self>,
        message: Message,
        start: impl FnOnce(Order) -> Result<(), Refused>,
    ) -> Result<Outcome, Refused> {
        let mut state = self.state();
        if state.over {
            let message = "this session was ended by its opener: open another";
            return Err(refusal("session-over", message));
        }
        let window = state.sequences.entry(message.sender).or_default();
        if !window.accept(message.sequence) {
            return Err(refusal(
                "replayed",
                format!(
                    "sequence number {} of this sender was seen before or is more than 1,024 \
                     behind; send the message again under the next number",
                    message.sequence
                ),
            ));
        }
        match message.body {
            Body::Release(release) => self.release(&mut state, &message.sender, release),
            Body::Approve(approve) => {
                self.approve(&mut state, message.sender, approve, message.approval)
            }
            Body::Submit(submit) => self.submit(&mut state, message.sender, &submit, start),
            Body::Cancel(cancel) => {
                let job = state.jobs.get(&cancel.number);
                if job.is_some_and(|job| job.submitter != message.sender) {
                    return Err(refusal(
                        "not-submitter",
                        "only a job's submitter may stop it",
                    ));
                }
                if let Some(job) = job {
                    job.cancellation.cancel();
                }
                Ok(Outcome::Cancelled)
            }
            Body::End(End {}) => self.end(&mut state, &message.sender),
        }
    }

    /// Ends the session: its keys are wiped now, and the rest of it with its last job's memory.
    fn end(&self, state: &mut State, sender: &Digest) -> Result<Outcome, Refused> {
        if *sender != self.opener {
            let message = "only the party that opened a session may end it";
            return Err(refusal("not-the-opener", message));
        }
        if !state.jobs.is_empty() {
            let message = "a job of this session runs: stop it, or wait for it";
            return Err(refusal("busy", message));
        }
        *state = State {
            over: true,
            ..State::default()
        };
        Ok(Outcome::Ended)
    }

    fn release(
        &self,
        state: &mut State,
        sender: &Digest,
        release: Release,
    ) -> Result<Outcome, Refused> {
        let Release {
            dataset,
            object,
            key,
            runs,
        } = release;
        self.policy
            .check_release(sender, &dataset, &object)
            .map_err(|error| refusal(error.code(), &error))?;
        if runs == 0 {
            return Err(refusal("no-runs", "a release is for at least one run"));
        }
        match state.releases.get_mut(&dataset) {
            None => {
                state
                    .releases
                    .insert(dataset, Released { object, key, runs });
            }
            Some(released) if released.object == object => {
                released.runs = released.runs.saturating_add(runs);
            }
            Some(released) => {
                let message = format!(
                    "this session already holds object {} of {dataset}; another version needs \
                     another session",
                    released.object
                );
                return Err(refusal("other-object", message));
            }
        }
        Ok(Outcome::Released)
    }

    fn approve(
        &self,
        state: &mut State,
        sender: Digest,
        approve: Approve,
        envelope: Option<Envelope>,
    ) -> Result<Outcome, Refused> {
        state
            .consents
            .take(&self.policy, sender, approve, envelope)?;
        Ok(Outcome::Approved)
    }

    fn submit(
        self: &Arc<Self>,
        state: &mut State,
        sender: Digest,
        submit: &Submit,
        start: impl FnOnce(Order) -> Result<(), Refused>,
    ) -> Result<Outcome, Refused> {
        let runs = |name: &Name| state.runs.get(name).copied().unwrap_or(0);
        let job = self
            .policy
            .admit(submit.job.as_slice(), &sender, state.consents.given(), runs)
            .map_err(|error| refusal(error.code(), &error))?;
        if state.jobs.len() >= RUNNING_JOBS {
            let message = format!("{RUNNING_JOBS} jobs of this session run already; wait for one");
            return Err(refusal("busy", message));
        }
        let keys = take_keys(&mut state.releases, &job.datasets)?;
        let number = state.numbers + 1;
        let running = Running::new(sender);
        let order = Order {
            session: Arc::clone(self),
            number,
            keys,
            approvals: state.consents.of(&job),
            nonce: submit.nonce,
            endorsements: submit.endorsements.clone(),
            cancellation: running.cancellation.clone(),
            job,
        };
        let (name, digest) = (order.job.name.clone(), order.job.digest);
        let datasets = order.job.datasets.clone();
        if let Err(refused) = start(order) {
            // Nothing ran, so no key was used.
            give_back(&mut state.releases, &datasets);
            return Err(refused);
        }
        // A run is spent when it starts, however it ends.
        *state.runs.entry(name).or_default() += 1;
        state.consents.spend(&digest);
        state.numbers = number;
        state.jobs.insert(number, running);
        Ok(Outcome::Submitted { number })
    }

    fn answer(&self, request: Digest, outcome: Outcome, key: Option<&AnswerKey>) -> Answer {
        let mut rng = random::rng();
        Answer::new(
            outcome,
            self.digest,
            request,
            &self.signing_key,
            key,
            &mut rng,
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything can panic.
        self.state.lock().unwrap_or_else(|error| error.into_inner())
    }
}

/// The keys of all datasets a job reads, each good for one run less afterwards; on a refusal none
/// is.
fn take_keys(
    releases: &mut HashMap<Name, Released>,
    datasets: &BTreeMap<Name, Digest>,
) -> Result<HashMap<Name, (Digest, SecretKey)>, Refused> {
    let mut keys = HashMap::new();
    for (dataset, object) in datasets {
        let released = releases.get(dataset).filter(|released| released.runs > 0);
        let Some(released) = released else {
            let message =
                format!("no key for {dataset} is left in this session: its owner must release one");
            return Err(refusal("no-key", message));
        };
        if released.object != *object {
            let message = format!(
                "the job reads object {object} of {dataset}, the released key is for {}",
                released.object
            );
            return Err(refusal("other-object", message));
        }
        keys.insert(dataset.clone(), (*object, released.key.clone()));
    }
    for dataset in keys.keys() {
        if let Some(released) = releases.get_mut(dataset) {
            released.runs -= 1;
        }
    }
    Ok(keys)
}

/// Undoes [`take_keys`].
fn give_back(releases: &mut HashMap<Name, Released>, datasets: &BTreeMap<Name, Digest>) {
    for dataset in datasets.keys() {
        if let Some(released) = releases.get_mut(dataset) {
            released.runs += 1;
        }
    }
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

pub(crate) fn refusal(code: &str, message: impl ToString) -> Refused {
    Refused {
        code: code.to_owned(),
        message: message.to_string(),
    }
}

fn refused(code: &str, message: impl ToString) -> Outcome {
    Outcome::Refused(refusal(code, message))
}
