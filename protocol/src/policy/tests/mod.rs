//! One factory of policies and jobs, which every test then breaks in one place.

mod admission;
mod custody;
mod errors;
mod examples;
mod fixed_sql;
mod keys;
mod parsing;
mod random;
mod values;

use super::*;
use crate::{Identity, SecretKey, documents::broker::BrokerCard};

/// The same identity each time, for a name and two seeds.
fn identity_of(name: &str, signing: u8, private: u8) -> Identity {
    Identity::from_seeds(
        name.parse().unwrap(),
        &SecretKey::from_bytes([signing; 32]),
        SecretKey::from_bytes([private; 32]),
    )
}

/// The same identity each time, for a name and a seed.
fn identity(name: &str, seed: u8) -> Identity {
    identity_of(name, seed, seed)
}

fn bank_a() -> Identity {
    identity("bank-a", 1)
}

fn bank_b() -> Identity {
    identity("bank-b", 2)
}

/// The third party, in policies that have one.
fn clinic() -> Identity {
    identity("clinic", 3)
}

/// The line that names a dataset's owner, with a broker that `signer` signed.
fn brokered(owner: &str, broker: &Identity, signer: &Identity) -> String {
    let card = BrokerCard::sign(broker.card().clone(), signer);
    format!("owner = \"{owner}\"\nbroker = \"{card}\"")
}

/// Two parties, two components, two datasets and a job of two steps, all enforced by this release.
fn two_banks() -> String {
    format!(
        r#"version = 1
name = "two-banks"
expires = 2026-12-31T00:00:00Z
visible = "access"

[enclave]
tee = ["sim"]
platforms = "any"
tcb = "up-to-date"

[[party]]
card = "{a}"
[[party]]
card = "{b}"

[[component]]
name = "sql"
sha256 = "{sql}"
[[component]]
name = "xgboost"
sha256 = "{xgboost}"

[[dataset]]
name = "transactions"
owner = "bank-a"
[[dataset]]
name = "accounts"
owner = "bank-b"
object = "{pinned}"

[[job]]
name = "train"
submit = ["bank-a"]
approve = {{ who = "all", when = "session" }}
runs = 2
errors = "full"
limits = {{ memory = "3GiB", time = "30min", output = "64MiB" }}
[[job.step]]
component = "sql"
inputs = {{ transactions = "dataset:transactions", accounts = "dataset:accounts" }}
args = ["--output", "features", {{ any = true }}]
outputs = {{ features = "step" }}
[[job.step]]
component = "xgboost"
inputs = {{ train = "step:features" }}
args = ["train", "--rounds", {{ number = [1, 500] }}, {{ one_of = ["hist", "-x"] }}]
outputs = {{ model = ["bank-b"], stderr = [], progress = ["bank-a"] }}
padding = "power-of-two"
"#,
        a = bank_a().card(),
        b = bank_b().card(),
        sql = Digest::of(b"sql"),
        xgboost = Digest::of(b"xgboost"),
        pinned = Digest::of(b"accounts, first version"),
    )
}

/// One party, one component, one dataset, and nothing said that has a default.
fn one_bank() -> String {
    format!(
        r#"version = 1
name = "mine"
expires = 2026-12-31T00:00:00Z
[enclave]
tee = ["sim"]
platforms = "any"
tcb = "up-to-date"
[[party]]
card = "{card}"
[[component]]
name = "sql"
sha256 = "{sha256}"
[[dataset]]
name = "orders"
owner = "bank-a"
[[job]]
name = "run"
submit = ["bank-a"]
runs = 1
limits = {{ memory = "3GiB", time = "30min", output = "64MiB" }}
[[job.step]]
component = "sql"
inputs = {{ orders = "dataset:orders" }}
args = "any"
"#,
        card = bank_a().card(),
        sha256 = Digest::of(b"sql"),
    )
}

/// `text` with `from`, which must be in it exactly once, replaced.
fn with(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?}");
    text.replacen(from, to, 1)
}

fn parse(text: &str) -> Policy {
    Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The error of a broken policy as people read it.
fn refusal(text: &str) -> String {
    match Policy::parse(text.as_bytes()) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// Each break of the two-bank policy, and what its refusal must say.
fn refused(from: &str, to: &str, says: &[&str]) {
    let text = with(&two_banks(), from, to);
    let error = refusal(&text);
    for part in says {
        assert!(error.contains(part), "{to:?}: {part:?} is not in: {error}");
    }
}
