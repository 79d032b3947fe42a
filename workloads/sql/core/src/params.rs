//! Values for the query's parameters, which are never part of its text.
//!
//! `--param day=2026-01-31` gives `$day` a value. The value stays a text until the engine has
//! planned the query and says of which type it has to be at each place; [`exact`] then refuses one
//! that would be cut on the way.

use std::collections::BTreeMap;

/// The values by the parameters' names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Parses what stands behind each `--param`.
    ///
    /// # Errors
    ///
    /// Names what is no `NAME=VALUE`, and a name that has two values.
    pub fn parse(given: &[String]) -> Result<Self, ParamError> {
        let mut values = BTreeMap::new();
        for text in given {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| ParamError::Form(text.clone()))?;
            if !is_name(name) {
                return Err(ParamError::Name(name.to_owned()));
            }
            if values.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(ParamError::Twice(name.to_owned()));
            }
        }
        Ok(Self(values))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the placeholder `$name`.
    pub fn value(&self, placeholder: &str) -> Option<&str> {
        self.0.get(name(placeholder)?).map(String::as_str)
    }

    /// Holds the values against the placeholders of the query, as the tokenizer tells them from
    /// its strings, quoted names and comments.
    ///
    /// # Errors
    ///
    /// Names a placeholder without a value, by its number among `placeholders`, or a value without
    /// a placeholder.
    pub fn check<'a>(
        &self,
        placeholders: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Unmatched> {
        let mut unused: Vec<&String> = self.0.keys().collect();
        for (number, placeholder) in placeholders.into_iter().enumerate() {
            let Some(name) = name(placeholder) else {
                continue;
            };
            if !self.0.contains_key(name) {
                return Err(Unmatched::NoValue {
                    number,
                    name: name.to_owned(),
                });
            }
            unused.retain(|unused| *unused != name);
        }
        match unused.first() {
            Some(name) => Err(Unmatched::NoPlace((*name).clone())),
            None => Ok(()),
        }
    }
}

/// The parameter that a placeholder stands for. `$1` is none: those are a prepared statement's own.
pub fn name(placeholder: &str) -> Option<&str> {
    placeholder.strip_prefix('$').filter(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// What a value becomes, as far as that may lose part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A day without a time.
    Date,
    /// A number with so many digits behind the point.
    Decimal(i8),
    /// A time whose seconds have so many digits behind the point.
    Seconds(i8),
}

/// Refuses a value that the engine would make fit: a time cut to its day, a number rounded.
///
/// # Errors
///
/// Says what would be lost.
pub fn exact(value: &str, target: Target) -> Result<(), Inexact> {
    match target {
        // The engine takes no year of more than four digits.
        Target::Date if value.trim().len() > "YYYY-MM-DD".len() => Err(Inexact::Time),
        Target::Decimal(_) if value.contains(['e', 'E']) => Err(Inexact::Exponent),
        Target::Decimal(digits) | Target::Seconds(digits)
            if i64::from(digits) < decimals(value) =>
        {
            Err(Inexact::Digits(digits))
        }
        _ => Ok(()),
    }
}

/// Digits behind the point that are not zeros at its end.
fn decimals(value: &str) -> i64 {
    let behind = value.split_once('.').map_or("", |(_, behind)| behind);
    // A time may have an offset behind it.
    let end = behind.find(|c: char| !c.is_ascii_digit());
    let digits = &behind[..end.unwrap_or(behind.len())];
    // A text's length is below `i64::MAX`.
    digits.trim_end_matches('0').len() as i64
}

/// What is no parameter's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// Without `=`.
    #[error("--param {0}: expected NAME=VALUE")]
    Form(String),
    /// A name that SQL has no placeholder for.
    #[error("--param {0}: a name is letters, digits and _, and begins with no digit")]
    Name(String),
    /// Two values.
    #[error("--param {0} is given twice")]
    Twice(String),
}

/// Values and placeholders that do not match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmatched {
    /// A placeholder without a value.
    #[error("the parameter ${name} has no value; give it one with --param {name}=VALUE")]
    NoValue {
        /// Its number among the placeholders.
        number: usize,
        /// The parameter.
        name: String,
    },
    /// A value without a placeholder.
    #[error("--param {0} is not used: the query has no ${0} outside strings and comments")]
    NoPlace(String),
}

/// What would be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inexact {
    /// A time of day.
    #[error("a day is wanted here, as 2026-01-31, and a time would be cut off")]
    Time,
    /// Digits behind the point.
    #[error("at most {0} digits behind the point are wanted here, and others would be rounded")]
    Digits(i8),
    /// An exponent, whose digits are not counted.
    #[error("a number without exponent is wanted here")]
    Exponent,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(given: &[&str]) -> Params {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        Params::parse(&given).unwrap()
    }

    #[test]
    fn a_value_is_all_that_follows_the_first_equals_sign() {
        let params = params(&["from=2026-01-31", "note=a='b' -- $x;=", "empty="]);
        assert_eq!(params.value("$from"), Some("2026-01-31"));
        assert_eq!(params.value("$note"), Some("a='b' -- $x;="));
        assert_eq!(params.value("$empty"), Some(""));
        assert_eq!(params.value("$other"), None);
    }

    #[test]
    fn what_is_no_value_is_named() {
        for (given, named) in [
            (&["from"][..], "--param from: expected NAME=VALUE"),
            (&["1=x"], "--param 1: a name is"),
            (&["a b=x"], "--param a b: a name is"),
            (&["=x"], "--param : a name is"),
            (&["a=1", "a=1"], "--param a is given twice"),
        ] {
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            let error = Params::parse(&given).unwrap_err().to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }

    #[test]
    fn every_placeholder_has_a_value_and_every_value_a_placeholder() {
        let params = params(&["a=1", "b=2"]);
        assert_eq!(params.check(["$a", "$1", "$b", "$a"]), Ok(()));
        assert_eq!(
            params.check(["$a", "$1", "$c"]),
            Err(Unmatched::NoValue {
                number: 2,
                name: "c".to_owned()
            })
        );
        assert_eq!(
            params.check(["$a"]),
            Err(Unmatched::NoPlace("b".to_owned()))
        );
    }

    #[test]
    fn what_stands_for_a_prepared_statements_own_is_no_parameter() {
        assert_eq!(name("$from"), Some("from"));
        assert_eq!(name("$_1"), Some("_1"));
        for other in ["$1", "$", "?", ":from", "@from", "$1a"] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn a_value_that_would_be_cut_or_rounded_is_refused() {
        assert_eq!(exact("2026-01-31", Target::Date), Ok(()));
        assert_eq!(
            exact("2026-01-31T10:00:00", Target::Date),
            Err(Inexact::Time)
        );
        assert_eq!(exact("12.340", Target::Decimal(2)), Ok(()));
        assert_eq!(exact("-12", Target::Decimal(0)), Ok(()));
        assert_eq!(exact("12.345", Target::Decimal(2)), Err(Inexact::Digits(2)));
        assert_eq!(exact("1e-3", Target::Decimal(2)), Err(Inexact::Exponent));
        let noon = "2026-01-31T12:00:00.120Z";
        assert_eq!(exact(noon, Target::Seconds(3)), Ok(()));
        assert_eq!(exact(noon, Target::Seconds(0)), Err(Inexact::Digits(0)));
    }
}
