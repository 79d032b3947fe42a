//! What a register of an enclave must hold.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const MAX_LEN: usize = 64;

/// A register's value: 1 to 64 bytes, written as lower-case hexadecimal digits.
///
/// ```
/// use mc2_attestation::trust::RegisterValue;
///
/// let value: RegisterValue = "00ff".parse()?;
/// assert_eq!(value.as_bytes(), [0, 255]);
/// assert!("".parse::<RegisterValue>().is_err());
/// # Ok::<(), mc2_attestation::trust::RegisterValueError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RegisterValue(Vec<u8>);

impl RegisterValue {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for RegisterValue {
    type Err = RegisterValueError;

    fn from_str(text: &str) -> Result<Self, RegisterValueError> {
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let bytes = hex::decode(text).ok().filter(|_| lower);
        bytes
            .filter(|bytes| (1..=MAX_LEN).contains(&bytes.len()))
            .map(Self)
            .ok_or(RegisterValueError)
    }
}

impl fmt::Display for RegisterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for RegisterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegisterValue({self})")
    }
}

impl Serialize for RegisterValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RegisterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Text that is no register's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a register's value is 1 to 64 bytes in lower-case hexadecimal digits")]
pub struct RegisterValueError;
