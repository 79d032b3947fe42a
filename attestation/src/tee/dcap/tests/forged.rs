//! Forged quotes: each thing that Intel's own samples cannot show going wrong, one at a time.

use mc2_protocol::{
    Digest,
    documents::record::report_data,
    evidence::{EventLog, Register384},
    policy::TcbStatus,
};

use super::{Verifier, refusal};
use crate::{
    Endorsement, Evidence, Judgement, Measurement, Purpose, ReferenceValue, Tee,
    claims::Tcb,
    tee::{self, Roots, dcap::COLLATERAL_TYPE},
    test_util::{
        factory::{self, Session},
        forger::{Enclave, Intel, Td},
    },
    time::{Interval, UnixSeconds},
    trust::RegisterValue,
};

const NOW: u64 = 1_797_000_000;
const GOOD: Interval = Interval::new(UnixSeconds(NOW - 1000), UnixSeconds(NOW + 1000));
/// The next revocation list is there by then, so the last one is good until the second before.
const HOLDS: Interval = Interval::new(GOOD.from, UnixSeconds(NOW + 999));

fn intel() -> Intel {
    Intel::new(7, GOOD)
}

fn enclave() -> Enclave {
    Enclave::new([0x11; 32], [0x22; 64])
}

fn td(version: u16) -> Td {
    Td::new(version, [0x11; 48], [0x22; 64])
}

/// Who trusts this Intel, and nothing but an up-to-date platform without hyperthreading.
fn verifier(intel: &Intel) -> Verifier {
    let mut verifier = Verifier::accepting(&[TcbStatus::UpToDate]);
    verifier.accepted.platform = crate::PlatformFlags::default();
    verifier.trust.set_roots(intel.roots());
    verifier
}

fn judged(intel: &Intel, tee: Tee, quote: &Evidence) -> Judgement {
    verifier(intel).judge(quote, &[intel.collateral(tee)], NOW)
}

/// What is said against a quote of each kind by this Intel.
fn refusals(intel: &Intel) -> [&'static str; 3] {
    [
        refusal(&judged(intel, Tee::Sgx, &intel.sgx_quote(&enclave()))),
        refusal(&judged(intel, Tee::Tdx, &intel.tdx_quote(&td(4)))),
        refusal(&judged(intel, Tee::Tdx, &intel.tdx_quote(&td(5)))),
    ]
}

#[test]
fn a_forged_quote_passes_under_its_own_root_and_under_no_other() {
    let intel = intel();
    let quotes = [
        (Tee::Sgx, intel.sgx_quote(&enclave())),
        (Tee::Tdx, intel.tdx_quote(&td(4))),
        (Tee::Tdx, intel.tdx_quote(&td(5))),
    ];
    for (tee, quote) in quotes {
        let good = judged(&intel, tee, &quote);
        assert!(good.has_passed(), "{:?}", good.checks);
        assert_eq!(good.holds, HOLDS);
        assert!(good.claims.unwrap().report_data.is(&[0x22; 64]));
        let collateral = [intel.collateral(tee)];
        let others = Intel::new(8, GOOD);
        assert_eq!(
            verifier(&others).refusal(&quote, &collateral, NOW),
            "quote-signature"
        );
        let real = Verifier::accepting(&[TcbStatus::UpToDate]);
        assert_eq!(real.refusal(&quote, &collateral, NOW), "quote-signature");
    }
}

/// Row 8: an enclave that its owner can look into.
#[test]
fn a_debug_enclave_is_refused_and_says_that_it_is_one() {
    let intel = intel();
    let mut debug = enclave();
    debug.attributes[0] |= 2;
    let found = judged(&intel, Tee::Sgx, &intel.sgx_quote(&debug));
    assert_eq!(refusal(&found), "debug");
    assert!(found.claims.unwrap().hardware.unwrap().debug);
    for version in [4, 5] {
        // DEBUG, and the profiling bits of the same group.
        for bit in [0, 4, 5, 6] {
            let mut debug = td(version);
            debug.attributes |= 1 << bit;
            let found = judged(&intel, Tee::Tdx, &intel.tdx_quote(&debug));
            assert_eq!(refusal(&found), "debug", "bit {bit}");
            assert!(found.claims.unwrap().hardware.unwrap().debug);
        }
    }
}

#[test]
fn a_td_that_can_be_moved_or_fed_pages_is_refused() {
    let intel = intel();
    for version in [4, 5] {
        for flipped in [28, 29, 1, 40] {
            let mut odd = td(version);
            odd.attributes ^= 1 << flipped;
            let found = judged(&intel, Tee::Tdx, &intel.tdx_quote(&odd));
            assert_eq!(refusal(&found), "td-attributes", "bit {flipped}");
        }
    }
}

#[test]
fn a_td_with_a_service_td_is_refused() {
    let intel = intel();
    let mut bound = td(5);
    bound.service_td[47] = 1;
    let found = judged(&intel, Tee::Tdx, &intel.tdx_quote(&bound));
    assert_eq!(refusal(&found), "service-td");
    let mut extended = td(5);
    extended.attributes |= 1 << 17;
    let found = judged(&intel, Tee::Tdx, &intel.tdx_quote(&extended));
    assert_eq!(refusal(&found), "service-td");
}

/// Row 9: what the platform's state is called decides, and a revoked one is called by no policy.
#[test]
fn a_platform_passes_only_with_an_accepted_status() {
    for (status, known) in [
        ("SWHardeningNeeded", TcbStatus::SwHardeningNeeded),
        ("ConfigurationNeeded", TcbStatus::ConfigurationNeeded),
        ("OutOfDate", TcbStatus::OutOfDate),
        (
            "OutOfDateConfigurationNeeded",
            TcbStatus::OutOfDateConfigurationNeeded,
        ),
    ] {
        let mut intel = intel();
        intel.status = status;
        intel.advisories = vec!["INTEL-SA-00001"];
        assert_eq!(refusals(&intel), ["tcb"; 3], "{status}");
        let quote = intel.sgx_quote(&enclave());
        let mut accepting = verifier(&intel);
        accepting.tcb = mc2_protocol::policy::Tcb::Accepted(vec![known]);
        let found = accepting.judge(&quote, &[intel.collateral(Tee::Sgx)], NOW);
        assert!(found.has_passed(), "{:?}", found.checks);
        let hardware = found.claims.unwrap().hardware.unwrap();
        assert_eq!(hardware.tcb, Tcb::Known(known));
        assert_eq!(hardware.advisories, ["INTEL-SA-00001"]);
    }
    let mut intel = intel();
    intel.status = "Revoked";
    assert_eq!(refusals(&intel), ["tcb-level"; 3]);
}

#[test]
fn a_platform_below_every_tcb_level_is_refused() {
    let mut intel = intel();
    intel.required_svn = 8;
    assert_eq!(refusals(&intel), ["tcb-level"; 3]);
}

/// Row 9: a platform whose certificate was revoked.
#[test]
fn a_revoked_platform_is_refused() {
    let mut intel = intel();
    intel.revoked = true;
    assert_eq!(refusals(&intel), ["quote-signature"; 3]);
    let found = judged(&intel, Tee::Sgx, &intel.sgx_quote(&enclave()));
    let line = found
        .checks
        .iter()
        .find(|it| it.id == "quote-signature")
        .unwrap();
    assert!(line.found.to_lowercase().contains("revoked"), "{line}");
}

#[test]
fn a_revocation_list_without_an_end_is_refused() {
    let mut intel = intel();
    intel.next_update = false;
    assert_eq!(refusals(&intel), ["intel-crl"; 3]);
}

/// Row 35: older collateral that is still good.
#[test]
fn collateral_older_than_what_was_seen_is_refused() {
    let newer = intel();
    let quote = newer.sgx_quote(&enclave());
    let found = judged(&newer, Tee::Sgx, &quote);
    let after_it = |older: &Intel| {
        let mut verifier = verifier(older);
        verifier.trust.note_seen(&found.marks, UnixSeconds(NOW));
        verifier.judge(&quote, &[older.collateral(Tee::Sgx)], NOW)
    };
    assert!(after_it(&newer).has_passed());
    let mut older = newer.clone();
    older.evaluation -= 1;
    assert_eq!(refusal(&after_it(&older)), "collateral-rollback");
    let mut older = newer.clone();
    older.list_number -= 1;
    assert_eq!(refusal(&after_it(&older)), "collateral-rollback");
    // An old identity beside newer TCB info.
    let mut older = newer.clone();
    older.evaluation += 1;
    older.identity_evaluation -= 1;
    assert_eq!(refusal(&after_it(&older)), "collateral-rollback");
    let mut newest = newer.clone();
    newest.evaluation += 1;
    newest.identity_evaluation += 1;
    newest.list_number += 1;
    assert!(after_it(&newest).has_passed());
    // And by its dates: the same certificates over lists of a second earlier.
    let mut older = newer.clone();
    older.good.from.0 -= 1;
    assert_eq!(refusal(&after_it(&older)), "collateral-rollback");
}

#[test]
fn an_assessment_below_the_least_number_accepted_is_refused() {
    let intel = intel();
    let mut verifier = verifier(&intel);
    verifier.accepted.min_tcb_evaluation = 20;
    let quote = intel.sgx_quote(&enclave());
    let collateral = [intel.collateral(Tee::Sgx)];
    assert!(verifier.judge(&quote, &collateral, NOW).has_passed());
    verifier.accepted.min_tcb_evaluation = 21;
    assert_eq!(verifier.refusal(&quote, &collateral, NOW), "tcb-info");
}

#[test]
fn hyperthreading_passes_only_where_it_is_accepted() {
    let mut intel = intel();
    intel.smt = true;
    assert_eq!(refusals(&intel), ["platform-configuration"; 3]);
}

#[test]
fn a_platform_that_states_zeros_for_its_id_states_none() {
    let mut intel = intel();
    let platforms = |intel: &Intel| {
        let found = judged(intel, Tee::Sgx, &intel.sgx_quote(&enclave()));
        found.claims.unwrap().hardware.unwrap().platforms
    };
    assert_eq!(platforms(&intel).len(), 1);
    intel.instance = [0; 16];
    assert!(platforms(&intel).is_empty());
}

#[test]
fn an_enclave_that_measures_nothing_is_refused() {
    let intel = intel();
    let quote = intel.sgx_quote(&Enclave::new([0; 32], [1; 64]));
    assert_eq!(refusal(&judged(&intel, Tee::Sgx, &quote)), "quote");
    let quote = intel.tdx_quote(&Td::new(4, [0; 48], [1; 64]));
    assert_eq!(refusal(&judged(&intel, Tee::Tdx, &quote)), "quote");
}

/// The library reads one, and does not verify it: whatever is in it is refused, by its version.
#[test]
fn an_enclave_s_quote_of_version_4_is_refused_by_its_version() {
    let intel = intel();
    let quote = intel.sgx_quote(&Enclave {
        version: 4,
        ..enclave()
    });
    let found = judged(&intel, Tee::Sgx, &quote);
    assert!(found.claims.is_none());
    let refused = found.checks.iter().find(|check| !check.has_passed());
    let refused = refused.unwrap();
    assert_eq!(
        (refused.id, refused.found.as_str()),
        ("quote", "SGX quote of version 4")
    );
    // Nor is it taken for a TD's, of which version 4 is good.
    assert_eq!(refusal(&judged(&intel, Tee::Tdx, &quote)), "quote");
}

/// A log of what went into RTMR3 is believed only where the register says so.
#[test]
fn an_event_log_that_does_not_give_the_register_is_refused() {
    let intel = intel();
    let log = EventLog::of_tenant(&Digest::of(b"a policy"));
    let mut started = td(5);
    started.rtmrs[3] = log.register().0;
    let with = |td: &Td, logs: &[EventLog]| {
        let mut endorsements = vec![intel.collateral(Tee::Tdx)];
        endorsements.extend(logs.iter().map(EventLog::endorsement));
        verifier(&intel).judge(&intel.tdx_quote(td), &endorsements, NOW)
    };
    assert!(with(&started, std::slice::from_ref(&log)).has_passed());
    assert!(with(&started, &[]).has_passed());
    let other = EventLog::of_tenant(&Digest::of(b"another policy"));
    for (td, logs) in [
        (&started, &[other][..]),
        (&td(5), std::slice::from_ref(&log)),
        (&started, &[log.clone(), log.clone()]),
    ] {
        assert_eq!(refusal(&with(td, logs)), "event-log");
    }
    let mut garbage = EventLog::of_tenant(&Digest::of(b"a policy")).endorsement();
    garbage.value.0.pop();
    let endorsements = [intel.collateral(Tee::Tdx), garbage];
    let found = verifier(&intel).judge(&intel.tdx_quote(&started), &endorsements, NOW);
    assert_eq!(refusal(&found), "event-log");
}

/// Row 32: a host that gives a TD ACPI tables of its own, under firmware that is known.
#[test]
fn a_td_whose_acpi_tables_are_not_known_is_refused() {
    let intel = intel();
    let (volume, separator) = ([1; 48], [2; 48]);
    let with_tables = |tables: [u8; 48]| {
        let (mut td, mut register) = (td(5), Register384::default());
        for digest in [volume, tables, separator] {
            register.extend(&digest);
        }
        td.rtmrs[0] = register.0;
        td
    };
    let known = vec![vec![volume], vec![[3; 48], [4; 48]], vec![separator]];
    let mut registers = vec![("RTMR0", RegisterValue::of_events(known).unwrap())];
    for (name, value) in ["RTMR1", "RTMR2"].into_iter().zip(&td(5).rtmrs[1..]) {
        registers.push((name, hex::encode(value).parse().unwrap()));
    }
    let registers = registers.into_iter();
    let mut verifier = verifier(&intel);
    verifier.reference = Some(vec![ReferenceValue {
        tee: Tee::Tdx,
        measurement: Measurement::from_bytes(&[0x11; 48]).unwrap(),
        runtime: "mc2-runtime".to_owned(),
        version: "0.1.0".to_owned(),
        revoked: false,
        registers: registers
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }]);
    let judge = |tables| {
        let quote = intel.tdx_quote(&with_tables(tables));
        verifier.judge(&quote, &[intel.collateral(Tee::Tdx)], NOW)
    };
    for tables in [[3; 48], [4; 48]] {
        let good = judge(tables);
        assert!(good.has_passed(), "{:?}", good.checks);
    }
    let foreign = judge([5; 48]);
    assert_eq!(refusal(&foreign), "measurement");
    let line = foreign.checks.iter().find(|check| !check.has_passed());
    let expected = &line.unwrap().expected;
    assert!(
        expected.contains("RTMR0 what 3 known events give"),
        "{expected}"
    );
}

#[test]
fn what_an_enclave_was_started_with_is_among_its_claims() {
    let intel = intel();
    let mut configured = enclave();
    configured.config_id[63] = 9;
    configured.config_svn = 0x0102;
    let found = judged(&intel, Tee::Sgx, &intel.sgx_quote(&configured));
    let hardware = found.claims.unwrap().hardware.unwrap();
    assert_eq!(hardware.host_data, configured.config_id);
    let svn = hardware.registers.iter().find(|it| it.name == "CONFIGSVN");
    assert_eq!(svn.unwrap().value, [1, 2]);
    let mut configured = td(4);
    configured.config_id[0] = 9;
    let found = judged(&intel, Tee::Tdx, &intel.tdx_quote(&configured));
    let hardware = found.claims.unwrap().hardware.unwrap();
    assert_eq!(hardware.host_data, configured.config_id);
}

/// Every byte of a quote is signed by somebody, but for lengths and the certificates' text: what is
/// altered there may pass, and then says the same.
#[test]
fn a_byte_of_a_forged_quote_altered_refuses_it_or_changes_nothing() {
    let intel = intel();
    for (tee, quote, signed) in [
        (Tee::Sgx, intel.sgx_quote(&enclave()), 432),
        (Tee::Tdx, intel.tdx_quote(&td(5)), 54 + 648),
    ] {
        let collateral = [intel.collateral(tee)];
        let good = judged(&intel, tee, &quote);
        // Of the certificates' text, which is the longer half, every seventh byte.
        let text = quote
            .value
            .0
            .windows(6)
            .position(|bytes| bytes == b"-----B");
        for at in 0..quote.value.0.len() {
            if at > text.unwrap() && at % 7 > 0 {
                continue;
            }
            let mut broken = quote.clone();
            broken.value.0[at] ^= 1;
            let found = verifier(&intel).judge(&broken, &collateral, NOW);
            if found.has_passed() {
                assert!(at >= signed, "byte {at}");
                assert_eq!(found.claims, good.claims, "byte {at}");
                assert_eq!(found.checks, good.checks, "byte {at}");
            }
        }
    }
}

/// Rows 9 and 35: nothing in collateral counts but what Intel signed.
#[test]
fn altered_collateral_is_refused_or_changes_nothing() {
    let intel = intel();
    let quote = intel.sgx_quote(&enclave());
    let good = intel.collateral(Tee::Sgx);
    let claims = judged(&intel, Tee::Sgx, &quote).claims;
    for at in (0..good.value.0.len()).step_by(11) {
        let mut broken = good.clone();
        broken.value.0[at] ^= 1;
        let found = verifier(&intel).judge(&quote, &[broken], NOW);
        if found.has_passed() {
            assert_eq!(found.claims, claims, "byte {at}");
            assert_eq!(found.holds, HOLDS, "byte {at}");
        }
    }
    let garbage = Endorsement {
        media_type: COLLATERAL_TYPE.to_owned(),
        value: b"{}".to_vec().into(),
    };
    assert_eq!(
        verifier(&intel).refusal(&quote, &[garbage], NOW),
        "collateral"
    );
}

/// A session in a forged enclave, from its policy to the keys worth sealing to.
fn session(intel: &Intel, tee: Tee) -> Session {
    let mut session = Session::new(&factory::policy(&format!("[\"{tee}\"]")))
        .with_record(|record| record.runtime.name = "mc2-runtime".to_owned());
    let asked = report_data(&session.record_bytes, &session.nonce);
    let (evidence, measurement, registers) = match tee {
        Tee::Sgx => (
            intel.sgx_quote(&Enclave::new([0x11; 32], asked)),
            vec![0x11; 32],
            vec![],
        ),
        _ => {
            let td = Td::new(5, [0x11; 48], asked);
            let names = ["RTMR0", "RTMR1", "RTMR2"];
            let rtmrs = names.into_iter().zip(td.rtmrs);
            (intel.tdx_quote(&td), vec![0x11; 48], rtmrs.collect())
        }
    };
    session.evidence = evidence;
    session.endorsements = vec![intel.collateral(tee)];
    session.allow_simulated = false;
    session.now = UnixSeconds(NOW);
    session.trust.set_roots(intel.roots());
    let registers = registers.into_iter();
    let reference = ReferenceValue {
        tee,
        measurement: Measurement::from_bytes(&measurement).unwrap(),
        runtime: "mc2-runtime".to_owned(),
        version: factory::VERSION.to_owned(),
        revoked: false,
        registers: registers
            .map(|(name, value)| (name.to_owned(), hex::encode(value).parse().unwrap()))
            .collect(),
    };
    session.trust.add(reference).unwrap();
    session
}

#[test]
fn a_session_over_forged_evidence_is_appraised_from_end_to_end() {
    let intel = intel();
    for tee in [Tee::Sgx, Tee::Tdx] {
        let good = session(&intel, tee);
        let appraisal = good.appraise();
        assert!(appraisal.is_accepted(), "{:?}", appraisal.checks);
        assert_eq!(appraisal.holds, HOLDS);
        let made: Vec<&str> = appraisal.checks.iter().map(|check| check.id).collect();
        let lines = tee::lines(tee)
            .iter()
            .map(|line| line.id)
            .collect::<Vec<_>>();
        assert!(
            made.windows(lines.len()).any(|window| window == lines),
            "{made:?}"
        );
        let accepted = appraisal.accept().unwrap();
        assert_eq!(accepted.tee(), tee);
        assert!(!accepted.marks().is_empty());

        let first_refused =
            |session: Session| session.appraise().accept().unwrap_err().failed[0].id;
        let mut real = session(&intel, tee);
        real.trust.set_roots(Roots::default());
        assert_eq!(first_refused(real), "quote-signature");
        let mut later = session(&intel, tee);
        later.now.0 += 31_536_000;
        later.purpose = Purpose::Receipt;
        assert_eq!(first_refused(later), "intel-crl");
        let mut replayed = session(&intel, tee);
        replayed.nonce.0[0] ^= 1;
        assert_eq!(first_refused(replayed), "report-data");
        let mut bare = session(&intel, tee);
        bare.endorsements.clear();
        assert_eq!(first_refused(bare), "collateral");
    }
}

/// Row 32: good firmware that started something else.
#[test]
fn a_td_that_runs_another_kernel_is_refused() {
    let intel = intel();
    let mut other = session(&intel, Tee::Tdx);
    let asked = report_data(&other.record_bytes, &other.nonce);
    for register in 0..3 {
        let mut td = Td::new(5, [0x11; 48], asked);
        td.rtmrs[register][0] ^= 1;
        other.evidence = intel.tdx_quote(&td);
        let refused = other.appraise().accept().unwrap_err();
        assert_eq!(refused.failed[0].id, "measurement");
        let named = format!("RTMR{register}");
        assert!(refused.failed[0].expected.contains(&named), "{refused}");
    }
    // RTMR3 is the runtime's own.
    let mut td = Td::new(5, [0x11; 48], asked);
    td.rtmrs[3][0] ^= 1;
    other.evidence = intel.tdx_quote(&td);
    assert!(other.appraise().is_accepted());
}
