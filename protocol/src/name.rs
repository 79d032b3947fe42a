//! Names that are safe as file names, table names and table keys everywhere.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Most bytes of a [`Name`].
pub const MAX_LEN: usize = 128;

/// Name of a dataset, input, output, component or job: 1 to 128 of `A-Z a-z 0-9 _ . -`, starting
/// with a letter, digit or `_`.
///
/// ```
/// use mc2_protocol::Name;
///
/// assert!("orders_2026".parse::<Name>().is_ok());
/// assert!("../orders".parse::<Name>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Name of a party: 1 to 64 of `a-z 0-9 -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyName(String);

/// A name outside its alphabet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name {found:?} is not allowed: {rule}")]
pub struct NameError {
    found: String,
    rule: &'static str,
}

impl Name {
    const RULE: &'static str = "expected 1 to 128 of A-Z a-z 0-9 _ . -, starting with a letter, \
                                a digit or _";

    fn allowed(text: &str) -> bool {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = text.as_bytes();
        (1..=MAX_LEN).contains(&bytes.len())
            && word(bytes[0])
            && bytes
                .iter()
                .all(|&byte| word(byte) || byte == b'.' || byte == b'-')
    }
}

impl PartyName {
    const RULE: &'static str = "expected 1 to 64 of a-z 0-9 -";

    fn allowed(text: &str) -> bool {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    }
}

macro_rules! checked_text {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if Self::allowed(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(NameError {
                    found: text.chars().take(140).collect(),
                    rule: Self::RULE,
                })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(D::Error::custom)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_text!(Name);
checked_text!(PartyName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "-x",
            ".hidden",
            "a b",
            "a\0",
            "ä",
            &"x".repeat(129),
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        for good in ["lineitem", "my_table", "a.b-c", "_x", "7"] {
            assert!(good.parse::<Name>().is_ok(), "{good:?}");
        }
        assert!("Bank-A".parse::<PartyName>().is_err());
        assert!("bank-a".parse::<PartyName>().is_ok());
    }
}
