//! Values within a JSON text, as they are written there.
//!
//! A text is read to its end before anything of it counts: what is no JSON is an error, not a missing
//! value. Numbers keep their digits. Of keys that repeat the first counts, as in DuckDB.

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
pub use serde_json::value::RawValue;

/// Characters of a text that an error shows.
const SHOWN: usize = 60;

/// A step into a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The value of an object's key.
    Key(&'a str),
    /// An array's item, from 0; a negative one counts from the end.
    Index(i64),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is none.
    #[error("{text:?} is no JSON: {error}; json_valid(…) tells which rows are")]
    Invalid {
        /// The text, or its start.
        text: String,
        /// What the parser says.
        error: serde_json::Error,
    },
    /// A number that the type has no room for, or would round.
    #[error("{number} is no {wanted}, and none is near; json_as_text keeps its digits")]
    Number {
        /// As it is written.
        number: String,
        /// What it was to become.
        wanted: &'static str,
    },
}

/// The one value that a text is, with the spaces around it left out.
///
/// # Errors
///
/// Where the text is no JSON, or goes on after a value.
pub fn parse(text: &str) -> Result<&RawValue, JsonError> {
    serde_json::from_str(text).map_err(|error| invalid(text, error))
}

/// The value at the end of a path; none where a step does not exist or is of another kind than the value.
///
/// # Errors
///
/// Where a key is no text, as with half of a surrogate pair.
pub fn find<'a>(value: &'a RawValue, path: &[Step<'_>]) -> Result<Option<&'a RawValue>, JsonError> {
    let mut here = value;
    for step in path {
        let next = match *step {
            Step::Key(wanted) => {
                let mut found = None;
                entries(here, |key, value| {
                    if found.is_none() && key == wanted {
                        found = Some(value);
                    }
                })?;
                found
            }
            Step::Index(index) => {
                let items = items(here)?.unwrap_or_default();
                let index = match index {
                    0.. => usize::try_from(index).ok(),
                    _ => usize::try_from(index.unsigned_abs())
                        .ok()
                        .and_then(|from_end| items.len().checked_sub(from_end)),
                };
                index.and_then(|index| items.get(index).copied())
            }
        };
        match next {
            Some(next) => here = next,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

/// A text without quotes and escapes, anything else as it is written, and none for null.
///
/// # Errors
///
/// Where a text's escapes stand for no character.
pub fn text(value: &RawValue) -> Result<Option<Cow<'_, str>>, JsonError> {
    match value.get() {
        "null" => Ok(None),
        written if written.starts_with('"') => unquoted(value).map(|text| text.map(Cow::Owned)),
        written => Ok(Some(Cow::Borrowed(written))),
    }
}

/// A text without quotes and escapes; none of another kind of value.
///
/// # Errors
///
/// Where its escapes stand for no character.
pub fn unquoted(value: &RawValue) -> Result<Option<String>, JsonError> {
    let written = value.get();
    match written.starts_with('"') {
        true => serde_json::from_str(written)
            .map(Some)
            .map_err(|error| invalid(written, error)),
        false => Ok(None),
    }
}

/// A whole number, in a text too; none of another kind of value, or with a fraction.
///
/// # Errors
///
/// Where it has no room in 64 bits.
pub fn integer(value: &RawValue) -> Result<Option<i64>, JsonError> {
    /// Beyond it, floating point does not tell whole numbers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Some(number) = number(value)? else {
        return Ok(None);
    };
    let wanted = "integer of 64 bits";
    if !number.contains(['.', 'e', 'E']) {
        let found = number.parse().map(Some);
        return found.map_err(|_| JsonError::Number { number, wanted });
    }
    match number.parse::<f64>() {
        Ok(float) if float.abs() >= EXACT => Err(JsonError::Number { number, wanted }),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number of at most 2^53"
        )]
        Ok(float) if float.fract() == 0.0 => Ok(Some(float as i64)),
        _ => Ok(None),
    }
}

/// A number as the nearest floating point, in a text too; none of another kind of value.
///
/// # Errors
///
/// Where it is larger than any.
pub fn float(value: &RawValue) -> Result<Option<f64>, JsonError> {
    let Some(number) = number(value)? else {
        return Ok(None);
    };
    match number.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Some(float)),
        _ => Err(JsonError::Number {
            number,
            wanted: "floating-point number",
        }),
    }
}

/// A truth value, in a text too; none of another kind of value.
///
/// # Errors
///
/// As of [`unquoted`].
pub fn boolean(value: &RawValue) -> Result<Option<bool>, JsonError> {
    let found = match unquoted(value)? {
        Some(text) => text.parse(),
        None => value.get().parse(),
    };
    Ok(found.ok())
}

/// An array's items; none of another kind of value.
///
/// # Errors
///
/// Never, as long as the value was parsed.
pub fn items(value: &RawValue) -> Result<Option<Vec<&RawValue>>, JsonError> {
    if !value.get().starts_with('[') {
        return Ok(None);
    }
    serde_json::from_str(value.get())
        .map(Some)
        .map_err(|error| invalid(value.get(), error))
}

/// An object's keys in their order, with those that repeat; none of another kind of value.
///
/// # Errors
///
/// As of [`find`].
pub fn keys(value: &RawValue) -> Result<Option<Vec<String>>, JsonError> {
    let mut keys = Vec::new();
    let is_object = entries(value, |key, _| keys.push(key.to_owned()))?;
    Ok(is_object.then_some(keys))
}

/// The digits of a number, which may stand in a text.
fn number(value: &RawValue) -> Result<Option<String>, JsonError> {
    let text = unquoted(value)?.unwrap_or_else(|| value.get().to_owned());
    // JSON's own numbers, and neither `inf` nor ` 1`.
    let is_number = text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        && serde_json::from_str::<IgnoredAny>(&text).is_ok();
    Ok(is_number.then(|| text.trim_end().to_owned()))
}

/// Whether it is an object, each of whose entries is `met`.
fn entries<'a>(
    value: &'a RawValue,
    met: impl FnMut(&str, &'a RawValue),
) -> Result<bool, JsonError> {
    if !value.get().starts_with('{') {
        return Ok(false);
    }
    serde_json::Deserializer::from_str(value.get())
        .deserialize_map(Entries(met))
        .map_err(|error| invalid(value.get(), error))?;
    Ok(true)
}

struct Entries<F>(F);

impl<'a, F: FnMut(&str, &'a RawValue)> Visitor<'a> for Entries<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<Cow<'_, str>, &RawValue>()? {
            (self.0)(&key, value);
        }
        Ok(())
    }
}

fn invalid(text: &str, error: serde_json::Error) -> JsonError {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    JsonError::Invalid { text: shown, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is at the end of a path, as it is written.
    fn at(text: &str, path: &[Step<'_>]) -> Option<String> {
        let value = parse(text).expect("it is JSON");
        let found = find(value, path).expect("its keys are texts");
        found.map(|found| found.get().to_owned())
    }

    fn value(text: &str) -> Box<RawValue> {
        parse(text).expect("it is JSON").to_owned()
    }

    #[test]
    fn paths_go_by_keys_and_places() {
        let text = r#" {"a":[1, {"b":1.10}], "":2, "1":3, "a":4, "n":null} "#;
        assert_eq!(at(text, &[]).as_deref(), Some(text.trim()));
        let nested = [Step::Key("a"), Step::Index(1), Step::Key("b")];
        assert_eq!(at(text, &nested).as_deref(), Some("1.10"));
        assert_eq!(at(text, &[Step::Key("")]).as_deref(), Some("2"));
        assert_eq!(at(text, &[Step::Key("n")]).as_deref(), Some("null"));
        for path in [Step::Key("b"), Step::Index(1), Step::Key("$.a")] {
            assert_eq!(at(text, &[path]), None, "{path:?}");
        }
        let last = [Step::Key("a"), Step::Index(-2)];
        assert_eq!(at(text, &last).as_deref(), Some("1"));
        for index in [2, -3, i64::MIN, i64::MAX] {
            assert_eq!(at(text, &[Step::Key("a"), Step::Index(index)]), None);
        }
        assert_eq!(at("[1]", &[Step::Key("0")]), None);
    }

    #[test]
    fn what_is_no_json_is_an_error_wherever_it_is_wrong() {
        for text in [
            "",
            "x",
            r#"{"a":1"#,
            r#"{"a":1} x"#,
            "[1,]",
            "01",
            "NaN",
            "'a'",
            "\"\n\"",
            "{a:1}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(parse(&deep).is_ok());
        let half = parse(r#"{"a":"\ud83d"}"#).expect("its form is right");
        let half = find(half, &[Step::Key("a")]).expect("the key is a text");
        assert!(text(half.expect("it is there")).is_err());
    }

    #[test]
    fn texts_lose_quotes_and_escapes_and_numbers_keep_their_digits() {
        for (written, wanted) in [
            (r#""\u00e4\n\ud83d\ude00""#, Some("ä\n😀")),
            ("null", None),
            ("1e400", Some("1e400")),
            ("18446744073709551616", Some("18446744073709551616")),
            ("true", Some("true")),
            (r#"{"b": [1 ]}"#, Some(r#"{"b": [1 ]}"#)),
        ] {
            let found = value(written);
            assert_eq!(
                text(&found).expect("a text").as_deref(),
                wanted,
                "{written}"
            );
        }
    }

    #[test]
    fn a_number_becomes_a_whole_one_where_it_is_one() {
        for (written, wanted) in [
            ("-9223372036854775808", Some(i64::MIN)),
            ("1.0", Some(1)),
            ("2e3", Some(2000)),
            (r#""7""#, Some(7)),
            ("1.5", None),
            (r#""x""#, None),
            (r#"" 7""#, None),
            ("true", None),
            ("[1]", None),
        ] {
            let found = integer(&value(written)).expect("no error");
            assert_eq!(found, wanted, "{written}");
        }
        for written in ["9223372036854775808", "1e30", "9007199254740993.0"] {
            assert!(integer(&value(written)).is_err(), "{written}");
        }
        assert_eq!(float(&value("1.1")).expect("no error"), Some(1.1));
        assert_eq!(float(&value(r#""inf""#)).expect("no error"), None);
        assert!(float(&value("1e400")).is_err());
        assert_eq!(boolean(&value(r#""true""#)).expect("no error"), Some(true));
        assert_eq!(boolean(&value("1")).expect("no error"), None);
    }

    #[test]
    fn keys_and_items_are_of_their_kinds_only() {
        let object = value(r#"{"a":1,"b":[],"a":2}"#);
        assert_eq!(
            keys(&object).expect("keys"),
            Some(vec!["a".into(), "b".into(), "a".into()])
        );
        assert!(items(&object).expect("no error").is_none());
        assert_eq!(keys(&value("[1]")).expect("no error"), None);
        assert_eq!(
            items(&value("[]"))
                .expect("no error")
                .map(|items| items.len()),
            Some(0)
        );
    }
}
