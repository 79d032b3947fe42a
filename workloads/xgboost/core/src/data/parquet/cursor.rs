//! The values of one column of one row group, page after page.
//!
//! A page is kept as it was decompressed and decoded as far as rows are asked for, so that a
//! column costs the size of a page, whatever a row group's is.

use std::ops::Range;

use super::{
    encoding::{Rle, delta_lengths, delta_numbers, delta_prefixes, join_streams},
    footer::{Chunk, Leaf, Meaning, PageHeader, Physical, page_header},
};
use crate::data::{
    ReadAt,
    bytes::read_vec,
    codec::{Codec, MAX_PIECE, decompress},
    columns::{Column, NO_TEXT},
    le,
    limits::{MAX_VALUES, TextRoom},
};

/// The longest header of a page: it may hold the least and largest value.
const MAX_HEADER: u64 = 8 << 20;

/// Why a column cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    Read(std::io::Error),
    Malformed(&'static str),
    Piece(String),
    Unsupported(&'static str),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

const MUCH_TEXT: Failure = Failure::Malformed("far more text than a file of this size has");

/// Reads one chunk of one column.
pub(super) struct Cursor {
    leaf: Leaf,
    codec: Codec,
    /// The next page.
    at: u64,
    end: u64,
    dictionary: Dictionary,
    page: Page,
    /// Kept for the next page.
    compressed: Vec<u8>,
    numbers: Vec<u32>,
    levels: Vec<u32>,
}

/// Values that pages refer to by number.
#[derive(Default)]
struct Dictionary {
    numbers: Vec<f64>,
    /// The page as it was decompressed, and where each text is in it.
    page: Vec<u8>,
    texts: Vec<Range<u32>>,
    /// Numbers of the texts used so far.
    ids: Vec<u32>,
}

/// Text of a dictionary whose number was not asked for yet.
const UNASKED: u32 = NO_TEXT - 1;

#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    /// Rows not read yet.
    left: usize,
    /// Where it has a value, in a column that may lack some.
    present: Option<Rle>,
    values: Values,
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

impl Cursor {
    pub(super) fn new(leaf: &Leaf, chunk: &Chunk) -> Result<Self, Failure> {
        let codec = chunk.codec.map_err(Failure::Unsupported)?;
        let end = chunk.start.checked_add(chunk.length);
        Ok(Self {
            leaf: leaf.clone(),
            codec,
            at: chunk.start,
            end: end.ok_or(Failure::Malformed("a chunk has no end"))?,
            dictionary: Dictionary::default(),
            page: Page::default(),
            compressed: Vec::new(),
            numbers: Vec::new(),
            levels: Vec::new(),
        })
    }

    /// Forgets which numbers the texts were given.
    pub(super) fn forget_ids(&mut self) {
        self.dictionary.ids.fill(UNASKED);
    }

    /// Bytes of pages that are kept.
    pub(super) fn held(&self) -> u64 {
        let Dictionary {
            numbers,
            page,
            texts,
            ids: _,
        } = &self.dictionary;
        let pages = self.compressed.len() + self.page.bytes.len() + page.len();
        pages as u64 + 8 * numbers.len() as u64 + 12 * texts.len() as u64
    }

    /// Appends the next `count` rows to `out`.
    pub(super) fn read(
        &mut self,
        bytes: &dyn ReadAt,
        mut count: usize,
        out: &mut Column,
        room: &mut TextRoom,
    ) -> Result<(), Failure> {
        let texts = |out: &Column| match out {
            Column::Text(_, names) => names.names().len(),
            _ => 0,
        };
        let before = texts(out);
        while count > 0 {
            if self.page.left == 0 {
                self.next_page(bytes)?;
                continue;
            }
            let rows = self.page.left.min(count);
            self.decode(rows, out, room)?;
            self.page.left -= rows;
            count -= rows;
        }
        room.entries(texts(out) - before).ok_or(MUCH_TEXT)
    }

    fn next_page(&mut self, bytes: &dyn ReadAt) -> Result<(), Failure> {
        let header = self.header(bytes)?;
        let body = self.at + header.length as u64;
        let behind = body + header.compressed as u64;
        if behind > self.end || header.uncompressed.max(header.compressed) > MAX_PIECE {
            return Err(Failure::Malformed(
                "a page is larger than its chunk, or than 256 MiB",
            ));
        }
        match header.kind {
            0 | 3 => {
                read_vec(bytes, body, header.compressed as u64, &mut self.compressed)?;
                self.data_page(&header)?;
            }
            2 => {
                read_vec(bytes, body, header.compressed as u64, &mut self.compressed)?;
                self.dictionary_page(&header)?;
            }
            _ => {}
        }
        self.at = behind;
        Ok(())
    }

    /// The next page's header. Its length is not known before it is read.
    fn header(&mut self, bytes: &dyn ReadAt) -> Result<PageHeader, Failure> {
        let rest = self.end.saturating_sub(self.at);
        let mut length = 512;
        loop {
            read_vec(bytes, self.at, rest.min(length), &mut self.compressed)?;
            match page_header(&self.compressed) {
                Some(header) => return Ok(header),
                None if rest > length && length < MAX_HEADER => length *= 16,
                None if rest == 0 => {
                    return Err(Failure::Malformed(
                        "a column has fewer rows than its row group",
                    ));
                }
                None => return Err(Failure::Malformed("a page without a header")),
            }
        }
    }

    fn dictionary_page(&mut self, header: &PageHeader) -> Result<(), Failure> {
        let mut plain = Vec::new();
        decompress(
            self.codec,
            &self.compressed,
            header.uncompressed,
            &mut plain,
        )
        .map_err(Failure::Piece)?;
        if header.values > MAX_VALUES {
            return Err(Failure::Malformed("a dictionary of more than 2^24 values"));
        }
        let mut dictionary = Dictionary::default();
        let mut at = 0;
        let missing = Failure::Malformed("a dictionary has fewer values than it says");
        for _ in 0..header.values {
            if self.leaf.meaning == Meaning::Text {
                let Some(text) = text_at(&plain, &mut at) else {
                    return Err(missing);
                };
                // A page is shorter than 2^32 bytes.
                dictionary.texts.push((at - text.len()) as u32..at as u32);
            } else {
                let Some(number) = number_at(&self.leaf, &plain, &mut at) else {
                    return Err(missing);
                };
                dictionary.numbers.push(number);
            }
        }
        dictionary.ids = vec![UNASKED; dictionary.texts.len()];
        if self.leaf.meaning == Meaning::Text {
            dictionary.page = plain;
        }
        self.dictionary = dictionary;
        Ok(())
    }

    fn data_page(&mut self, header: &PageHeader) -> Result<(), Failure> {
        let short = || Failure::Malformed("a page is shorter than its levels");
        let page = &mut self.page;
        let first; // where the values are in the page
        page.present = None;
        if header.kind == 3 {
            let levels = header
                .repetition
                .checked_add(header.definition)
                .ok_or_else(short)?;
            let (levels, values) = self.compressed.split_at_checked(levels).ok_or_else(short)?;
            let rest = header
                .uncompressed
                .checked_sub(levels.len())
                .ok_or_else(short)?;
            let codec = if header.is_compressed {
                self.codec
            } else {
                Codec::None
            };
            decompress(codec, values, rest, &mut page.bytes).map_err(Failure::Piece)?;
            // Behind the values, where they are in nobody's way.
            let at = page.bytes.len();
            page.bytes.extend_from_slice(levels);
            if self.leaf.optional {
                page.present = Rle::new(1, at + header.repetition, page.bytes.len());
            }
            first = 0..at;
        } else {
            decompress(
                self.codec,
                &self.compressed,
                header.uncompressed,
                &mut page.bytes,
            )
            .map_err(Failure::Piece)?;
            let mut at = 0;
            if self.leaf.optional {
                let length = le::u32(&page.bytes, 0).ok_or_else(short)? as usize;
                at = length
                    .checked_add(4)
                    .filter(|at| *at <= page.bytes.len())
                    .ok_or_else(short)?;
                page.present = Rle::new(1, 4, at);
            }
            first = at..page.bytes.len();
        }
        page.left = header.values;
        self.page.values = self.values(header, first)?;
        Ok(())
    }

    /// How the values at `place` of the page are encoded; rare encodings are made plain at once.
    fn values(&mut self, header: &PageHeader, place: Range<usize>) -> Result<Values, Failure> {
        let page = &mut self.page;
        let bytes = page.bytes.get(place.clone()).unwrap_or_default();
        let physical = self.leaf.physical;
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
        let start = page.bytes.len();
        page.bytes.extend_from_slice(&plain.ok_or(bad)?);
        Ok(Values::Plain(start))
    }

    /// Decodes the next `rows` rows of the page.
    fn decode(
        &mut self,
        rows: usize,
        out: &mut Column,
        room: &mut TextRoom,
    ) -> Result<(), Failure> {
        let Self {
            page,
            levels,
            numbers,
            dictionary,
            leaf,
            ..
        } = self;
        let short = || Failure::Malformed("a page has fewer values than it says");
        levels.clear();
        let mut count = rows;
        if let Some(present) = &mut page.present {
            present.read(&page.bytes, rows, levels).ok_or_else(short)?;
            count = levels.iter().filter(|level| **level != 0).count();
        }
        let levels = (count < rows).then_some(&**levels);
        let bytes = &*page.bytes;
        let done = match &mut page.values {
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
                    return dictionary_texts(dictionary, rows, levels, (out, room), numbers);
                }
                let values = &*dictionary.numbers;
                fill(rows, levels, out, || {
                    values.get(*numbers.next()? as usize).copied()
                })
            }
        };
        done.ok_or_else(short)
    }
}

/// Appends `rows` values, missing where `levels` says so, else what `next` gives.
fn fill(
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
fn plain_numbers(
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
fn number_at(leaf: &Leaf, bytes: &[u8], at: &mut usize) -> Option<f64> {
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
fn text_at<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = le::u32(bytes, *at)? as usize;
    let start = *at + 4;
    let value = bytes.get(start..start.checked_add(length)?)?;
    *at = start + length;
    Some(value)
}

fn texts<'a>(
    rows: usize,
    levels: Option<&[u32]>,
    (out, room): (&mut Column, &mut TextRoom),
    mut next: impl FnMut() -> Option<&'a [u8]>,
) -> Result<(), Failure> {
    let Column::Text(ids, names) = out else {
        return Err(Failure::Malformed("text where numbers are wanted"));
    };
    for row in 0..rows {
        if levels.is_some_and(|levels| levels[row] == 0) {
            ids.push(NO_TEXT);
            continue;
        }
        let text = next().ok_or(Failure::Malformed("a page has fewer values than it says"))?;
        let text = std::str::from_utf8(text)
            .map_err(|_| Failure::Unsupported("bytes that are no UTF-8"))?;
        ids.push(room.id(names, text).ok_or(MUCH_TEXT)?);
    }
    Ok(())
}

fn dictionary_texts(
    dictionary: &mut Dictionary,
    rows: usize,
    levels: Option<&[u32]>,
    (out, room): (&mut Column, &mut TextRoom),
    mut numbers: std::slice::Iter<'_, u32>,
) -> Result<(), Failure> {
    let Column::Text(ids, names) = out else {
        return Err(Failure::Malformed("text where numbers are wanted"));
    };
    for row in 0..rows {
        if levels.is_some_and(|levels| levels[row] == 0) {
            ids.push(NO_TEXT);
            continue;
        }
        let number = numbers.next().map_or(usize::MAX, |number| *number as usize);
        let (Some(place), Some(id)) =
            (dictionary.texts.get(number), dictionary.ids.get_mut(number))
        else {
            return Err(Failure::Malformed(
                "a page refers to what its dictionary has not",
            ));
        };
        if *id == UNASKED {
            let text = dictionary
                .page
                .get(place.start as usize..place.end as usize);
            let text = std::str::from_utf8(text.unwrap_or_default())
                .map_err(|_| Failure::Unsupported("bytes that are no UTF-8"))?;
            *id = room.id(names, text).ok_or(MUCH_TEXT)?;
        }
        ids.push(*id);
    }
    Ok(())
}
