//! Whole appraisals, and what the tests of single checks share.

use mc2_protocol::policy::{Platform, Policy};

use super::{Appraisal, checks::ALL, facts::Facts, rule::Rule};
use crate::{
    Check, Measurement, Outcome,
    claims::{Claims, Hardware, ReportData, Tcb},
    tee::{self, Tee},
    test_util::factory::{self, Session},
    trust::TrustStore,
};

/// The first failed check, of which there must be one; nothing may be accepted then.
pub(super) fn refused(session: &Session) -> Check {
    let appraisal = session.appraise();
    assert!(!appraisal.is_accepted());
    let refused = appraisal.accept().unwrap_err();
    let first = refused.failed[0].clone();
    assert!(!first.expected.is_empty() && !first.found.is_empty() && !first.advice.is_empty());
    assert!(refused.to_string().contains(&first.to_string()));
    first
}

/// How the check `what` came out.
pub(super) fn outcome(appraisal: &Appraisal, what: &str) -> Outcome {
    let check = appraisal.checks.iter().find(|check| check.what == what);
    check.unwrap_or_else(|| panic!("no check {what:?}")).outcome
}

/// Gives `f` the facts of an appraisal of `session` that has not begun.
pub(super) fn with_facts<T>(session: &Session, f: impl FnOnce(&mut Facts<'_>) -> T) -> T {
    f(&mut Facts::new(&session.input()))
}

/// How one check comes out by itself.
pub(super) fn outcome_of(rule: &dyn Rule, facts: &mut Facts<'_>) -> Outcome {
    assert!(rule.applies(facts));
    rule.check(facts).map_or(Outcome::NotReached, |finding| {
        Check::made(rule.id(), rule.what(), finding).outcome
    })
}

/// Hardware of which nothing is known but its platforms and the state of its firmware.
pub(super) fn hardware(platforms: Vec<Platform>, tcb: Tcb) -> Hardware {
    Hardware {
        platforms,
        tcb,
        advisories: Vec::new(),
        debug: false,
        host_data: Vec::new(),
        registers: Vec::new(),
    }
}

/// How one check comes out on hardware of which `found` is known, under a policy with these
/// platforms and TCB statuses.
pub(super) fn on_hardware(
    rule: &dyn Rule,
    platforms: &str,
    tcb: &str,
    found: Option<Hardware>,
) -> Outcome {
    let policy = factory::policy("[\"sev-snp\"]")
        .replacen(
            "platforms = \"any\"",
            &format!("platforms = {platforms}"),
            1,
        )
        .replacen("tcb = \"up-to-date\"", &format!("tcb = {tcb}"), 1);
    with_facts(&Session::new(&policy), |facts| {
        facts.policy = Some(Policy::parse(policy.as_bytes()).unwrap());
        facts.tee = Some(Tee::SevSnp);
        facts.claims = Some(Claims {
            report_data: ReportData::Bytes(vec![0; 64]),
            measurement: Measurement::from_bytes(&[1; 48]).unwrap(),
            hardware: found,
        });
        outcome_of(rule, facts)
    })
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
    assert_eq!(
        accepted.digest(),
        &mc2_protocol::Digest::of(&session.record_bytes)
    );
    assert_eq!(accepted.record(), &session.record);
    assert!(accepted.is_simulated());
    assert_eq!(accepted.reference().version, factory::VERSION);
}

/// Row 7: a check that was not made counts as failed, from whatever point on nothing is known.
#[test]
fn what_was_not_reached_does_not_pass() {
    let mut session = Session::simulated();
    session.evidence.media_type.clear();
    let appraisal = session.appraise();
    let made: Vec<&str> = appraisal.checks.iter().map(|check| check.what).collect();
    let all: Vec<&str> = ALL.iter().map(|rule| rule.what()).collect();
    // Nobody knows whether it is hardware, so its checks are asked for too.
    assert_eq!(made, all);
    for check in &appraisal.checks[3..] {
        assert_eq!(check.outcome, Outcome::NotReached, "{check}");
    }
    assert!(!appraisal.is_accepted());
}

/// Rows 7 and 25: an empty trust store trusts nothing.
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

/// Row 18, on a terminal: what the host sent cannot draw there.
#[test]
fn control_characters_from_outside_do_not_reach_the_terminal() {
    let mut session = Session::simulated();
    session.evidence.media_type = "\x1b[2Jpassed\n".to_owned();
    let check = refused(&session);
    assert!(!check.found.chars().any(char::is_control), "{check:?}");
}

/// The page for users has a line for each check, in order and in the same words.
#[test]
fn every_check_is_documented() {
    let page = include_str!("../../../docs/attestation.md");
    let (_, table) = page.split_once("| line | id | passes if |").unwrap();
    let documented: Vec<String> = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.rsplit_once(" | "))
        .map(|(line_and_id, _)| line_and_id.to_owned())
        .collect();
    let made: Vec<String> = ALL
        .iter()
        .map(|rule| format!("{} | `{}`", rule.what(), rule.id()))
        .collect();
    assert_eq!(documented, made);
    // And so has every check of a TEE's verifier.
    for line in Tee::ALL.into_iter().flat_map(tee::lines) {
        let row = format!("| {} | `{}` | ", line.what, line.id);
        assert!(page.contains(&row), "{row}");
    }
}
