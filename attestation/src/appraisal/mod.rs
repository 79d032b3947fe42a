//! Appraisal: evidence, a session record, a policy and a trust store in; every check with its
//! reason, and perhaps an appraised session, out (RFC 9334 §8.4's attestation results).
//!
//! What is checked, and in which order, is the list in `checks`, one file a check. A check reads
//! what those before it established (`facts`) and says what it expected and found; where the evidence
//! itself is looked at, its TEE's verifier makes as many as it has. The `verdict` has a session only
//! if every one passed. Evidence without a session, from wherever, is judged by the same checks
//! (`bare`).

mod bare;
mod checks;
mod facts;
mod input;
mod rule;
mod verdict;

#[cfg(feature = "verify")]
pub use bare::judge_tpm_quote;
pub use bare::{BareEvidence, Judgement, judge};
pub use input::{AppraisalInput, Purpose};
pub use verdict::{Appraisal, AppraisedSession, Refused};

use facts::Facts;

/// Appraises evidence. Never fails: what is wrong stands in the checks.
///
/// ```
/// use mc2_attestation::{AppraisalInput, Purpose, TrustStore, UnixSeconds, appraise};
/// # use ed25519_dalek::SigningKey;
/// # use mc2_attestation::sim;
/// # use mc2_protocol::{Digest, encoding::Hex, documents::record::report_data};
/// # let simulator = SigningKey::from_bytes(&[1; 32]);
/// # let (record, nonce) = (b"a record", Hex([7; 32]));
/// # let evidence = sim::evidence(&report_data(record, &nonce), &Digest::of(b"exe"), &simulator);
/// # let policy = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/one-party.toml"));
///
/// let trust = TrustStore::new();
/// let appraisal = appraise(&AppraisalInput {
///     evidence: &evidence,
///     endorsements: &[],
///     record_bytes: record,
///     nonce: &nonce,
///     policy_bytes: policy,
///     expected_components: None,
///     trust: &trust,
///     allow_simulated: true,
///     purpose: Purpose::Receipt,
///     now: UnixSeconds(1_780_000_000),
/// });
/// for check in &appraisal.checks {
///     println!("{check}");
/// }
/// // An empty store trusts nobody's evidence, so there is no session to give a key to.
/// let refused = appraisal.accept().unwrap_err();
/// assert_eq!(refused.failed[0].id, "signature");
/// ```
pub fn appraise(input: &AppraisalInput<'_>) -> Appraisal {
    let mut facts = Facts::new(input);
    let mut made = Vec::new();
    for rule in checks::ALL {
        if rule.applies(&facts) {
            made.extend(rule.checks(&mut facts));
        }
    }
    Appraisal::new(made, facts.holds, facts.into_session())
}

#[cfg(test)]
mod tests;
