//! What happens during a run, or what a verb does, told while it happens.

use std::{sync::Arc, time::Duration};

use mc2_attestation::Check;

/// A stretch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The host and the runtime are started.
    Start,
    /// Inputs are sealed and stored on the host; counted in bytes.
    Seal,
    /// The session is opened: the component is measured and compiled.
    Compile,
    /// The evidence is appraised.
    Attest,
    /// Keys are released and the job is submitted.
    Submit,
    /// The guest runs; counted in thousandths where it says how far it is.
    Run,
    /// The receipt is verified.
    Verify,
    /// Results are opened; counted in bytes.
    Open,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::Seal,
        Self::Compile,
        Self::Attest,
        Self::Submit,
        Self::Run,
        Self::Verify,
        Self::Open,
    ];

    /// One word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Seal => "seal",
            Self::Compile => "compile",
            Self::Attest => "attest",
            Self::Submit => "submit",
            Self::Run => "run",
            Self::Verify => "verify",
            Self::Open => "open",
        }
    }
}

/// Something that happens during a run.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// A phase has begun; with how much there is to do, where that is known.
    Begun(Phase, Option<u64>),
    /// So much of it is done.
    Done(Phase, u64),
    /// It has ended.
    Ended(Phase, Duration),
    /// What the guest said of its progress; no control characters.
    Progress(&'a str),
    /// What is approved next, whole.
    Approving(&'a str),
    /// The evidence was appraised.
    Attested(&'a [Check]),
    /// The receipt was followed.
    Verified(&'a [Check]),
    /// Something the person should know.
    Notice(&'a str),
}

/// Told what happens while it happens.
pub type Observer = Arc<dyn Fn(RunEvent<'_>) + Send + Sync>;
