//! What a session hands on when it has admitted a job.

use std::sync::Arc;

use mc2_protocol::{
    documents::{dsse::Envelope, message::Release, receipt::Endorsement, record::Nonce},
    policy::AdmittedJob,
};
use mc2_sandbox::{Cancellation, GuestKey};

use super::terms::Terms;

/// A job that was admitted, with everything it needs.
pub(crate) struct Order {
    pub(crate) terms: Arc<Terms>,
    /// In its session.
    pub(crate) number: u64,
    pub(crate) job: AdmittedJob,
    /// The released key of every dataset the job reads, and of what it takes out of custody.
    pub(crate) keys: Vec<Release>,
    /// Keys for the guests of each step.
    pub(crate) guest_keys: Vec<Vec<GuestKey>>,
    pub(crate) approvals: Vec<Envelope>,
    pub(crate) nonce: Nonce,
    pub(crate) endorsements: Vec<Endorsement>,
    pub(crate) cancellation: Cancellation,
}
