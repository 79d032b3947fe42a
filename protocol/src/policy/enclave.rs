//! The policy's `[enclave]`: it narrows the verifier's trust store and never widens it.

use std::{fmt, str::FromStr};

use super::{
    error::{PolicyError, Problem, listed},
    firmware::{self, PlatformFlags, SnpTcb},
    reader::{Fields, Node},
};
use crate::encoding::{Hex, hex_array};

const FIELDS: [&str; 6] = [
    "tee",
    "platforms",
    "tcb",
    "allow",
    "min_tcb_evaluation",
    "min_snp_tcb",
];
const MAX_PLATFORMS: usize = 1024;

/// A kind of trusted execution environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tee {
    /// The simulator: not secure, and never beside another.
    Sim,
    /// Intel SGX.
    Sgx,
    /// Intel TDX.
    Tdx,
    /// AMD SEV-SNP.
    SevSnp,
    /// AWS Nitro Enclaves.
    Nitro,
    /// An Azure confidential VM through its vTPM: Microsoft's paravisor is trusted too.
    AzureVtpm,
}

/// Which machines may host the enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// Any genuine one: a single broken chip anywhere can then pose as this enclave.
    Any,
    /// These, and no other.
    Listed(Vec<Platform>),
}

/// One machine, or one operator's machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// `chip:` and the 64 bytes of an AMD chip id in hexadecimal.
    Chip(Hex<64>),
    /// `piid:` and the 16 bytes of an Intel platform instance id in hexadecimal.
    Piid(Hex<16>),
    /// `vlek:` and the operator named in an AMD versioned loaded endorsement key.
    Vlek(String),
}

/// Which states of the platform's firmware and microcode are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tcb {
    /// Only what the vendor calls up to date.
    UpToDate,
    /// These statuses, by the vendor's names.
    Accepted(Vec<TcbStatus>),
}

/// A TCB status: Intel's by its own names, which other vendors' platforms are given too, and one for
/// what nobody assessed. A revoked one is never accepted, so it is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcbStatus {
    /// `UpToDate`
    UpToDate,
    /// `SWHardeningNeeded`
    SwHardeningNeeded,
    /// `ConfigurationNeeded`
    ConfigurationNeeded,
    /// `ConfigurationAndSWHardeningNeeded`
    ConfigurationAndSwHardeningNeeded,
    /// `OutOfDate`
    OutOfDate,
    /// `OutOfDateConfigurationNeeded`
    OutOfDateConfigurationNeeded,
    /// `Unassessed`: no weakness of it is known here, and nobody said that it is up to date.
    Unassessed,
}

/// What a policy demands of the enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enclave {
    /// The kinds of TEE accepted; `Sim` only alone.
    pub tee: Vec<Tee>,
    /// The machines accepted.
    pub platforms: Platforms,
    /// The platform states accepted.
    pub tcb: Tcb,
    /// What Intel's platforms may be set up with.
    pub allow: PlatformFlags,
    /// The least of Intel's TCB evaluation data numbers accepted.
    pub min_tcb_evaluation: u32,
    /// The least versions of AMD's firmware that count as up to date; none does where it is not said.
    pub min_snp_tcb: Option<SnpTcb>,
}

impl Enclave {
    /// Whether a TEE of this kind is accepted.
    pub fn allows(&self, tee: Tee) -> bool {
        self.tee.contains(&tee)
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, PolicyError> {
        let fields = node.table(&FIELDS)?;
        let tee = read_tee(&fields)?;
        let platforms = read_platforms(&fields, &tee)?;
        let tcb = read_tcb(&fields)?;
        Ok(Self {
            allow: PlatformFlags::read(&fields, &tee)?,
            min_tcb_evaluation: firmware::min_tcb_evaluation(&fields, &tee)?,
            min_snp_tcb: SnpTcb::read(&fields, &tee)?,
            tee,
            platforms,
            tcb,
        })
    }
}

impl Tee {
    /// Every kind this version knows.
    pub const ALL: [Self; 6] = [
        Self::Sim,
        Self::Sgx,
        Self::Tdx,
        Self::SevSnp,
        Self::Nitro,
        Self::AzureVtpm,
    ];

    /// Its name in policies and evidence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Sgx => "sgx",
            Self::Tdx => "tdx",
            Self::SevSnp => "sev-snp",
            Self::Nitro => "nitro",
            Self::AzureVtpm => "azure-vtpm",
        }
    }
}

impl fmt::Display for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name of no TEE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one of {}", listed(Tee::ALL))]
pub struct TeeError;

impl FromStr for Tee {
    type Err = TeeError;

    fn from_str(text: &str) -> Result<Self, TeeError> {
        Self::ALL
            .into_iter()
            .find(|tee| tee.as_str() == text)
            .ok_or(TeeError)
    }
}

impl Platform {
    /// Whether evidence of `tee` can carry an id of this kind.
    pub const fn fits(&self, tee: Tee) -> bool {
        matches!(
            (self, tee),
            (Self::Chip(_) | Self::Vlek(_), Tee::SevSnp | Tee::AzureVtpm)
                | (Self::Piid(_), Tee::Sgx | Tee::Tdx | Tee::AzureVtpm)
        )
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chip(id) => write!(f, "chip:{id}"),
            Self::Piid(id) => write!(f, "piid:{id}"),
            Self::Vlek(name) => write!(f, "vlek:{name}"),
        }
    }
}

/// Text that names no platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"chip:\" and 128 lower-case hexadecimal digits that are not all zero, \"piid:\" and 32, or \
     \"vlek:\" and an operator's name of 1 to 64 of A-Z a-z 0-9 _ . -"
)]
pub struct PlatformError;

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let (kind, id) = text.split_once(':').ok_or(PlatformError)?;
        // A masked chip reports zeros: they would match every masked chip.
        let platform = match kind {
            "chip" => hex_array(id)
                .filter(|id| *id != [0; 64])
                .map(|id| Self::Chip(Hex(id))),
            "piid" => hex_array(id)
                .filter(|id| *id != [0; 16])
                .map(|id| Self::Piid(Hex(id))),
            "vlek" => operator(id).then(|| Self::Vlek(id.to_owned())),
            _ => None,
        };
        platform.ok_or(PlatformError)
    }
}

impl TcbStatus {
    const ALL: [Self; 7] = [
        Self::UpToDate,
        Self::SwHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSwHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::Unassessed,
    ];

    /// Its name, the vendor's where it is a vendor's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::Unassessed => "Unassessed",
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name of no TCB status that may be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one of {} (a revoked TCB is never accepted)", listed(TcbStatus::ALL))]
pub struct TcbStatusError;

impl FromStr for TcbStatus {
    type Err = TcbStatusError;

    fn from_str(text: &str) -> Result<Self, TcbStatusError> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(TcbStatusError)
    }
}

impl Tcb {
    /// Whether a platform in this state is accepted.
    pub fn allows(&self, status: TcbStatus) -> bool {
        match self {
            Self::UpToDate => status == TcbStatus::UpToDate,
            Self::Accepted(statuses) => statuses.contains(&status),
        }
    }
}

fn read_tee(fields: &Fields<'_>) -> Result<Vec<Tee>, PolicyError> {
    const EXPECTED: &str = "the kinds of enclave to accept, such as tee = [\"sev-snp\", \"tdx\"]";
    let node = fields.required("tee", EXPECTED)?;
    let mut tees = Vec::new();
    for entry in node.filled_array(Tee::ALL.len(), EXPECTED)? {
        let tee: Tee = entry.parsed()?;
        if tees.contains(&tee) {
            return Err(entry.error(Problem::repeated("TEE", tee)));
        }
        tees.push(tee);
    }
    if tees.contains(&Tee::Sim) && tees.len() > 1 {
        return Err(node.error(Problem::Contradiction(
            "\"sim\" is no protection at all, so it stands alone: remove it, or everything else",
        )));
    }
    Ok(tees)
}

fn read_platforms(fields: &Fields<'_>, tees: &[Tee]) -> Result<Platforms, PolicyError> {
    const EXPECTED: &str =
        "the machines to accept, such as platforms = [\"chip:…\"], or platforms = \"any\"";
    let node = fields.required("platforms", EXPECTED)?;
    if let Some(text) = node.as_str() {
        if text == "any" {
            return Ok(Platforms::Any);
        }
        return Err(node.error(Problem::value("\"any\", or a list of platforms", text)));
    }
    let mut platforms: Vec<Platform> = Vec::new();
    for entry in node.filled_array(MAX_PLATFORMS, EXPECTED)? {
        let platform: Platform = entry.parsed()?;
        if platforms.contains(&platform) {
            return Err(entry.error(Problem::repeated("platform", platform)));
        }
        if !tees.iter().any(|&tee| platform.fits(tee)) {
            return Err(entry.error(Problem::Contradiction(
                "no TEE of this policy has platform ids of this kind: chip and vlek are SEV-SNP's, \
                 piid is SGX's and TDX's",
            )));
        }
        platforms.push(platform);
    }
    for &tee in tees {
        if !platforms.iter().any(|platform| platform.fits(tee)) {
            return Err(node.error(Problem::Contradiction(
                "a TEE of this policy has no platform in the list, so it could never be accepted: \
                 remove it from `tee`, add its platforms, or write platforms = \"any\"",
            )));
        }
    }
    Ok(Platforms::Listed(platforms))
}

fn read_tcb(fields: &Fields<'_>) -> Result<Tcb, PolicyError> {
    const EXPECTED: &str = "tcb = \"up-to-date\", or a list of accepted statuses";
    let node = fields.required("tcb", EXPECTED)?;
    if let Some(text) = node.as_str() {
        if text == "up-to-date" {
            return Ok(Tcb::UpToDate);
        }
        return Err(node.error(Problem::value(
            "\"up-to-date\", or a list of statuses",
            text,
        )));
    }
    let mut statuses = Vec::new();
    for entry in node.filled_array(TcbStatus::ALL.len(), EXPECTED)? {
        let status: TcbStatus = entry.parsed()?;
        if statuses.contains(&status) {
            return Err(entry.error(Problem::repeated("TCB status", status)));
        }
        statuses.push(status);
    }
    Ok(Tcb::Accepted(statuses))
}

fn operator(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}
