//! What is remembered of policies: whom they name, and what their sessions need.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use mc2_protocol::{Digest, policy::Policy};

use crate::store::kept::Kept;

/// A policy that sessions were opened for; all of them share it.
pub(super) struct PolicyKept {
    pub(super) name: String,
    /// Digests of the cards it names.
    pub(super) cards: Vec<Digest>,
    /// How many of them are parties'.
    parties: usize,
    /// Its datasets and outputs; `None` where this host does not understand it.
    data: Option<HashSet<String>>,
    /// Digests of its components.
    components: Vec<Digest>,
}

impl PolicyKept {
    pub(super) fn new(bytes: &[u8]) -> Self {
        // One that a runtime took and this host does not understand is nobody's to find.
        let policy = Policy::parse(bytes).ok();
        let components = policy.iter().flat_map(|policy| policy.components());
        Self {
            name: policy
                .as_ref()
                .map_or_else(String::new, |policy| policy.name().to_string()),
            cards: policy.as_ref().map_or_else(Vec::new, cards),
            parties: policy.as_ref().map_or(0, |policy| policy.parties().len()),
            data: policy.as_ref().map(data),
            components: components.map(|component| component.sha256).collect(),
        }
    }

    /// Whether it names one card.
    pub(super) fn is_of_one_party(&self) -> bool {
        self.parties == 1
    }

    /// Whether it names this card.
    pub(super) fn names(&self, card: &Digest) -> bool {
        self.cards.contains(card)
    }
}

/// The cards that a policy gives a voice: its parties' and their brokers', each once.
fn cards(policy: &Policy) -> Vec<Digest> {
    let brokers = policy.datasets().iter();
    let brokers = brokers.filter_map(|dataset| dataset.broker.as_ref());
    let mut cards = Vec::new();
    for card in policy.parties().iter().chain(brokers) {
        if !cards.contains(card.digest()) {
            cards.push(*card.digest());
        }
    }
    cards
}

/// What an object may be of that a policy's jobs read or leave.
fn data(policy: &Policy) -> HashSet<String> {
    let datasets = policy.datasets().iter().map(|it| it.name.to_string());
    let steps = policy.jobs().iter().flat_map(|job| &job.steps);
    let outputs = steps.flat_map(|step| &step.outputs);
    datasets
        .chain(outputs.map(|it| it.name.to_string()))
        .collect()
}

/// What open sessions need.
pub(crate) struct Needed {
    /// Sessions had changed so often when it was found out.
    pub(super) changes: u64,
    /// Their policies.
    pub(super) policies: HashMap<Digest, Arc<PolicyKept>>,
    /// When the oldest of them was opened.
    pub(super) since: Option<u64>,
}

impl Needed {
    /// Whether one of them may need this object.
    pub(crate) fn object(&self, kept: &Kept) -> bool {
        let of_output = kept.output && self.since.is_some_and(|since| kept.stored >= since);
        let named = |policy: &Arc<PolicyKept>| {
            let data = policy.data.as_ref();
            data.is_none_or(|data| data.contains(&kept.dataset))
        };
        of_output || self.policies.values().any(named)
    }

    /// Whether one of them may need this component.
    pub(crate) fn component(&self, component: &Digest) -> bool {
        let mut policies = self.policies.values();
        policies.any(|policy| policy.data.is_none() || policy.components.contains(component))
    }
}
