//! RTMR3 of a TD, as Linux (6.16 and newer) shows it: 48 bytes, which reading gives and writing
//! extends.

use std::path::PathBuf;

use mc2_protocol::{
    Digest,
    evidence::{EventLog, Register384},
};

use crate::attester::{
    devices::Devices,
    files::{self, FileError},
};

const RTMR3: &str = "sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384";

/// The register.
pub(super) struct Rtmr3(PathBuf);

impl Rtmr3 {
    pub(super) fn of(devices: &Devices) -> Self {
        Self(devices.path(RTMR3))
    }

    /// Measures for whom this process was started, once in the life of the machine: a runtime that
    /// starts again for the same policy finds it done. The log says what went in.
    pub(super) fn fix_tenant(&self, policy: &Digest) -> Result<EventLog, RtmrError> {
        let log = EventLog::of_tenant(policy);
        let held = self.read()?;
        if held == log.register() {
            return Ok(log);
        }
        if held != Register384::default() {
            return Err(RtmrError::Taken);
        }
        for event in log.events() {
            files::write(&self.0, &event.digest())?;
        }
        if self.read()? != log.register() {
            return Err(RtmrError::NotExtended);
        }
        Ok(log)
    }

    fn read(&self) -> Result<Register384, RtmrError> {
        let bytes = files::read(&self.0, 48)?;
        let found = bytes.len();
        let bytes = bytes.try_into();
        Ok(Register384(bytes.map_err(|_| RtmrError::Length { found })?))
    }
}

/// Why the register does not say for whom this process was started.
#[derive(Debug, thiserror::Error)]
pub(super) enum RtmrError {
    /// The file.
    #[error("{0}; Linux has it from 6.16 on, with CONFIG_TDX_GUEST_DRIVER")]
    File(#[from] FileError),
    /// Not a register.
    #[error("RTMR3 has {found} bytes, where 48 were expected")]
    Length {
        /// How many.
        found: usize,
    },
    /// It was extended before.
    #[error(
        "RTMR3 holds something else already: this machine was started for another policy, or \
         something else extends that register; start the machine again"
    )]
    Taken,
    /// Writing did nothing.
    #[error("RTMR3 does not hold what it was extended by")]
    NotExtended,
}
