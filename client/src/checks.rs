//! Checks of evidence and receipts, for people and for programs.

use mc2_attestation::{Check, Outcome};
use serde_json::{Value, json};

/// One line for each check.
pub fn to_text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = match check.outcome {
            Outcome::Passed => "ok  ",
            Outcome::Failed => "FAIL",
            Outcome::NotReached => "-   ",
        };
        text.push_str(&format!("  {mark}  {check}\n"));
    }
    text
}

/// One object for each check.
pub fn to_json(checks: &[Check]) -> Vec<Value> {
    checks
        .iter()
        .map(|check| {
            let outcome = match check.outcome {
                Outcome::Passed => "passed",
                Outcome::Failed => "failed",
                Outcome::NotReached => "not-reached",
            };
            json!({
                "id": check.id,
                "what": check.what,
                "outcome": outcome,
                "expected": check.expected,
                "found": check.found,
                "advice": check.advice,
            })
        })
        .collect()
}
