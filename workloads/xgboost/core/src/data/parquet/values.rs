//! Plain values, and how they get into a column.

use super::{
    failure::{Failure, MUCH_TEXT},
    footer::{Leaf, Meaning, Physical},
};
use crate::data::{
    columns::{Column, Interner, NO_TEXT},
    le,
    limits::TextRoom,
};

/// Appends `rows` values, missing where `levels` says so, else what `next` gives.
pub(super) fn fill(
    rows: usize,
    levels: Option<&[u32]>,
    out: &mut Column,
    mut next: impl FnMut() -> Option<f64>,
) -> Option<()> {
    match (levels, out) {
        (None, Column::Number(values)) => {
            values.reserve(rows);
            for _ in 0..rows {
                values.push(next()? as f32);
            }
        }
        (None, out) => {
            for _ in 0..rows {
                out.push_number(next()?);
            }
        }
        (Some(levels), out) => {
            for level in levels {
                match level {
                    0 => out.push_missing(),
                    _ => out.push_number(next()?),
                }
            }
        }
    }
    Some(())
}

/// [`fill`] from plain values; the usual types without a decision a value.
pub(super) fn plain_numbers(
    leaf: &Leaf,
    bytes: &[u8],
    at: &mut usize,
    rows: usize,
    levels: Option<&[u32]>,
    out: &mut Column,
) -> Option<()> {
    let rest = bytes.get(*at..)?;
    let (taken, width) = match (leaf.physical, leaf.meaning) {
        (Physical::Float, _) => {
            let mut values = rest.chunks_exact(4);
            let next = || {
                Some(f64::from(f32::from_le_bytes(
                    values.next()?.try_into().ok()?,
                )))
            };
            fill(rows, levels, out, next)?;
            (values.len(), 4)
        }
        (Physical::Double, _) => {
            let mut values = rest.chunks_exact(8);
            fill(rows, levels, out, || {
                Some(f64::from_le_bytes(values.next()?.try_into().ok()?))
            })?;
            (values.len(), 8)
        }
        (Physical::Int32, Meaning::Plain) => {
            let mut values = rest.chunks_exact(4);
            let next = || {
                Some(f64::from(i32::from_le_bytes(
                    values.next()?.try_into().ok()?,
                )))
            };
            fill(rows, levels, out, next)?;
            (values.len(), 4)
        }
        (Physical::Int64, Meaning::Plain) => {
            let mut values = rest.chunks_exact(8);
            let next = || Some(i64::from_le_bytes(values.next()?.try_into().ok()?) as f64);
            fill(rows, levels, out, next)?;
            (values.len(), 8)
        }
        _ => return fill(rows, levels, out, || number_at(leaf, bytes, at)),
    };
    *at += (rest.len() / width - taken) * width;
    Some(())
}

/// A plain value that is a number.
pub(super) fn number_at(leaf: &Leaf, bytes: &[u8], at: &mut usize) -> Option<f64> {
    let value = match leaf.physical.width() {
        Some(width) => {
            let value = bytes.get(*at..at.checked_add(width)?)?;
            *at += width;
            value
        }
        None if leaf.physical == Physical::Bytes => text_at(bytes, at)?,
        None => return None,
    };
    let number = match (leaf.physical, leaf.meaning) {
        (Physical::Float, _) => f64::from(f32::from_le_bytes(le::array(value, 0)?)),
        (Physical::Double, _) => f64::from_le_bytes(le::array(value, 0)?),
        (Physical::Int32, Meaning::Unsigned) => f64::from(le::u32(value, 0)?),
        (Physical::Int32, _) => f64::from(le::i32(value, 0)?),
        (Physical::Int64, Meaning::Unsigned) => le::i64(value, 0)? as u64 as f64,
        (Physical::Int64, _) => le::i64(value, 0)? as f64,
        (Physical::Int96, _) => {
            const EPOCH: f64 = 2_440_588.0;
            let days = f64::from(le::u32(value, 8)?) - EPOCH;
            days * 86_400e9 + le::i64(value, 0)? as f64
        }
        (Physical::Fixed(2), Meaning::Half) => le::half(le::u16(value, 0)?),
        (Physical::Bytes | Physical::Fixed(_), _) => le::big_endian(value),
        (Physical::Bool, _) => return None,
    };
    match leaf.meaning {
        Meaning::Decimal(scale) => Some(number / 10_f64.powi(scale)),
        _ => Some(number),
    }
}

/// A plain value that is bytes.
pub(super) fn text_at<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = le::u32(bytes, *at)? as usize;
    let start = *at + 4;
    let value = bytes.get(start..start.checked_add(length)?)?;
    *at = start + length;
    Some(value)
}

/// Appends `rows` texts, missing where `levels` says so, else what `next` gives.
pub(super) fn texts<'a>(
    rows: usize,
    levels: Option<&[u32]>,
    (out, room): (&mut Column, &mut TextRoom),
    mut next: impl FnMut() -> Option<&'a [u8]>,
) -> Result<(), Failure> {
    push_ids(rows, levels, out, |names| {
        let text = next().ok_or(Failure::Malformed("a page has fewer values than it says"))?;
        text_id(text, names, room)
    })
}

/// Appends `rows` numbers of texts, missing where `levels` says so, else what `next` gives.
pub(super) fn push_ids(
    rows: usize,
    levels: Option<&[u32]>,
    out: &mut Column,
    mut next: impl FnMut(&mut Interner) -> Result<u32, Failure>,
) -> Result<(), Failure> {
    let Column::Text(ids, names) = out else {
        return Err(Failure::Malformed("text where numbers are wanted"));
    };
    for row in 0..rows {
        ids.push(match levels {
            Some(levels) if levels[row] == 0 => NO_TEXT,
            _ => next(names)?,
        });
    }
    Ok(())
}

/// The number of a text given as bytes.
pub(super) fn text_id(
    text: &[u8],
    names: &mut Interner,
    room: &mut TextRoom,
) -> Result<u32, Failure> {
    let text =
        std::str::from_utf8(text).map_err(|_| Failure::Unsupported("bytes that are no UTF-8"))?;
    room.id(names, text).ok_or(MUCH_TEXT)
}
