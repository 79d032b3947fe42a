//! Thrift's compact protocol, as far as Parquet's metadata needs it.

/// Structures within structures; Parquet has fewer.
const MAX_DEPTH: u8 = 16;

pub(super) const TRUE: u8 = 1;
pub(super) const FALSE: u8 = 2;
pub(super) const BYTE: u8 = 3;
pub(super) const I32: u8 = 5;
pub(super) const I64: u8 = 6;
pub(super) const BINARY: u8 = 8;
pub(super) const LIST: u8 = 9;
pub(super) const STRUCT: u8 = 12;

/// Takes values off the front of bytes; `None` where they are not there.
#[derive(Debug)]
pub(super) struct Thrift<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            depth: 0,
        }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A whole number of any size but a byte.
    pub(super) fn int(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A whole number that fits 32 bits.
    pub(super) fn int32(&mut self) -> Option<i32> {
        self.int()?.try_into().ok()
    }

    /// A byte.
    pub(super) fn int8(&mut self) -> Option<i8> {
        self.byte().map(|byte| byte as i8)
    }

    pub(super) fn binary(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (value, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(value)
    }

    /// Hands the fields of a structure to `field`, which takes a value and says `Some(true)`, or
    /// leaves it and says `Some(false)`.
    pub(super) fn structure(
        &mut self,
        mut field: impl FnMut(&mut Self, i16, u8) -> Option<bool>,
    ) -> Option<()> {
        self.deeper(|thrift| {
            let mut id = 0_i16;
            loop {
                let byte = thrift.byte()?;
                if byte == 0 {
                    return Some(());
                }
                id = match byte >> 4 {
                    0 => thrift.int()?.try_into().ok()?,
                    delta => id.checked_add(i16::from(delta))?,
                };
                if !field(thrift, id, byte & 0xf)? {
                    thrift.skip(byte & 0xf, false)?;
                }
            }
        })
    }

    /// Hands each element of a list to `element`; all are of type `kind`.
    pub(super) fn list(
        &mut self,
        kind: u8,
        mut element: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let (count, found) = self.list_header()?;
        if count > 0 && found != kind {
            return None;
        }
        for _ in 0..count {
            element(self)?;
        }
        Some(())
    }

    fn list_header(&mut self) -> Option<(usize, u8)> {
        let byte = self.byte()?;
        let count = match byte >> 4 {
            15 => usize::try_from(self.varint()?).ok()?,
            count => usize::from(count),
        };
        // Each element has at least a byte.
        (count <= self.rest.len()).then_some((count, byte & 0xf))
    }

    fn skip(&mut self, kind: u8, element: bool) -> Option<()> {
        match kind {
            TRUE | FALSE if !element => Some(()),
            TRUE | FALSE | BYTE => self.byte().map(|_| ()),
            4 | I32 | I64 => self.varint().map(|_| ()),
            7 => {
                self.rest = self.rest.get(8..)?;
                Some(())
            }
            BINARY => self.binary().map(|_| ()),
            LIST | 10 => self.deeper(|thrift| {
                let (count, kind) = thrift.list_header()?;
                (0..count).try_for_each(|_| thrift.skip(kind, true))
            }),
            11 => self.deeper(|thrift| {
                let count = thrift.varint()?;
                if count == 0 {
                    return Some(());
                }
                if count > thrift.rest.len() as u64 {
                    return None;
                }
                let kinds = thrift.byte()?;
                (0..count).try_for_each(|_| {
                    thrift.skip(kinds >> 4, true)?;
                    thrift.skip(kinds & 0xf, true)
                })
            }),
            STRUCT => self.structure(|_, _, _| Some(false)),
            _ => None,
        }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let value = inner(self);
        self.depth -= 1;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_and_unknown_ones_passed_over() {
        // 1: i32 = 300, 2: list<i32> [1, 2], 20: struct { 1: true }, 21: i32 = -1
        let bytes = [
            0x15, 0xd8, 4, 0x19, 0x25, 2, 4, 0x0c, 40, 0x11, 0, 0x15, 1, 0,
        ];
        let mut found = Vec::new();
        let mut thrift = Thrift::new(&bytes);
        let read = thrift.structure(|thrift, id, kind| match (id, kind) {
            (1 | 21, I32) => {
                found.push((id, thrift.int32()?));
                Some(true)
            }
            _ => Some(false),
        });
        assert_eq!((read, found), (Some(()), vec![(1, 300), (21, -1)]));
        assert_eq!(thrift.left(), 0);
    }

    #[test]
    fn hostile_bytes_end_in_nothing() {
        let deep = [0x1c_u8; 1000];
        let long = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let endless = [
            0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ];
        for bytes in [&deep[..], &long, &endless, &[]] {
            assert_eq!(Thrift::new(bytes).structure(|_, _, _| Some(false)), None);
        }
    }
}
