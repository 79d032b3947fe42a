//! What verified evidence says: the verifiers of all TEEs end here.

use mc2_protocol::policy::{Platform, TcbStatus};

use crate::measurement::Measurement;

/// The claims of evidence whose signature was verified.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    /// The 64 bytes the runtime asked it to sign.
    pub(crate) report_data: [u8; 64],
    /// What it says it loaded.
    pub(crate) measurement: Measurement,
    /// The machine and the state of its firmware; `None` for the simulator alone.
    pub(crate) hardware: Option<Hardware>,
}

/// What hardware says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    /// The ids it can be listed by.
    pub(crate) platforms: Vec<Platform>,
    /// The state of its firmware and microcode.
    pub(crate) tcb: TcbStatus,
}
