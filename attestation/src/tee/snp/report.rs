//! The attestation report (ATTESTATION_REPORT of AMD's "SEV Secure Nested Paging Firmware ABI
//! Specification", 56860), versions 2 to 5: 1,184 bytes, little-endian, the first 672 of them
//! signed.

use mc2_protocol::policy::SnpTcb;

use super::tcb::Cpu;
use crate::tee::{roots::Product, snp_tcb::of_bytes};

/// Length of a report, in bytes.
pub(super) const LEN: usize = 1184;
/// How many of them, from the first, are signed.
pub(super) const SIGNED_LEN: usize = 0x2a0;

/// ECDSA on P-384 with SHA-384.
const SIGNATURE_ALGORITHM: u32 = 1;
/// Where the two numbers of the signature stand, each in 72 bytes of which 48 can be used.
const SIGNATURE_R: usize = SIGNED_LEN;
const SIGNATURE_S: usize = SIGNED_LEN + 72;
const SCALAR_LEN: usize = 48;

/// A report whose bytes were read and of which nothing was verified yet.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) version: u32,
    pub(super) policy: Policy,
    pub(super) vmpl: u32,
    pub(super) platform: PlatformInfo,
    pub(super) signing_key: SigningKey,
    pub(super) report_data: [u8; 64],
    pub(super) measurement: [u8; 48],
    pub(super) host_data: [u8; 32],
    pub(super) chip_id: [u8; 64],
    pub(super) cpu: Option<Cpu>,
    pub(super) current_tcb: TcbBytes,
    pub(super) reported_tcb: TcbBytes,
    pub(super) committed_tcb: TcbBytes,
    pub(super) launch_tcb: TcbBytes,
    /// r ‖ s, big-endian.
    pub(super) signature: [u8; 96],
    /// What the signature is over.
    pub(super) signed: Vec<u8>,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// [`ReportError`] when it has another length or version, another signature algorithm, or
    /// anything but zeros beside the signature, where nobody vouches for it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        let bytes: &[u8; LEN] = bytes
            .try_into()
            .map_err(|_| ReportError::Length { found: bytes.len() })?;
        let version = number(bytes, 0x00);
        if !(2..=5).contains(&version) {
            return Err(ReportError::Version { found: version });
        }
        let algorithm = number(bytes, 0x34);
        if algorithm != SIGNATURE_ALGORITHM {
            return Err(ReportError::Algorithm { found: algorithm });
        }
        Ok(Self {
            version,
            policy: Policy(u64::from_le_bytes(field(bytes, 0x08))),
            vmpl: number(bytes, 0x30),
            platform: PlatformInfo(u64::from_le_bytes(field(bytes, 0x40))),
            signing_key: SigningKey::of(number(bytes, 0x48)),
            report_data: field(bytes, 0x50),
            measurement: field(bytes, 0x90),
            host_data: field(bytes, 0xc0),
            chip_id: field(bytes, 0x1a0),
            cpu: (version >= 3).then(|| Cpu {
                family: bytes[0x188],
                model: bytes[0x189],
                stepping: bytes[0x18a],
            }),
            current_tcb: TcbBytes(field(bytes, 0x38)),
            reported_tcb: TcbBytes(field(bytes, 0x180)),
            committed_tcb: TcbBytes(field(bytes, 0x1e0)),
            launch_tcb: TcbBytes(field(bytes, 0x1f0)),
            signature: signature(bytes)?,
            signed: bytes[..SIGNED_LEN].to_vec(),
        })
    }

    /// Whether the firmware was told not to say which chip it is.
    pub(super) fn chip_is_masked(&self) -> bool {
        self.chip_id == [0; 64]
    }
}

/// What whoever started the guest allowed, and the firmware enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy(u64);

impl Policy {
    /// Whether the host may read the guest's memory.
    pub(super) const fn debug(self) -> bool {
        self.0 >> 19 & 1 == 1
    }

    /// Whether another guest, a migration agent, may move it to another machine.
    pub(super) const fn migration_agent(self) -> bool {
        self.0 >> 18 & 1 == 1
    }
}

/// How the platform is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlatformInfo(u64);

impl PlatformInfo {
    /// Whether the firmware looked, since the last reset, for memory that answers at two addresses
    /// (AMD-SB-3015). Reports before version 3 do not say.
    pub(super) const fn aliases_were_looked_for(self) -> bool {
        self.0 >> 5 & 1 == 1
    }
}

/// Whose key signs the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SigningKey {
    /// The chip's own.
    Vcek,
    /// One loaded for the operator of many chips.
    Vlek,
    /// Another, or none.
    Other(u32),
}

impl SigningKey {
    const fn of(key_info: u32) -> Self {
        match key_info >> 2 & 7 {
            0 => Self::Vcek,
            1 => Self::Vlek,
            other => Self::Other(other),
        }
    }
}

/// A TCB version, whose layout depends on the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TcbBytes(pub(super) [u8; 8]);

impl TcbBytes {
    /// As a chip of `product` means it.
    pub(super) const fn read(self, product: Product) -> SnpTcb {
        of_bytes(self.0, product)
    }
}

/// The two numbers, turned to big-endian; every byte that is not theirs must be zero.
fn signature(bytes: &[u8; LEN]) -> Result<[u8; 96], ReportError> {
    let unused = bytes[SIGNATURE_R + SCALAR_LEN..SIGNATURE_S]
        .iter()
        .chain(&bytes[SIGNATURE_S + SCALAR_LEN..]);
    if unused.into_iter().any(|&byte| byte != 0) {
        return Err(ReportError::BesideSignature);
    }
    let mut r: [u8; SCALAR_LEN] = field(bytes, SIGNATURE_R);
    let mut s: [u8; SCALAR_LEN] = field(bytes, SIGNATURE_S);
    r.reverse();
    s.reverse();
    let mut both = [0; 96];
    both[..SCALAR_LEN].copy_from_slice(&r);
    both[SCALAR_LEN..].copy_from_slice(&s);
    Ok(both)
}

fn number(bytes: &[u8; LEN], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

/// `N` bytes of a report from `at` on, which all callers have within its length.
fn field<const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

/// Bytes that are no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReportError {
    /// Another length.
    #[error("{found} bytes, where a report has {LEN}")]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// Another version.
    #[error("a report of version {found}; this release reads versions 2 to 5")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// Signed otherwise, or not at all.
    #[error(
        "a report with the signature algorithm {found}, where {SIGNATURE_ALGORITHM} is ECDSA on P-384"
    )]
    Algorithm {
        /// The algorithm it states.
        found: u32,
    },
    /// Bytes for which nobody vouches.
    #[error("a report with something beside its signature, where zeros belong")]
    BesideSignature,
}
