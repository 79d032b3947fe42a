//! What stands from a session's start to its end, and outlives it in its jobs.

use std::{collections::BTreeMap, sync::Arc};

use ed25519_dalek::SigningKey;
use mc2_protocol::{Digest, Name, policy::Policy};
use mc2_sandbox::MeasuredComponent;

/// Policy, record, measured components and signing key of a session.
pub(crate) struct Terms {
    /// The session digest.
    pub(crate) digest: Digest,
    /// The record's exact bytes.
    pub(crate) record: Vec<u8>,
    pub(crate) policy: Policy,
    pub(crate) components: BTreeMap<Name, Arc<MeasuredComponent>>,
    pub(crate) signing_key: SigningKey,
}
