//! `mc2 appraise`: what evidence from anywhere is worth, our runtime's or not.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mc2_attestation::{PlatformFlags, Tee, UnixSeconds, tee::parse_snp_tcb};
use mc2_protocol::policy::{SnpTcb, TcbStatus};

use crate::appraise::{Answer, AppraiseError, Question, Subject};

/// What is judged, and by what.
#[derive(Args)]
pub struct AppraiseCommand {
    /// The kind of enclave it is said to be of
    #[arg(long)]
    tee: Kind,
    /// The evidence: the bytes the enclave's hardware gave
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// What the vendor says of it: Intel's collateral as JSON, certificates or revocation lists as
    /// PEM or DER; once for each file
    #[arg(long, value_name = "FILE")]
    endorsements: Vec<PathBuf>,
    /// A bundle of collateral, from `mc2 collateral fetch`; what of it is about this evidence is used,
    /// however old
    #[arg(long, value_name = "FILE")]
    collateral: Option<PathBuf>,
    /// A JSON list of reference values, as `cargo xtask measure` prints one; without it nothing is
    /// compared
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// As of when: seconds since 1970
    #[arg(long, value_name = "UNIXTIME")]
    now: u64,
    /// The TCB statuses that pass, where UpToDate alone is too little
    #[arg(long, value_name = "STATUS,…", value_delimiter = ',')]
    accept_tcb: Vec<TcbStatus>,
    /// What you knowingly do without
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',')]
    allow_missing: Vec<Missing>,
    /// What an Intel platform may be set up with
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',')]
    allow: Vec<Flag>,
    /// The least TCB evaluation data number of Intel's that is taken
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    min_tcb_evaluation: u32,
    /// The least versions of AMD's firmware and microcode that count as up to date: without it none
    /// do, for AMD signs no list of good ones
    #[arg(long, value_name = "snp=N,microcode=N,…", value_parser = parse_snp_tcb)]
    min_snp_tcb: Option<SnpTcb>,
    /// Also write what was found to a file, as an EAT attestation result (EAR) in a JWT
    #[arg(long, value_name = "FILE")]
    pub ear: Option<PathBuf>,
    /// Who signs that: an identity by name or file
    #[arg(long = "as", value_name = "IDENTITY", requires = "ear")]
    pub identity: Option<String>,
    /// Write one JSON object to standard output
    #[arg(long)]
    pub json: bool,
}

/// A kind of evidence.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// Intel SGX
    Sgx,
    /// Intel TDX
    Tdx,
    /// AMD SEV-SNP
    Snp,
    /// AWS Nitro
    Nitro,
    /// Azure vTPM with SEV-SNP beneath
    AzSnp,
    /// Azure vTPM with TDX beneath
    AzTdx,
    /// A TPM 2.0 quote with nothing beneath: shown, and listed by no policy
    Tpm,
}

/// What may be missing.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Missing {
    /// Revocation lists
    Crl,
}

/// What a platform may be set up with.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flag {
    /// Hyperthreading
    Smt,
    /// Processors that can be added later
    DynamicPlatform,
    /// Root keys that Intel's registration service keeps
    CachedKeys,
}

impl Kind {
    /// Of what it is.
    pub(super) const fn subject(self) -> Subject {
        Subject::Tee(match self {
            Self::Sgx => Tee::Sgx,
            Self::Tdx => Tee::Tdx,
            Self::Snp => Tee::SevSnp,
            Self::Nitro => Tee::Nitro,
            Self::AzSnp | Self::AzTdx => Tee::AzureVtpm,
            Self::Tpm => return Subject::Tpm,
        })
    }
}

impl AppraiseCommand {
    /// Judges it.
    ///
    /// # Errors
    /// [`AppraiseError`].
    pub fn run(self) -> Result<Answer, AppraiseError> {
        let allowed = |flag| self.allow.contains(&flag);
        Question {
            subject: self.tee.subject(),
            now: UnixSeconds(self.now),
            missing_crl: self.allow_missing.contains(&Missing::Crl),
            platform: PlatformFlags {
                smt: allowed(Flag::Smt),
                dynamic_platform: allowed(Flag::DynamicPlatform),
                cached_keys: allowed(Flag::CachedKeys),
            },
            min_tcb_evaluation: self.min_tcb_evaluation,
            min_snp_tcb: self.min_snp_tcb,
            beneath: match self.tee {
                Kind::AzSnp => Some(Tee::SevSnp),
                Kind::AzTdx => Some(Tee::Tdx),
                _ => None,
            },
            tcb: self.accept_tcb,
            evidence: self.evidence,
            endorsements: self.endorsements,
            collateral: self.collateral,
            reference: self.reference,
        }
        .answer()
    }
}
