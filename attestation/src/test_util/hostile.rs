//! What fuzz targets and tests hand to a verifier: bytes of a host that lies.

use mc2_protocol::policy::Tcb;

use super::forger::{Enclave, Intel, Td};
use crate::{
    Accepted, BareEvidence, Endorsement, Evidence, Interval, Judgement, PlatformFlags, Tee,
    TrustStore, UnixSeconds, judge,
    tee::{self, dcap::COLLATERAL_TYPE},
};

const NOW: UnixSeconds = UnixSeconds(1_797_000_000);

/// A quote of `tee` and its collateral as one input of [`quote`], always the same.
pub fn good_quote(tee: Tee) -> Vec<u8> {
    let intel = intel();
    let quote = match tee {
        Tee::Sgx => intel.sgx_quote(&Enclave::new([0x11; 32], [0x22; 64])),
        _ => intel.tdx_quote(&Td::new(5, [0x11; 48], [0x22; 64])),
    };
    let length = u16::try_from(quote.value.0.len()).unwrap_or(u16::MAX);
    let parts = [
        &length.to_be_bytes()[..],
        &quote.value.0,
        &intel.collateral(tee).value.0,
    ];
    parts.concat()
}

/// Judges a quote and collateral, both hostile, by the verifier that trusts whom [`good_quote`] is
/// forged by: two bytes of the quote's length, the quote, the collateral. Returns whether every
/// check passed.
///
/// # Panics
/// Where the verifier breaks a promise.
pub fn quote(tee: Tee, input: &[u8]) -> bool {
    judged(tee, input).has_passed()
}

/// As [`quote`], with all that was found.
///
/// # Panics
/// Where the verifier breaks a promise.
pub fn judged(tee: Tee, input: &[u8]) -> Judgement {
    let (length, rest) = input.split_first_chunk().unwrap_or((&[0; 2], &[]));
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (quote, collateral) = rest.split_at(length);
    let mut trust = TrustStore::new();
    trust.set_roots(intel().roots());
    let judged = judge(&BareEvidence {
        evidence: &Evidence {
            media_type: tee::media_type(tee).to_owned(),
            value: quote.to_vec().into(),
        },
        endorsements: &[Endorsement {
            media_type: COLLATERAL_TYPE.to_owned(),
            value: collateral.to_vec().into(),
        }],
        reference: None,
        tcb: &Tcb::UpToDate,
        accepted: Accepted {
            platform: PlatformFlags::ALL,
            ..Accepted::default()
        },
        trust: &trust,
        now: NOW,
    });
    let judged = judged.expect("no reference value is given");
    let shown = judged.checks.iter().flat_map(|check| check.found.chars());
    assert!(shown.into_iter().all(|c| !c.is_control()));
    // All of the verifier's lines, the media type and the TCB status.
    assert_eq!(judged.checks.len(), tee::lines(tee).len() + 2);
    if judged.has_passed() {
        assert!(judged.holds.contains(NOW));
        let claims = judged.claims.as_ref();
        let claims = claims.expect("what passed says something");
        assert!(claims.report_data.is(&[0x22; 64]), "nobody else signed");
    }
    judged
}

fn intel() -> Intel {
    let good = Interval::new(UnixSeconds(NOW.0 - 1000), UnixSeconds(NOW.0 + 1000));
    Intel::new(9, good)
}

#[cfg(test)]
mod tests {
    use super::{
        super::seeds::{break_in_every_way, kept, seed_is},
        *,
    };

    const TARGETS: [(Tee, &str); 2] = [(Tee::Sgx, "sgx_quote"), (Tee::Tdx, "tdx_quote")];

    /// Row 21: crafted evidence. `MC2_WRITE_VECTORS=1` writes the seeds.
    #[test]
    fn the_fuzz_targets_begin_at_quotes_that_pass() {
        for (tee, target) in TARGETS {
            let seed = good_quote(tee);
            assert!(quote(tee, &seed));
            seed_is(target, &seed);
        }
    }

    /// Row 21: no bytes make a verifier panic, and what passes was signed.
    #[test]
    fn crafted_quotes_and_collateral_do_not_surprise_a_verifier() {
        for (tee, target) in TARGETS {
            break_in_every_way(&good_quote(tee), 400, |input| quote(tee, input));
            for input in kept(target) {
                quote(tee, &input);
            }
        }
    }
}
