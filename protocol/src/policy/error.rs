//! What is wrong with a policy, where, and what to write instead.

use std::fmt;

use super::MAX_LEN;

/// A place in the policy's text, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Position {
    /// The position of the byte `offset` of `text`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let offset = text.floor_char_boundary(offset);
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// More bytes than a policy may have.
    #[error("the policy has {found} bytes, at most {MAX_LEN} are accepted")]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// Not UTF-8.
    #[error("the policy is not text: byte {at} is not UTF-8")]
    NotText {
        /// Offset of the first bad byte, from 0.
        at: usize,
    },
    /// Not TOML; a key given twice ends here too.
    #[error("policy, {at}: not valid TOML: {reason}")]
    Syntax {
        /// Where.
        at: Position,
        /// The parser's words.
        reason: String,
    },
    /// TOML, but not a policy.
    #[error("policy, {at}, in {place}: {problem}")]
    Invalid {
        /// Where in the text.
        at: Position,
        /// Where in the policy: `job[2].step[1].args[3]`, lists counted from 1.
        place: String,
        /// What is wrong.
        problem: Problem,
    },
}

impl PolicyError {
    /// A stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "policy-too-large",
            Self::NotText { .. } | Self::Syntax { .. } => "policy-syntax",
            Self::Invalid { .. } => "policy-invalid",
        }
    }
}

/// What is wrong at one place of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A field this version does not have.
    #[error("unknown field {found:?}; accepted here: {accepted}")]
    UnknownField {
        /// The field's name.
        found: String,
        /// The names accepted in its place.
        accepted: String,
    },
    /// A field without a default is absent.
    #[error("the field `{field}` is missing; write {expected}")]
    Missing {
        /// The field's name.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// A value of another TOML type.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What it should be.
        expected: &'static str,
        /// The TOML type it has.
        found: &'static str,
    },
    /// A value of the right type that means nothing here.
    #[error("expected {expected}, found {found:?}")]
    Value {
        /// What it should be.
        expected: String,
        /// What it is, shortened.
        found: String,
    },
    /// A value that its own type refuses.
    #[error("{0}")]
    Refused(String),
    /// An empty list where something must be listed.
    #[error("the list is empty, and empty is not \"any\"; write {expected}")]
    Empty {
        /// What it should hold.
        expected: &'static str,
    },
    /// More entries than accepted.
    #[error("{found} entries, at most {limit} are accepted")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The same thing twice.
    #[error("the {what} {found:?} is given twice; each may stand once")]
    Repeated {
        /// What must be unique.
        what: &'static str,
        /// The value met again.
        found: String,
    },
    /// A reference to nothing.
    #[error("there is no {what} {found:?}; known: {known}")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name that was not found.
        found: String,
        /// What there is.
        known: String,
    },
    /// Two parts of the policy that exclude each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

impl Problem {
    pub(super) fn value(expected: impl Into<String>, found: &str) -> Self {
        Self::Value {
            expected: expected.into(),
            found: shortened(found),
        }
    }

    pub(super) fn repeated(what: &'static str, found: impl fmt::Display) -> Self {
        Self::Repeated {
            what,
            found: shortened(&found.to_string()),
        }
    }

    pub(super) fn unknown<T: fmt::Display>(
        what: &'static str,
        found: &str,
        known: impl IntoIterator<Item = T>,
    ) -> Self {
        Self::Unknown {
            what,
            found: shortened(found),
            known: listed(known),
        }
    }
}

/// Names for people, `none` where there are none.
pub(super) fn listed<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// The first 80 characters.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
