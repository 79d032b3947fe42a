//! Verifying evidence of each TEE with its collateral at hand: forged evidence of every kind, and the
//! real samples that are here, whose vendors' keys are longer than the forger's.

use std::time::Instant;

use mc2_attestation::{
    Accepted, BareEvidence, Endorsement, Evidence, PlatformFlags, Tee, TrustStore, UnixSeconds,
    judge,
    tee::{self, Roots},
    test_util::{
        forger::{self, any},
        samples::{in_crate, shared},
    },
};
use mc2_protocol::policy::Tcb;
use mc2_tests::{bench_row, median};

const RUNS: usize = 51;
/// Milliseconds.
const TARGET: f64 = 5.0;

fn main() {
    for tee in Tee::ALL.into_iter().filter(|tee| *tee != Tee::Sim) {
        let forged = any::evidence(tee, &[7; 64]);
        let name = format!("{} (forged)", tee::title(tee));
        measure(
            &name,
            any::roots(),
            &forged.evidence,
            &forged.endorsements,
            forger::NOW.0,
        );
    }
    for (tee, name, now) in [
        (Tee::Sgx, "sgx_quote", 1_750_500_000),
        (Tee::Tdx, "tdx_quote", 1_750_500_000),
        (Tee::Tdx, "tdx_quote_td15ex", 1_791_900_000),
    ] {
        let quote = in_crate("dcap-qvl", &format!("sample/{name}"));
        let collateral = in_crate("dcap-qvl", &format!("sample/{name}_collateral.json"));
        let endorsement = of(tee::dcap::COLLATERAL_TYPE, collateral);
        let evidence = of(tee::media_type(tee), quote);
        measure(name, Roots::default(), &evidence, &[endorsement], now);
    }
    // AMD's keys have 4,096 bits; of their lists none is here.
    if let (Some(report), Some(certificate)) = (
        shared("snp/oak_genoa_oc/report.bin"),
        shared("snp/oak_genoa_oc/vek.der"),
    ) {
        let evidence = of(tee::media_type(Tee::SevSnp), report);
        let endorsement = of("application/pkix-cert", certificate);
        let name = "an SNP report of Genoa, without a list";
        measure(
            name,
            Roots::default(),
            &evidence,
            &[endorsement],
            1_760_000_000,
        );
    }
    if let Some(document) = shared("nitro/eu-central-1-2025.cose") {
        let evidence = of(tee::media_type(Tee::Nitro), document);
        let name = "a Nitro document";
        measure(name, Roots::default(), &evidence, &[], 1_736_179_625);
    }
}

fn of(media_type: &str, bytes: Vec<u8>) -> Evidence {
    Evidence {
        media_type: media_type.to_owned(),
        value: bytes.into(),
    }
}

fn measure(name: &str, roots: Roots, evidence: &Evidence, endorsements: &[Endorsement], now: u64) {
    let mut trust = TrustStore::new();
    trust.set_roots(roots);
    let once = || {
        let start = Instant::now();
        let judged = judge(&BareEvidence {
            evidence,
            endorsements,
            reference: None,
            tcb: &Tcb::UpToDate,
            accepted: Accepted {
                missing_crl: true,
                platform: PlatformFlags::ALL,
                ..Accepted::default()
            },
            trust: &trust,
            now: UnixSeconds(now),
        });
        let took = start.elapsed();
        let judged = judged.expect("nothing is compared");
        // What the vendor says of its firmware aside, all is well: everything was verified.
        let failed: Vec<_> = judged
            .checks
            .iter()
            .filter(|check| !check.has_passed())
            .collect();
        assert!(failed.iter().all(|check| check.id == "tcb"), "{failed:?}");
        took
    };
    let took = median(RUNS, once).as_secs_f64() * 1e3;
    let row = format!("verifying {name}, collateral at hand");
    bench_row(&row, "ms", took, Some(TARGET), false);
}
