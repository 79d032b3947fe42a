//! JSON as XGBoost writes and reads it.
//!
//! It differs from RFC 8259 in what XGBoost's does: numbers may be `NaN` and `Infinity`, floats
//! are in scientific notation, and `\u` in a string stands for itself.

use super::{
    error::ModelError,
    reader::{Kind, Reader, Scalar},
    writer::Writer,
};

/// Reads JSON.
pub(super) struct JsonReader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// For each object or array gone into: whether nothing of it was read.
    open: Vec<bool>,
}

impl<'a> JsonReader<'a> {
    /// Reads `bytes` from the start.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            open: Vec::new(),
        }
    }

    /// Whether nothing but space is left.
    pub(super) fn finish(&mut self) -> Result<(), ModelError> {
        self.space();
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(self.refuse("expected the end of the model"))
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is not space.
    fn next(&mut self) -> Option<u8> {
        self.space();
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), ModelError> {
        if self.next() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.refuse(&format!("expected '{}'", char::from(byte))))
    }

    fn open(&mut self, byte: u8) -> Result<(), ModelError> {
        self.check_depth(self.open.len())?;
        self.expect(byte)?;
        self.open.push(true);
        Ok(())
    }

    /// Goes past a comma, or out of the object or array that `end` ends.
    fn more(&mut self, end: u8) -> Result<bool, ModelError> {
        if self.next() == Some(end) {
            self.at += 1;
            self.open.pop();
            return Ok(false);
        }
        match self.open.last_mut() {
            Some(first) if *first => *first = false,
            Some(_) => self.expect(b',')?,
            None => return Err(self.refuse("expected nothing more")),
        }
        Ok(true)
    }

    fn word(&mut self, word: &str, value: Scalar) -> Result<Scalar, ModelError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.refuse("expected a value"))
    }

    fn string(&mut self) -> Result<String, ModelError> {
        self.expect(b'"')?;
        let mut text = Vec::new();
        loop {
            let rest = &self.bytes[self.at..];
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r'))
                .ok_or_else(|| self.refuse("text without an end"))?;
            text.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match (rest[plain], rest.get(plain + 1)) {
                (b'"', _) => {
                    self.at += 1;
                    break;
                }
                (b'\\', Some(escaped)) => {
                    match escaped {
                        b'"' | b'\\' | b'/' => text.push(*escaped),
                        b'n' => text.push(b'\n'),
                        b'r' => text.push(b'\r'),
                        b't' => text.push(b'\t'),
                        b'b' => text.push(8),
                        b'f' => text.push(12),
                        b'u' => text.extend_from_slice(b"\\u"),
                        _ => return Err(self.refuse("unknown escape in text")),
                    }
                    self.at += 2;
                }
                _ => return Err(self.refuse("text without an end")),
            }
        }
        String::from_utf8(text).map_err(|_| self.refuse("text that is not UTF-8"))
    }

    fn number(&mut self) -> Result<Scalar, ModelError> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        // Only ASCII was taken.
        let text = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        if text == "-" && rest[1..].starts_with(b"Infinity") {
            self.at += 1;
            return self.word("Infinity", Scalar::Float(f32::NEG_INFINITY));
        }
        let value = match text.parse::<i64>() {
            Ok(value) => Scalar::Int(value),
            Err(_) => match text.parse::<f32>() {
                Ok(value) => Scalar::Float(value),
                Err(_) => return Err(self.refuse("expected a value")),
            },
        };
        self.at += length;
        Ok(value)
    }
}

impl Reader for JsonReader<'_> {
    fn offset(&self) -> usize {
        self.at
    }

    fn peek(&mut self) -> Result<Kind, ModelError> {
        match self.next() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(_) => Ok(Kind::Scalar),
            None => Err(self.refuse("the model ends too early")),
        }
    }

    fn object(&mut self) -> Result<(), ModelError> {
        self.open(b'{')
    }

    fn key(&mut self) -> Result<Option<String>, ModelError> {
        if !self.more(b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    fn array(&mut self) -> Result<(), ModelError> {
        self.open(b'[')
    }

    fn item(&mut self) -> Result<bool, ModelError> {
        self.more(b']')
    }

    fn scalar(&mut self) -> Result<Scalar, ModelError> {
        match self.next() {
            Some(b'"') => self.string().map(Scalar::Text),
            Some(b't') => self.word("true", Scalar::Bool(true)),
            Some(b'f') => self.word("false", Scalar::Bool(false)),
            Some(b'n') => self.word("null", Scalar::Null),
            Some(b'N') => self.word("NaN", Scalar::Float(f32::NAN)),
            Some(b'I') => self.word("Infinity", Scalar::Float(f32::INFINITY)),
            Some(_) => self.number(),
            None => Err(self.refuse("the model ends too early")),
        }
    }
}

/// A float in JSON: the shortest digits that give it back, in scientific notation.
pub(super) fn float(value: f32) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{value:E}")
    }
}

/// `text` with escapes where XGBoost has them; `\u` is left as it is.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&'u') => escaped.push('\\'),
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            control if control <= '\u{1f}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// Writes JSON.
#[derive(Default)]
pub(super) struct JsonWriter {
    out: Vec<u8>,
    /// Whether a comma has to come before what is next.
    comma: bool,
}

impl JsonWriter {
    /// What was written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn value(&mut self, text: &str) {
        self.begin();
        self.out.extend_from_slice(text.as_bytes());
        self.comma = true;
    }

    fn begin(&mut self) {
        if std::mem::take(&mut self.comma) {
            self.out.push(b',');
        }
    }

    fn end(&mut self, byte: u8) {
        self.out.push(byte);
        self.comma = true;
    }
}

impl Writer for JsonWriter {
    fn object(&mut self) {
        self.begin();
        self.out.push(b'{');
    }

    fn key(&mut self, key: &str) {
        self.text(key);
        self.out.push(b':');
        self.comma = false;
    }

    fn end_object(&mut self) {
        self.end(b'}');
    }

    fn array(&mut self, _: usize) {
        self.begin();
        self.out.push(b'[');
    }

    fn end_array(&mut self) {
        self.end(b']');
    }

    fn text(&mut self, text: &str) {
        let quoted = format!("\"{}\"", escape(text));
        self.value(&quoted);
    }

    fn int(&mut self, value: i64) {
        self.value(&value.to_string());
    }

    fn float(&mut self, value: f32) {
        self.value(&float(value));
    }

    fn bool(&mut self, value: bool) {
        self.value(if value { "true" } else { "false" });
    }

    fn null(&mut self) {
        self.value("null");
    }

    fn floats(&mut self, values: &mut dyn ExactSizeIterator<Item = f32>) {
        self.array(values.len());
        for value in values {
            self.float(value);
        }
        self.end_array();
    }

    fn bytes(&mut self, values: &mut dyn ExactSizeIterator<Item = u8>) {
        self.longs(&mut values.map(i64::from));
    }

    fn signed_bytes(&mut self, values: &mut dyn ExactSizeIterator<Item = i8>) {
        self.longs(&mut values.map(i64::from));
    }

    fn ints(&mut self, values: &mut dyn ExactSizeIterator<Item = i32>) {
        self.longs(&mut values.map(i64::from));
    }

    fn longs(&mut self, values: &mut dyn ExactSizeIterator<Item = i64>) {
        self.array(values.len());
        for value in values {
            self.int(value);
        }
        self.end_array();
    }
}
