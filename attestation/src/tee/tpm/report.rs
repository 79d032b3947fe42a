//! The report beneath a vTPM's quote, by itself.

use mc2_protocol::{
    documents::receipt::Evidence,
    evidence::{Beneath, VtpmEvidence, evidence_type},
    policy::Tee,
};

/// The hardware's report in a vTPM's evidence.
///
/// # Errors
/// What of the evidence cannot be read.
pub(crate) fn report(evidence: &[u8]) -> Result<Evidence, String> {
    let evidence = VtpmEvidence::parse(evidence).map_err(|error| error.to_string())?;
    let tee = match evidence.beneath {
        Beneath::SevSnp => Tee::SevSnp,
        Beneath::Tdx => Tee::Tdx,
    };
    Ok(Evidence {
        media_type: evidence_type(tee).to_owned(),
        value: evidence.report,
    })
}
