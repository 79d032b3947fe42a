//! The sessions of an enclave, one for each shape of a call: component, inputs and their versions, outputs
//! and limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use mc2_attestation::Check;
use mc2_protocol::{
    Digest, Name,
    documents::{control::SessionOpened, record::ComponentDigest, record::Nonce},
    policy::{Limits, Policy},
};
use rand_core::Rng as _;
use tokio::sync::Mutex;

use super::{Enclave, calling::Call};
use crate::{
    policy::{OneParty, PolicyFileError, WantedOutput},
    run::{InputError, RunError},
    session::{Opened, Session, Verifier},
    unix_seconds,
};

/// How long the policy written for a shape is good.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before its end it is not used for a new call any more.
const REST: Duration = Duration::from_secs(2 * 60 * 60);
/// How many runs a session has. Each needs its keys released anew, so this bounds nothing but how
/// often a session is opened.
const RUNS: u32 = 10_000;
/// How many sessions are kept; beyond that the one that was used longest ago ends.
const MOST: usize = 64;

/// The open sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<Shape, Kept>>);

/// What decides the policy a call needs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    component: Digest,
    name: Name,
    inputs: Vec<(Name, Name)>,
    /// A session takes one version of each dataset.
    datasets: BTreeMap<Name, Digest>,
    outputs: Vec<WantedOutput>,
    limits: [u64; 4],
    instances: u32,
}

/// A session as a host opened it.
#[derive(Clone)]
pub(super) struct Kept {
    policy: Policy,
    nonce: Nonce,
    answered: SessionOpened,
    component: ComponentDigest,
    until: SystemTime,
    left: u32,
    used: Instant,
}

impl Shape {
    /// The shape of a call.
    ///
    /// # Errors
    /// An input or output is named twice, or two versions of one dataset are read.
    pub(super) fn of(call: &Call) -> Result<Self, RunError> {
        let mut inputs = Vec::with_capacity(call.inputs.len());
        let mut datasets: BTreeMap<Name, Digest> = BTreeMap::new();
        let mut met = BTreeSet::new();
        let twice = |option, name: &Name| {
            let name = name.to_string();
            RunError::from(InputError::Twice { option, name })
        };
        for (name, held) in &call.inputs {
            if !met.insert(name) {
                return Err(twice("in", name));
            }
            let (dataset, object) = (held.dataset(), held.object());
            let known = datasets.insert(dataset.clone(), *object);
            if known.is_some_and(|other| other != *object) {
                return Err(RunError::Incomplete(format!(
                    "two versions of the dataset {dataset} are given to one call, and a call reads \
                     one: seal one of them under another name"
                )));
            }
            inputs.push((name.clone(), dataset.clone()));
        }
        let mut met = BTreeSet::new();
        let mut outputs = Vec::with_capacity(call.outputs.len());
        for output in &call.outputs {
            if !met.insert(&output.name) {
                return Err(twice("out", &output.name));
            }
            outputs.push(output.wanted());
        }
        let Limits {
            memory,
            time,
            output,
            scratch,
        } = call.limits;
        Ok(Self {
            component: call.workload.sha256,
            name: call.workload.name.clone(),
            inputs,
            datasets,
            outputs,
            limits: [
                memory.bytes(),
                time.millis(),
                output.bytes(),
                scratch.bytes(),
            ],
            instances: call.instances.unwrap_or(1),
        })
    }

    /// The policy that `mc2-run` would write, for many runs.
    fn policy(
        &self,
        enclave: &Enclave,
        call: &Call,
        until: SystemTime,
    ) -> Result<Policy, RunError> {
        let mut unique = [0; 8];
        crate::random().fill_bytes(&mut unique);
        let name: Name = format!("run-{}", hex::encode(unique))
            .parse()
            // Letters, a dash and digits.
            .unwrap_or_else(|error| unreachable!("{error}"));
        let datasets = self.datasets.iter();
        let datasets: Vec<(Name, Option<Digest>)> = datasets
            .map(|(name, object)| (name.clone(), Some(*object)))
            .collect();
        let policy = OneParty {
            name: &name,
            expires: unix_seconds(until),
            tee: enclave.tee,
            card: enclave.identity.card(),
            component: &self.name,
            sha256: &self.component,
            datasets: &datasets,
            inputs: &self.inputs,
            instances: self.instances,
            outputs: &self.outputs,
            runs: RUNS,
            limits: call.limits,
            metering: false,
        };
        let policy = Policy::parse(policy.to_toml().as_bytes());
        Ok(policy.map_err(PolicyFileError::of("the policy written for this call"))?)
    }
}

impl Sessions {
    /// The session for this shape; opened where there is none, or where it is used up.
    pub(super) async fn of(
        &self,
        enclave: &Enclave,
        shape: &Shape,
        call: &Call,
    ) -> Result<Kept, RunError> {
        // Held while one is opened: the next call of this shape takes the same one.
        let mut open = self.0.lock().await;
        let now = SystemTime::now();
        open.retain(|_, kept| kept.left > 0 && kept.until > now + REST);
        if let Some(kept) = open.get_mut(shape) {
            kept.left -= 1;
            kept.used = Instant::now();
            return Ok(kept.clone());
        }
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, kept)| kept.used);
            let oldest = oldest.map(|(shape, _)| shape.clone());
            if let Some(kept) = oldest.and_then(|shape| open.remove(&shape)) {
                kept.end(enclave).await;
            }
        }
        let until = now + LIFE;
        let policy = shape.policy(enclave, call, until)?;
        enclave.bring(&call.workload).await?;
        let opened = Opened::open(&enclave.remote, policy.clone(), &enclave.identity).await?;
        let kept = Kept {
            policy,
            nonce: *opened.nonce(),
            answered: opened.answered().clone(),
            component: ComponentDigest {
                name: shape.name.clone(),
                sha256: shape.component,
            },
            until,
            left: RUNS - 1,
            used: Instant::now(),
        };
        open.insert(shape.clone(), kept.clone());
        Ok(kept)
    }

    /// Forgets the session of a shape: the next call opens another.
    pub(super) async fn forget(&self, shape: &Shape) {
        self.0.lock().await.remove(shape);
    }

    /// Ends all of them at the host.
    pub(super) async fn end(&self, enclave: &Enclave) {
        let open = std::mem::take(&mut *self.0.lock().await);
        for kept in open.into_values() {
            kept.end(enclave).await;
        }
    }
}

impl Kept {
    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The component that was measured here.
    pub(super) const fn components(&self) -> &[ComponentDigest] {
        std::slice::from_ref(&self.component)
    }

    /// Appraises the evidence it came with, as of now.
    pub(super) fn appraise<'e>(
        &self,
        enclave: &'e Enclave,
    ) -> (Vec<Check>, Result<Session<'e>, RunError>) {
        let (policy, answered) = (self.policy.clone(), self.answered.clone());
        let again = Opened::again(&enclave.remote, policy, self.nonce, answered);
        let (checks, session) = again.appraise(&Verifier {
            trust: &enclave.trust,
            allow_simulated: enclave.allow_simulated,
            now: SystemTime::now(),
            components: Some(self.components()),
            collateral: enclave.collateral.as_ref(),
        });
        let session = session.map_err(RunError::from).and_then(|session| {
            let card = enclave.identity.card().digest();
            let numbers = enclave.state.sequence(session.appraised().digest(), card)?;
            Ok(session.numbered(numbers))
        });
        (checks, session)
    }

    /// Ends it, so that the enclave forgets its keys; what does not end now ends with its process.
    async fn end(&self, enclave: &Enclave) {
        if let (_, Ok(session)) = self.appraise(enclave) {
            let _ = session.end(&enclave.identity).await;
        }
    }

    /// Keeps evidence that was refused, for who looks into it.
    pub(super) fn keep_refused(&self, enclave: &Enclave) -> Result<(), RunError> {
        Ok(enclave.state.keep_refused(&self.answered.evidence)?)
    }
}
