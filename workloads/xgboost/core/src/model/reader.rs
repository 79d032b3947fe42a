//! Models piece by piece, so that nothing is kept of what nobody asked for.
//!
//! JSON and UBJSON are read by the same calls: whoever knows the schema asks for an object, its
//! keys, and the values of the keys it knows, and [`skip`]s the rest. Memory goes only to what was
//! asked for, whatever the bytes claim.

use serde_json::{Map, Number, Value};

use super::error::ModelError;

/// How deep objects and arrays may lie in each other; XGBoost's models have 8 levels.
const MAX_DEPTH: usize = 32;

/// How many values the free part of a model, the objective, may have.
const MAX_VALUES: usize = 1 << 20;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An object.
    Object,
    /// An array.
    Array,
    /// Anything else.
    Scalar,
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f32),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Reads one value after the other.
pub(super) trait Reader {
    /// Bytes read so far.
    fn offset(&self) -> usize;

    /// What comes next.
    fn peek(&mut self) -> Result<Kind, ModelError>;

    /// Goes into an object.
    fn object(&mut self) -> Result<(), ModelError>;

    /// The next key of the object gone into last, or `None` and out of it. The key's value has to
    /// be read, or skipped, before the next call.
    fn key(&mut self) -> Result<Option<String>, ModelError>;

    /// Goes into an array.
    fn array(&mut self) -> Result<(), ModelError>;

    /// Whether the array gone into last has one more element, which then has to be read; out of
    /// it where there is none.
    fn item(&mut self) -> Result<bool, ModelError>;

    /// A value that is neither object nor array.
    fn scalar(&mut self) -> Result<Scalar, ModelError>;

    /// Refuses what comes next.
    fn refuse(&self, reason: &str) -> ModelError {
        ModelError::Syntax {
            offset: self.offset(),
            reason: reason.to_owned(),
        }
    }

    /// Refuses to go deeper than a model goes.
    fn check_depth(&self, depth: usize) -> Result<(), ModelError> {
        if depth < MAX_DEPTH {
            return Ok(());
        }
        Err(self.refuse("objects and arrays lie deeper in each other than in any model"))
    }
}

/// Goes past one value.
pub(super) fn skip(reader: &mut dyn Reader) -> Result<(), ModelError> {
    // As deep as the reader lets objects and arrays be, no deeper.
    match reader.peek()? {
        Kind::Scalar => {
            reader.scalar()?;
        }
        Kind::Array => {
            reader.array()?;
            while reader.item()? {
                skip(reader)?;
            }
        }
        Kind::Object => {
            reader.object()?;
            while reader.key()?.is_some() {
                skip(reader)?;
            }
        }
    }
    Ok(())
}

/// Text.
pub(super) fn text(reader: &mut dyn Reader) -> Result<String, ModelError> {
    match reader.scalar()? {
        Scalar::Text(text) => Ok(text),
        _ => Err(ModelError::field("", "expected text")),
    }
}

/// A whole number.
pub(super) fn int(reader: &mut dyn Reader) -> Result<i64, ModelError> {
    match reader.scalar()? {
        Scalar::Int(value) => Ok(value),
        _ => Err(ModelError::field("", "expected a whole number")),
    }
}

/// A number written as text, as XGBoost writes its parameters.
pub(super) fn number_in_text<T: std::str::FromStr>(
    reader: &mut dyn Reader,
) -> Result<T, ModelError> {
    let text = text(reader)?;
    text.trim()
        .parse()
        .map_err(|_| ModelError::field("", format!("expected a whole number; found {text:?}")))
}

/// An array of values of one type.
fn array<T>(
    reader: &mut dyn Reader,
    expected: &str,
    convert: impl Fn(Scalar) -> Option<T>,
) -> Result<Vec<T>, ModelError> {
    let mut values = Vec::new();
    reader.array()?;
    while reader.item()? {
        let value = match reader.peek()? {
            Kind::Scalar => convert(reader.scalar()?),
            Kind::Object | Kind::Array => None,
        };
        values.push(value.ok_or_else(|| {
            ModelError::field("", format!("element {}: expected {expected}", values.len()))
        })?);
    }
    Ok(values)
}

/// An array of text.
pub(super) fn texts(reader: &mut dyn Reader) -> Result<Vec<String>, ModelError> {
    array(reader, "text", |value| match value {
        Scalar::Text(text) => Some(text),
        _ => None,
    })
}

/// An array of numbers.
pub(super) fn floats(reader: &mut dyn Reader) -> Result<Vec<f32>, ModelError> {
    array(reader, "a number", |value| match value {
        Scalar::Int(value) => Some(value as f32),
        Scalar::Float(value) => Some(value),
        _ => None,
    })
}

/// An array of whole numbers of 64 bits.
pub(super) fn longs(reader: &mut dyn Reader) -> Result<Vec<i64>, ModelError> {
    array(reader, "a whole number", |value| match value {
        Scalar::Int(value) => Some(value),
        _ => None,
    })
}

/// An array of whole numbers of 32 bits; of `true` and `false`, too, which old models have.
pub(super) fn ints(reader: &mut dyn Reader) -> Result<Vec<i32>, ModelError> {
    array(reader, "a whole number of 32 bits", |value| match value {
        Scalar::Int(value) => i32::try_from(value).ok(),
        Scalar::Bool(value) => Some(i32::from(value)),
        _ => None,
    })
}

/// Any value.
pub(super) fn value(reader: &mut dyn Reader) -> Result<Value, ModelError> {
    let mut left = MAX_VALUES;
    value_of(reader, &mut left)
}

fn value_of(reader: &mut dyn Reader, left: &mut usize) -> Result<Value, ModelError> {
    *left = left
        .checked_sub(1)
        .ok_or_else(|| ModelError::field("", format!("more than {MAX_VALUES} values")))?;
    Ok(match reader.peek()? {
        Kind::Object => {
            let mut map = Map::new();
            reader.object()?;
            while let Some(key) = reader.key()? {
                let value = value_of(reader, left)?;
                map.insert(key, value);
            }
            Value::Object(map)
        }
        Kind::Array => {
            let mut values = Vec::new();
            reader.array()?;
            while reader.item()? {
                values.push(value_of(reader, left)?);
            }
            Value::Array(values)
        }
        Kind::Scalar => match reader.scalar()? {
            Scalar::Text(text) => Value::String(text),
            Scalar::Int(value) => Value::from(value),
            Scalar::Float(value) => {
                Number::from_f64(f64::from(value)).map_or(Value::Null, Value::Number)
            }
            Scalar::Bool(value) => Value::Bool(value),
            Scalar::Null => Value::Null,
        },
    })
}
