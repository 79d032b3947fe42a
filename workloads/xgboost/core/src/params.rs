//! Parameters by XGBoost's names, defaults and ranges.
//!
//! A [`ParamSet`] holds what a person gave. Whoever reads a parameter takes it by
//! [`ParamSet::read`], which remembers that somebody did; [`ParamSet::finish`] then refuses what
//! nobody reads, so nothing is silently ignored.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
    ops::{Bound, RangeBounds},
    str::FromStr,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

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
    assumed: BTreeMap<String, String>,
    read: RefCell<BTreeSet<&'static str>>,
}

/// Other names of parameters, and the ones used here.
const ALIASES: [(&str, &str); 7] = [
    ("learning_rate", "eta"),
    ("min_split_loss", "gamma"),
    ("reg_lambda", "lambda"),
    ("reg_alpha", "alpha"),
    ("random_state", "seed"),
    ("n_estimators", "rounds"),
    ("num_boost_round", "rounds"),
];

impl ParamSet {
    /// Sets `name`, or what it is another name of.
    ///
    /// # Errors
    /// The parameter was set before.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), ParamError> {
        let canonical = ALIASES
            .iter()
            .find_map(|(alias, canonical)| (*alias == name).then_some(*canonical))
            .unwrap_or(name);
        match self.values.insert(canonical.to_owned(), value.into()) {
            None => Ok(()),
            Some(_) => Err(ParamError::new(name, "given twice")),
        }
    }

    /// Gives `name`, by its canonical name, the value it has unless the person gives another: one
    /// known from the model that training goes on from, or from another parameter. Nobody need
    /// read it.
    pub fn assume(&mut self, name: &str, value: impl Into<String>) {
        self.assumed.insert(name.to_owned(), value.into());
    }

    /// What the person gave for `name`, or else what is assumed, as text. Marks it as read.
    pub fn text(&self, name: &'static str) -> Option<&str> {
        self.read.borrow_mut().insert(name);
        self.values
            .get(name)
            .or_else(|| self.assumed.get(name))
            .map(String::as_str)
    }

    /// The number called `name`, `default` where it was not given.
    ///
    /// # Errors
    /// Not a finite number, or outside `range`, which the error states.
    pub fn read<T: Number>(
        &self,
        name: &'static str,
        default: T,
        range: impl RangeBounds<T>,
    ) -> Result<T, ParamError> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let expected = describe(&range);
        text.trim()
            .parse::<T>()
            .ok()
            .filter(|value| range.contains(value) && value.is_finite())
            .ok_or_else(|| ParamError::new(name, format!("expected {expected}; found {text:?}")))
    }

    /// The choice called `name` out of `accepted`, the first where it was not given.
    ///
    /// # Errors
    /// None of them.
    pub fn choice<T: Copy>(
        &self,
        name: &'static str,
        accepted: &[(&str, T)],
    ) -> Result<T, ParamError> {
        let Some(text) = self.text(name) else {
            return Ok(accepted[0].1);
        };
        accepted
            .iter()
            .find_map(|(word, value)| (*word == text).then_some(*value))
            .ok_or_else(|| {
                let words: Vec<&str> = accepted.iter().map(|(word, _)| *word).collect();
                ParamError::unknown_value(name, text, &words)
            })
    }

    /// The switch called `name`: `0`, `1`, `false` or `true`.
    ///
    /// # Errors
    /// Anything else.
    pub fn switch(&self, name: &'static str, default: bool) -> Result<bool, ParamError> {
        let words = [("0", false), ("1", true), ("false", false), ("true", true)];
        match self.text(name) {
            None => Ok(default),
            Some(_) => self.choice(name, &words),
        }
    }

    /// Refuses whatever was given and read by nobody.
    ///
    /// # Errors
    /// Names the first such parameter and every one that was asked for.
    pub fn finish(&self) -> Result<(), ParamError> {
        let read = self.read.borrow();
        let Some(unknown) = self
            .values
            .keys()
            .find(|name| !read.contains(name.as_str()))
        else {
            return Ok(());
        };
        let accepted: Vec<&str> = read.iter().copied().collect();
        let accepted = accepted.join(", ");
        Err(ParamError::new(
            unknown,
            format!(
                "not a parameter of this booster, objective or metric; accepted here: {accepted}"
            ),
        ))
    }
}

/// What [`ParamSet::read`] reads.
pub trait Number: FromStr + PartialOrd + Display + Copy {
    /// What such a number is called.
    const WORDS: &str;
    /// The ends of the type, which are those of a range that has none.
    const ENDS: Option<(Self, Self)>;

    /// No range without an end keeps out what is infinite, for instance `1e99` in single precision.
    fn is_finite(self) -> bool;
}

macro_rules! numbers {
    ($($whole:ident)*; $($real:ident)*) => {
        $(impl Number for $whole {
            const WORDS: &str = "a whole number";
            const ENDS: Option<(Self, Self)> = Some((Self::MIN, Self::MAX));

            fn is_finite(self) -> bool {
                true
            }
        })*
        $(impl Number for $real {
            const WORDS: &str = "a number";
            const ENDS: Option<(Self, Self)> = None;

            fn is_finite(self) -> bool {
                self.is_finite()
            }
        })*
    };
}

numbers!(u32 i64; f32 f64);

/// A range in words.
fn describe<T: Number>(range: &impl RangeBounds<T>) -> String {
    let (least, most) = T::ENDS.unzip();
    let lower = match (range.start_bound(), least) {
        (Bound::Included(bound), _) => Some(format!("at least {bound}")),
        (Bound::Excluded(bound), _) => Some(format!("more than {bound}")),
        (Bound::Unbounded, least) => least.map(|bound| format!("at least {bound}")),
    };
    let upper = match (range.end_bound(), most) {
        (Bound::Included(bound), _) => Some(format!("at most {bound}")),
        (Bound::Excluded(bound), _) => Some(format!("less than {bound}")),
        (Bound::Unbounded, most) => most.map(|bound| format!("at most {bound}")),
    };
    let words = T::WORDS;
    match (lower, upper) {
        (Some(lower), Some(upper)) => format!("{words} {lower} and {upper}"),
        (Some(bound), None) | (None, Some(bound)) => format!("{words} {bound}"),
        (None, None) => format!("{words} that is finite"),
    }
}

/// Reads JSON in which no object has a key twice: the one that counts less would be ignored in
/// silence.
///
/// # Errors
/// Not JSON, or a key is there twice, which the error names.
pub fn json(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).map(|Unique(value)| value)
}

/// A value without a key twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Unique(value))) = entries.next_entry::<String, Unique>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format!("{key:?} is there twice")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> ParamSet {
        let mut set = ParamSet::default();
        for (name, value) in pairs {
            set.set(name, *value).unwrap();
        }
        set
    }

    #[test]
    fn another_name_is_the_same_parameter() {
        assert_eq!(
            set(&[("learning_rate", "0.1")]).read("eta", 0.3_f32, 0.0..),
            Ok(0.1)
        );
        let mut twice = set(&[("eta", "0.1")]);
        assert!(twice.set("learning_rate", "0.2").is_err());
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_the_range() {
        for bad in ["1.5", "-0.1", "much", "nan", ""] {
            let error = set(&[("subsample", bad)]).read("subsample", 1.0_f32, 0.0..=1.0);
            let reason = error.unwrap_err().reason;
            assert!(reason.contains("at least 0 and at most 1"), "{reason}");
        }
    }

    #[test]
    fn what_is_assumed_yields_to_what_is_given_and_need_not_be_read() {
        let mut params = set(&[("max_delta_step", "0.5")]);
        params.assume("max_delta_step", "0.7");
        params.assume("num_class", "3");
        assert_eq!(params.read("max_delta_step", 0.0_f32, 0.0..), Ok(0.5));
        assert_eq!(params.finish(), Ok(()));
        assert_eq!(params.read("num_class", 0_u32, 0..), Ok(3));
    }

    #[test]
    fn what_is_infinite_is_refused_where_the_range_has_no_end() {
        for bad in ["inf", "-inf", "nan", "1e99"] {
            assert!(
                set(&[("lambda", bad)]).read("lambda", 1.0_f32, ..).is_err(),
                "{bad}"
            );
        }
        assert_eq!(
            set(&[("lambda", " 1e9 ")]).read("lambda", 1.0_f32, 0.0..),
            Ok(1e9)
        );
        assert_eq!(set(&[("seed", "-3")]).read("seed", 0_i64, ..), Ok(-3));
    }

    #[test]
    fn every_end_of_a_range_is_kept_and_named() {
        let read = |text: &str| set(&[("power", text)]).read("power", 1.5_f32, 1.0..2.0);
        assert_eq!(read("1"), Ok(1.0));
        assert!(
            read("2")
                .unwrap_err()
                .reason
                .contains("at least 1 and less than 2")
        );
        let above = (Bound::Excluded(0.0_f32), Bound::Unbounded);
        let error = set(&[("power", "0")])
            .read("power", 1.0, above)
            .unwrap_err();
        assert!(error.reason.contains("more than 0"), "{error}");
    }

    #[test]
    fn whole_numbers_are_called_so_with_the_ends_they_have() {
        for (range, words) in [
            (0..=u32::MAX, "at least 0 and at most 4294967295"),
            (1..=1, "at least 1 and at most 1"),
        ] {
            let error = set(&[("rounds", "5000000000")]).read("rounds", 10, range);
            let expected = format!("expected a whole number {words}; found \"5000000000\"");
            assert_eq!(error.unwrap_err().reason, expected);
        }
        let error = set(&[("rounds", "1.5")]).read("rounds", 10_u32, ..);
        assert_eq!(
            error.unwrap_err().reason,
            "expected a whole number at least 0 and at most 4294967295; found \"1.5\""
        );
        let error = set(&[("huber_slope", "inf")]).read("huber_slope", 1.0_f32, ..);
        assert_eq!(
            error.unwrap_err().reason,
            "expected a number that is finite; found \"inf\""
        );
    }

    #[test]
    fn json_with_a_key_twice_is_refused_however_deep_it_is() {
        for text in [
            r#"{"eta": 0.1, "eta": 0.2}"#,
            r#"{"monotone_constraints": {"a": 1, "eta": 1, "eta": -1}}"#,
            r#"[[{"eta": 1, "eta": 1}]]"#,
        ] {
            let error = json(text).unwrap_err().to_string();
            assert!(error.contains("\"eta\" is there twice"), "{text}: {error}");
        }
        let text = r#"{"a":[1,-2,0.5,true,null,"x"],"b":{"a":{}}}"#;
        assert_eq!(
            json(text).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn choices_and_switches_take_their_words_alone() {
        let words = [("topk", 1), ("mean", 2)];
        assert_eq!(set(&[]).choice("method", &words), Ok(1));
        assert_eq!(set(&[("method", "mean")]).choice("method", &words), Ok(2));
        let error = set(&[("method", "median")])
            .choice("method", &words)
            .unwrap_err();
        assert!(
            error.reason.contains("topk, mean") && error.reason.contains("median"),
            "{error}"
        );
        assert_eq!(set(&[]).switch("unbiased", true), Ok(true));
        assert_eq!(
            set(&[("unbiased", "false")]).switch("unbiased", true),
            Ok(false)
        );
        assert!(
            set(&[("unbiased", "yes")])
                .switch("unbiased", true)
                .is_err()
        );
    }

    #[test]
    fn what_nobody_reads_is_refused_with_what_is_read() {
        let params = set(&[("max_depht", "3")]);
        assert_eq!(params.read("max_depth", 6_u32, 0..), Ok(6));
        let error = params.finish().unwrap_err();
        assert!(error.name == "max_depht" && error.reason.contains("max_depth"));
    }
}
