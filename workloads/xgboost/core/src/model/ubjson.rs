//! UBJSON as XGBoost writes and reads it: big-endian, lengths always of 64 bits, arrays of one
//! type with type and length before them.

use super::{
    error::ModelError,
    reader::{Kind, Reader, Scalar},
    writer::Writer,
};

/// What is open, and how it ends.
enum Open {
    /// An object; it ends with `}`.
    Object,
    /// An array that ends with `]`.
    Array,
    /// An array of which so many elements are left.
    Counted(u64),
    /// The same, of elements of one type that have no marker of their own.
    Typed(u8, u64),
}

/// Reads UBJSON.
pub(super) struct UbjsonReader<'a> {
    bytes: &'a [u8],
    at: usize,
    open: Vec<Open>,
}

impl<'a> UbjsonReader<'a> {
    /// Reads `bytes` from the start.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            open: Vec::new(),
        }
    }

    /// Whether nothing is left.
    pub(super) fn finish(&self) -> Result<(), ModelError> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(self.refuse("expected the end of the model"))
    }

    fn next(&self) -> Result<u8, ModelError> {
        let next = self.bytes.get(self.at).copied();
        next.ok_or_else(|| self.refuse("the model ends too early"))
    }

    fn expect(&mut self, byte: u8) -> Result<(), ModelError> {
        if self.next()? == byte {
            self.at += 1;
            return Ok(());
        }
        Err(self.refuse(&format!("expected '{}'", char::from(byte))))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let taken = self.bytes[self.at..].first_chunk::<N>();
        let taken = *taken.ok_or_else(|| self.refuse("the model ends too early"))?;
        self.at += N;
        Ok(taken)
    }

    /// A length, of at most the bytes that are left divided by `size`.
    fn length(&mut self, size: usize) -> Result<u64, ModelError> {
        self.expect(b'L')?;
        let length = i64::from_be_bytes(self.take()?);
        let left = ((self.bytes.len() - self.at) / size) as u64;
        u64::try_from(length)
            .ok()
            .filter(|length| *length <= left)
            .ok_or_else(|| self.refuse(&format!("a length of {length}, but {left} is left")))
    }

    fn string(&mut self) -> Result<String, ModelError> {
        // Not more than the bytes that are left.
        let length = self.length(1)? as usize;
        let text = &self.bytes[self.at..self.at + length];
        let text = String::from_utf8(text.to_vec());
        let text = text.map_err(|_| self.refuse("text that is not UTF-8"))?;
        self.at += length;
        Ok(text)
    }

    /// The number or word that `marker` announces.
    fn payload(&mut self, marker: u8) -> Result<Scalar, ModelError> {
        Ok(match marker {
            b'Z' => Scalar::Null,
            b'T' => Scalar::Bool(true),
            b'F' => Scalar::Bool(false),
            b'd' => Scalar::Float(f32::from_be_bytes(self.take()?)),
            b'D' => Scalar::Float(f64::from_be_bytes(self.take()?) as f32),
            b'i' | b'C' => Scalar::Int(i64::from(i8::from_be_bytes(self.take()?))),
            b'U' => Scalar::Int(i64::from(u8::from_be_bytes(self.take()?))),
            b'I' => Scalar::Int(i64::from(i16::from_be_bytes(self.take()?))),
            b'l' => Scalar::Int(i64::from(i32::from_be_bytes(self.take()?))),
            b'L' => Scalar::Int(i64::from_be_bytes(self.take()?)),
            b'S' => Scalar::Text(self.string()?),
            _ => return Err(self.refuse("a value of an unknown type")),
        })
    }
}

/// Bytes an element of a typed array has.
fn size_of(marker: u8) -> Option<usize> {
    match marker {
        b'i' | b'U' => Some(1),
        b'I' => Some(2),
        b'd' | b'l' => Some(4),
        b'D' | b'L' => Some(8),
        _ => None,
    }
}

impl Reader for UbjsonReader<'_> {
    fn offset(&self) -> usize {
        self.at
    }

    fn peek(&mut self) -> Result<Kind, ModelError> {
        if let Some(Open::Typed(..)) = self.open.last() {
            return Ok(Kind::Scalar);
        }
        Ok(match self.next()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            _ => Kind::Scalar,
        })
    }

    fn object(&mut self) -> Result<(), ModelError> {
        self.check_depth(self.open.len())?;
        self.expect(b'{')?;
        self.open.push(Open::Object);
        Ok(())
    }

    fn key(&mut self) -> Result<Option<String>, ModelError> {
        if self.next()? == b'}' {
            self.at += 1;
            self.open.pop();
            return Ok(None);
        }
        self.string().map(Some)
    }

    fn array(&mut self) -> Result<(), ModelError> {
        self.check_depth(self.open.len())?;
        self.expect(b'[')?;
        let open = match self.next()? {
            b'$' => {
                self.at += 1;
                let marker = self.next()?;
                let size = size_of(marker)
                    .ok_or_else(|| self.refuse("an array of values of an unknown type"))?;
                self.at += 1;
                self.expect(b'#')?;
                Open::Typed(marker, self.length(size)?)
            }
            b'#' => {
                self.at += 1;
                Open::Counted(self.length(1)?)
            }
            _ => Open::Array,
        };
        self.open.push(open);
        Ok(())
    }

    fn item(&mut self) -> Result<bool, ModelError> {
        let more = match self.open.last_mut() {
            Some(Open::Counted(left) | Open::Typed(_, left)) => {
                let more = *left > 0;
                *left = left.saturating_sub(1);
                more
            }
            _ => {
                let ended = self.next()? == b']';
                self.at += usize::from(ended);
                !ended
            }
        };
        if !more {
            self.open.pop();
        }
        Ok(more)
    }

    fn scalar(&mut self) -> Result<Scalar, ModelError> {
        if let Some(Open::Typed(marker, _)) = self.open.last() {
            return self.payload(*marker);
        }
        let marker = self.next()?;
        self.at += 1;
        self.payload(marker)
    }
}

/// Writes UBJSON.
#[derive(Default)]
pub(super) struct UbjsonWriter {
    out: Vec<u8>,
}

impl UbjsonWriter {
    /// What was written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn length(&mut self, length: usize) {
        self.out.push(b'L');
        self.out.extend_from_slice(&(length as u64).to_be_bytes());
    }

    fn string(&mut self, text: &str) {
        self.length(text.len());
        self.out.extend_from_slice(text.as_bytes());
    }

    fn typed<T, const N: usize>(
        &mut self,
        marker: u8,
        values: &mut dyn ExactSizeIterator<Item = T>,
        encode: fn(T) -> [u8; N],
    ) {
        self.out.extend_from_slice(&[b'[', b'$', marker, b'#']);
        self.length(values.len());
        self.out.reserve(values.len() * N);
        for value in values {
            self.out.extend_from_slice(&encode(value));
        }
    }
}

impl Writer for UbjsonWriter {
    fn object(&mut self) {
        self.out.push(b'{');
    }

    fn key(&mut self, key: &str) {
        self.string(key);
    }

    fn end_object(&mut self) {
        self.out.push(b'}');
    }

    fn array(&mut self, length: usize) {
        self.out.extend_from_slice(b"[#");
        self.length(length);
    }

    fn end_array(&mut self) {}

    fn text(&mut self, text: &str) {
        self.out.push(b'S');
        self.string(text);
    }

    fn int(&mut self, value: i64) {
        // XGBoost leaves out the least and greatest number of each width.
        let fits = |bits: u32| value.unsigned_abs() < (1 << (bits - 1)) - 1;
        if fits(8) {
            self.out.push(b'i');
            self.out.extend_from_slice(&(value as i8).to_be_bytes());
        } else if fits(16) {
            self.out.push(b'I');
            self.out.extend_from_slice(&(value as i16).to_be_bytes());
        } else if fits(32) {
            self.out.push(b'l');
            self.out.extend_from_slice(&(value as i32).to_be_bytes());
        } else {
            self.out.push(b'L');
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }

    fn float(&mut self, value: f32) {
        self.out.push(b'd');
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn bool(&mut self, value: bool) {
        self.out.push(if value { b'T' } else { b'F' });
    }

    fn null(&mut self) {
        self.out.push(b'Z');
    }

    fn floats(&mut self, values: &mut dyn ExactSizeIterator<Item = f32>) {
        self.typed(b'd', values, f32::to_be_bytes);
    }

    fn bytes(&mut self, values: &mut dyn ExactSizeIterator<Item = u8>) {
        self.typed(b'U', values, u8::to_be_bytes);
    }

    fn signed_bytes(&mut self, values: &mut dyn ExactSizeIterator<Item = i8>) {
        self.typed(b'i', values, i8::to_be_bytes);
    }

    fn ints(&mut self, values: &mut dyn ExactSizeIterator<Item = i32>) {
        self.typed(b'l', values, i32::to_be_bytes);
    }

    fn longs(&mut self, values: &mut dyn ExactSizeIterator<Item = i64>) {
        self.typed(b'L', values, i64::to_be_bytes);
    }
}
