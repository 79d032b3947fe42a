//! The simulator's evidence. NOT SECURE: it proves that a process with a certain key says what
//! its own executable hashes to, and nothing else.
//!
//! The key is made at each start of `mc2-runtime-sim` and pinned by the client that started it.
//! The evidence is a DSSE envelope of its own payload type, so that it can never be taken for a
//! hardware's (protocol.md §13).

use std::{fmt, str::FromStr};

use ed25519_dalek::{SigningKey, VerifyingKey};
use mc2_protocol::{
    Digest,
    dsse::{DsseError, Envelope, key_id},
    encoding::{Hex, JsonError, hex_array, parse_json, to_json},
    receipt::Evidence,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Measurement, MeasurementError, claims::Claims, evidence};

/// DSSE payload type of simulated evidence.
pub const PAYLOAD_TYPE: &str = "application/vnd.mc2.sim-report.v1+json";
/// Largest simulated evidence accepted, in bytes.
pub const MAX_LEN: usize = 4096;

const VERSION: u32 = 1;

/// A simulator's public key, as the client that started it pins it: 32 bytes, written as
/// lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimKey(VerifyingKey);

/// The signed content of simulated evidence.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    version: u32,
    report_data: Hex<64>,
    measurement: Digest,
}

/// Text or bytes that are no simulator's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a simulator's key: expected 64 lower-case hexadecimal digits of an Ed25519 key")]
pub struct SimKeyError;

/// Why simulated evidence was refused.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// Not simulated evidence.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not signed by any pinned simulator.
    #[error(
        "it is signed by the key {found}, and the {pinned} simulators this client started or \
         pinned have other keys"
    )]
    UnknownKey {
        /// Short digest of the key it names.
        found: String,
        /// How many simulators are pinned.
        pinned: usize,
    },
    /// Not signed as it should be.
    #[error(transparent)]
    Dsse(#[from] DsseError),
    /// Another version.
    #[error("the simulated evidence has format version {found}, this release reads version 1")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// A measurement that measures nothing.
    #[error(transparent)]
    Measurement(#[from] MeasurementError),
}

/// Simulated evidence by a simulator with the key `key`.
///
/// Only `mc2-runtime-sim` and tests call this; `mc2-runtime` does not link it.
pub fn evidence(report_data: &[u8; 64], measurement: &Digest, key: &SigningKey) -> Evidence {
    let report = Report {
        version: VERSION,
        report_data: Hex(*report_data),
        measurement: *measurement,
    };
    let envelope = Envelope::sign(PAYLOAD_TYPE, to_json(&report), key);
    Evidence {
        media_type: evidence::SIM.to_owned(),
        value: to_json(&envelope).into(),
    }
}

/// The claims of simulated evidence signed by one of the keys `pinned`.
pub(crate) fn verify(evidence: &Evidence, pinned: &[SimKey]) -> Result<Claims, SimError> {
    let envelope: Envelope =
        parse_json("the simulated evidence", evidence.value.as_slice(), MAX_LEN)?;
    // The key id is a hint that chooses among pinned keys; the signature decides.
    let named = envelope.signatures.first().map(|signature| signature.keyid);
    let Some(key) = pinned.iter().find(|key| Some(key_id(&key.0)) == named) else {
        return Err(SimError::UnknownKey {
            found: named.map_or_else(|| "none".to_owned(), |id| id.short()),
            pinned: pinned.len(),
        });
    };
    let payload = envelope.verify(PAYLOAD_TYPE, &key.0)?;
    let report: Report = parse_json("the simulated evidence", payload, MAX_LEN)?;
    if report.version != VERSION {
        return Err(SimError::Version {
            found: report.version,
        });
    }
    Ok(Claims {
        report_data: report.report_data.0,
        measurement: Measurement::from_bytes(report.measurement.as_bytes())?,
        hardware: None,
    })
}

impl SimKey {
    /// The key of 32 bytes.
    ///
    /// # Errors
    /// [`SimKeyError`] when they are no Ed25519 key, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SimKeyError> {
        VerifyingKey::from_bytes(bytes)
            .ok()
            .filter(|key| !key.is_weak())
            .map(Self)
            .ok_or(SimKeyError)
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl From<VerifyingKey> for SimKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl FromStr for SimKey {
    type Err = SimKeyError;

    fn from_str(text: &str) -> Result<Self, SimKeyError> {
        Self::from_bytes(&hex_array(text.trim()).ok_or(SimKeyError)?)
    }
}

impl fmt::Display for SimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl Serialize for SimKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SimKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn evidence_of_a_pinned_key_gives_its_claims() {
        let evidence = evidence(&[7; 64], &Digest::of(b"exe"), &key(1));
        let pinned = [key(2).verifying_key().into(), key(1).verifying_key().into()];
        let claims = verify(&evidence, &pinned).unwrap();
        assert_eq!(claims.report_data, [7; 64]);
        assert_eq!(claims.measurement.as_bytes(), Digest::of(b"exe").as_bytes());
    }

    #[test]
    fn evidence_of_any_other_key_is_refused() {
        let evidence = evidence(&[7; 64], &Digest::of(b"exe"), &key(1));
        assert!(matches!(
            verify(&evidence, &[]),
            Err(SimError::UnknownKey { pinned: 0, .. })
        ));
        assert!(verify(&evidence, &[key(2).verifying_key().into()]).is_err());
    }

    #[test]
    fn every_altered_byte_is_refused() {
        let good = evidence(&[7; 64], &Digest::of(b"exe"), &key(1));
        let pinned = [key(1).verifying_key().into()];
        for at in 0..good.value.0.len() {
            let mut broken = good.clone();
            broken.value.0[at] ^= 1;
            assert!(verify(&broken, &pinned).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_simulator_key_survives_its_text() {
        let sim: SimKey = key(1).verifying_key().into();
        assert_eq!(sim.to_string().parse(), Ok(sim));
        assert!("".parse::<SimKey>().is_err());
        assert!("00".repeat(32).parse::<SimKey>().is_err(), "small order");
    }
}
