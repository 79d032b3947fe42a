//! Parameters as XGBoost writes them into models: text, whatever they are.

use serde_json::{Map, Value};

use crate::decimal::general;

/// A single-precision number with the nine digits that give it back.
pub(super) fn single(value: f32) -> Value {
    Value::String(general(f64::from(value), 9))
}

/// A double-precision number with the seventeen digits that give it back.
pub(super) fn double(value: f64) -> Value {
    Value::String(general(value, 17))
}

/// A switch.
pub(super) fn switch(value: bool) -> Value {
    Value::String(u8::from(value).to_string())
}

/// Several numbers, each with the fewest digits that give it back.
pub(super) fn list(values: &[f32]) -> Value {
    let words: Vec<String> = values.iter().map(|value| format!("{value:E}")).collect();
    Value::String(format!("[{}]", words.join(",")))
}

/// The object of an objective: its name, and its parameters under `key`.
pub(super) fn objective<const N: usize>(
    name: &str,
    key: &str,
    parameters: [(&str, Value); N],
) -> Value {
    let parameters: Map<String, Value> = parameters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let mut object = named(name);
    object.insert(key.to_owned(), Value::Object(parameters));
    Value::Object(object)
}

/// The object of an objective without parameters.
pub(super) fn named(name: &str) -> Map<String, Value> {
    Map::from_iter([("name".to_owned(), Value::String(name.to_owned()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_the_digits_that_give_them_back() {
        assert_eq!(list(&[0.1, 0.5, 1.0]), "[1E-1,5E-1,1E0]");
    }
}
