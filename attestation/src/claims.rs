//! What verified evidence says: the verifiers of all TEEs end here.

use std::fmt;

use mc2_protocol::policy::{Platform, TcbStatus};

use crate::measurement::Measurement;

/// The claims of evidence whose signature was verified, in the same words for every TEE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// What it was asked to sign.
    pub report_data: ReportData,
    /// What it says it loaded.
    pub measurement: Measurement,
    /// What hardware says of itself; `None` for the simulator alone.
    pub hardware: Option<Hardware>,
}

/// What evidence was asked to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportData {
    /// These bytes: 64 of them where our runtime asked, any number where somebody else did.
    Bytes(Vec<u8>),
    /// Bytes of which only SHA-256 fits, as in a TPM's qualifying data.
    Sha256([u8; 32]),
}

impl ReportData {
    /// Whether it is about `expected`.
    pub fn is(&self, expected: &[u8; 64]) -> bool {
        match self {
            Self::Bytes(bytes) => bytes == expected,
            Self::Sha256(digest) => mc2_protocol::Digest::of(expected).as_bytes() == digest,
        }
    }

    /// The bytes it holds: what was asked, or its digest.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Sha256(digest) => digest,
        }
    }
}

/// What hardware says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// The ids it can be listed by; none where it does not say which machine it is.
    pub platforms: Vec<Platform>,
    /// The state of its firmware and microcode.
    pub tcb: Tcb,
    /// The vendor's advisories that this state is open to, by their names.
    pub advisories: Vec<String>,
    /// Whether its owner can look into it.
    pub debug: bool,
    /// What whoever started it bound to it: MRCONFIGID, CONFIGID, HOST_DATA; all zero where
    /// nothing.
    pub host_data: Vec<u8>,
    /// Registers beside the measurement: RTMRs, PCRs and their like, by the vendor's names.
    pub registers: Vec<Register>,
}

/// The state of a platform's firmware and microcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcb {
    /// One that a policy can accept.
    Known(TcbStatus),
    /// One that no policy can, by the vendor's name.
    Unacceptable(&'static str),
}

impl Tcb {
    /// The status, where a policy can accept it.
    pub const fn status(self) -> Option<TcbStatus> {
        match self {
            Self::Known(status) => Some(status),
            Self::Unacceptable(_) => None,
        }
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(status) => status.fmt(f),
            Self::Unacceptable(name) => f.write_str(name),
        }
    }
}

/// A register of an enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The vendor's name for it, such as `RTMR3` or `PCR8`.
    pub name: String,
    /// What it holds.
    pub value: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use mc2_protocol::Digest;

    use super::ReportData;

    #[test]
    fn report_data_is_what_was_asked_for_and_nothing_shorter_or_longer() {
        let asked = [7; 64];
        assert!(ReportData::Bytes(asked.to_vec()).is(&asked));
        assert!(!ReportData::Bytes(asked[..63].to_vec()).is(&asked));
        assert!(!ReportData::Bytes(Vec::new()).is(&[0; 64]));
        let digest = *Digest::of(&asked).as_bytes();
        assert!(ReportData::Sha256(digest).is(&asked));
        assert!(!ReportData::Sha256(digest).is(&[0; 64]));
        assert!(!ReportData::Bytes(digest.to_vec()).is(&asked));
    }
}
