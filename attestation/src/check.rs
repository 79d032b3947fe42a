//! One check: what was looked at, how it came out, and what to do about it.

use std::fmt;

const MAX_FOUND: usize = 300;

/// One check, of an appraisal or of whatever else is followed link by link.
///
/// ```
/// use mc2_attestation::{Check, Finding};
///
/// let finding = Finding::new(2 == 3, "2 files", "3 files", "send the third one too");
/// let check = Check::made("file-count", "number of files", finding);
/// // Programs know it by its id, people read its line.
/// assert_eq!(check.id, "file-count");
/// assert!(check.to_string().contains("send the third one too"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which check it is: a stable name, for programs.
    pub id: &'static str,
    /// What was checked, in words for people.
    pub what: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What would have been good.
    pub expected: String,
    /// What there was; guests, hosts and other parties may have chosen it, so it holds no control
    /// characters.
    pub found: String,
    /// What to do about it; empty where it passed.
    pub advice: String,
}

impl Check {
    /// A check that was made.
    pub fn made(id: &'static str, what: &'static str, finding: Finding) -> Self {
        let (outcome, advice) = if finding.passed {
            (Outcome::Passed, "")
        } else {
            (Outcome::Failed, finding.advice)
        };
        Self {
            id,
            what,
            outcome,
            expected: finding.expected,
            found: printable(&finding.found),
            advice: advice.to_owned(),
        }
    }

    /// A check that could not be made.
    pub const fn not_reached(id: &'static str, what: &'static str) -> Self {
        Self {
            id,
            what,
            outcome: Outcome::NotReached,
            expected: String::new(),
            found: String::new(),
            advice: String::new(),
        }
    }

    /// Whether it was made and found what it expected.
    pub fn has_passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id: _,
            what,
            outcome,
            expected,
            found,
            advice,
        } = self;
        match outcome {
            Outcome::Passed => write!(f, "{what}: {found}"),
            Outcome::Failed => {
                write!(f, "{what}: expected {expected}, found {found}; {advice}")
            }
            Outcome::NotReached => write!(f, "{what}: not reached"),
        }
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Expected and found agree.
    Passed,
    /// They don't.
    Failed,
    /// An earlier check failed, so there was nothing to believe here. Counts as failed.
    NotReached,
}

/// What a check has to say.
pub struct Finding {
    passed: bool,
    expected: String,
    found: String,
    advice: &'static str,
}

impl Finding {
    /// Passed or failed, with what would have been good, what there was, and what to do where it
    /// failed.
    pub fn new(
        passed: bool,
        expected: impl ToString,
        found: impl ToString,
        advice: &'static str,
    ) -> Self {
        Self {
            passed,
            expected: expected.to_string(),
            found: found.to_string(),
            advice,
        }
    }

    /// Passed, with what there was.
    pub fn passed(found: impl ToString) -> Self {
        Self::new(true, "", found, "")
    }

    /// Failed.
    pub fn failed(expected: impl ToString, found: impl ToString, advice: &'static str) -> Self {
        Self::new(false, expected, found, advice)
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
