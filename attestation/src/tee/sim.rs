//! The simulator's evidence. NOT SECURE: it proves that a process with a certain key says what
//! its own executable hashes to, and nothing else.
//!
//! The key is made at each start of `mc2-runtime-sim` and pinned by the client that started it.
//! The evidence is a DSSE envelope of its own payload type, so that it can never be taken for a
//! hardware's (protocol.md §13).

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    Digest,
    documents::{
        dsse::{DsseError, Envelope, key_id},
        receipt::Evidence,
    },
    encoding::{Hex, JsonError, parse_json, to_json},
    evidence::evidence_type,
    policy::Tee,
};
use serde::{Deserialize, Serialize};

use super::{
    checklist::{Checklist, Line},
    kind::{Kind, Presented},
    sim_key::SimKey,
    verified::Verified,
};
use crate::{
    check::Finding,
    claims::{Claims, ReportData},
    measurement::{Measurement, MeasurementError},
    time::Interval,
};

/// What stands for a measurement is SHA-256 of the simulator's executable.
pub(super) const KIND: Kind = Kind {
    title: "the simulator (NOT SECURE)",
    measurement_len: 32,
    lines: &[Line::new(SIGNATURE, "evidence signature")],
    verifier: Some(by_a_pinned_simulator),
};

const SIGNATURE: &str = "signature";

/// DSSE payload type of simulated evidence.
pub const PAYLOAD_TYPE: &str = "application/vnd.mc2.sim-report.v1+json";
/// Largest simulated evidence accepted, in bytes.
pub const MAX_LEN: usize = 4096;

const VERSION: u32 = 1;

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
        media_type: evidence_type(Tee::Sim).to_owned(),
        value: to_json(&envelope).into(),
    }
}

fn by_a_pinned_simulator(presented: &Presented<'_>) -> Verified {
    let mut checks = Checklist::new(KIND.lines);
    match verify(presented.evidence, presented.anchors.simulators) {
        Ok(claims) => {
            let by = "by a simulator this client pinned, NOT SECURE";
            checks.make(SIGNATURE, Finding::passed(by));
            Verified {
                checks: checks.done(),
                claims: Some(claims),
                holds: Interval::ALWAYS,
                marks: Vec::new(),
            }
        }
        Err(error) => {
            let finding = Finding::failed(
                format!("evidence signed by {}", KIND.title),
                error,
                "do not give this session anything. A host of your own on this machine leaves its \
                 simulators' key where your client finds it, while it runs; one elsewhere is \
                 believed after `mc2 trust add --simulator KEY --runtime mc2-runtime-sim`, NOT \
                 SECURE",
            );
            checks.make(SIGNATURE, finding);
            Verified::nothing(checks.done())
        }
    }
}

/// The claims of simulated evidence signed by one of the keys `pinned`.
fn verify(evidence: &Evidence, pinned: &[SimKey]) -> Result<Claims, SimError> {
    let envelope: Envelope =
        parse_json("the simulated evidence", evidence.value.as_slice(), MAX_LEN)?;
    // The key id is a hint that chooses among pinned keys; the signature decides.
    let named = envelope.signatures.first().map(|signature| signature.keyid);
    let Some(key) = pinned
        .iter()
        .find(|key| Some(key_id(key.verifying_key())) == named)
    else {
        return Err(SimError::UnknownKey {
            found: named.map_or_else(|| "none".to_owned(), |id| id.short()),
            pinned: pinned.len(),
        });
    };
    let payload = envelope.verify(PAYLOAD_TYPE, key.verifying_key())?;
    let report: Report = parse_json("the simulated evidence", payload, MAX_LEN)?;
    if report.version != VERSION {
        return Err(SimError::Version {
            found: report.version,
        });
    }
    Ok(Claims {
        report_data: ReportData::Bytes(report.report_data.0.to_vec()),
        measurement: Measurement::from_bytes(report.measurement.as_bytes())?,
        hardware: None,
    })
}

/// The signed content of simulated evidence.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    version: u32,
    report_data: Hex<64>,
    measurement: Digest,
}

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
        assert!(claims.report_data.is(&[7; 64]));
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
}
