//! What the hardware says it loaded.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A measurement of a runtime image: 32 or 48 bytes that are not all zero, written as lower-case
/// hexadecimal digits.
///
/// All zero is what a debug-mode Nitro enclave states, and what a missing value decays to; it
/// never constructs.
///
/// ```
/// use mc2_attestation::Measurement;
///
/// let measurement: Measurement = "ab".repeat(32).parse()?;
/// assert_eq!(measurement.as_bytes(), [0xab; 32]);
/// assert!("00".repeat(48).parse::<Measurement>().is_err());
/// # Ok::<(), mc2_attestation::MeasurementError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Measurement(Vec<u8>);

impl Measurement {
    /// A measurement of these bytes.
    ///
    /// # Errors
    /// [`MeasurementError`] when they are not 32 or 48, or all zero.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MeasurementError> {
        if !matches!(bytes.len(), 32 | 48) {
            return Err(MeasurementError::Text {
                found: hex::encode(&bytes[..bytes.len().min(48)]),
            });
        }
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(MeasurementError::Zero);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Measurement {
    type Err = MeasurementError;

    fn from_str(text: &str) -> Result<Self, MeasurementError> {
        let refused = || MeasurementError::Text {
            found: text.chars().take(100).collect(),
        };
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(refused());
        }
        Self::from_bytes(&hex::decode(text).map_err(|_| refused())?)
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Measurement({self})")
    }
}

impl Serialize for Measurement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Measurement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Bytes that are no measurement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasurementError {
    /// Neither 32 nor 48 bytes of lower-case hexadecimal.
    #[error("a measurement is 64 or 96 lower-case hexadecimal digits, found {found:?}")]
    Text {
        /// The text, shortened.
        found: String,
    },
    /// All zero.
    #[error(
        "a measurement of zeros measures nothing: the enclave is in debug mode, or the value is missing"
    )]
    Zero,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 7: an empty value is an error, never "any".
    #[test]
    fn empty_zero_and_misspelt_measurements_do_not_construct() {
        let zero = "0".repeat(64);
        let upper = "AB".repeat(32);
        let long = "ab".repeat(33);
        for bad in ["", "00", zero.as_str(), upper.as_str(), long.as_str()] {
            assert!(bad.parse::<Measurement>().is_err(), "{bad:?}");
        }
        let good = "ab".repeat(48);
        assert_eq!(good.parse::<Measurement>().unwrap().to_string(), good);
    }
}
