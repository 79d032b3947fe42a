//! A page of data: where its levels and values are, and rows out of them.

use std::ops::Range;

use super::{
    dictionary::Dictionary,
    encoding::{Rle, delta_lengths, delta_numbers, delta_prefixes, join_streams},
    failure::Failure,
    footer::{Leaf, Meaning, PageHeader, Physical},
    values::{fill, plain_numbers, text_at, texts},
};
use crate::data::{
    codec::{Codec, decompress},
    columns::Column,
    le,
    limits::{MAX_VALUES, TextRoom},
};

/// A page of data, its values decoded as far as they were asked for.
#[derive(Default)]
pub(super) struct Page {
    bytes: Vec<u8>,
    /// Rows not read yet.
    left: usize,
    /// Where it has a value, in a column that may lack some.
    present: Option<Rle>,
    values: Values,
    /// Kept for the next rows.
    numbers: Vec<u32>,
    levels: Vec<u32>,
}

enum Values {
    /// One after the other, from this place on.
    Plain(usize),
    /// Single bits, from this one on.
    Bits(usize),
    /// Numbers of the dictionary's values.
    Dictionary(Rle),
    /// Truth values in runs.
    Runs(Rle),
}

impl Default for Values {
    fn default() -> Self {
        Self::Plain(0)
    }
}

impl Page {
    /// How many rows were not read yet.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Bytes that it keeps.
    pub(super) fn held(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Becomes the page of that header and compressed body.
    pub(super) fn load(
        &mut self,
        leaf: &Leaf,
        codec: Codec,
        header: &PageHeader,
        body: &[u8],
    ) -> Result<(), Failure> {
        let short = || Failure::Malformed("a page is shorter than its levels");
        let first; // where the values are in the page
        self.present = None;
        if header.kind == 3 {
            let levels = header
                .repetition
                .checked_add(header.definition)
                .ok_or_else(short)?;
            let (levels, values) = body.split_at_checked(levels).ok_or_else(short)?;
            let rest = header
                .uncompressed
                .checked_sub(levels.len())
                .ok_or_else(short)?;
            let codec = if header.is_compressed {
                codec
            } else {
                Codec::None
            };
            decompress(codec, values, rest, &mut self.bytes).map_err(Failure::Piece)?;
            // Behind the values, where they are in nobody's way.
            let at = self.bytes.len();
            self.bytes.extend_from_slice(levels);
            if leaf.optional {
                self.present = Rle::new(1, at + header.repetition, self.bytes.len());
            }
            first = 0..at;
        } else {
            decompress(codec, body, header.uncompressed, &mut self.bytes)
                .map_err(Failure::Piece)?;
            let mut at = 0;
            if leaf.optional {
                let length = le::u32(&self.bytes, 0).ok_or_else(short)? as usize;
                at = length
                    .checked_add(4)
                    .filter(|at| *at <= self.bytes.len())
                    .ok_or_else(short)?;
                self.present = Rle::new(1, 4, at);
            }
            first = at..self.bytes.len();
        }
        self.left = header.values;
        self.values = self.encoded(leaf.physical, header, first)?;
        Ok(())
    }

    /// How the values at `place` of the page are encoded; rare encodings are made plain at once.
    fn encoded(
        &mut self,
        physical: Physical,
        header: &PageHeader,
        place: Range<usize>,
    ) -> Result<Values, Failure> {
        let bytes = self.bytes.get(place.clone()).unwrap_or_default();
        let bad = Failure::Malformed("a page's values are not in the encoding it says");
        // Differences may be of no bits at all, so the page's length says nothing.
        let most = header.values.min(MAX_VALUES);
        let plain = match (header.encoding, physical) {
            (0, Physical::Bool) => return Ok(Values::Bits(place.start * 8)),
            (0, _) => return Ok(Values::Plain(place.start)),
            // A page without values may lack even the width.
            (2 | 8, _) => {
                let width = bytes.first().copied().unwrap_or(0);
                let start = (place.start + 1).min(place.end);
                return Rle::new(u32::from(width), start, place.end)
                    .map(Values::Dictionary)
                    .ok_or(bad);
            }
            (3, Physical::Bool) => {
                let Some(length) = le::u32(bytes, 0) else {
                    return Err(bad);
                };
                let start = place.start + 4;
                let end = start.saturating_add(length as usize).min(place.end);
                return Rle::new(1, start, end).map(Values::Runs).ok_or(bad);
            }
            (5, _) => delta_numbers(bytes, physical, most),
            (6, Physical::Bytes) => delta_lengths(bytes, most),
            (7, _) => delta_prefixes(bytes, physical, most),
            (9, _) => physical
                .width()
                .and_then(|width| join_streams(bytes, width)),
            _ => return Err(Failure::Unsupported("encoded in an unknown way")),
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&plain.ok_or(bad)?);
        Ok(Values::Plain(start))
    }

    /// Decodes the next `rows` rows of the page.
    pub(super) fn decode(
        &mut self,
        rows: usize,
        leaf: &Leaf,
        dictionary: &mut Dictionary,
        (out, room): (&mut Column, &mut TextRoom),
    ) -> Result<(), Failure> {
        let Self {
            bytes,
            left,
            present,
            values,
            numbers,
            levels,
        } = self;
        *left -= rows;
        let bytes = &**bytes;
        let short = || Failure::Malformed("a page has fewer values than it says");
        levels.clear();
        let mut count = rows;
        if let Some(present) = present {
            present.read(bytes, rows, levels).ok_or_else(short)?;
            count = levels.iter().filter(|level| **level != 0).count();
        }
        let levels = (count < rows).then_some(&**levels);
        let done = match values {
            Values::Plain(at) if leaf.meaning == Meaning::Text => {
                return texts(rows, levels, (out, room), || text_at(bytes, at));
            }
            Values::Plain(at) => plain_numbers(leaf, bytes, at, rows, levels, out),
            Values::Bits(at) => fill(rows, levels, out, || {
                let bit = *at;
                *at += 1;
                Some(f64::from(bytes.get(bit / 8)? >> (bit % 8) & 1))
            }),
            Values::Runs(runs) => {
                numbers.clear();
                runs.read(bytes, count, numbers).ok_or_else(short)?;
                let mut numbers = numbers.iter();
                fill(rows, levels, out, || {
                    numbers.next().map(|number| f64::from(*number))
                })
            }
            Values::Dictionary(runs) => {
                numbers.clear();
                runs.read(bytes, count, numbers).ok_or_else(short)?;
                let mut numbers = numbers.iter();
                if leaf.meaning == Meaning::Text {
                    return dictionary.push_texts(rows, levels, (out, room), numbers);
                }
                let values = dictionary.numbers();
                fill(rows, levels, out, || {
                    values.get(*numbers.next()? as usize).copied()
                })
            }
        };
        done.ok_or_else(short)
    }
}
