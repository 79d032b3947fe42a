//! Record batches: buffers of columns, and what is read from them.
//!
//! Buffers that are not compressed are read from the file a few rows at a time, so a batch of any
//! size costs little memory; compressed ones are decompressed whole, once a column is asked for.

use super::{
    flat::Table,
    schema::{Extent, Field, Kind, pass},
};
use crate::data::{
    ReadAt,
    bytes::read_vec,
    codec::{Codec, MAX_PIECE, decompress},
    columns::{Column, NO_TEXT},
    le,
    limits::{TextRoom, texts},
};

/// Why a batch cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    Read(std::io::Error),
    Malformed(&'static str),
    Piece(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

const SHORT: Failure = Failure::Malformed("a buffer is shorter than its rows");
const LONG: Failure =
    Failure::Malformed("a buffer is longer than 256 MiB; write smaller record batches");
const MUCH_TEXT: Failure = Failure::Malformed("far more text than a file of this size has");

/// A record batch's header: where everything is.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    pub(super) rows: u64,
    codec: Option<Codec>,
    /// Where each buffer is in the file, and its length.
    buffers: Vec<(u64, u64)>,
    /// Missing values of each node.
    missing: Vec<i64>,
    views: Vec<usize>,
}

impl Header {
    /// Parses the header of the batch whose body is `length` bytes at `body`.
    pub(super) fn parse(batch: Table<'_>, body: u64, length: u64) -> Option<Self> {
        let codec = match batch.table(3) {
            None => None,
            Some(compression) => Some(match compression.u8(0).unwrap_or(0) {
                0 => Codec::Lz4Frame,
                1 => Codec::Zstd,
                _ => return None,
            }),
        };
        let mut header = Self {
            rows: batch.i64(0).unwrap_or(0).try_into().ok()?,
            codec,
            ..Self::default()
        };
        if let Some(nodes) = batch.vector(1, 16) {
            header.missing = (0..nodes.len())
                .map(|node| nodes.i64(node, 16, 8))
                .collect::<Option<_>>()?;
        }
        if let Some(buffers) = batch.vector(2, 16) {
            let mut left = length;
            for index in 0..buffers.len() {
                let start = u64::try_from(buffers.i64(index, 16, 0)?).ok()?;
                let size = u64::try_from(buffers.i64(index, 16, 8)?).ok()?;
                if start.checked_add(size)? > length {
                    return None;
                }
                // Buffers that overlap would make much of a short body.
                left = left.checked_sub(size)?;
                header.buffers.push((body.checked_add(start)?, size));
            }
        }
        if let Some(views) = batch.vector(4, 8) {
            for index in 0..views.len() {
                header
                    .views
                    .push(usize::try_from(views.i64(index, 8, 0)?).ok()?);
            }
        }
        Some(header)
    }

    /// The buffers of each of `fields`.
    pub(super) fn columns(&self, fields: &[Field]) -> Option<Vec<Pieces>> {
        let mut extent = Extent::default();
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            let first = extent;
            pass(field, &mut extent, &|index| self.views.get(index).copied())?;
            columns.push(Pieces {
                buffers: self.buffers.get(first.buffers..extent.buffers)?.to_vec(),
                missing: *self.missing.get(first.nodes)? != 0,
                codec: self.codec,
                loaded: None,
            });
        }
        Some(columns)
    }
}

/// The buffers of one column of one batch.
#[derive(Debug)]
pub(super) struct Pieces {
    buffers: Vec<(u64, u64)>,
    missing: bool,
    codec: Option<Codec>,
    /// Those that had to be decompressed, or are looked into at random.
    loaded: Option<Vec<Vec<u8>>>,
}

/// What is kept between reads of a column, and what the file may still bring.
#[derive(Default)]
pub(super) struct Scratch {
    validity: Vec<u8>,
    offsets: Vec<u8>,
    values: Vec<u8>,
    numbers: Vec<f64>,
    text: TextRoom,
    /// Bytes of a batch that may still be decompressed.
    pub(super) room: u64,
}

impl Scratch {
    /// Of a file of `size` bytes of which nothing was read.
    pub(super) fn new(size: u64) -> Self {
        Self {
            text: TextRoom::of(size),
            ..Self::default()
        }
    }
}

/// A dictionary, and the numbers that a column gave its texts.
pub(super) struct Lookup<'a> {
    /// Values in the order in which columns refer to them.
    pub(super) dictionary: &'a Column,
    /// By the numbers that the dictionary gave its texts.
    pub(super) ids: &'a mut [u32],
}

/// Text whose number was not asked for yet.
pub(super) const UNASKED: u32 = NO_TEXT - 1;

impl Pieces {
    /// The bytes `start..start + length` of buffer `index`.
    fn slice<'a>(
        &'a self,
        file: &dyn ReadAt,
        index: usize,
        start: u64,
        length: u64,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], Failure> {
        let end = start.checked_add(length).ok_or(SHORT)?;
        if length > MAX_PIECE as u64 {
            return Err(LONG);
        }
        if let Some(loaded) = &self.loaded {
            let buffer = loaded.get(index).ok_or(SHORT)?;
            let (start, end) = (usize::try_from(start).ok(), usize::try_from(end).ok());
            return start
                .zip(end)
                .and_then(|(start, end)| buffer.get(start..end))
                .ok_or(SHORT);
        }
        let (at, size) = *self.buffers.get(index).ok_or(SHORT)?;
        if end > size {
            return Err(SHORT);
        }
        read_vec(file, at + start, length, scratch)?;
        Ok(scratch)
    }

    fn load(&mut self, file: &dyn ReadAt, kind: &Kind, room: &mut u64) -> Result<(), Failure> {
        if self.loaded.is_some() || (self.codec.is_none() && *kind != Kind::View) {
            return Ok(());
        }
        let mut loaded = Vec::with_capacity(self.buffers.len());
        let mut raw = Vec::new();
        for (at, size) in &self.buffers {
            if *size > MAX_PIECE as u64 {
                return Err(LONG);
            }
            read_vec(file, *at, *size, &mut raw)?;
            let mut buffer = Vec::new();
            match (self.codec, le::i64(&raw, 0)) {
                (Some(_), None) => {}
                (Some(codec), Some(length)) if length >= 0 => {
                    let length = usize::try_from(length).map_err(|_| SHORT)?;
                    decompress(codec, &raw[8..], length, &mut buffer).map_err(Failure::Piece)?;
                }
                // -1 says that compressing was not worth it.
                (Some(_), Some(_)) => buffer.extend_from_slice(&raw[8..]),
                (None, _) => std::mem::swap(&mut buffer, &mut raw),
            }
            let left = room.checked_sub(buffer.len() as u64);
            *room = left.ok_or(Failure::Malformed(
                "its batch decompresses to far more than the file has; write smaller ones",
            ))?;
            loaded.push(buffer);
        }
        self.loaded = Some(loaded);
        Ok(())
    }

    /// Appends `rows` rows from `row` on.
    pub(super) fn read(
        &mut self,
        file: &dyn ReadAt,
        field: &Field,
        lookup: Option<Lookup<'_>>,
        rows: (u64, usize),
        scratch: &mut Scratch,
        out: &mut Column,
    ) -> Result<(), Failure> {
        let before = texts(out);
        self.read_values(file, field, lookup, rows, scratch, out)?;
        scratch.text.entries(out, before).ok_or(MUCH_TEXT)
    }

    fn read_values(
        &mut self,
        file: &dyn ReadAt,
        field: &Field,
        lookup: Option<Lookup<'_>>,
        (row, rows): (u64, usize),
        scratch: &mut Scratch,
        out: &mut Column,
    ) -> Result<(), Failure> {
        let kind = field.stored();
        if *kind == Kind::Null {
            (0..rows).for_each(|_| out.push_missing());
            return Ok(());
        }
        let Scratch {
            validity,
            offsets,
            values,
            numbers,
            text,
            room,
        } = scratch;
        self.load(file, kind, room)?;
        let first = row / 8;
        let present = if self.missing {
            let bits = (row % 8 + rows as u64).div_ceil(8);
            Some(self.slice(file, 0, first, bits, validity)?)
        } else {
            None
        };
        let is_present = |index: usize| match present {
            None => true,
            Some(bits) => bit(bits, (row % 8) as usize + index),
        };
        if let Kind::Text { large } = kind {
            return self.texts(
                file,
                *large,
                (row, rows),
                is_present,
                (offsets, values),
                (out, text),
            );
        }
        if *kind == Kind::View {
            return self.views((row, rows), is_present, (out, text));
        }
        self.numbers(file, kind, (row, rows), values, numbers)?;
        match lookup {
            None => {
                for (index, number) in numbers.iter().enumerate() {
                    match is_present(index) {
                        true => out.push_number(*number),
                        false => out.push_missing(),
                    }
                }
                Ok(())
            }
            Some(lookup) => look_up(lookup, numbers, is_present, (out, text)),
        }
    }

    fn numbers(
        &self,
        file: &dyn ReadAt,
        kind: &Kind,
        (row, rows): (u64, usize),
        scratch: &mut Vec<u8>,
        numbers: &mut Vec<f64>,
    ) -> Result<(), Failure> {
        numbers.clear();
        let width = match kind {
            Kind::Int(width, _) | Kind::Float(width) | Kind::Decimal(width, _) => *width,
            Kind::Bool => {
                let bits = (row % 8 + rows as u64).div_ceil(8);
                let bytes = self.slice(file, 1, row / 8, bits, scratch)?;
                numbers.extend(
                    (0..rows)
                        .map(|index| f64::from(u8::from(bit(bytes, (row % 8) as usize + index)))),
                );
                return Ok(());
            }
            _ => return Err(Failure::Malformed("a column is no number")),
        };
        let start = row.checked_mul(width as u64).ok_or(SHORT)?;
        let bytes = self.slice(file, 1, start, (rows * width) as u64, scratch)?;
        let values = bytes.chunks_exact(width);
        match kind {
            Kind::Float(4) => {
                numbers.extend(values.map(|value| f64::from(f32::from_le_bytes(fixed(value)))))
            }
            Kind::Float(8) => numbers.extend(values.map(|value| f64::from_le_bytes(fixed(value)))),
            Kind::Float(_) => {
                numbers.extend(values.map(|value| le::half(u16::from_le_bytes(fixed(value)))))
            }
            Kind::Decimal(_, scale) => numbers.extend(values.map(|value| {
                let mut value = value.to_vec();
                value.reverse();
                le::big_endian(&value) / 10_f64.powi(*scale)
            })),
            Kind::Int(_, signed) => numbers.extend(values.map(|value| int(value, *signed))),
            _ => {}
        }
        Ok(())
    }

    fn texts(
        &self,
        file: &dyn ReadAt,
        large: bool,
        (row, rows): (u64, usize),
        is_present: impl Fn(usize) -> bool,
        (scratch, more): (&mut Vec<u8>, &mut Vec<u8>),
        (out, room): (&mut Column, &mut TextRoom),
    ) -> Result<(), Failure> {
        let Column::Text(ids, names) = out else {
            return Err(Failure::Malformed("text where numbers are wanted"));
        };
        let width = if large { 8 } else { 4 };
        let start = row.checked_mul(width).ok_or(SHORT)?;
        let offsets = self.slice(file, 1, start, (rows as u64 + 1) * width, scratch)?;
        let offset = |index: usize| match large {
            true => le::i64(offsets, index * 8),
            false => le::i32(offsets, index * 4).map(i64::from),
        };
        let bounds = offset(0).zip(offset(rows)).ok_or(SHORT)?;
        let first = u64::try_from(bounds.0).map_err(|_| SHORT)?;
        let length = u64::try_from(bounds.1)
            .ok()
            .and_then(|last| last.checked_sub(first))
            .ok_or(SHORT)?;
        let bytes = self.slice(file, 2, first, length, more)?;
        let place = |index| usize::try_from(offset(index)?.checked_sub(bounds.0)?).ok();
        let mut start = 0;
        for index in 0..rows {
            // One text after the other, of missing rows too: overlapping ones would make much of
            // a few bytes.
            let end = place(index + 1).ok_or(SHORT)?;
            let text = bytes.get(start..end).ok_or(SHORT)?;
            start = end;
            ids.push(match is_present(index) {
                true => room.id(names, utf8(text)?).ok_or(MUCH_TEXT)?,
                false => NO_TEXT,
            });
        }
        Ok(())
    }

    fn views(
        &self,
        (row, rows): (u64, usize),
        is_present: impl Fn(usize) -> bool,
        (out, room): (&mut Column, &mut TextRoom),
    ) -> Result<(), Failure> {
        let (Column::Text(ids, names), Some(buffers)) = (out, &self.loaded) else {
            return Err(Failure::Malformed("text where numbers are wanted"));
        };
        let views = buffers.get(1).ok_or(SHORT)?;
        for index in 0..rows {
            if !is_present(index) {
                ids.push(NO_TEXT);
                continue;
            }
            let view = usize::try_from(row).ok().and_then(|row| {
                let view = row.checked_add(index)?.checked_mul(16)?;
                views.get(view..view.checked_add(16)?)
            });
            let view = view.ok_or(SHORT)?;
            let text = utf8(viewed(view, buffers).ok_or(SHORT)?)?;
            ids.push(room.id(names, text).ok_or(MUCH_TEXT)?);
        }
        Ok(())
    }
}

/// The text of a view of 16 bytes: short ones are in it, others in one of the buffers.
fn viewed<'a>(view: &'a [u8], buffers: &'a [Vec<u8>]) -> Option<&'a [u8]> {
    let length = le::u32(view, 0)? as usize;
    if length <= 12 {
        return view.get(4..4 + length);
    }
    let buffer = buffers.get((le::u32(view, 8)? as usize).checked_add(2)?)?;
    let start = le::u32(view, 12)? as usize;
    buffer.get(start..start.checked_add(length)?)
}

fn look_up(
    lookup: Lookup<'_>,
    indices: &[f64],
    is_present: impl Fn(usize) -> bool,
    (out, room): (&mut Column, &mut TextRoom),
) -> Result<(), Failure> {
    const OUTSIDE: Failure = Failure::Malformed("a column refers to what its dictionary has not");
    for (row, index) in indices.iter().enumerate() {
        if !is_present(row) {
            out.push_missing();
            continue;
        }
        // Negative ones become 0 here, so they are looked at first.
        let index = if *index < 0.0 {
            usize::MAX
        } else {
            *index as usize
        };
        match (lookup.dictionary, &mut *out) {
            (Column::Exact(numbers), out) => out.push_number(*numbers.get(index).ok_or(OUTSIDE)?),
            (Column::Text(values, texts), Column::Text(ids, names)) => {
                let value = *values.get(index).ok_or(OUTSIDE)? as usize;
                let Some((id, text)) = lookup.ids.get_mut(value).zip(texts.names().get(value))
                else {
                    ids.push(NO_TEXT);
                    continue;
                };
                if *id == UNASKED {
                    *id = room.id(names, text).ok_or(MUCH_TEXT)?;
                }
                ids.push(*id);
            }
            _ => return Err(Failure::Malformed("text where numbers are wanted")),
        }
    }
    Ok(())
}

/// Bytes of a chunk whose length was chosen to be `N`.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

fn int(bytes: &[u8], signed: bool) -> f64 {
    match (bytes.len(), signed) {
        (1, false) => f64::from(bytes[0]),
        (1, true) => f64::from(bytes[0] as i8),
        (2, false) => f64::from(u16::from_le_bytes(fixed(bytes))),
        (2, true) => f64::from(i16::from_le_bytes(fixed(bytes))),
        (4, false) => f64::from(u32::from_le_bytes(fixed(bytes))),
        (4, true) => f64::from(i32::from_le_bytes(fixed(bytes))),
        (_, false) => u64::from_le_bytes(fixed(bytes)) as f64,
        (_, true) => i64::from_le_bytes(fixed(bytes)) as f64,
    }
}

fn bit(bytes: &[u8], index: usize) -> bool {
    bytes
        .get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

fn utf8(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| Failure::Malformed("text that is not UTF-8"))
}
