//! What a model is written with, JSON and UBJSON alike.

use serde_json::Value;

/// Writes one value after the other. Keys of an object come in ascending order, as XGBoost's do.
pub(super) trait Writer {
    /// Begins an object.
    fn object(&mut self);

    /// A key; its value comes next.
    fn key(&mut self, key: &str);

    /// Ends the object begun last.
    fn end_object(&mut self);

    /// Begins an array of `length` values of any type.
    fn array(&mut self, length: usize);

    /// Ends the array begun last.
    fn end_array(&mut self);

    /// Text.
    fn text(&mut self, text: &str);

    /// A whole number.
    fn int(&mut self, value: i64);

    /// A number.
    fn float(&mut self, value: f32);

    /// `true` or `false`.
    fn bool(&mut self, value: bool);

    /// `null`.
    fn null(&mut self);

    /// An array of numbers.
    fn floats(&mut self, values: &mut dyn ExactSizeIterator<Item = f32>);

    /// An array of small whole numbers.
    fn bytes(&mut self, values: &mut dyn ExactSizeIterator<Item = u8>);

    /// An array of small whole numbers with a sign.
    fn signed_bytes(&mut self, values: &mut dyn ExactSizeIterator<Item = i8>);

    /// An array of whole numbers of 32 bits.
    fn ints(&mut self, values: &mut dyn ExactSizeIterator<Item = i32>);

    /// An array of whole numbers of 64 bits.
    fn longs(&mut self, values: &mut dyn ExactSizeIterator<Item = i64>);
}

/// Writes any value.
pub(super) fn value(writer: &mut dyn Writer, value: &Value) {
    match value {
        Value::Null => writer.null(),
        Value::Bool(value) => writer.bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => writer.int(value),
            None => writer.float(number.as_f64().unwrap_or(f64::NAN) as f32),
        },
        Value::String(text) => writer.text(text),
        // XGBoost keeps numbers of objectives in arrays of floats (`ti+`).
        Value::Array(values) if !values.is_empty() && values.iter().all(Value::is_number) => {
            let numbers = values
                .iter()
                .map(|value| value.as_f64().unwrap_or(f64::NAN) as f32);
            writer.floats(&mut { numbers });
        }
        Value::Array(values) => {
            writer.array(values.len());
            for element in values {
                self::value(writer, element);
            }
            writer.end_array();
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            writer.object();
            for (key, element) in entries {
                writer.key(key);
                self::value(writer, element);
            }
            writer.end_object();
        }
    }
}
