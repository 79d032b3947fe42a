//! The checks of an appraisal, each with its place in the order.

use super::{Check, Outcome};

const MAX_FOUND: usize = 300;

/// One kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Policy,
    Expiry,
    EvidenceType,
    Kind,
    Simulated,
    Signature,
    ReportData,
    Measurement,
    Platform,
    Tcb,
    Record,
    PolicyDigest,
    Tenant,
    Components,
    OwnComponents,
    RevokedComponents,
    Runtime,
    Engine,
    Cache,
}

impl Line {
    pub(super) const ALL: [Self; 19] = [
        Self::Policy,
        Self::Expiry,
        Self::EvidenceType,
        Self::Kind,
        Self::Simulated,
        Self::Signature,
        Self::ReportData,
        Self::Measurement,
        Self::Platform,
        Self::Tcb,
        Self::Record,
        Self::PolicyDigest,
        Self::Tenant,
        Self::Components,
        Self::OwnComponents,
        Self::RevokedComponents,
        Self::Runtime,
        Self::Engine,
        Self::Cache,
    ];

    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Expiry => "policy's expiry",
            Self::EvidenceType => "evidence type",
            Self::Kind => "kind of enclave",
            Self::Simulated => "simulator",
            Self::Signature => "evidence signature",
            Self::ReportData => "report data",
            Self::Measurement => "runtime measurement",
            Self::Platform => "platform",
            Self::Tcb => "platform firmware (TCB)",
            Self::Record => "session record",
            Self::PolicyDigest => "policy digest",
            Self::Tenant => "tenant",
            Self::Components => "components",
            Self::OwnComponents => "components measured here",
            Self::RevokedComponents => "component revocation",
            Self::Runtime => "runtime release",
            Self::Engine => "engine",
            Self::Cache => "compilation cache",
        }
    }
}

/// The checks made so far.
#[derive(Default)]
pub(super) struct Lines(Vec<(Line, Check)>);

impl Lines {
    /// Notes a check that passed with what was found, or failed with expected, found and advice.
    pub(super) fn check(
        &mut self,
        line: Line,
        passed: bool,
        expected: impl ToString,
        found: impl ToString,
        advice: &str,
    ) -> bool {
        let (outcome, advice) = if passed {
            (Outcome::Passed, "")
        } else {
            (Outcome::Failed, advice)
        };
        let check = Check {
            what: line.what(),
            outcome,
            expected: expected.to_string(),
            found: printable(&found.to_string()),
            advice: advice.to_owned(),
        };
        self.0.push((line, check));
        passed
    }

    pub(super) fn failed(
        &mut self,
        line: Line,
        expected: impl ToString,
        found: impl ToString,
        advice: &str,
    ) {
        self.check(line, false, expected, found, advice);
    }

    pub(super) fn passed(&mut self, line: Line, found: impl ToString) {
        self.check(line, true, "", found, "");
    }

    /// Every check made, and every one of `plan` that was not, in order. Of two checks of one
    /// line, the failed one counts.
    pub(super) fn into_checks(self, plan: &[Line]) -> Vec<Check> {
        let made = |line: Line| {
            let mut checks: Vec<&Check> = self
                .0
                .iter()
                .filter_map(|(made, check)| (*made == line).then_some(check))
                .collect();
            checks.sort_by_key(|check| check.outcome == Outcome::Passed);
            checks.first().map(|check| (*check).clone())
        };
        Line::ALL
            .into_iter()
            .filter_map(|line| {
                made(line).or_else(|| plan.contains(&line).then(|| not_reached(line)))
            })
            .collect()
    }
}

fn not_reached(line: Line) -> Check {
    Check {
        what: line.what(),
        outcome: Outcome::NotReached,
        expected: String::new(),
        found: String::new(),
        advice: String::new(),
    }
}

/// Text from outside, fit for a terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut line: String = text.chars().take(MAX_FOUND).map(shown).collect();
    if text.chars().nth(MAX_FOUND).is_some() {
        line.push('…');
    }
    line
}
