//! Flatbuffers, as far as Arrow's messages need them: every place is checked when it is looked at.

use crate::data::le;

/// A table at a place of a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    buffer: &'a [u8],
    at: usize,
}

/// A vector at a place of a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector<'a> {
    buffer: &'a [u8],
    start: usize,
    count: usize,
}

impl<'a> Table<'a> {
    /// The table that a buffer holds.
    pub(super) fn root(buffer: &'a [u8]) -> Option<Self> {
        let at = le::u32(buffer, 0)? as usize;
        Some(Self { buffer, at })
    }

    /// Bytes of the buffer it is in.
    pub(super) fn buffer_len(&self) -> usize {
        self.buffer.len()
    }

    /// Where field `index` is; `None` where the table has it not.
    fn place(&self, index: usize) -> Option<usize> {
        let back = le::i32(self.buffer, self.at)?;
        let vtable = usize::try_from(i64::try_from(self.at).ok()? - i64::from(back)).ok()?;
        let length = usize::from(le::u16(self.buffer, vtable)?);
        let entry = 4 + 2 * index;
        if entry + 2 > length {
            return None;
        }
        match le::u16(self.buffer, vtable.checked_add(entry)?)? {
            0 => None,
            offset => self.at.checked_add(usize::from(offset)),
        }
    }

    pub(super) fn u8(&self, index: usize) -> Option<u8> {
        self.buffer.get(self.place(index)?).copied()
    }

    pub(super) fn i16(&self, index: usize) -> Option<i16> {
        le::u16(self.buffer, self.place(index)?).map(|value| value as i16)
    }

    pub(super) fn i32(&self, index: usize) -> Option<i32> {
        le::i32(self.buffer, self.place(index)?)
    }

    pub(super) fn i64(&self, index: usize) -> Option<i64> {
        le::i64(self.buffer, self.place(index)?)
    }

    fn follow(&self, index: usize) -> Option<usize> {
        let place = self.place(index)?;
        place.checked_add(le::u32(self.buffer, place)? as usize)
    }

    pub(super) fn table(&self, index: usize) -> Option<Table<'a>> {
        Some(Table {
            buffer: self.buffer,
            at: self.follow(index)?,
        })
    }

    /// A vector whose entries have `width` bytes each.
    pub(super) fn vector(&self, index: usize, width: usize) -> Option<Vector<'a>> {
        let at = self.follow(index)?;
        let count = le::u32(self.buffer, at)? as usize;
        let start = at.checked_add(4)?;
        let end = start.checked_add(count.checked_mul(width)?)?;
        (end <= self.buffer.len()).then_some(Vector {
            buffer: self.buffer,
            start,
            count,
        })
    }

    pub(super) fn text(&self, index: usize) -> Option<String> {
        let vector = self.vector(index, 1)?;
        let bytes = self.buffer.get(vector.start..vector.start + vector.count)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

impl<'a> Vector<'a> {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Entry `index` of a vector of tables.
    pub(super) fn table(&self, index: usize) -> Option<Table<'a>> {
        let place = self.start.checked_add(index.checked_mul(4)?)?;
        Some(Table {
            buffer: self.buffer,
            at: place.checked_add(le::u32(self.buffer, place)? as usize)?,
        })
    }

    /// The number at `offset` in entry `index`, `width` bytes each.
    pub(super) fn i64(&self, index: usize, width: usize, offset: usize) -> Option<i64> {
        le::i64(
            self.buffer,
            self.start
                .checked_add(index.checked_mul(width)?)?
                .checked_add(offset)?,
        )
    }

    /// As [`i64`](Self::i64).
    pub(super) fn i32(&self, index: usize, width: usize, offset: usize) -> Option<i32> {
        le::i32(
            self.buffer,
            self.start
                .checked_add(index.checked_mul(width)?)?
                .checked_add(offset)?,
        )
    }
}
