//! Raw evidence from anywhere, judged by itself: what `mc2 appraise` says of it.

mod told;

use std::path::{Path, PathBuf};

use mc2_attestation::{
    Accepted, BareEvidence, Evidence, Judgement, PlatformFlags, ReferenceValue, Tee, TrustStore,
    UnixSeconds,
    evidence::{self, EndorsementFileError, MAX_ENDORSEMENTS, Needs, endorsements_in},
    judge, judge_tpm_quote, tee,
    trust::{self, ReferenceValueError},
};
use mc2_protocol::policy::{SnpTcb, Tcb, TcbStatus};

use crate::{
    collateral::{Bundle, BundleError},
    files::{FileError, read_capped},
};

/// Of what evidence is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A kind of enclave.
    Tee(Tee),
    /// A TPM 2.0 with nothing beneath it, which no policy can list.
    Tpm,
}

/// What is judged, and by what.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of what the evidence is said to be.
    pub subject: Subject,
    /// The hardware beneath, where it is an Azure vTPM's.
    pub beneath: Option<Tee>,
    /// The file with the TEE's own bytes.
    pub evidence: PathBuf,
    /// Files with what its vendor says of it: collateral, certificates, revocation lists.
    pub endorsements: Vec<PathBuf>,
    /// A bundle of collateral, of which what is about the evidence is used.
    pub collateral: Option<PathBuf>,
    /// A file with reference values; without one nothing is compared.
    pub reference: Option<PathBuf>,
    /// As of when.
    pub now: UnixSeconds,
    /// The TCB statuses that pass.
    pub tcb: Vec<TcbStatus>,
    /// What the platform may be set up with.
    pub platform: PlatformFlags,
    /// The least TCB evaluation data number taken.
    pub min_tcb_evaluation: u32,
    /// The least versions of AMD's firmware and microcode that count as up to date.
    pub min_snp_tcb: Option<SnpTcb>,
    /// Judge although no revocation list is there.
    pub missing_crl: bool,
}

/// What was found.
#[derive(Debug)]
pub struct Answer {
    /// Every check, the claims, and how long both hold.
    pub judgement: Judgement,
    /// Whether there was something to compare the measurement with.
    pub compared: bool,
    /// What was asked.
    pub question: Question,
}

impl Subject {
    /// Its name for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tee(tee) => tee.as_str(),
            Self::Tpm => "tpm",
        }
    }

    /// The name people know it by.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Tee(tee) => tee::title(tee),
            Self::Tpm => tee::PLAIN_TPM,
        }
    }

    /// The kind of enclave, where it is one.
    pub const fn tee(self) -> Option<Tee> {
        match self {
            Self::Tee(tee) => Some(tee),
            Self::Tpm => None,
        }
    }
}

impl Question {
    /// Reads the files and judges what is in them. Nothing else is asked: no network, no clock, no
    /// state folder.
    ///
    /// # Errors
    /// [`AppraiseError`] where a file cannot be read as what it should be; what is wrong with
    /// evidence stands in the checks.
    pub fn answer(self) -> Result<Answer, AppraiseError> {
        let bytes = read_capped(&self.evidence, evidence::MAX_LEN)?;
        let found = tee::beneath(&bytes);
        if let (Some(expected), Some(found)) = (self.beneath, found)
            && expected != found
        {
            return Err(AppraiseError::Beneath { expected, found });
        }
        let mut endorsements = Vec::new();
        for path in &self.endorsements {
            let bytes = read_capped(path, MAX_ENDORSEMENTS * evidence::MAX_LEN)?;
            let found = endorsements_in(&bytes).map_err(|source| AppraiseError::Endorsements {
                path: path.clone(),
                source,
            })?;
            endorsements.extend(found);
        }
        let Subject::Tee(tee) = self.subject else {
            if self.reference.is_some() {
                return Err(AppraiseError::NothingToCompare);
            }
            return Ok(Answer {
                judgement: judge_tpm_quote(&bytes, &endorsements, self.now),
                compared: false,
                question: self,
            });
        };
        let evidence = Evidence {
            media_type: tee::media_type(tee).to_owned(),
            value: bytes.into(),
        };
        if let Some(path) = &self.collateral {
            let bundle = Bundle::read(path)?;
            let entries = bundle.entries().iter().map(|entry| &entry.endorsement);
            // Evidence that cannot be read needs nothing; its verifier says what is wrong with it.
            let needs = Needs::of(&evidence).unwrap_or(Needs::Nothing);
            endorsements = needs.among(endorsements.iter().chain(entries));
        }
        let reference = self
            .reference
            .as_deref()
            .map(reference_values)
            .transpose()?;
        let tcb = match self.tcb.as_slice() {
            [] => Tcb::UpToDate,
            accepted => Tcb::Accepted(accepted.to_vec()),
        };
        let judgement = judge(&BareEvidence {
            evidence: &evidence,
            endorsements: &endorsements,
            reference: reference.as_deref(),
            tcb: &tcb,
            accepted: Accepted {
                missing_crl: self.missing_crl,
                min_tcb_evaluation: self.min_tcb_evaluation,
                platform: self.platform,
                min_snp_tcb: self.min_snp_tcb,
            },
            trust: &TrustStore::new(),
            now: self.now,
        })?;
        Ok(Answer {
            judgement,
            compared: reference.is_some(),
            question: self,
        })
    }
}

/// The list of reference values in the file `path`, as `cargo xtask measure` prints one.
///
/// # Errors
/// [`AppraiseError`].
fn reference_values(path: &Path) -> Result<Vec<ReferenceValue>, AppraiseError> {
    let bytes = read_capped(path, trust::MAX_LEN)?;
    serde_json::from_slice(&bytes).map_err(|source| AppraiseError::Reference {
        path: path.to_owned(),
        source,
    })
}

/// Why evidence could not be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum AppraiseError {
    /// The system.
    #[error(transparent)]
    File(#[from] FileError),
    /// A vTPM over other hardware.
    #[error(
        "the evidence is of an Azure vTPM over {}, expected one over {}: name the other kind with \
         --tee, az-snp or az-tdx",
        tee::title(*found),
        tee::title(*expected)
    )]
    Beneath {
        /// What was named.
        expected: Tee,
        /// What it says.
        found: Tee,
    },
    /// Reference values are of kinds of enclaves.
    #[error(
        "a TPM's quote with nothing beneath it is compared with no reference value, which are of kinds \
         of enclaves: read its registers, or leave out --reference"
    )]
    NothingToCompare,
    /// A bundle of collateral that is none.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file of endorsements that holds none.
    #[error("{} holds no endorsements", path.display())]
    Endorsements {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: EndorsementFileError,
    },
    /// A file of something else.
    #[error(
        "{} is no list of reference values, [{{\"tee\": …, \"measurement\": …, \"runtime\": …, \
         \"version\": …, \"revoked\": false}}]",
        path.display()
    )]
    Reference {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A reference value that cannot be one.
    #[error(transparent)]
    Value(#[from] ReferenceValueError),
}
