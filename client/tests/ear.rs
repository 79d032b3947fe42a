//! What an EAT attestation result says, read as whoever gets one does: the signature first.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::Signature;
use mc2_attestation::{Check, Finding, Interval, Tee, UnixSeconds};
use mc2_client::ear::{PROFILE, Verdict};
use mc2_protocol::{Digest, Identity};
use serde_json::{Value, json};

const AFFIRMING: &str = "affirming";
const WARNING: &str = "warning";
const CONTRAINDICATED: &str = "contraindicated";

fn me() -> Identity {
    Identity::generate(
        "me".parse().expect("as it should be"),
        &mut mc2_client::random(),
    )
}

/// The payload of a result, once its signature is checked.
fn read(verdict: &Verdict<'_>) -> Value {
    let me = me();
    let jwt = verdict.to_jwt(&me);
    let (signed, signature) = jwt.rsplit_once('.').expect("as it should be");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("as it should be");
    let signature = Signature::from_slice(&signature).expect("as it should be");
    let key = me.card().verifying_key();
    key.verify_strict(signed.as_bytes(), &signature)
        .expect("as it should be");
    let payload = signed.split_once('.').expect("as it should be").1;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("as it should be"))
        .expect("as it should be")
}

/// The vector and the status of the one thing that was appraised.
fn found(verdict: &Verdict<'_>) -> (Value, String) {
    let payload = read(verdict);
    let one = &payload["submods"]["mc2-runtime"];
    let status = one["ear_status"]
        .as_str()
        .expect("as it should be")
        .to_owned();
    (one["ear_trustworthiness_vector"].clone(), status)
}

fn check(id: &'static str, passed: bool, found: &str) -> Check {
    Check::made(
        id,
        "what",
        Finding::new(passed, "expected", found, "advice"),
    )
}

fn good() -> Vec<Check> {
    [
        ("quote-signature", "signed"),
        ("debug", "off"),
        ("platform-configuration", "nothing"),
        ("report-data", "ours"),
        ("measurement", "mc2-runtime 0.1.0"),
        ("platform", "piid:00"),
        ("tcb", "UpToDate"),
    ]
    .map(|(id, found)| check(id, true, found))
    .to_vec()
}

fn verdict<'a>(checks: &'a [Check], policy: &'a Digest) -> Verdict<'a> {
    Verdict {
        of: "mc2-runtime",
        tee: Some(Tee::Tdx),
        checks,
        policy: Some((policy, true)),
        nonce: None,
        claims: None,
        appraised: UnixSeconds(1_796_000_000),
        holds: Interval::new(UnixSeconds(1_795_000_000), UnixSeconds(1_797_000_000)),
        issued: UnixSeconds(1_796_500_000),
    }
}

fn vector(checks: &[Check]) -> (Value, String) {
    found(&verdict(checks, &Digest::of(b"policy")))
}

#[test]
fn a_result_is_signed_by_whoever_appraised_and_altered_it_is_not() {
    let me = me();
    let (checks, policy) = (good(), Digest::of(b"policy"));
    let nonce = mc2_protocol::encoding::Hex([7; 32]);
    let result = Verdict {
        nonce: Some(&nonce),
        ..verdict(&checks, &policy)
    };
    let jwt = result.to_jwt(&me);
    let [header, payload, signature] = jwt.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let signature = Signature::from_slice(&signature).unwrap();
    let key = me.card().verifying_key();
    let signed = format!("{header}.{payload}");
    key.verify_strict(signed.as_bytes(), &signature).unwrap();
    let altered = signed.replacen(&payload[..1], "x", 1);
    assert!(key.verify_strict(altered.as_bytes(), &signature).is_err());

    let read =
        |part| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let header = read(header);
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["kid"], json!(me.card().digest()));
    let payload = read(payload);
    assert_eq!(payload["eat_profile"], PROFILE);
    assert_eq!(payload["iat"], 1_796_500_000);
    assert_eq!(payload["exp"], 1_797_000_000);
    assert_eq!(payload["eat_nonce"], URL_SAFE_NO_PAD.encode([7; 32]));
    let runtime = &payload["submods"]["mc2-runtime"];
    assert_eq!(runtime["ear_status"], "affirming");
    let policies = json!([format!("urn:mc2:policy:{policy}")]);
    assert_eq!(runtime["ear_appraisal_policy_ids"], policies);
    let checks = runtime["ear_verifier_claims"]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 7);
    let verifier = &runtime["ear_verifier_claims"];
    assert_eq!(verifier["appraised"], 1_796_000_000);
    assert_eq!(verifier["compared"], true);
}

#[test]
fn what_all_passed_affirms_and_an_accepted_weakness_warns() {
    let (found, status) = vector(&good());
    let expected = json!({
        "instance-identity": 2, "configuration": 2, "executables": 2, "hardware": 2,
        "runtime-opaque": 2,
    });
    assert_eq!((found, status.as_str()), (expected, AFFIRMING));
    let mut weak = good();
    weak[6] = check("tcb", true, "SWHardeningNeeded, open to INTEL-SA-00615");
    let (found, status) = vector(&weak);
    assert_eq!((&found["hardware"], status.as_str()), (&json!(32), WARNING));
}

#[test]
fn whatever_failed_affirms_nothing() {
    let claims = [
        (0, "hardware", 99),
        (1, "runtime-opaque", 96),
        (2, "configuration", 96),
        (4, "executables", 96),
        (5, "instance-identity", 97),
        (6, "hardware", 96),
    ];
    for (at, claim, value) in claims {
        let mut checks = good();
        checks[at] = check(checks[at].id, false, "something else");
        let (found, status) = vector(&checks);
        assert_eq!(
            (&found[claim], status.as_str()),
            (&json!(value), CONTRAINDICATED),
            "{claim}"
        );
    }
    // A check that has no claim of its own, and one that was not made.
    let mut checks = good();
    checks[3] = check("report-data", false, "another's");
    assert_eq!(vector(&checks).1, CONTRAINDICATED);
    checks[3] = Check::not_reached("report-data", "what");
    assert_eq!(vector(&checks).1, CONTRAINDICATED);
    assert_eq!(vector(&[]).1, CONTRAINDICATED);
}

#[test]
fn what_was_not_looked_at_is_not_claimed() {
    let policy = Digest::of(b"policy");
    let checks = good();
    let anywhere = Verdict {
        policy: Some((&policy, false)),
        ..verdict(&checks, &policy)
    };
    assert!(found(&anywhere).0.get("instance-identity").is_none());
    let mut checks = good();
    checks.retain(|check| check.id != "measurement");
    assert!(vector(&checks).0.get("executables").is_none());
}

/// Row 7: an attacker's own enclave on good hardware passes every check but that of what it runs.
#[test]
fn an_enclave_of_which_nobody_compared_the_measurement_is_not_affirmed() {
    let mut checks = good();
    checks.retain(|check| check.id != "measurement");
    let policy = Digest::of(b"policy");
    let payload = read(&verdict(&checks, &policy));
    let one = &payload["submods"]["mc2-runtime"];
    assert_eq!(one["ear_status"], WARNING);
    assert_eq!(one["ear_verifier_claims"]["compared"], false);
}

#[test]
fn a_result_ends_with_what_it_rests_on() {
    let (checks, policy) = (good(), Digest::of(b"policy"));
    let ends = |holds| {
        let result = Verdict {
            holds,
            ..verdict(&checks, &policy)
        };
        read(&result).get("exp").cloned()
    };
    let until = |end| Interval::new(UnixSeconds(0), UnixSeconds(end));
    assert_eq!(ends(until(7)), Some(json!(7)));
    assert_eq!(ends(Interval::ALWAYS), None);
    assert_eq!(ends(Interval::NEVER), None);
}

#[test]
fn a_simulator_is_never_affirmed() {
    let checks = [
        check("signature", true, "signed"),
        check("measurement", true, "known"),
    ];
    let policy = Digest::of(b"policy");
    let simulated = Verdict {
        tee: Some(Tee::Sim),
        ..verdict(&checks, &policy)
    };
    let (vector, status) = found(&simulated);
    assert_eq!(
        (&vector["hardware"], status.as_str()),
        (&json!(97), CONTRAINDICATED)
    );
}
