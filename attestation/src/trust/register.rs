//! What a register of an enclave must hold: one value, or what known events give.

use std::{fmt, str::FromStr};

use mc2_protocol::evidence::Register384;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const MAX_LEN: usize = 64;
/// Events that a firmware measures into one register.
const MAX_EVENTS: usize = 32;
/// Values that a register may have by its known events: so many are computed to compare one.
const MAX_VALUES: usize = 4096;

/// A register's value: 1 to 64 bytes, written as lower-case hexadecimal digits. Or, of a register of
/// SHA-384 that began as zero, its events: a list with, for each event in its order, the list of
/// digests that are known for it, as of the ACPI tables of several shapes of a machine. What such a
/// register must hold is computed, so that no log of the host's is needed nor believed.
///
/// ```
/// use mc2_attestation::trust::RegisterValue;
///
/// let value: RegisterValue = "00ff".parse()?;
/// assert!(value.is(&[0, 255]) && !value.is(&[0, 254]));
/// assert!("".parse::<RegisterValue>().is_err());
/// # Ok::<(), mc2_attestation::trust::RegisterValueError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RegisterValue(Held);

#[derive(Clone, PartialEq, Eq)]
enum Held {
    Bytes(Vec<u8>),
    Events(Vec<Vec<[u8; 48]>>),
}

impl RegisterValue {
    /// What a register holds that was extended by as many events, each by one of these digests.
    ///
    /// # Errors
    /// [`RegisterValueError`] where there are none, or too many.
    pub fn of_events(events: Vec<Vec<[u8; 48]>>) -> Result<Self, RegisterValueError> {
        let values = events
            .iter()
            .try_fold(1_usize, |values, known| values.checked_mul(known.len()));
        let values = values.filter(|values| (1..=MAX_VALUES).contains(values));
        if (1..=MAX_EVENTS).contains(&events.len()) && values.is_some() {
            return Ok(Self(Held::Events(events)));
        }
        Err(RegisterValueError)
    }

    /// Whether a register that holds `found` is as it must be.
    pub fn is(&self, found: &[u8]) -> bool {
        match &self.0 {
            Held::Bytes(value) => value == found,
            Held::Events(events) => gives(Register384::default(), events, found),
        }
    }
}

/// Whether a register that is extended by one of each event's digests comes to hold `found`.
fn gives(register: Register384, events: &[Vec<[u8; 48]>], found: &[u8]) -> bool {
    let Some((known, rest)) = events.split_first() else {
        return register.0 == found;
    };
    known.iter().any(|digest| {
        let mut register = register;
        register.extend(digest);
        gives(register, rest, found)
    })
}

impl FromStr for RegisterValue {
    type Err = RegisterValueError;

    fn from_str(text: &str) -> Result<Self, RegisterValueError> {
        let bytes = digits(text).filter(|bytes| (1..=MAX_LEN).contains(&bytes.len()));
        bytes
            .map(|bytes| Self(Held::Bytes(bytes)))
            .ok_or(RegisterValueError)
    }
}

fn digits(text: &str) -> Option<Vec<u8>> {
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    hex::decode(text).ok().filter(|_| lower)
}

impl fmt::Display for RegisterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Held::Bytes(value) => f.write_str(&hex::encode(value)),
            Held::Events(events) => write!(f, "what {} known events give", events.len()),
        }
    }
}

impl fmt::Debug for RegisterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegisterValue({self})")
    }
}

/// As a file has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Value(String),
    Events(Vec<Vec<String>>),
}

impl Serialize for RegisterValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hex = |known: &Vec<[u8; 48]>| known.iter().map(hex::encode).collect();
        let written = match &self.0 {
            Held::Bytes(value) => Written::Value(hex::encode(value)),
            Held::Events(events) => Written::Events(events.iter().map(hex).collect()),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RegisterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match Written::deserialize(deserializer)? {
            Written::Value(text) => text.parse(),
            Written::Events(events) => {
                let digest = |text: &String| digits(text)?.try_into().ok();
                let known = |known: &Vec<String>| known.iter().map(digest).collect();
                let events: Option<_> = events.iter().map(known).collect();
                events.ok_or(RegisterValueError).and_then(Self::of_events)
            }
        };
        value.map_err(D::Error::custom)
    }
}

/// What no register can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a register's value is 1 to 64 bytes in lower-case hexadecimal digits, or a list of 1 to \
     {MAX_EVENTS} events, each a list of its known digests of 48 bytes in such digits, which \
     together give at most {MAX_VALUES} values"
)]
pub struct RegisterValueError;

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [u8; 48] = [3; 48];
    const OTHER_TABLES: [u8; 48] = [4; 48];

    fn register(events: &[[u8; 48]]) -> [u8; 48] {
        let mut register = Register384::default();
        for digest in events {
            register.extend(digest);
        }
        register.0
    }

    /// Firmware's volume, one of two sets of ACPI tables, and the order in which it boots.
    fn known() -> RegisterValue {
        RegisterValue::of_events(vec![
            vec![[1; 48]],
            vec![TABLES, OTHER_TABLES],
            vec![[2; 48]],
        ])
        .unwrap()
    }

    /// Row 32.
    #[test]
    fn acpi_tables_that_nobody_knows_give_no_register_that_counts() {
        for tables in [TABLES, OTHER_TABLES] {
            assert!(known().is(&register(&[[1; 48], tables, [2; 48]])));
        }
        let unknown = [5; 48];
        for events in [
            &[[1; 48], unknown, [2; 48]][..],
            // Left out, measured twice, in another order, or with something behind them.
            &[[1; 48], [2; 48]],
            &[[1; 48], TABLES, OTHER_TABLES, [2; 48]],
            &[TABLES, [1; 48], [2; 48]],
            &[[1; 48], TABLES, [2; 48], unknown],
            &[[1; 48], TABLES],
            &[],
        ] {
            assert!(!known().is(&register(events)), "{}", events.len());
        }
        assert!(!known().is(&[]));
    }

    #[test]
    fn a_value_is_written_and_read_alike_and_nothing_else_is_one() {
        let value: RegisterValue = "0a".parse().unwrap();
        for value in [value, known()] {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<RegisterValue>(&text).unwrap(), value);
        }
        let (digest, short) = ("ab".repeat(48), "ab".repeat(47));
        let list = |events: usize, known: usize| {
            let known = vec![digest.as_str(); known];
            serde_json::json!(vec![known; events])
        };
        let read = |value: serde_json::Value| serde_json::from_value::<RegisterValue>(value);
        assert!(read(list(12, 2)).is_ok());
        assert!(read(list(32, 1)).is_ok());
        for broken in [
            list(13, 2),
            list(33, 1),
            list(0, 0),
            list(1, 0),
            list(64, 64),
            serde_json::json!([[short]]),
            serde_json::json!([[digest.to_uppercase()]]),
            serde_json::json!([digest]),
            serde_json::json!("0A"),
            serde_json::json!(7),
        ] {
            assert!(read(broken.clone()).is_err(), "{broken}");
        }
    }
}
