//! Thrift's compact protocol, as much of it as a footer needs.

/// A structure being written.
#[derive(Default)]
pub(crate) struct Structure {
    bytes: Vec<u8>,
    last: u8,
}

impl Structure {
    fn field(&mut self, id: u8, kind: u8) {
        self.bytes.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    pub(crate) fn int32(mut self, id: u8, value: i64) -> Self {
        self.field(id, 5);
        varint(&mut self.bytes, (value << 1) as u64);
        self
    }

    pub(crate) fn int64(mut self, id: u8, value: i64) -> Self {
        self.field(id, 6);
        varint(&mut self.bytes, (value << 1) as u64);
        self
    }

    pub(crate) fn text(mut self, id: u8, text: &str) -> Self {
        self.field(id, 8);
        varint(&mut self.bytes, text.len() as u64);
        self.bytes.extend(text.as_bytes());
        self
    }

    pub(crate) fn inner(mut self, id: u8, inner: Self) -> Self {
        self.field(id, 12);
        self.bytes.extend(inner.end());
        self
    }

    /// A list of structures, each as it was ended.
    pub(crate) fn list(mut self, id: u8, elements: &[Vec<u8>]) -> Self {
        self.field(id, 9);
        self.bytes.push(0xfc);
        varint(&mut self.bytes, elements.len() as u64);
        self.bytes.extend(elements.concat());
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
