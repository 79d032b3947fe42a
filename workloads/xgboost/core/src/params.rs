//! Parameters by XGBoost's names, defaults and ranges.
//!
//! A [`ParamSet`] holds what a person gave. Whoever reads a parameter takes it by
//! [`ParamSet::read`], which remembers that somebody did; [`ParamSet::finish`] then refuses what
//! nobody reads, so nothing is silently ignored.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// A parameter that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {name}: {reason}")]
pub struct ParamError {
    /// The parameter, by the name the person used.
    pub name: String,
    /// What was expected and found.
    pub reason: String,
}

impl ParamError {
    /// Refuses parameter `name` for `reason`.
    pub fn new(name: &str, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            reason: reason.into(),
        }
    }

    /// Refuses a value that is none of `accepted`.
    pub fn unknown_value(name: &str, found: &str, accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        Self::new(name, format!("expected one of {accepted}; found {found:?}"))
    }
}

/// What a person gave, by canonical name.
#[derive(Clone, Debug, Default)]
pub struct ParamSet {
    values: BTreeMap<String, String>,
    read: RefCell<BTreeSet<&'static str>>,
}
