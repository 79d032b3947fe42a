//! What the codes of categorical columns stand for: the object `cats` of a model.

use super::{
    error::ModelError,
    reader::{self, Kind, Reader},
    writer::Writer,
};
use crate::data::{Categories, Feature};

/// XGBoost's numbers for types of whole numbers: `i8` to `u64`.
const INT_TYPES: std::ops::RangeInclusive<i64> = 9..=16;

/// The number for `i64`.
const I64: i64 = 15;

/// Reads the categories of each feature; empty where the model has none.
pub(super) fn read(reader: &mut dyn Reader) -> Result<Vec<Option<Categories>>, ModelError> {
    let mut columns = Vec::new();
    reader.object()?;
    while let Some(key) = reader.key()? {
        if key != "enc" {
            // Where columns start and how they sort follows from the columns.
            reader::skip(reader)?;
            continue;
        }
        reader.array()?;
        while reader.item()? {
            let column = read_column(reader);
            let place = format!("enc[{}]", columns.len());
            columns.push(column.map_err(|error| error.within(&place))?);
        }
    }
    Ok(columns)
}

fn read_column(reader: &mut dyn Reader) -> Result<Option<Categories>, ModelError> {
    let (mut offsets, mut values, mut kind) = (None, None, None);
    if reader.peek()? != Kind::Object {
        return Err(ModelError::field("", "expected an object"));
    }
    reader.object()?;
    while let Some(key) = reader.key()? {
        match key.as_str() {
            "offsets" => offsets = Some(reader::longs(reader).map_err(|error| error.within(&key))?),
            "values" => values = Some(reader::longs(reader).map_err(|error| error.within(&key))?),
            "type" => kind = Some(reader::int(reader).map_err(|error| error.within(&key))?),
            _ => reader::skip(reader)?,
        }
    }
    let values = values.ok_or_else(|| ModelError::field("values", "missing"))?;
    match (offsets, kind) {
        (Some(offsets), _) if offsets.is_empty() => Ok(None),
        (Some(offsets), _) => texts(&offsets, &values).map(Some),
        (None, Some(kind)) if INT_TYPES.contains(&kind) => Ok(Some(Categories::Int(values))),
        (None, _) => Err(ModelError::field("type", "expected text or whole numbers")),
    }
}

/// Names out of their bytes put together: each from its offset to the next.
fn texts(offsets: &[i64], values: &[i64]) -> Result<Categories, ModelError> {
    let bad = |reason: &str| ModelError::field("values", reason);
    // XGBoost writes bytes as numbers with a sign.
    let bytes: Option<Vec<u8>> = values
        .iter()
        .map(|value| match value {
            -128..=127 => Some(*value as i8 as u8),
            128..=255 => Some(*value as u8),
            _ => None,
        })
        .collect();
    let bytes = bytes.ok_or_else(|| bad("expected bytes"))?;
    let mut names = Vec::with_capacity(offsets.len() - 1);
    let mut start = 0;
    for (index, offset) in offsets.iter().enumerate() {
        let end = usize::try_from(*offset)
            .ok()
            .filter(|end| (start..=bytes.len()).contains(end) && (index > 0 || *end == 0))
            .ok_or_else(|| ModelError::field("offsets", "expected an ascending order from 0"))?;
        if index > 0 {
            let name = std::str::from_utf8(&bytes[start..end]);
            names.push(name.map_err(|_| bad("text that is not UTF-8"))?.to_owned());
        }
        start = end;
    }
    Ok(Categories::Text(names))
}

/// Writes the categories of all features.
pub(super) fn write(writer: &mut dyn Writer, features: &[Feature]) {
    let any = features.iter().any(|feature| feature.categories.is_some());
    let features = if any { features } else { &[] };
    let mut segments: Vec<i32> = if any { vec![0] } else { Vec::new() };
    let mut total = 0;
    for feature in features {
        total += count(feature) as i32;
        segments.push(total);
    }

    writer.object();
    writer.key("enc");
    writer.array(features.len());
    for feature in features {
        write_column(writer, feature.categories.as_ref());
    }
    writer.end_array();
    writer.key("feature_segments");
    writer.ints(&mut segments.into_iter());
    writer.key("sorted_idx");
    let sorted: Vec<i32> = features.iter().flat_map(sorted_codes).collect();
    writer.ints(&mut sorted.into_iter());
    writer.end_object();
}

fn count(feature: &Feature) -> usize {
    match &feature.categories {
        Some(Categories::Text(names)) => names.len(),
        Some(Categories::Int(values)) => values.len(),
        None => 0,
    }
}

fn write_column(writer: &mut dyn Writer, categories: Option<&Categories>) {
    writer.object();
    match categories {
        Some(Categories::Int(values)) => {
            writer.key("type");
            writer.int(I64);
            writer.key("values");
            writer.longs(&mut values.iter().copied());
        }
        text => {
            let names: &[String] = match text {
                Some(Categories::Text(names)) => names,
                _ => &[],
            };
            let mut offsets: Vec<i32> = if text.is_some() { vec![0] } else { Vec::new() };
            let mut end = 0;
            for name in names {
                end += name.len() as i32;
                offsets.push(end);
            }
            writer.key("offsets");
            writer.ints(&mut offsets.into_iter());
            writer.key("values");
            let bytes: Vec<u8> = names.iter().flat_map(|name| name.bytes()).collect();
            writer.signed_bytes(&mut bytes.into_iter().map(|byte| byte as i8));
        }
    }
    writer.end_object();
}

/// A feature's codes in the order of what they stand for; bytes count with their sign, as they do
/// in XGBoost.
fn sorted_codes(feature: &Feature) -> Vec<i32> {
    let mut codes: Vec<i32> = (0..count(feature) as i32).collect();
    match &feature.categories {
        Some(Categories::Text(names)) => {
            let signed = |code: &i32| -> Vec<i8> {
                names[*code as usize]
                    .bytes()
                    .map(|byte| byte as i8)
                    .collect()
            };
            codes.sort_by_cached_key(signed);
        }
        Some(Categories::Int(values)) => codes.sort_by_key(|code| values[*code as usize]),
        None => {}
    }
    codes
}
