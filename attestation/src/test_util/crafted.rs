//! What fuzz targets and tests hand to the verifiers of SNP, Nitro and Azure's vTPM: bytes of a host
//! that lies.

use std::sync::OnceLock;

use mc2_protocol::policy::{Tcb, TcbStatus};

use super::forger::{Forged, NOW, Nitro, Snp, Vtpm};
use crate::{
    Accepted, BareEvidence, Endorsement, Evidence, Judgement, Tee, TrustStore, judge,
    tee::{self, Roots},
    x509::{CERTIFICATE_TYPE, REVOCATION_LIST_TYPE},
};

/// What is asked to be signed.
const ASKED: [u8; 64] = [0x22; 64];
/// What endorsements are, in the order of an input.
const TYPES: [&str; 2] = [CERTIFICATE_TYPE, REVOCATION_LIST_TYPE];

/// Good evidence of `tee` and its endorsements as one input of [`evidence`], always the same: each
/// after two bytes of its length.
pub fn good(tee: Tee) -> Vec<u8> {
    let Forged {
        evidence,
        endorsements,
    } = match tee {
        Tee::Nitro => Nitro::genuine().sign(&ASKED),
        Tee::AzureVtpm => Vtpm::genuine().sign(&ASKED),
        _ => Snp::genoa().sign(&ASKED),
    };
    let mut input = Vec::new();
    for piece in [&evidence].into_iter().chain(&endorsements) {
        let length = u16::try_from(piece.value.0.len()).unwrap_or(u16::MAX);
        input.extend(length.to_be_bytes());
        input.extend(&piece.value.0);
    }
    input
}

/// Judges evidence and endorsements, all hostile, by the verifier that trusts whom [`good`] is
/// forged by. Returns whether every check passed.
///
/// # Panics
/// Where the verifier breaks a promise.
pub fn evidence(tee: Tee, input: &[u8]) -> bool {
    judged(tee, input).has_passed()
}

/// As [`evidence`], with all that was found.
///
/// # Panics
/// Where the verifier breaks a promise.
pub fn judged(tee: Tee, input: &[u8]) -> Judgement {
    let mut pieces = Pieces(input);
    let evidence = Evidence {
        media_type: tee::media_type(tee).to_owned(),
        value: pieces.next().unwrap_or_default().to_vec().into(),
    };
    let endorsements: Vec<Endorsement> = TYPES
        .iter()
        .zip(pieces)
        .map(|(media_type, value)| Endorsement {
            media_type: (*media_type).to_owned(),
            value: value.to_vec().into(),
        })
        .collect();
    let mut trust = TrustStore::new();
    trust.set_roots(roots().clone());
    let judged = judge(&BareEvidence {
        evidence: &evidence,
        endorsements: &endorsements,
        reference: None,
        tcb: &Tcb::Accepted(vec![TcbStatus::UpToDate, TcbStatus::Unassessed]),
        accepted: Accepted::default(),
        trust: &trust,
        now: NOW,
    });
    let judged = judged.expect("no reference value is given");
    let shown = judged.checks.iter().flat_map(|check| check.found.chars());
    assert!(shown.into_iter().all(|c| !c.is_control()));
    assert!(judged.checks.len() >= tee::lines(tee).len());
    if judged.has_passed() {
        assert!(judged.holds.contains(NOW));
        let claims = judged.claims.as_ref();
        let claims = claims.expect("what passed says something");
        assert!(claims.report_data.is(&ASKED), "nobody else signed");
    }
    judged
}

/// Everybody that the forger is.
fn roots() -> &'static Roots {
    static ROOTS: OnceLock<Roots> = OnceLock::new();
    ROOTS.get_or_init(|| Snp::roots().with_aws(Nitro::root()))
}

/// Pieces of an input, each after its length; a length that is too long takes what there is.
struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::seeds::{break_in_every_way, kept, seed_is},
        *,
    };

    const TARGETS: [(Tee, &str); 3] = [
        (Tee::SevSnp, "snp_report"),
        (Tee::Nitro, "nitro_document"),
        (Tee::AzureVtpm, "vtpm_quote"),
    ];

    /// Row 21: crafted evidence. `MC2_WRITE_VECTORS=1` writes the seeds.
    #[test]
    fn the_fuzz_targets_begin_at_evidence_that_passes() {
        for (tee, target) in TARGETS {
            let seed = good(tee);
            assert!(evidence(tee, &seed), "{target}");
            seed_is(target, &seed);
        }
    }

    /// Row 21: no bytes make a verifier panic, and what passes was signed.
    #[test]
    fn crafted_evidence_and_endorsements_do_not_surprise_a_verifier() {
        for (tee, target) in TARGETS {
            break_in_every_way(&good(tee), 200, |input| evidence(tee, input));
            for input in kept(target) {
                evidence(tee, &input);
            }
        }
    }
}
