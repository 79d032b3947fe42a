//! The published conformance set, `attestation/conformance/`: forged evidence of every kind of TEE,
//! good and wrong in one way each, with what is to be said of it, in files that any verifier can be
//! held against. Its README says how.
//!
//! The samples are those of `intel`, `snp`, `nitro` and `vtpm`; `files` writes and reads the folder.

mod files;
mod intel;
mod nitro;
mod snp;
#[cfg(test)]
mod tests;
mod vtpm;

pub use files::{Expected, Set, contents, folder};

use mc2_protocol::policy::{Tcb, TcbStatus};

pub use super::forger::any::roots;
use super::forger::{Forged, NOW};
use crate::{
    Accepted, BareEvidence, Judgement, Outcome, Tee, TrustStore, UnixSeconds, judge, tee::Roots,
};

/// One piece of evidence, and what is to be said of it.
#[derive(Clone)]
pub struct Sample {
    /// Its name, and that of its file.
    pub name: &'static str,
    /// Its kind.
    pub tee: Tee,
    /// It, and what its vendor says of it.
    pub forged: Forged,
    /// The check that refuses it; `None` where all pass.
    pub refused_by: Option<&'static str>,
    /// What is good or wrong about it.
    pub what: &'static str,
}

/// Every sample.
pub fn samples() -> Vec<Sample> {
    let all = [
        intel::sgx(),
        intel::tdx(),
        snp::samples(),
        nitro::samples(),
        vtpm::samples(),
    ];
    all.concat()
}

/// The time as of which every sample is judged.
pub const AS_OF: UnixSeconds = NOW;

/// What a verifier that believes `roots` says of evidence, as the README has it: nothing is missing,
/// nothing was seen before, and what nobody assessed passes.
pub fn judged(forged: &Forged, roots: Roots) -> Judgement {
    let mut trust = TrustStore::new();
    trust.set_roots(roots);
    let judged = judge(&BareEvidence {
        evidence: &forged.evidence,
        endorsements: &forged.endorsements,
        reference: None,
        tcb: &Tcb::Accepted(vec![TcbStatus::UpToDate, TcbStatus::Unassessed]),
        accepted: Accepted::default(),
        trust: &trust,
        now: AS_OF,
    });
    judged.unwrap_or_else(|error| unreachable!("no reference value is given: {error}"))
}

/// The id of the first check that failed.
pub fn refused_by(judgement: &Judgement) -> Option<&'static str> {
    let mut checks = judgement.checks.iter();
    checks
        .find(|check| check.outcome == Outcome::Failed)
        .map(|check| check.id)
}

/// What every sample's enclave was asked to sign.
const ASKED: [u8; 64] = [0x22; 64];
