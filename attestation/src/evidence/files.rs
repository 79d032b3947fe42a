//! Endorsements as files hold them, for people who have them from a vendor's server. What arrives
//! over a network states its media type and is not guessed at like this.

use mc2_protocol::documents::receipt::{Endorsement, MAX_ENDORSEMENTS, MAX_EVIDENCE_LEN};
use x509_cert::der::pem;

use crate::tee::dcap::COLLATERAL_TYPE;
pub use crate::x509::{CERTIFICATE_TYPE, REVOCATION_LIST_TYPE};

const END: &str = "-----END ";

/// The endorsements in a file: a JSON object is Intel's collateral; PEM is as many certificates and
/// revocation lists as it has; DER is one of either.
///
/// # Errors
/// [`EndorsementFileError`] where it is none of these.
pub fn endorsements_in(bytes: &[u8]) -> Result<Vec<Endorsement>, EndorsementFileError> {
    let text = bytes.trim_ascii_start();
    let of = |media_type: &str, value: Vec<u8>| Endorsement {
        media_type: media_type.to_owned(),
        value: value.into(),
    };
    let found = if text.starts_with(b"{") {
        vec![of(COLLATERAL_TYPE, text.to_vec())]
    } else if text.starts_with(b"-----BEGIN ") {
        let text = std::str::from_utf8(text).map_err(|_| EndorsementFileError::Pem)?;
        let mut found = Vec::new();
        for block in blocks(text).take(MAX_ENDORSEMENTS + 1) {
            let (label, der) =
                pem::decode_vec(block.as_bytes()).map_err(|_| EndorsementFileError::Pem)?;
            let media_type = match label {
                "CERTIFICATE" => CERTIFICATE_TYPE,
                "X509 CRL" => REVOCATION_LIST_TYPE,
                _ => return Err(EndorsementFileError::Pem),
            };
            found.push(of(media_type, der));
        }
        found
    } else if let Some(media_type) = der_type(bytes) {
        vec![of(media_type, bytes.to_vec())]
    } else {
        return Err(EndorsementFileError::Unknown);
    };
    if found.is_empty() || found.len() > MAX_ENDORSEMENTS {
        return Err(EndorsementFileError::Number { found: found.len() });
    }
    if found
        .iter()
        .any(|item| item.value.0.len() > MAX_EVIDENCE_LEN)
    {
        return Err(EndorsementFileError::TooLarge);
    }
    Ok(found)
}

/// Why a file is none of endorsements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementFileError {
    /// Neither JSON nor PEM nor DER.
    #[error(
        "expected Intel's collateral as a JSON object, or certificates or revocation lists as PEM \
         or DER"
    )]
    Unknown,
    /// Not PEM as it should be.
    #[error("expected blocks of PEM, each a CERTIFICATE or an X509 CRL, and nothing between them")]
    Pem,
    /// None, or too many.
    #[error("it has {found}, expected 1 to {MAX_ENDORSEMENTS}")]
    Number {
        /// How many, as far as they were counted.
        found: usize,
    },
    /// One that nobody reads.
    #[error("one of them has more than the {MAX_EVIDENCE_LEN} bytes accepted")]
    TooLarge,
}

/// The blocks of PEM in a text.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(END).map_or(rest.len(), |end| {
            let line = rest[end..].find('\n');
            line.map_or(rest.len(), |line| end + line + 1)
        });
        let block = &rest[..end];
        rest = rest[end..].trim_start();
        Some(block)
    })
}

/// Whether DER is a certificate, whose body begins with its version in brackets, or a list, whose
/// body begins with a number or an algorithm.
fn der_type(bytes: &[u8]) -> Option<&'static str> {
    let body = content(bytes)?;
    match content(body)?.first()? {
        0xa0 => Some(CERTIFICATE_TYPE),
        0x02 | 0x30 => Some(REVOCATION_LIST_TYPE),
        _ => None,
    }
}

/// What a SEQUENCE holds, as far as it is there.
fn content(der: &[u8]) -> Option<&[u8]> {
    let [0x30, length, ..] = der else {
        return None;
    };
    let header = match length {
        0..=0x7f => 2,
        0x81..=0x84 => 2 + usize::from(length & 0x7f),
        _ => return None,
    };
    der.get(header..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Interval, Tee, UnixSeconds,
        test_util::{forger::Intel, samples},
    };

    fn types(bytes: &[u8]) -> Vec<String> {
        let found = endorsements_in(bytes).unwrap();
        found.into_iter().map(|item| item.media_type).collect()
    }

    #[test]
    fn collateral_certificates_and_lists_are_told_apart() {
        let good = Interval::new(UnixSeconds(1), UnixSeconds(2));
        let collateral = Intel::new(1, good).collateral(Tee::Sgx);
        assert_eq!(
            endorsements_in(&collateral.value.0),
            Ok(vec![collateral.clone()])
        );
        let json: serde_json::Value = serde_json::from_slice(&collateral.value.0).unwrap();
        let chain = json["tcb_info_issuer_chain"].as_str().unwrap();
        assert_eq!(types(chain.as_bytes()), [CERTIFICATE_TYPE; 2]);
        let der = endorsements_in(chain.as_bytes()).unwrap();
        assert_eq!(types(&der[0].value.0), [CERTIFICATE_TYPE]);
        let list = hex::decode(json["pck_crl"].as_str().unwrap()).unwrap();
        assert_eq!(types(&list), [REVOCATION_LIST_TYPE]);
        let root = samples::in_crate("dcap-qvl", "src/TrustedRootCA.der");
        assert_eq!(types(&root), [CERTIFICATE_TYPE]);
    }

    #[test]
    fn what_is_no_endorsement_is_refused() {
        let label = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for bad in ["", "hello", "-----BEGIN ", label] {
            assert!(endorsements_in(bad.as_bytes()).is_err(), "{bad}");
        }
        let one = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let many = one.repeat(MAX_ENDORSEMENTS + 1);
        assert!(matches!(
            endorsements_in(many.as_bytes()),
            Err(EndorsementFileError::Number { .. })
        ));
        assert!(endorsements_in(format!("{one}x{one}").as_bytes()).is_err());
    }
}
