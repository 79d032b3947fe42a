//! What a policy takes of a platform beyond its vendor's verdict: how it may be set up, and the
//! least versions of its firmware.

use std::{fmt, str::FromStr};

use super::{
    enclave::Tee,
    error::{PolicyError, Problem, listed},
    reader::{Fields, Node, missing},
};

const SNP_FIELDS: [&str; 5] = ["fmc", "bootloader", "tee", "snp", "microcode"];

/// What an Intel platform may be set up with. The default is nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlatformFlags {
    /// Hyperthreading: another guest may share a core. Where that leaks, Intel says so by the TCB
    /// status.
    pub smt: bool,
    /// Processors can be added later.
    pub dynamic_platform: bool,
    /// Intel's registration service keeps the platform's root keys.
    pub cached_keys: bool,
}

impl PlatformFlags {
    /// All of it, as the machines of clouds are.
    pub const ALL: Self = Self {
        smt: true,
        dynamic_platform: true,
        cached_keys: true,
    };

    /// The names of what it allows.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Flag::ALL
            .into_iter()
            .filter(move |flag| self.has(*flag))
            .map(Flag::as_str)
    }

    const fn has(self, flag: Flag) -> bool {
        match flag {
            Flag::Smt => self.smt,
            Flag::DynamicPlatform => self.dynamic_platform,
            Flag::CachedKeys => self.cached_keys,
        }
    }

    const fn set(&mut self, flag: Flag) {
        match flag {
            Flag::Smt => self.smt = true,
            Flag::DynamicPlatform => self.dynamic_platform = true,
            Flag::CachedKeys => self.cached_keys = true,
        }
    }

    /// The policy's `allow`; nothing of it where that is not there.
    pub(super) fn read(fields: &Fields<'_>, tees: &[Tee]) -> Result<Self, PolicyError> {
        const EXPECTED: &str =
            "what Intel's platforms may be set up with, such as allow = [\"smt\"]";
        let mut allowed = Self::default();
        let Some(node) = fields.optional("allow") else {
            return Ok(allowed);
        };
        is_of(
            &node,
            tees,
            INTEL,
            "\"allow\" is about Intel's platforms: no TEE of this policy is one",
        )?;
        for entry in node.filled_array(Flag::ALL.len(), EXPECTED)? {
            let flag: Flag = entry.parsed()?;
            if allowed.has(flag) {
                return Err(entry.error(Problem::repeated("configuration", flag)));
            }
            allowed.set(flag);
        }
        Ok(allowed)
    }
}

/// One thing an Intel platform may be set up with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Smt,
    DynamicPlatform,
    CachedKeys,
}

impl Flag {
    const ALL: [Self; 3] = [Self::Smt, Self::DynamicPlatform, Self::CachedKeys];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Smt => "smt",
            Self::DynamicPlatform => "dynamic-platform",
            Self::CachedKeys => "cached-keys",
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name of nothing that may be allowed.
#[derive(Debug, thiserror::Error)]
#[error("one of {}", listed(Flag::ALL))]
struct FlagError;

impl FromStr for Flag {
    type Err = FlagError;

    fn from_str(text: &str) -> Result<Self, FlagError> {
        Self::ALL
            .into_iter()
            .find(|flag| flag.as_str() == text)
            .ok_or(FlagError)
    }
}

/// The security versions of AMD's firmware and microcode on one platform (AMD's TCB_VERSION).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnpTcb {
    /// The boot loader of Turin's first stage; zero on the lines before.
    pub fmc: u8,
    /// The secure processor's boot loader.
    pub bootloader: u8,
    /// Its operating system.
    pub tee: u8,
    /// The SNP firmware.
    pub snp: u8,
    /// The least of the cores' microcode patch levels.
    pub microcode: u8,
}

impl SnpTcb {
    /// The policy's `min_snp_tcb`, the least that count as up to date, if it is there.
    pub(super) fn read(fields: &Fields<'_>, tees: &[Tee]) -> Result<Option<Self>, PolicyError> {
        const EXPECTED: &str = "a whole number from 0 to 255";
        let Some(node) = fields.optional("min_snp_tcb") else {
            return Ok(None);
        };
        is_of(
            &node,
            tees,
            AMD,
            "\"min_snp_tcb\" is about AMD's platforms: no TEE of this policy is one",
        )?;
        let versions = node.table(&SNP_FIELDS)?;
        let version = |name| match versions.optional(name) {
            Some(node) => node.integer(0..=255).map(|version| version as u8),
            // The lines before Turin have no such stage.
            None if name == "fmc" => Ok(0),
            None => Err(versions.error(missing(name, EXPECTED))),
        };
        Ok(Some(Self {
            fmc: version("fmc")?,
            bootloader: version("bootloader")?,
            tee: version("tee")?,
            snp: version("snp")?,
            microcode: version("microcode")?,
        }))
    }
}

impl fmt::Display for SnpTcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fmc != 0 {
            write!(f, "FMC {}, ", self.fmc)?;
        }
        let Self {
            bootloader,
            tee,
            snp,
            microcode,
            ..
        } = self;
        write!(
            f,
            "boot loader {bootloader}, TEE {tee}, SNP {snp}, microcode {microcode}"
        )
    }
}

/// The policy's `min_tcb_evaluation`, zero where it is not there.
pub(super) fn min_tcb_evaluation(fields: &Fields<'_>, tees: &[Tee]) -> Result<u32, PolicyError> {
    let Some(node) = fields.optional("min_tcb_evaluation") else {
        return Ok(0);
    };
    is_of(
        &node,
        tees,
        INTEL,
        "\"min_tcb_evaluation\" is about Intel's platforms: no TEE of this policy is one",
    )?;
    node.integer(1..=u32::MAX)
}

const INTEL: [Tee; 3] = [Tee::Sgx, Tee::Tdx, Tee::AzureVtpm];
const AMD: [Tee; 2] = [Tee::SevSnp, Tee::AzureVtpm];

/// A rule that no TEE of the policy could ever be held to is a mistake.
fn is_of<const N: usize>(
    node: &Node<'_>,
    tees: &[Tee],
    about: [Tee; N],
    otherwise: &'static str,
) -> Result<(), PolicyError> {
    if tees.iter().any(|tee| about.contains(tee)) {
        return Ok(());
    }
    Err(node.error(Problem::Contradiction(otherwise)))
}
