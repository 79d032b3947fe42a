//! What a person should know about a policy that is right, in plain sentences.
//!
//! Every sentence is a fact of this policy, read from its checked fields and nothing else; the
//! texts that somebody else wrote stand in quotes. A sentence that somebody should weigh before
//! signing is a warning. Its [`id`](Statement::id) stays what it is.

mod ask;
mod host;
mod learn;
mod sources;
mod time;

use mc2_protocol::{Name, policy::Policy};

pub(in crate::policy) use time::ended;

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Who could learn what, and from whose data.
    Learn,
    /// Who may ask, how freely, how often, and who must agree.
    Ask,
    /// What the host sees.
    Host,
    /// Which enclaves are accepted.
    Enclave,
    /// How long it holds.
    Time,
}

/// One plain sentence about a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// A stable word for programs.
    pub id: &'static str,
    /// Which question it answers.
    pub section: Section,
    /// What it is about: `bank-a`, `job train, step 2`, `the policy`.
    pub about: String,
    /// Whether somebody should weigh it before signing.
    pub warning: bool,
    /// The sentence.
    pub text: String,
}

/// Everything a person should know of a policy that is right.
///
/// ```
/// use mc2_client::policy::advice::statements;
/// use mc2_protocol::policy::Policy;
///
/// let policy = Policy::parse(&std::fs::read("../policies/two-clinics.toml")?)?;
/// let said = statements(&policy);
/// let asks = said.iter().filter(|one| one.id == "approved-each-job");
/// assert_eq!(asks.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn statements(policy: &Policy) -> Vec<Statement> {
    let mut said = Said(Vec::new());
    learn::say(policy, &mut said);
    ask::say(policy, &mut said);
    host::say(policy, &mut said);
    host::say_enclave(policy, &mut said);
    time::say(policy, &mut said);
    let mut said = said.0;
    // In the order of sections; within one as they were said.
    said.sort_by_key(|one| one.section);
    said
}

/// The statements that are warnings, each a line: what stands beside a policy before an approval.
pub fn warnings(policy: &Policy) -> Vec<String> {
    let said = statements(policy).into_iter();
    said.filter(|one| one.warning)
        .map(|one| format!("{}: {}", one.about, one.text))
        .collect()
}

impl Section {
    /// Every section, in the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::Learn,
        Self::Ask,
        Self::Host,
        Self::Enclave,
        Self::Time,
    ];

    /// A stable word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Learn => "learn",
            Self::Ask => "ask",
            Self::Host => "host",
            Self::Enclave => "enclave",
            Self::Time => "time",
        }
    }

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Learn => "What each party could learn, and from whom",
            Self::Ask => "Who may ask, how freely and how often, and who must agree",
            Self::Host => "What the host sees",
            Self::Enclave => "Which enclaves are accepted",
            Self::Time => "How long it holds",
        }
    }
}

/// The statements so far.
struct Said(Vec<Statement>);

impl Said {
    fn fact(&mut self, section: Section, id: &'static str, about: impl ToString, text: String) {
        self.add(section, id, about.to_string(), text, false);
    }

    fn warn(&mut self, section: Section, id: &'static str, about: impl ToString, text: String) {
        self.add(section, id, about.to_string(), text, true);
    }

    fn add(
        &mut self,
        section: Section,
        id: &'static str,
        about: String,
        text: String,
        warning: bool,
    ) {
        self.0.push(Statement {
            id,
            section,
            about,
            warning,
            text,
        });
    }
}

/// A step's place, counted from 1.
fn place(job: &Name, index: usize) -> String {
    format!("job {job}, step {}", index + 1)
}

/// `1 run`, `2 runs`.
fn count(number: impl Into<u128>, one: &str, many: &str) -> String {
    let number = number.into();
    let what = if number == 1 { one } else { many };
    format!("{number} {what}")
}

/// `a`, `a and b`, `a, b and c`.
fn listed<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    let mut values: Vec<String> = values.into_iter().map(|one| one.to_string()).collect();
    match values.pop() {
        None => "nobody".to_owned(),
        Some(last) if values.is_empty() => last,
        Some(last) => format!("{} and {last}", values.join(", ")),
    }
}

#[cfg(test)]
mod tests;
