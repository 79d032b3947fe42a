//! Rows 1, 2, 7, 8, 9 and 25 of ATTACKS.md, mounted against an appraisal.

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    Digest, SecretKey,
    dsse::Envelope,
    encoding::{Hex, to_json},
    hpke::PrivateKey,
    record::{CompilationCache, RecordParts, SessionRecord},
};

use super::{Appraisal, Check, Outcome, Purpose, UnixSeconds};
use crate::{
    Tee, TrustStore, evidence,
    releases::{self, ReleaseList},
    sim,
    test_util::factory::{self, Session},
};

/// The first failed check, of which there must be one; nothing may be accepted then.
fn refused(session: &Session) -> Check {
    let appraisal = session.appraise();
    assert!(!appraisal.is_accepted());
    let refused = appraisal.accept().unwrap_err();
    let first = refused.failed[0].clone();
    assert!(!first.expected.is_empty() && !first.found.is_empty() && !first.advice.is_empty());
    assert!(refused.to_string().contains(&first.to_string()));
    first
}

fn outcome(appraisal: &Appraisal, what: &str) -> Outcome {
    let check = appraisal.checks.iter().find(|check| check.what == what);
    check.unwrap_or_else(|| panic!("no check {what:?}")).outcome
}

#[test]
fn a_good_session_passes_line_by_line() {
    let session = Session::simulated();
    let appraisal = session.appraise();
    let lines: Vec<&str> = appraisal.checks.iter().map(|check| check.what).collect();
    assert_eq!(
        lines,
        [
            "policy",
            "policy's expiry",
            "evidence type",
            "kind of enclave",
            "simulator",
            "evidence signature",
            "report data",
            "runtime measurement",
            "session record",
            "policy digest",
            "tenant",
            "components",
            "components measured here",
            "component revocation",
            "runtime release",
            "engine",
            "compilation cache",
        ]
    );
    for check in &appraisal.checks {
        assert_eq!(check.outcome, Outcome::Passed, "{check}");
    }
    let simulator = &appraisal.checks[4];
    assert!(simulator.to_string().contains("NOT SECURE"), "{simulator}");
    let accepted = appraisal.accept().unwrap();
    assert_eq!(accepted.digest(), &Digest::of(&session.record_bytes));
    assert_eq!(accepted.record(), &session.record);
    assert!(accepted.is_simulated());
    assert_eq!(accepted.reference().version, factory::VERSION);
}

/// Row 1: replayed evidence.
#[test]
fn evidence_for_another_nonce_is_refused() {
    let mut session = Session::simulated();
    session.nonce = Hex([8; 32]);
    assert_eq!(refused(&session).what, "report data");
    assert_eq!(
        outcome(&session.appraise(), "session record"),
        Outcome::NotReached
    );
}

/// Row 2: a genuine enclave's evidence beside a record with the attacker's key.
#[test]
fn a_record_with_another_key_than_the_evidence_covers_is_refused_unparsed() {
    let attacker = PrivateKey::from_seed(SecretKey::from_bytes([9; 32]));
    let genuine = Session::simulated();
    let parts = &genuine.record;
    let diverted = SessionRecord::new(RecordParts {
        runtime: parts.runtime.clone(),
        engine: parts.engine.clone(),
        compilation_cache: parts.compilation_cache,
        tenant: parts.tenant,
        policy: parts.policy,
        components: parts.components.clone(),
        hpke_public_key: attacker.public_key(),
        signing_public_key: parts.signing_public_key(),
    });
    let session = Session::simulated().with_swapped_record(|record| *record = diverted);
    assert_eq!(refused(&session).what, "report data");
    assert_eq!(
        outcome(&session.appraise(), "session record"),
        Outcome::NotReached
    );
    assert_eq!(
        outcome(&session.appraise(), "runtime release"),
        Outcome::NotReached
    );
}

/// Row 2: the record's bytes are hashed as they came, so bytes that parse alike do not pass.
#[test]
fn a_record_that_parses_alike_but_has_other_bytes_is_refused() {
    let mut session = Session::simulated();
    session.record_bytes.push(b' ');
    assert_eq!(refused(&session).what, "report data");
}

#[test]
fn evidence_with_any_bit_flipped_is_refused() {
    let len = Session::simulated().evidence.value.0.len();
    for byte in 0..len {
        let session = Session::simulated().with_flipped_evidence(byte);
        assert_eq!(refused(&session).what, "evidence signature", "byte {byte}");
    }
}

#[test]
fn evidence_of_a_simulator_nobody_pinned_is_refused() {
    let mut session = Session::simulated();
    session.sim_key = SigningKey::from_bytes(&[42; 32]);
    let session = session.signed_again();
    assert_eq!(refused(&session).what, "evidence signature");
}

/// Row 5: duplicate and unknown fields of the record are errors.
#[test]
fn a_record_with_duplicate_or_unknown_fields_is_refused() {
    for extra in ["{\"version\":1,", "{\"extra\":1,"] {
        let text = String::from_utf8(Session::simulated().record_bytes).unwrap();
        let bytes = text.replacen('{', extra, 1).into_bytes();
        let session = Session::simulated().with_record_bytes(bytes);
        assert_eq!(refused(&session).what, "session record");
    }
}

/// Row 7: keys released to the wrong workload.
#[test]
fn a_session_for_another_policy_is_refused() {
    let session = Session::simulated().with_record(|record| record.policy = Digest::of(b"other"));
    assert_eq!(refused(&session).what, "policy digest");
    let session =
        Session::simulated().with_record(|record| record.tenant = Some(Digest::of(b"other")));
    assert_eq!(refused(&session).what, "tenant");
    let policy = Digest::of(&session.policy_bytes);
    let session = Session::simulated().with_record(|record| record.tenant = Some(policy));
    assert!(session.appraise().is_accepted());
}

/// Row 7: components must agree by name, digest, order and number.
#[test]
fn other_components_than_the_policys_are_refused() {
    let changes: [fn(&mut SessionRecord); 5] = [
        |record| record.components[0].sha256 = Digest::of(b"evil.wasm"),
        |record| record.components[0].name = "other".parse().unwrap(),
        |record| record.components.swap(0, 1),
        |record| record.components.truncate(1),
        |record| record.components.clear(),
    ];
    for change in changes {
        let session = Session::simulated().with_record(change);
        assert_eq!(refused(&session).what, "components");
    }
}

#[test]
fn a_policy_that_names_another_file_than_the_verifiers_is_refused() {
    let mut session = Session::simulated();
    let mut own = factory::components();
    own[1].sha256 = Digest::of(b"rebuilt.wasm");
    session.expected_components = Some(own);
    assert_eq!(refused(&session).what, "components measured here");
    session.expected_components = Some(vec![]);
    assert_eq!(refused(&session).what, "components measured here");
    session.expected_components = None;
    assert!(session.appraise().is_accepted());
}

/// Row 8: the simulator passes only where the verifier and the policy both say so.
#[test]
fn a_simulator_is_refused_without_permission() {
    let mut session = Session::simulated();
    session.allow_simulated = false;
    assert_eq!(refused(&session).what, "simulator");
    assert!(refused(&session).advice.contains("--allow-simulated"));
}

/// Row 8: a policy for real enclaves never accepts a simulator, allowed or not.
#[test]
fn a_simulator_under_a_hardware_policy_is_refused() {
    let session = Session::new(&factory::policy("[\"sev-snp\", \"tdx\"]"));
    let check = refused(&session);
    assert_eq!(check.what, "kind of enclave");
    assert!(check.expected.contains("sev-snp"), "{check}");
    assert_eq!(outcome(&session.appraise(), "simulator"), Outcome::Failed);
    // And a policy that lists both does not even parse.
    let session = Session::new(&factory::policy("[\"sim\", \"tdx\"]"));
    assert_eq!(refused(&session).what, "policy");
}

/// Row 8: simulated evidence under a hardware media type, and the other way round.
#[test]
fn evidence_of_a_tee_without_a_verifier_is_refused_by_name() {
    for (tee, policy) in [
        (Tee::Sgx, "[\"sgx\"]"),
        (Tee::Tdx, "[\"tdx\"]"),
        (Tee::SevSnp, "[\"sev-snp\"]"),
        (Tee::Nitro, "[\"nitro\"]"),
        (Tee::AzureVtpm, "[\"azure-vtpm\"]"),
    ] {
        let mut session = Session::new(&factory::policy(policy));
        session.evidence.media_type = evidence::media_type(tee).to_owned();
        let check = refused(&session);
        assert_eq!(check.what, "evidence signature");
        assert!(check.found.contains(tee.as_str()), "{check}");
        assert!(check.found.contains("cannot verify"), "{check}");
    }
    let mut session = Session::simulated();
    session.evidence.media_type = "application/json".to_owned();
    assert_eq!(refused(&session).what, "evidence type");
    session.evidence.media_type.clear();
    assert_eq!(refused(&session).what, "evidence type");
}

/// Row 8: a cache only the simulator has gives it away elsewhere; the simulator itself may.
#[test]
fn the_simulators_compilation_cache_passes_for_the_simulator() {
    let cache = |record: &mut SessionRecord| {
        record.compilation_cache = CompilationCache::Simulator;
    };
    assert!(
        Session::simulated()
            .with_record(cache)
            .appraise()
            .is_accepted()
    );
}

/// Row 9: what was good once and is no longer.
#[test]
fn a_revoked_runtime_is_refused() {
    let mut session = Session::simulated();
    let mut reference = factory::reference(&session.measurement);
    reference.revoked = true;
    session.trust.add(reference).unwrap();
    let check = refused(&session);
    assert_eq!(check.what, "runtime measurement");
    assert!(check.found.contains("revoked"), "{check}");
}

/// Row 9: a component revoked by its publisher, though the policy still names it.
#[test]
fn a_revoked_component_is_refused() {
    let mut session = Session::simulated();
    let key = SigningKey::from_bytes(&[6; 32]);
    let list = ReleaseList::new(1, vec![], vec![factory::components()[1].sha256]);
    let envelope = Envelope::sign(releases::PAYLOAD_TYPE, to_json(&list), &key);
    let keys = [key.verifying_key().to_bytes()];
    session
        .trust
        .take_releases(&to_json(&envelope), &keys)
        .unwrap();
    let check = refused(&session);
    assert_eq!(check.what, "component revocation");
    assert!(check.found.contains("xgboost"), "{check}");
}

/// Row 9: an expired policy stops releases, and never the reading of a receipt.
#[test]
fn an_expired_policy_is_refused_for_release_only() {
    let expires = 1_798_675_200;
    let mut session = Session::simulated();
    session.now = UnixSeconds(expires - 1);
    assert!(session.appraise().is_accepted());
    session.now = UnixSeconds(expires);
    assert_eq!(refused(&session).what, "policy's expiry");
    session.now = UnixSeconds(expires + 3 * 86_400);
    assert!(refused(&session).found.contains("3 days"));
    session.purpose = Purpose::Receipt;
    assert!(session.appraise().is_accepted());
}

/// Row 25: nobody but the verifier says which runtime is good.
#[test]
fn an_unknown_measurement_is_refused_with_the_line_that_recomputes_it() {
    let mut session = Session::simulated();
    session.measurement = Digest::of(b"another executable");
    let session = session.signed_again();
    let check = refused(&session);
    assert_eq!(check.what, "runtime measurement");
    assert!(check.found.contains(&session.measurement.to_string()));
    assert!(check.advice.contains("cargo xtask measure"));
}

/// Row 25 and row 7: an empty trust store trusts nothing.
#[test]
fn an_empty_trust_store_refuses_everything() {
    let mut session = Session::simulated();
    session.trust = TrustStore::new();
    assert_eq!(refused(&session).what, "evidence signature");
    session
        .trust
        .pin_simulator(session.sim_key.verifying_key().into());
    assert_eq!(refused(&session).what, "runtime measurement");
}

/// Row 25: a runtime that calls itself another release than it measures to.
#[test]
fn a_runtime_with_another_name_or_version_than_its_reference_value_is_refused() {
    let session =
        Session::simulated().with_record(|record| record.runtime.name = "mc2-runtime".to_owned());
    assert_eq!(refused(&session).what, "runtime release");
    let session = Session::simulated().with_record(|record| record.runtime.version.clear());
    assert_eq!(refused(&session).what, "runtime release");
}

#[test]
fn an_unknown_engine_or_profile_is_refused() {
    for profile in ["", "fast", "VM"] {
        let session =
            Session::simulated().with_record(|record| record.engine.profile = profile.to_owned());
        assert_eq!(refused(&session).what, "engine", "{profile:?}");
    }
    let session = Session::simulated().with_record(|record| record.engine.name = "v8".to_owned());
    assert_eq!(refused(&session).what, "engine");
}

#[test]
fn a_policy_that_does_not_parse_is_refused() {
    let mut session = Session::simulated();
    session.policy_bytes = b"".to_vec();
    assert_eq!(refused(&session).what, "policy");
    session.policy_bytes = b"\xff".to_vec();
    assert_eq!(refused(&session).what, "policy");
}

/// Row 18, on a terminal: what the host sent cannot draw there.
#[test]
fn control_characters_from_outside_do_not_reach_the_terminal() {
    let mut session = Session::simulated();
    session.evidence.media_type = "\x1b[2Jpassed\n".to_owned();
    let check = refused(&session);
    assert!(!check.found.chars().any(char::is_control), "{check:?}");
}

#[test]
fn oversized_and_random_evidence_is_refused() {
    let mut session = Session::simulated();
    session.evidence.value.0 = vec![b' '; sim::MAX_LEN + 1];
    assert_eq!(refused(&session).what, "evidence signature");
    session.evidence.value.0.clear();
    assert_eq!(refused(&session).what, "evidence signature");
}
