//! How bytes are written inside JSON: strict base64 and strict lower-case hexadecimal.

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, NO_PAD, STANDARD},
    },
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

/// Bytes written as standard base64 with padding (RFC 4648 §4); other spellings are refused.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Base64(pub Vec<u8>);

impl Base64 {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Base64 {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Base64 {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl std::fmt::Debug for Base64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Base64({} bytes)", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(&text)
            .map(Self)
            .map_err(|error| D::Error::custom(format!("not standard padded base64: {error}")))
    }
}

/// Bytes as others' services have them: base64 for URLs (RFC 4648 §5), written without padding and read
/// with it or without. No format of ours has it.
///
/// ```
/// use mc2_protocol::encoding::Base64Url;
///
/// let bytes = Base64Url(vec![0xfb, 0xff]);
/// assert_eq!(serde_json::to_string(&bytes)?, r#""-_8""#);
/// for text in [r#""-_8""#, r#""-_8=""#] {
///     assert_eq!(serde_json::from_str::<Base64Url>(text)?, bytes);
/// }
/// for text in [r#""+/8""#, r#""-_9""#, r#""-""#, r#""-_ 8""#] {
///     assert!(serde_json::from_str::<Base64Url>(text).is_err());
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64Url(pub Vec<u8>);

const FOR_URLS: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&FOR_URLS.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        FOR_URLS
            .decode(&text)
            .map(Self)
            .map_err(|error| D::Error::custom(format!("not base64 for URLs: {error}")))
    }
}

/// Exactly `N` bytes written as lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> std::fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl<const N: usize> std::fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex_array(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!("expected {} lower-case hexadecimal digits", 2 * N))
        })
    }
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes as lower-case hexadecimal digits. Nothing secret is written so.
pub fn hex(bytes: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| HEX_DIGITS[digit as usize] as char);
    bytes.iter().flat_map(digits).collect()
}

/// Decodes exactly `N` bytes of lower-case hexadecimal.
pub fn hex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let value = |digit: &u8| HEX_DIGITS.iter().position(|known| known == digit);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some((value(high)? << 4 | value(low)?) as u8));
    bytes.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// Bytes from outside that are larger than their kind may be, or not the JSON they should be.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// More bytes than this kind of document may have.
    #[error("{what} has {found} bytes, at most {limit} are accepted")]
    TooLarge {
        /// What was being read.
        what: &'static str,
        /// Its size in bytes.
        found: usize,
        /// The largest accepted size in bytes.
        limit: usize,
    },
    /// Not JSON, or not of the expected shape; unknown and duplicate fields end here too.
    #[error("{what} is not valid: {reason}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// serde_json's words.
        reason: String,
    },
    /// A format version this release does not know.
    #[error(
        "{what} has format version {found}, this release reads version {}",
        crate::VERSION
    )]
    Version {
        /// What was being read.
        what: &'static str,
        /// The version it states.
        found: u64,
    },
}

/// Parses a whole JSON document of at most `limit` bytes into `T`.
///
/// ```
/// use mc2_protocol::encoding::parse_json;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Greeting {
///     text: String,
/// }
///
/// let greeting: Greeting = parse_json("the greeting", br#"{"text":"hello"}"#, 64)?;
/// assert_eq!(greeting.text, "hello");
/// let error = parse_json::<Greeting>("the greeting", &[b' '; 65], 64).err().expect("too long");
/// assert!(error.to_string().contains("64"), "{error}");
/// # Ok::<(), mc2_protocol::encoding::JsonError>(())
/// ```
///
/// # Errors
/// Too many bytes, anything but one JSON value of `T`'s shape, or trailing bytes.
pub fn parse_json<'de, T: Deserialize<'de>>(
    what: &'static str,
    bytes: &'de [u8],
    limit: usize,
) -> Result<T, JsonError> {
    if bytes.len() > limit {
        return Err(JsonError::TooLarge {
            what,
            found: bytes.len(),
            limit,
        });
    }
    serde_json::from_slice(bytes).map_err(|error| JsonError::Invalid {
        what,
        reason: error.to_string(),
    })
}

/// Refuses any format version but this release's.
pub fn check_version(what: &'static str, found: u32) -> Result<(), JsonError> {
    if found == crate::VERSION {
        return Ok(());
    }
    Err(JsonError::Version {
        what,
        found: found.into(),
    })
}

/// Serialises one of this crate's own types that holds a secret: into one buffer, made as large as
/// it must be, since one that grew would leave copies behind.
pub fn secret_json<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let mut length = Counter(0);
    let mut bytes = Zeroizing::new(Vec::new());
    serde_json::to_writer(&mut length, value)
        .and_then(|()| {
            bytes.reserve_exact(length.0);
            serde_json::to_writer(&mut *bytes, value)
        })
        // As in `to_json`.
        .unwrap_or_else(|error| unreachable!("own type: {error}"));
    bytes
}

/// Counts what is written.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Serialises one of this crate's own types.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // Every type of this crate has string keys and no failing serialiser, so this cannot fail.
    serde_json::to_vec(value).unwrap_or_else(|error| unreachable!("own type: {error}"))
}
