//! The checks themselves, from the outside in: nothing is read before what vouches for it.

use mc2_protocol::{
    policy::{Platforms, Tcb},
    record::CompilationCache,
};

use super::{
    AppraisalInput, AppraisedSession, Claims, ComponentDigest, Digest, Known, Line, Lines, Policy,
    Purpose, ReferenceValue, SessionRecord, Tee, claims, evidence, report_data, session_digest,
};
use crate::tee;

/// The engine profiles this release knows.
const PROFILES: [&str; 2] = ["vm", "sgx"];
const ENGINE: &str = "wasmtime";

const RELAYED: &str = "this evidence is not about this session and nonce: it was replayed or \
                       belongs to another enclave; ask for evidence again, and don't use this host \
                       if it happens twice";
const OTHER_POLICY: &str = "the session was opened for another policy: open one for yours";

/// Makes every check that can be made. The session it returns is good only if all passed.
pub(super) fn judge(input: &AppraisalInput<'_>, lines: &mut Lines) -> Option<AppraisedSession> {
    let policy = policy(input, lines);
    let tee = evidence_type(input, lines);
    if let (Some(tee), Some(policy)) = (tee, &policy) {
        kind(input, tee, policy, lines);
    }
    let tee = tee?;
    let claims = signature(input, tee, lines)?;
    let same_record = report(input, &claims, lines);
    let reference = measurement(input, tee, &claims, lines);
    if let Some(policy) = &policy {
        hardware(&claims, policy, lines);
    }
    if !same_record {
        return None;
    }
    // Only from here on are the record's bytes known to be those the hardware signed for.
    let record = match SessionRecord::parse(input.record_bytes) {
        Ok(record) => record,
        Err(error) => {
            let advice = "the runtime speaks another version of the protocol: use a client of the \
                          same release";
            lines.failed(Line::Record, "a session record of version 1", error, advice);
            return None;
        }
    };
    let digest = session_digest(input.record_bytes);
    lines.passed(Line::Record, format!("session {digest}"));
    policy_digest(input, &record, lines);
    if let Some(policy) = &policy {
        components(input, policy, &record, lines);
    }
    revoked_components(input, &record, lines);
    engine(&record, lines);
    cache(tee, &record, lines);
    let reference = reference?;
    runtime(reference, &record, lines);
    Some(AppraisedSession {
        record,
        digest,
        tee,
        reference: reference.clone(),
    })
}

fn policy(input: &AppraisalInput<'_>, lines: &mut Lines) -> Option<Policy> {
    let policy = match Policy::parse(input.policy_bytes) {
        Ok(policy) => policy,
        Err(error) => {
            let advice = "correct the policy; `mc2 inspect` shows what it says";
            lines.failed(Line::Policy, "a policy of version 1", error, advice);
            return None;
        }
    };
    lines.passed(Line::Policy, policy.name());
    if input.purpose == Purpose::Release {
        let expired = policy.is_expired(input.now.0);
        let found = if expired {
            format!("expired {} ago", span(input.now.0 - policy.expires()))
        } else {
            format!("good for {}", span(policy.expires() - input.now.0))
        };
        let advice = "agree on a new policy with a later `expires`, or correct this clock";
        lines.check(
            Line::Expiry,
            !expired,
            "a policy that is still good",
            found,
            advice,
        );
    }
    Some(policy)
}

fn evidence_type(input: &AppraisalInput<'_>, lines: &mut Lines) -> Option<Tee> {
    match evidence::tee_of(input.evidence, input.endorsements) {
        Ok(tee) => {
            lines.passed(Line::EvidenceType, &input.evidence.media_type);
            Some(tee)
        }
        Err(error) => {
            let advice = "the host answers with something that is no evidence this client reads: \
                          check the host, or use a newer client";
            lines.failed(
                Line::EvidenceType,
                "evidence of a known type",
                error,
                advice,
            );
            None
        }
    }
}

fn kind(input: &AppraisalInput<'_>, tee: Tee, policy: &Policy, lines: &mut Lines) {
    let accepted = &policy.enclave().tee;
    let names: Vec<&str> = accepted.iter().map(|tee| tee.as_str()).collect();
    lines.check(
        Line::Kind,
        accepted.contains(&tee),
        format!("one the policy accepts: {}", names.join(", ")),
        tee::title(tee),
        "use a host with such an enclave, or agree on a policy that accepts this one",
    );
    if tee == Tee::Sim {
        let alone = accepted.as_slice() == [Tee::Sim];
        lines.check(
            Line::Simulated,
            input.allow_simulated && alone,
            "a real enclave",
            "a simulated one, allowed by --allow-simulated: NOT SECURE",
            "use a real enclave; to try things out with data that is not secret, pass \
             --allow-simulated and a policy whose `tee` is [\"sim\"] alone",
        );
    }
}

fn signature(input: &AppraisalInput<'_>, tee: Tee, lines: &mut Lines) -> Option<Claims> {
    match claims::verify(tee, input.evidence, input.trust) {
        Ok(claims) => {
            let root = match tee {
                Tee::Sim => "by a simulator this client pinned, NOT SECURE".to_owned(),
                other => format!("verified up to the root of {}", tee::title(other)),
            };
            lines.passed(Line::Signature, root);
            Some(claims)
        }
        Err(error) => {
            let advice = "do not give this session anything: whoever answered did not prove to be \
                          such an enclave";
            let expected = format!("evidence signed by {}", tee::title(tee));
            lines.failed(Line::Signature, expected, error, advice);
            None
        }
    }
}

/// Compares the report data with the record's bytes before anybody parses them.
fn report(input: &AppraisalInput<'_>, claims: &Claims, lines: &mut Lines) -> bool {
    let expected = report_data(input.record_bytes, input.nonce);
    lines.check(
        Line::ReportData,
        expected == claims.report_data,
        format!("{}… over this record and nonce", short(&expected)),
        format!("{}…", short(&claims.report_data)),
        RELAYED,
    )
}

fn measurement<'a>(
    input: &AppraisalInput<'a>,
    tee: Tee,
    claims: &Claims,
    lines: &mut Lines,
) -> Option<&'a ReferenceValue> {
    let expected = format!("a {tee} measurement in this client's trust store");
    let found = &claims.measurement;
    match input.trust.find(tee, found) {
        Known::Good(reference) => {
            let ReferenceValue {
                runtime, version, ..
            } = reference;
            lines.passed(Line::Measurement, format!("{found}, {runtime} {version}"));
            Some(reference)
        }
        Known::Revoked(ReferenceValue {
            runtime, version, ..
        }) => {
            let found = format!("{found}, the revoked {runtime} {version}");
            let advice = "use a host that runs a release which was not revoked";
            lines.failed(Line::Measurement, expected, found, advice);
            None
        }
        Known::Unknown => {
            let advice = "recompute it from source you trust with `cargo xtask measure`; if that \
                          prints the same value, add it to the trust store";
            lines.failed(Line::Measurement, expected, found, advice);
            None
        }
    }
}

fn hardware(claims: &Claims, policy: &Policy, lines: &mut Lines) {
    let Some(hardware) = &claims.hardware else {
        return;
    };
    let found: Vec<String> = hardware.platforms.iter().map(ToString::to_string).collect();
    let enclave = policy.enclave();
    let (listed, expected) = match &enclave.platforms {
        Platforms::Any => (true, "any platform".to_owned()),
        Platforms::Listed(listed) => (
            hardware.platforms.iter().any(|one| listed.contains(one)),
            format!("one of the policy's {} platforms", listed.len()),
        ),
    };
    lines.check(
        Line::Platform,
        listed,
        expected,
        found.join(", "),
        "use a host on a listed platform, or agree on a policy that lists this one",
    );
    let expected = match &enclave.tcb {
        Tcb::UpToDate => "UpToDate".to_owned(),
        Tcb::Accepted(accepted) => {
            let names: Vec<&str> = accepted.iter().map(|status| status.as_str()).collect();
            format!("one of {}", names.join(", "))
        }
    };
    lines.check(
        Line::Tcb,
        enclave.tcb.allows(hardware.tcb),
        expected,
        hardware.tcb,
        "the machine's operator must update firmware and microcode",
    );
}

fn policy_digest(input: &AppraisalInput<'_>, record: &SessionRecord, lines: &mut Lines) {
    let expected = Digest::of(input.policy_bytes);
    let same = record.policy == expected;
    lines.check(
        Line::PolicyDigest,
        same,
        expected,
        record.policy,
        OTHER_POLICY,
    );
    let (fixed, found) = match &record.tenant {
        None => (true, "not fixed at launch".to_owned()),
        Some(tenant) => (*tenant == expected, format!("fixed at launch: {tenant}")),
    };
    lines.check(Line::Tenant, fixed, expected, found, OTHER_POLICY);
}

fn components(
    input: &AppraisalInput<'_>,
    policy: &Policy,
    record: &SessionRecord,
    lines: &mut Lines,
) {
    let expected: Vec<ComponentDigest> = policy
        .components()
        .iter()
        .map(|component| ComponentDigest {
            name: component.name.clone(),
            sha256: component.sha256,
        })
        .collect();
    lines.check(
        Line::Components,
        !expected.is_empty() && record.components == expected,
        listed(&expected),
        listed(&record.components),
        "the runtime measured other components than the policy names: do not use this session",
    );
    if let Some(own) = input.expected_components {
        lines.check(
            Line::OwnComponents,
            !own.is_empty() && record.components == own,
            listed(own),
            listed(&record.components),
            "the policy names another component than the file here: rebuild the file, or correct \
             the policy's sha256",
        );
    }
}

fn revoked_components(input: &AppraisalInput<'_>, record: &SessionRecord, lines: &mut Lines) {
    let revoked: Vec<ComponentDigest> = record
        .components
        .iter()
        .filter(|component| input.trust.is_component_revoked(&component.sha256))
        .cloned()
        .collect();
    let found = if revoked.is_empty() {
        "none revoked".to_owned()
    } else {
        format!("revoked: {}", listed(&revoked))
    };
    lines.check(
        Line::RevokedComponents,
        revoked.is_empty(),
        "components that were not revoked",
        found,
        "agree on a policy with a newer release of the component",
    );
}

fn runtime(reference: &ReferenceValue, record: &SessionRecord, lines: &mut Lines) {
    let same =
        record.runtime.name == reference.runtime && record.runtime.version == reference.version;
    lines.check(
        Line::Runtime,
        same,
        format!(
            "{} {}, by its measurement",
            reference.runtime, reference.version
        ),
        format!("{} {}", record.runtime.name, record.runtime.version),
        "the runtime calls itself something else than what it measures to: do not use this host",
    );
}

fn engine(record: &SessionRecord, lines: &mut Lines) {
    let engine = &record.engine;
    let known = engine.name == ENGINE
        && PROFILES.contains(&engine.profile.as_str())
        && !engine.version.is_empty();
    lines.check(
        Line::Engine,
        known,
        format!("{ENGINE} with the profile vm or sgx"),
        format!(
            "{} {} with the profile {}",
            engine.name, engine.version, engine.profile
        ),
        "use a client of the runtime's release",
    );
}

fn cache(tee: Tee, record: &SessionRecord, lines: &mut Lines) {
    let (name, allowed) = match record.compilation_cache {
        CompilationCache::Memory => ("in enclave memory", true),
        CompilationCache::Boot => ("on the host, sealed until the next boot", true),
        // A vTPM cannot derive a key that only this runtime gets.
        CompilationCache::Lasting => (
            "on the host, sealed to this runtime",
            !matches!(tee, Tee::AzureVtpm),
        ),
        CompilationCache::Simulator => ("in the user's cache folder", tee == Tee::Sim),
    };
    lines.check(
        Line::Cache,
        allowed,
        format!("one that is safe in {}", tee::title(tee)),
        name,
        "compiled code could be planted there: use a host that keeps it elsewhere",
    );
}

fn listed(components: &[ComponentDigest]) -> String {
    if components.is_empty() {
        return "none".to_owned();
    }
    let lines: Vec<String> = components
        .iter()
        .map(|component| format!("{} {}", component.name, component.sha256))
        .collect();
    lines.join(", ")
}

/// A span of seconds, for people.
fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let unit = UNITS.into_iter().find(|(length, _)| seconds >= 2 * length);
    let (length, name) = unit.unwrap_or((1, "seconds"));
    format!("{} {name}", seconds / length)
}

fn short(report_data: &[u8; 64]) -> String {
    hex::encode(&report_data[..16])
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{encoding::Hex, policy::Platform, policy::TcbStatus};

    use super::*;
    use crate::{Measurement, appraisal::Outcome, claims::Hardware, test_util::factory};

    fn only_outcome(lines: Lines, line: Line) -> Outcome {
        let checks = lines.into_checks(&[line]);
        let what = Line::what(line);
        let check = checks.iter().find(|check| check.what == what);
        check.map_or(Outcome::NotReached, |check| check.outcome)
    }

    fn cached(tee: Tee, cache_kind: CompilationCache) -> Outcome {
        let mut record = factory::record(Digest::of(b"policy"), factory::components());
        record.compilation_cache = cache_kind;
        let mut lines = Lines::default();
        cache(tee, &record, &mut lines);
        only_outcome(lines, Line::Cache)
    }

    /// Rows 4 and 29 of ATTACKS.md.
    #[test]
    fn a_compilation_cache_is_refused_where_others_could_write_it() {
        for tee in Tee::ALL {
            let simulator = cached(tee, CompilationCache::Simulator);
            assert_eq!(simulator == Outcome::Passed, tee == Tee::Sim, "{tee}");
            let lasting = cached(tee, CompilationCache::Lasting);
            assert_eq!(lasting == Outcome::Passed, tee != Tee::AzureVtpm, "{tee}");
            assert_eq!(cached(tee, CompilationCache::Memory), Outcome::Passed);
        }
    }

    fn on_hardware(platforms: &str, tcb: &str, found: Option<Hardware>) -> [Outcome; 2] {
        let policy = factory::policy("[\"sev-snp\"]")
            .replacen(
                "platforms = \"any\"",
                &format!("platforms = {platforms}"),
                1,
            )
            .replacen("tcb = \"up-to-date\"", &format!("tcb = {tcb}"), 1);
        let policy = Policy::parse(policy.as_bytes()).unwrap();
        let claims = Claims {
            report_data: [0; 64],
            measurement: Measurement::from_bytes(&[1; 48]).unwrap(),
            hardware: found,
        };
        [Line::Platform, Line::Tcb].map(|line| {
            let mut lines = Lines::default();
            hardware(&claims, &policy, &mut lines);
            only_outcome(lines, line)
        })
    }

    /// Rows 2 and 9 of ATTACKS.md: a platform that is not listed, or out of date.
    #[test]
    fn a_platform_passes_only_if_listed_and_in_an_accepted_state() {
        const PASSED: Outcome = Outcome::Passed;
        const FAILED: Outcome = Outcome::Failed;
        let chip = |byte, tcb| {
            let platforms = vec![Platform::Chip(Hex([byte; 64]))];
            Some(Hardware { platforms, tcb })
        };
        let listed = format!("[\"chip:{}\"]", "01".repeat(64));
        let (fresh, stale) = (TcbStatus::UpToDate, TcbStatus::OutOfDate);
        let strict = "\"up-to-date\"";
        let good = on_hardware(&listed, strict, chip(1, fresh));
        assert_eq!(good, [PASSED, PASSED]);
        let stranger = on_hardware(&listed, strict, chip(2, fresh));
        assert_eq!(stranger, [FAILED, PASSED]);
        let outdated = on_hardware("\"any\"", strict, chip(2, stale));
        assert_eq!(outdated, [PASSED, FAILED]);
        let accepted = on_hardware("\"any\"", "[\"OutOfDate\"]", chip(2, stale));
        assert_eq!(accepted, [PASSED, PASSED]);
        let nameless = Some(Hardware {
            platforms: vec![],
            tcb: fresh,
        });
        assert_eq!(on_hardware(&listed, strict, nameless), [FAILED, PASSED]);
        // A verifier that says nothing of the hardware makes neither check, so neither passes.
        let silent = on_hardware("\"any\"", strict, None);
        assert_eq!(silent, [Outcome::NotReached; 2]);
    }
}
