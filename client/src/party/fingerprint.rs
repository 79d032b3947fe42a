//! A card's fingerprint, as it is told over another channel.

use std::{fmt, str::FromStr};

use mc2_protocol::Card;

/// A fingerprint as somebody told it: 160 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 20]);

impl Fingerprint {
    /// A card's.
    pub fn of(card: &Card) -> Self {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&card.digest().as_bytes()[..20]);
        Self(bytes)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads all 40 digits; blanks, `:` and `-` between them are skipped.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let skipped = |c: &char| !c.is_whitespace() && !matches!(c, ':' | '-');
        let digits: String = text.chars().filter(skipped).collect();
        let mut bytes = [0; 20];
        if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            let found = "other characters".to_owned();
            return Err(FingerprintError { found });
        }
        hex::decode_to_slice(digits.to_ascii_lowercase(), &mut bytes).map_err(|_| {
            FingerprintError {
                found: format!("{} digits", digits.len()),
            }
        })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.0.chunks(2).map(hex::encode).collect();
        f.write_str(&groups.join(" "))
    }
}

/// Text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a whole fingerprint, 40 hexadecimal digits such as \"8d1f 02c9 …\", found {found}"
)]
pub struct FingerprintError {
    /// How many digits there are, or what else.
    found: String,
}
