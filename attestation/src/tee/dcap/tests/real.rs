//! Real quotes with their real collateral, as dcap-qvl ships them: each has the verdict that
//! `docs/attestation.md` states, at its time, and no other version of it has.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mc2_protocol::policy::TcbStatus;

use super::{Verifier, refusal};
use crate::{
    Endorsement, Evidence, Measurement, ReferenceValue, Tee,
    claims::Tcb,
    tee::{dcap::COLLATERAL_TYPE, media_type},
    test_util::{forger::Intel, samples},
    time::{Interval, UnixSeconds},
};

/// A real quote with its collateral, and what is to be said of it.
struct Sample {
    name: &'static str,
    tee: Tee,
    now: u64,
    verdict: Result<TcbStatus, &'static str>,
    /// How many bytes of it the attestation key signs: header and body.
    signed: usize,
}

const SGX: Sample = Sample {
    name: "sgx_quote",
    tee: Tee::Sgx,
    now: 1_750_500_000,
    verdict: Ok(TcbStatus::ConfigurationAndSwHardeningNeeded),
    signed: 432,
};
const TDX: Sample = Sample {
    name: "tdx_quote",
    tee: Tee::Tdx,
    now: 1_750_500_000,
    verdict: Ok(TcbStatus::UpToDate),
    signed: 632,
};
const TDX_15: Sample = Sample {
    name: "tdx_quote_td15ex",
    tee: Tee::Tdx,
    now: 1_791_900_000,
    verdict: Ok(TcbStatus::UpToDate),
    signed: 939,
};
const OUTDATED: Sample = Sample {
    name: "tdx_quote_outdated",
    tee: Tee::Tdx,
    now: 1_772_000_000,
    verdict: Err("tcb-level"),
    signed: 702,
};
const ALL: [Sample; 4] = [SGX, TDX, TDX_15, OUTDATED];

impl Sample {
    fn quote(&self) -> Evidence {
        let file = format!("sample/{}", self.name);
        evidence(self.tee, samples::in_crate("dcap-qvl", &file))
    }

    fn collateral(&self) -> Vec<Endorsement> {
        let file = format!("sample/{}_collateral.json", self.name);
        vec![Endorsement {
            media_type: COLLATERAL_TYPE.to_owned(),
            value: samples::in_crate("dcap-qvl", &file).into(),
        }]
    }

    /// The bytes that nothing signs: lengths, which say where signed parts are; and the certificates'
    /// text, of which each is signed but not how it is written, with the padding behind.
    fn is_unsigned(&self, byte: usize) -> bool {
        let auth = self.signed + 4;
        // From version 4 on, a header of six bytes stands before the quoting enclave's report.
        let (length, report) = match self.tee {
            Tee::Sgx => (self.signed, auth + 128),
            _ => (auth + 130, auth + 134),
        };
        let certificates = report + 384 + 64 + 2 + 32;
        (self.signed..auth).contains(&byte)
            || (length..length + 4).contains(&byte)
            || byte >= certificates
    }

    /// Who takes its status.
    fn verifier(&self) -> Verifier {
        Verifier::accepting(&[self.verdict.unwrap_or(TcbStatus::UpToDate)])
    }
}

fn evidence(tee: Tee, bytes: Vec<u8>) -> Evidence {
    Evidence {
        media_type: media_type(tee).to_owned(),
        value: bytes.into(),
    }
}

#[test]
fn each_sample_has_its_verdict_at_its_time() {
    for sample in ALL {
        let verifier = sample.verifier();
        let judged = verifier.judge(&sample.quote(), &sample.collateral(), sample.now);
        match sample.verdict {
            Ok(status) => {
                assert!(judged.has_passed(), "{}: {:?}", sample.name, judged.checks);
                let hardware = judged.claims.unwrap().hardware.unwrap();
                assert_eq!(hardware.tcb, Tcb::Known(status), "{}", sample.name);
                assert!(!hardware.debug);
            }
            Err(id) => assert_eq!(refusal(&judged), id, "{}", sample.name),
        }
    }
}

#[test]
fn a_sample_says_who_it_is() {
    let judged = |sample: Sample| {
        let verifier = sample.verifier();
        verifier.judge(&sample.quote(), &sample.collateral(), sample.now)
    };
    let sgx = judged(SGX);
    let claims = sgx.claims.unwrap();
    assert_eq!(
        claims.measurement.to_string(),
        "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
    );
    assert_eq!(&claims.report_data.as_bytes()[..13], b"Hello, world!");
    let hardware = claims.hardware.unwrap();
    assert_eq!(hardware.advisories, ["INTEL-SA-00289", "INTEL-SA-00615"]);
    assert_eq!(hardware.host_data, [0; 64]);
    assert!(hardware.platforms.is_empty(), "its certificate names none");
    let good = Interval::new(UnixSeconds(1_750_330_571), UnixSeconds(1_752_919_278));
    assert_eq!(sgx.holds, good, "{}", sgx.holds);

    let tdx = judged(TDX_15).claims.unwrap();
    assert!(tdx.measurement.to_string().starts_with("2a674327c50218db"));
    let hardware = tdx.hardware.unwrap();
    assert_eq!(
        hardware.platforms[0].to_string(),
        "piid:5d9bfc282bfc50faa999121aa7cc41d7"
    );
    let rtmr3 = hardware.registers.iter().find(|it| it.name == "RTMR3");
    assert_eq!(rtmr3.unwrap().value[..3], [0x55, 0x6d, 0x49]);
    assert_eq!(hardware.host_data[..2], [0x01, 0x51], "MRCONFIGID");
}

/// Row 9: an accepted status is one that is named.
#[test]
fn a_status_nobody_accepted_is_refused() {
    let strict = Verifier::accepting(&[TcbStatus::UpToDate]);
    assert_eq!(
        strict.refusal(&SGX.quote(), &SGX.collateral(), SGX.now),
        "tcb"
    );
    let other = Verifier::accepting(&[TcbStatus::OutOfDate]);
    assert_eq!(
        other.refusal(&TDX.quote(), &TDX.collateral(), TDX.now),
        "tcb"
    );
}

#[test]
fn platform_flags_pass_only_where_they_are_accepted() {
    let mut verifier = TDX.verifier();
    verifier.accepted.platform.smt = false;
    let judged = verifier.judge(&TDX.quote(), &TDX.collateral(), TDX.now);
    assert_eq!(refusal(&judged), "platform-configuration");
    // The processor of the SGX sample states none.
    let mut verifier = SGX.verifier();
    verifier.accepted.platform = crate::PlatformFlags::default();
    let judged = verifier.judge(&SGX.quote(), &SGX.collateral(), SGX.now);
    assert!(judged.has_passed());
}

/// Row 9: collateral holds from the latest of its beginnings to the earliest of its ends.
#[test]
fn a_sample_holds_exactly_as_long_as_it_says() {
    for sample in [SGX, TDX, TDX_15] {
        let (verifier, quote) = (sample.verifier(), sample.quote());
        let judged = |now| verifier.judge(&quote, &sample.collateral(), now);
        let Interval { from, until } = judged(sample.now).holds;
        for now in [from.0, until.0] {
            assert!(judged(now).has_passed(), "{} at {now}", sample.name);
        }
        let dated = ["intel-crl", "tcb-info", "qe-identity"];
        for now in [
            0,
            from.0 - 1,
            until.0 + 1,
            sample.now + 31_536_000,
            u64::MAX,
        ] {
            let why = refusal(&judged(now));
            assert!(dated.contains(&why), "{} at {now}: {why}", sample.name);
        }
    }
}

#[test]
fn a_sample_without_its_own_collateral_is_refused() {
    for sample in ALL {
        let (verifier, quote) = (sample.verifier(), sample.quote());
        let refused = |collateral: &[Endorsement]| verifier.refusal(&quote, collateral, sample.now);
        assert_eq!(refused(&[]), "collateral");
        let mut other = sample.collateral();
        other[0].media_type = "application/json".to_owned();
        assert_eq!(refused(&other), "collateral");
        assert_eq!(
            refused(&[sample.collateral(), sample.collateral()].concat()),
            "collateral"
        );
    }
    // Another platform's, and another TEE's, are signed as well.
    let verifier = TDX.verifier();
    let refused = verifier.refusal(&TDX.quote(), &SGX.collateral(), TDX.now);
    assert_eq!(refused, "quote-signature");
}

#[test]
fn a_sample_under_another_root_is_refused() {
    let always = Interval::new(UnixSeconds(1_700_000_000), UnixSeconds(1_900_000_000));
    for sample in ALL {
        let mut verifier = sample.verifier();
        verifier.trust.set_roots(Intel::new(1, always).roots());
        let refused = verifier.refusal(&sample.quote(), &sample.collateral(), sample.now);
        assert_eq!(refused, "quote-signature", "{}", sample.name);
    }
}

/// Row 25: one byte decides.
#[test]
fn a_reference_value_that_differs_in_one_byte_refuses_a_sample() {
    for sample in [SGX, TDX, TDX_15] {
        let (mut verifier, quote) = (sample.verifier(), sample.quote());
        let claims = verifier
            .judge(&quote, &sample.collateral(), sample.now)
            .claims
            .unwrap();
        let rtmrs = claims.hardware.unwrap().registers.into_iter();
        let registers: BTreeMap<_, _> = rtmrs
            .filter(|register| register.name.starts_with("RTMR"))
            .map(|register| (register.name, hex::encode(register.value).parse().unwrap()))
            .collect();
        let value = |measurement: &[u8]| ReferenceValue {
            tee: sample.tee,
            measurement: Measurement::from_bytes(measurement).unwrap(),
            runtime: "mc2-runtime".to_owned(),
            version: "0.1.0".to_owned(),
            revoked: false,
            registers: registers.clone(),
        };
        let good = claims.measurement.as_bytes().to_vec();
        verifier.reference = Some(vec![value(&good)]);
        let judged = verifier.judge(&quote, &sample.collateral(), sample.now);
        assert!(judged.has_passed(), "{:?}", judged.checks);
        for at in 0..good.len() {
            let mut other = good.clone();
            other[at] ^= 1;
            verifier.reference = Some(vec![value(&other)]);
            let judged = verifier.judge(&quote, &sample.collateral(), sample.now);
            assert_eq!(refusal(&judged), "measurement", "byte {at}");
        }
        verifier.reference = Some(Vec::new());
        let judged = verifier.judge(&quote, &sample.collateral(), sample.now);
        assert_eq!(refusal(&judged), "measurement", "an empty list");
    }
}

/// What stands behind the end of a quote is padding: there, and only there, it may be cut.
#[test]
fn a_sample_that_was_cut_anywhere_is_refused() {
    for sample in ALL {
        let (verifier, whole) = (sample.verifier(), sample.quote());
        let collateral = sample.collateral();
        let zeros = whole
            .value
            .0
            .iter()
            .rev()
            .take_while(|&&byte| byte == 0)
            .count();
        // The last certificate's text ends in a zero that belongs to it.
        let end = whole.value.0.len() - zeros + usize::from(zeros > 0);
        for length in 0..end {
            let cut = evidence(sample.tee, whole.value.0[..length].to_vec());
            let judged = verifier.judge(&cut, &collateral, sample.now);
            assert!(!judged.has_passed(), "{} of {length} bytes", sample.name);
            assert_eq!(
                refusal(&judged),
                "quote",
                "{} of {length} bytes",
                sample.name
            );
        }
        let mut longer = whole.value.0.clone();
        longer.push(1);
        let longer = evidence(sample.tee, longer);
        assert_eq!(verifier.refusal(&longer, &collateral, sample.now), "quote");
    }
}

#[test]
fn a_bit_flipped_in_a_sample_refuses_it_or_lies_where_nothing_signs() {
    for sample in ALL {
        let (verifier, whole) = (sample.verifier(), sample.quote());
        let collateral = sample.collateral();
        let good = verifier.judge(&whole, &collateral, sample.now);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..1000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let bit = usize::try_from(random % (8 * whole.value.0.len() as u64)).unwrap();
            let mut broken = whole.clone();
            broken.value.0[bit / 8] ^= 1 << (bit % 8);
            let judged = verifier.judge(&broken, &collateral, sample.now);
            if sample.verdict.is_ok() && !judged.has_passed() {
                continue;
            }
            let unchanged = judged.claims == good.claims && judged.checks == good.checks;
            let unsigned = sample.is_unsigned(bit / 8);
            let refused_elsewhere = sample.verdict.is_err() && !judged.has_passed();
            assert!(
                (unchanged && unsigned) || refused_elsewhere,
                "{} bit {bit}",
                sample.name
            );
        }
    }
}

/// Row 8, and what a quote is worth without its vendor's word: a debug enclave's and others' that
/// certificates carry, all without collateral.
#[test]
fn a_quote_without_collateral_is_refused_for_that() {
    let verifier = Verifier::accepting(&[TcbStatus::UpToDate]);
    let refusal = |quote: &[u8], collateral: &[Endorsement], now| {
        verifier.refusal(&evidence(Tee::Sgx, quote.to_vec()), collateral, now)
    };
    let carried =
        |name| samples::shared(&format!("ratls/{name}.pem")).map(|text| carried_by(&text));
    let quotes = [
        samples::shared("sgx/occlum_quote.dat"),
        carried("gramine-cert"),
        carried("intel-sgxsdk-cert"),
        carried("rats-tls-cert"),
    ];
    for quote in quotes.into_iter().flatten() {
        assert_eq!(refusal(&quote, &[], 1_700_000_000), "collateral");
        // With another platform's it is no better.
        let refused = refusal(&quote, &SGX.collateral(), SGX.now);
        assert!(
            ["tcb-level", "quote-signature"].contains(&refused),
            "{refused}"
        );
        let zeros = quote.iter().rev().take_while(|&&byte| byte == 0).count();
        for length in 0..quote.len() - zeros {
            let refused = refusal(&quote[..length], &[], 1_700_000_000);
            assert_eq!(refused, "quote", "{length} bytes");
        }
    }
}

/// The SGX quote in a certificate that somebody's library made for TLS.
fn carried_by(certificate: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(certificate).expect("PEM is text");
    let lines = text.lines().skip_while(|line| !line.starts_with("-----"));
    let body: String = lines
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .collect();
    let der = STANDARD.decode(body).expect("PEM is base64");
    let start = der
        .windows(6)
        .position(|header| header == [3, 0, 2, 0, 0, 0]);
    let quote = &der[start.expect("a quote of version 3")..];
    let signatures = u32::from_le_bytes(quote[432..436].try_into().expect("four bytes"));
    quote[..436 + signatures as usize].to_vec()
}

#[test]
fn a_quote_of_one_tee_is_none_of_another() {
    for (sample, tee) in [(SGX, Tee::Tdx), (TDX, Tee::Sgx), (TDX_15, Tee::Sgx)] {
        let mut quote = sample.quote();
        quote.media_type = media_type(tee).to_owned();
        let refused = sample
            .verifier()
            .refusal(&quote, &sample.collateral(), sample.now);
        assert_eq!(refused, "quote");
    }
}
