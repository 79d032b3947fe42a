//! A policy field by field, for programs.

use mc2_protocol::policy::Policy;
use serde_json::{Value, json};

/// The file's own fields, with what is derived from them.
pub fn to_json(policy: &Policy) -> Value {
    let text = String::from_utf8_lossy(policy.bytes());
    let fields = text
        .parse::<toml::Table>()
        // It was read as a policy, which is TOML.
        .unwrap_or_else(|error| unreachable!("{error}"));
    let parties = policy.parties().iter().map(|card| {
        json!({
            "name": card.name(),
            "digest": card.digest(),
            "fingerprint": card.fingerprint(),
        })
    });
    json!({
        "digest": policy.digest(),
        "parties": parties.collect::<Vec<_>>(),
        "policy": of_toml(&toml::Value::Table(fields)),
    })
}

fn of_toml(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(value) => json!(value),
        toml::Value::Datetime(time) => json!(time.to_string()),
        toml::Value::Array(values) => values.iter().map(of_toml).collect(),
        toml::Value::Table(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), of_toml(value)))
            .collect(),
    }
}
