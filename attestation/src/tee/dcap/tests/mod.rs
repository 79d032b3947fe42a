//! Quotes, real and forged, and what becomes of them.

mod forged;
mod real;

use mc2_protocol::policy::{Tcb, TcbStatus};

use crate::{
    Accepted, Endorsement, Evidence, Judgement, PlatformFlags, ReferenceValue, TrustStore,
    UnixSeconds,
    appraisal::{BareEvidence, judge},
    check::Outcome,
};

/// What a quote is judged with, but for time and collateral.
struct Verifier {
    trust: TrustStore,
    accepted: Accepted,
    tcb: Tcb,
    reference: Option<Vec<ReferenceValue>>,
}

impl Verifier {
    /// With Intel's own root, any platform flag, and the status `tcb`.
    fn accepting(tcb: &[TcbStatus]) -> Self {
        Self {
            trust: TrustStore::new(),
            accepted: Accepted {
                platform: PlatformFlags::ALL,
                ..Accepted::default()
            },
            tcb: Tcb::Accepted(tcb.to_vec()),
            reference: None,
        }
    }

    fn judge(&self, quote: &Evidence, collateral: &[Endorsement], now: u64) -> Judgement {
        judge(&BareEvidence {
            evidence: quote,
            endorsements: collateral,
            reference: self.reference.as_deref(),
            tcb: &self.tcb,
            accepted: self.accepted,
            trust: &self.trust,
            now: UnixSeconds(now),
        })
        .unwrap()
    }

    /// The id of the first check that failed, of which there must be one; what was not reached
    /// stands below it.
    fn refusal(&self, quote: &Evidence, collateral: &[Endorsement], now: u64) -> &'static str {
        refusal(&self.judge(quote, collateral, now))
    }
}

fn refusal(judgement: &Judgement) -> &'static str {
    assert!(!judgement.has_passed());
    let mut failed = judgement.checks.iter();
    let failed = failed.find(|check| check.outcome == Outcome::Failed);
    let failed = failed.expect("something failed");
    assert!(!failed.expected.is_empty() && !failed.found.is_empty() && !failed.advice.is_empty());
    failed.id
}
