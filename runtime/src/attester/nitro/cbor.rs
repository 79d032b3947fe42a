//! As much of CBOR (RFC 8949) as the Nitro Secure Module speaks: texts, byte strings, small numbers,
//! truth, null, and maps by text, all of definite length.

/// How deep an answer may nest: a map that names it, its fields, a list or map among those.
const MAX_DEPTH: u8 = 4;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Absent.
    Null,
    /// True or false.
    Bool(bool),
    /// A number from 0 on.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Fields by name.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A map of these fields.
    pub(super) fn map<const N: usize>(fields: [(&str, Value); N]) -> Self {
        let fields = fields.into_iter();
        Self::Map(
            fields
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Its one shortest spelling.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// Reads a value that is all of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let value = reader.value(MAX_DEPTH)?;
        reader.0.is_empty().then_some(value)
    }

    /// The field of this name.
    pub(super) fn field(self, name: &str) -> Option<Self> {
        match self {
            Self::Map(fields) => {
                let mut named = fields.into_iter().filter(|(known, _)| known == name);
                let (_, value) = named.next()?;
                named.next().is_none().then_some(value)
            }
            _ => None,
        }
    }

    /// Its bytes.
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Null => to.push(0xf6),
            Self::Bool(value) => to.push(0xf4 | u8::from(*value)),
            Self::Number(value) => head(to, 0, *value),
            Self::Bytes(bytes) => {
                head(to, 2, bytes.len() as u64);
                to.extend(bytes);
            }
            Self::Text(text) => {
                head(to, 3, text.len() as u64);
                to.extend(text.as_bytes());
            }
            Self::List(values) => {
                head(to, 4, values.len() as u64);
                values.iter().for_each(|value| value.write(to));
            }
            Self::Map(fields) => {
                head(to, 5, fields.len() as u64);
                for (name, value) in fields {
                    head(to, 3, name.len() as u64);
                    to.extend(name.as_bytes());
                    value.write(to);
                }
            }
        }
    }
}

/// A major type with its length or number, in as few bytes as hold it.
fn head(to: &mut Vec<u8>, major: u8, number: u64) {
    let major = major << 5;
    let bytes = number.to_be_bytes();
    match number {
        0..=23 => to.push(major | bytes[7]),
        24..=0xff => to.extend([major | 24, bytes[7]]),
        0x100..=0xffff => {
            to.push(major | 25);
            to.extend(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            to.push(major | 26);
            to.extend(&bytes[4..]);
        }
        _ => {
            to.push(major | 27);
            to.extend(bytes);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn head(&mut self) -> Option<(u8, u64)> {
        let first = self.take(1)?[0];
        let extra = match first & 0x1f {
            small @ 0..=23 => return Some((first >> 5, u64::from(small))),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            // Of no definite length, or reserved.
            _ => return None,
        };
        let bytes = self.take(extra)?.iter();
        let number = bytes.fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some((first >> 5, number))
    }

    fn sized(&mut self, len: u64) -> Option<&'a [u8]> {
        self.take(usize::try_from(len).ok()?)
    }

    fn text(&mut self, len: u64) -> Option<String> {
        String::from_utf8(self.sized(len)?.to_vec()).ok()
    }

    fn value(&mut self, depth: u8) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        Some(match self.head()? {
            (0, number) => Value::Number(number),
            (2, len) => Value::Bytes(self.sized(len)?.to_vec()),
            (3, len) => Value::Text(self.text(len)?),
            // Nothing is allocated for more values than came.
            (4, len) => Value::List((0..len).map(|_| self.value(depth)).collect::<Option<_>>()?),
            (5, len) => {
                let field = |_| {
                    let (3, name) = self.head()? else { return None };
                    Some((self.text(name)?, self.value(depth)?))
                };
                Value::Map((0..len).map(field).collect::<Option<_>>()?)
            }
            (7, value @ 20..=21) => Value::Bool(value == 21),
            (7, 22) => Value::Null,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix A of RFC 8949, where it has what is needed here.
    #[test]
    fn values_are_spelt_as_the_standard_spells_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            (Value::Number(0), "00"),
            (Value::Number(23), "17"),
            (Value::Number(24), "1818"),
            (Value::Number(1000), "1903e8"),
            (Value::Number(1_000_000), "1a000f4240"),
            (Value::Number(1_000_000_000_000), "1b000000e8d4a51000"),
            (Value::Bool(false), "f4"),
            (Value::Bool(true), "f5"),
            (Value::Null, "f6"),
            (Value::Bytes(vec![1, 2, 3, 4]), "4401020304"),
            (text("IETF"), "6449455446"),
            (text("\u{fc}"), "62c3bc"),
            (
                Value::List([1, 2, 3].map(Value::Number).to_vec()),
                "83010203",
            ),
            (
                Value::map([
                    ("a", Value::Number(1)),
                    ("b", Value::List([2, 3].map(Value::Number).to_vec())),
                ]),
                "a26161016162820203",
            ),
        ];
        for (value, hex) in cases {
            let bytes = value.to_bytes();
            let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, hex);
            assert_eq!(Value::parse(&bytes), Some(value), "{hex}");
        }
    }

    #[test]
    fn what_is_cut_too_long_too_deep_or_of_another_kind_is_refused() {
        let whole = Value::map([("a", Value::Bytes(vec![7; 300]))]).to_bytes();
        for len in 0..whole.len() {
            assert_eq!(Value::parse(&whole[..len]), None, "{len}");
        }
        assert_eq!(Value::parse(&[whole, vec![0]].concat()), None);
        let others: [&[u8]; 7] = [
            // A length beyond all memory, and lists and maps of as many.
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            // Of no definite length; below 0; a field that is named by a number.
            &[0x5f, 0xff],
            &[0x20],
            &[0xa1, 0x01, 0x01],
            &[0x81, 0x81, 0x81, 0x81, 0x81, 0x00],
        ];
        for bytes in others {
            assert_eq!(Value::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_field_that_comes_twice_is_none() {
        let twice = Value::map([("a", Value::Null), ("a", Value::Bool(true))]);
        assert_eq!(twice.field("a"), None);
    }
}
