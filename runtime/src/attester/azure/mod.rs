//! A confidential VM of Azure's: the paravisor's vTPM signs quotes with a key that the hardware's
//! report, which it keeps in the vTPM, commits to. What is asked for is SHA-256 of the report data,
//! for no more fits.
//!
//! The report of SEV-SNP is one that counts. TDX's is good on its own machine alone, and Azure's
//! metadata service gives the quote of it (`quotes`).
//!
//! Where the runtime was started for one policy, PCR14 is extended by the policy's digest.

mod hcl;
mod quotes;
mod tpm;

use std::path::PathBuf;

use mc2_protocol::{
    Digest,
    evidence::{Beneath, VtpmEvidence},
    policy::Tee,
};

use super::{
    contract::{Attested, Attester, AttesterError},
    devices::Devices,
};
use hcl::{HclError, HclReport};
use quotes::{QuoteError, Quotes};
use tpm::{Tpm, TpmError};

/// The TPM behind the kernel's resource manager.
pub(super) const DEVICE: &str = "dev/tpmrm0";

/// Where the paravisor keeps its report, and the most bytes it has.
const REPORT_INDEX: u32 = 0x0140_0001;
const MAX_REPORT_LEN: usize = 8192;
/// The key that signs quotes, as the paravisor made it.
const KEY: u32 = 0x8100_0003;
/// The PCR that says what the runtime was started for.
const TENANT_PCR: u32 = 14;
/// How often a quote is asked for where PCRs change while they are read.
const TRIES: usize = 8;

/// An Azure VM.
pub(super) struct Azure {
    device: PathBuf,
    quotes: Quotes,
}

impl Azure {
    pub(super) fn of(devices: &Devices) -> Self {
        Self {
            device: devices.path(DEVICE),
            quotes: Quotes::of(devices.metadata()),
        }
    }

    /// Whether the vTPM has a report of hardware that is known.
    pub(super) fn is_there(&self) -> Result<(), AzureError> {
        self.open().map(|_| ())
    }

    fn open(&self) -> Result<(Tpm, HclReport), AzureError> {
        let mut tpm = Tpm::open(&self.device)?;
        let report = tpm.nv(REPORT_INDEX, MAX_REPORT_LEN)?;
        Ok((tpm, HclReport::parse(&report)?))
    }

    fn ask(&self, report_data: &[u8; 64]) -> Result<VtpmEvidence, AzureError> {
        let (mut tpm, hcl) = self.open()?;
        let report = match hcl.beneath {
            Beneath::SevSnp => hcl.report,
            Beneath::Tdx => self.quotes.of_report(&hcl.report)?,
        };
        let asked = Digest::of(report_data);
        for _ in 0..TRIES {
            let pcrs = tpm.pcrs()?;
            let quote = tpm.quote(KEY, asked.as_bytes())?;
            let (about, over) = quote.says()?;
            if about != asked.as_bytes() {
                return Err(AzureError::Other);
            }
            if over == Digest::of(pcrs.as_flattened()).as_bytes() {
                return Ok(VtpmEvidence::new(
                    (hcl.beneath, report),
                    hcl.runtime_data,
                    (quote.message, quote.signature),
                    pcrs,
                ));
            }
        }
        Err(AzureError::Changing)
    }

    /// A process that starts again for the same policy finds it done.
    fn extend(&self, policy: &Digest) -> Result<(), AzureError> {
        let mut tpm = Tpm::open(&self.device)?;
        let wanted = Digest::of(&[[0; 32], *policy.as_bytes()].concat());
        let held = |tpm: &mut Tpm| Ok::<_, TpmError>(tpm.pcrs()?[TENANT_PCR as usize]);
        let before = held(&mut tpm)?;
        if before == [0; 32] {
            tpm.extend(TENANT_PCR, policy.as_bytes())?;
        }
        match held(&mut tpm)? {
            after if after == *wanted.as_bytes() => Ok(()),
            _ => Err(AzureError::Taken),
        }
    }

    fn failed(&self, doing: &str, error: &AzureError) -> AttesterError {
        let reason = format!("{}: {error}", self.device.display());
        AttesterError::new(Tee::AzureVtpm, doing, reason)
    }
}

impl Attester for Azure {
    fn tee(&self) -> Tee {
        Tee::AzureVtpm
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Result<Attested, AttesterError> {
        let evidence = self
            .ask(report_data)
            .map_err(|error| self.failed("asking the vTPM for a quote", &error))?;
        Ok(Attested::new(Tee::AzureVtpm, evidence.to_bytes()))
    }

    fn fix_tenant(&mut self, policy: &Digest) -> Result<(), AttesterError> {
        self.extend(policy)
            .map_err(|error| self.failed("extending PCR14 by the policy's digest", &error))
    }
}

/// Why the vTPM gave no evidence.
#[derive(Debug, thiserror::Error)]
pub(super) enum AzureError {
    /// The TPM.
    #[error(transparent)]
    Tpm(#[from] TpmError),
    /// The report in it.
    #[error(transparent)]
    Report(#[from] HclError),
    /// The quote beneath it.
    #[error(transparent)]
    Quote(#[from] QuoteError),
    /// A quote over something else.
    #[error("the quote is over other data than was asked for")]
    Other,
    /// PCRs that do not hold still.
    #[error("the PCRs changed each time between being read and quoted")]
    Changing,
    /// The register was extended before.
    #[error(
        "PCR14 holds something else already: this machine was started for another policy, or its \
         boot loader (shim) measures into that register; start the runtime without \
         --policy-digest, or boot a unified kernel image without shim"
    )]
    Taken,
}

impl From<std::io::Error> for AzureError {
    fn from(error: std::io::Error) -> Self {
        Self::Tpm(error.into())
    }
}
