//! What `mc2 policy check` answers: whether a policy is right, and what follows from it.

use std::fmt::Write as _;

use mc2_protocol::policy::{Policy, PolicyError};
use serde_json::{Value, json};

use super::{
    advice::{self, Section, Statement},
    rfc3339,
};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// What there is to say of a policy's bytes.
///
/// ```
/// use mc2_client::policy::check::Checked;
///
/// let bytes = std::fs::read("../policies/one-party.toml")?;
/// let checked = Checked::of(&bytes, 1_780_000_000)?;
/// assert!(checked.to_text().contains("NOT SECURE"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Checked {
    policy: Policy,
    statements: Vec<Statement>,
}

impl Checked {
    /// Reads a policy's exact bytes; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It is no right policy: [`PolicyError`], with line, column and what to write instead.
    pub fn of(bytes: &[u8], now: u64) -> Result<Self, PolicyError> {
        let policy = Policy::parse(bytes)?;
        let mut statements = advice::statements(&policy);
        statements.extend(advice::ended(&policy, now));
        Ok(Self { policy, statements })
    }

    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What follows from it.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// For people; what somebody should weigh before signing begins with `!`.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text)
            // A string takes everything.
            .unwrap_or_else(|error| unreachable!("{error}"));
        text
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let said = |one: &Statement| {
            json!({
                "id": one.id,
                "section": one.section.as_str(),
                "about": one.about,
                "warning": one.warning,
                "text": one.text,
            })
        };
        json!({
            "version": VERSION,
            "valid": true,
            "name": self.policy.name(),
            "digest": self.policy.digest(),
            "expires": rfc3339(self.policy.expires()),
            "statements": self.statements.iter().map(said).collect::<Vec<_>>(),
        })
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let policy = &self.policy;
        writeln!(text, "policy  {}", policy.name())?;
        writeln!(text, "digest  {}", policy.digest())?;
        for section in Section::ALL {
            let said = || self.statements.iter().filter(|one| one.section == section);
            if said().next().is_none() {
                continue;
            }
            writeln!(text, "\n{}", section.title())?;
            let mut about = "";
            for one in said() {
                if one.about != about {
                    writeln!(text, "  {}", one.about)?;
                    about = &one.about;
                }
                let mark = if one.warning { '!' } else { '-' };
                writeln!(text, "    {mark} {}", one.text)?;
            }
        }
        Ok(())
    }
}

/// What is wrong with a policy, for programs.
pub fn error_to_json(error: &PolicyError) -> Value {
    let (at, place) = match error {
        PolicyError::Invalid { at, place, .. } => (Some(at), Some(place)),
        PolicyError::Syntax { at, .. } => (Some(at), None),
        _ => (None, None),
    };
    json!({
        "version": VERSION,
        "valid": false,
        "error": {
            "code": error.code(),
            "line": at.map(|at| at.line),
            "column": at.map(|at| at.column),
            "place": place,
            "text": error.to_string(),
        },
    })
}
