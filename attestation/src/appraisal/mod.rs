//! Appraisal: evidence, a session record, a policy and a trust store in; every check with its
//! reason, and perhaps an appraised session, out (RFC 9334 §8.4's attestation results).
//!
//! What is checked, and in which order, is the list in `checks`, one file a check. A check reads
//! what those before it established (`facts`) and says what it expected and found (`check`); the
//! `verdict` has a session only if every one passed.

mod check;
mod checks;
mod facts;
mod input;
mod rule;
mod verdict;

pub use check::{Check, Outcome};
pub use input::{AppraisalInput, Purpose, UnixSeconds};
pub use verdict::{Appraisal, AppraisedSession, Refused};

use facts::Facts;

/// Appraises evidence. Never fails: what is wrong stands in the checks.
pub fn appraise(input: &AppraisalInput<'_>) -> Appraisal {
    let mut facts = Facts::new(input);
    let mut made = Vec::new();
    for rule in checks::ALL {
        if rule.applies(&facts) {
            made.push(Check::new(rule.what(), rule.check(&mut facts)));
        }
    }
    Appraisal::new(made, facts.into_session())
}

#[cfg(test)]
mod tests;
