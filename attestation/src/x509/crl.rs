//! A list of revoked certificates.

use der::{Decode, asn1::ObjectIdentifier};
use x509_cert::{crl::TbsCertList, name::Name};

use super::{
    certificate::{Certificate, seconds},
    key::{KeyError, Signers},
    signed::Signed,
};
use crate::time::{Interval, UnixSeconds};

const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
/// Signer's key identifier: which of an issuer's keys signed; the signature itself says.
const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// A revocation list that its issuer signed.
#[derive(Clone, Debug)]
pub(crate) struct Crl {
    tbs: TbsCertList,
    holds: Interval,
}

impl Crl {
    /// Reads a list, DER, and verifies that `issuer` signed it.
    ///
    /// # Errors
    /// [`CrlError`] when it is no list of this issuer's, when it says of no time when the next one
    /// comes (row 9: it would count for ever), or when it may be but a part.
    pub(crate) fn verify(der: &[u8], issuer: &Certificate) -> Result<Self, CrlError> {
        let signed = Signed::parse(der).map_err(|_| CrlError::Malformed)?;
        let tbs = TbsCertList::from_der(&signed.content).map_err(|_| CrlError::Malformed)?;
        if !signed.agrees_with(&tbs.signature) {
            return Err(CrlError::Malformed);
        }
        if tbs.issuer != *issuer.subject_name() {
            return Err(CrlError::Issuer {
                found: tbs.issuer.to_string(),
                expected: issuer.subject(),
            });
        }
        if !issuer.usage().is_none_or(|usage| usage.crl_sign()) {
            return Err(CrlError::Issuer {
                found: tbs.issuer.to_string(),
                expected: "one whose key may sign revocation lists".to_owned(),
            });
        }
        signed.verify(Signers::Vendors, &issuer.key()?)?;
        // A delta, or a list of some certificates alone, says so in a critical extension.
        for extension in tbs.crl_extensions.iter().flatten() {
            let id = extension.extn_id;
            if extension.critical && id != CRL_NUMBER && id != AUTHORITY_KEY_ID {
                return Err(CrlError::Critical {
                    found: id.to_string(),
                });
            }
        }
        let next = tbs.next_update.ok_or(CrlError::NoNextUpdate)?;
        let holds = Interval::new(seconds(tbs.this_update), seconds(next));
        Ok(Self { tbs, holds })
    }

    /// Whose a list, DER, says that it is, and since when it says to count. Nothing is verified.
    pub(crate) fn stated(der: &[u8]) -> Option<(Name, UnixSeconds)> {
        let signed = Signed::parse(der).ok()?;
        let tbs: TbsCertList = TbsCertList::from_der(&signed.content).ok()?;
        Some((tbs.issuer, seconds(tbs.this_update)))
    }

    /// Which of its issuer's lists it is: a later one has a greater number.
    pub(crate) fn number(&self) -> Option<u64> {
        let mut extensions = self.tbs.crl_extensions.iter().flatten();
        let number = extensions.find(|extension| extension.extn_id == CRL_NUMBER)?;
        u64::from_der(number.extn_value.as_bytes()).ok()
    }

    /// From its issue to the next one's.
    pub(crate) const fn holds(&self) -> Interval {
        self.holds
    }

    /// Whether `certificate`, of the same issuer, is on it.
    pub(crate) fn revokes(&self, certificate: &Certificate) -> bool {
        self.tbs
            .revoked_certificates
            .iter()
            .flatten()
            .any(|revoked| revoked.serial_number.as_bytes() == certificate.serial())
    }
}

/// What is wrong with a revocation list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CrlError {
    /// Not a list.
    #[error("not an X.509 revocation list in DER")]
    Malformed,
    /// Somebody else's.
    #[error("issued by {found:?}, not by {expected:?}")]
    Issuer {
        /// The issuer it names.
        found: String,
        /// Whose it ought to be.
        expected: String,
    },
    /// An extension that must be understood.
    #[error("the critical extension {found} is not known")]
    Critical {
        /// Its object identifier.
        found: String,
    },
    /// It would never end.
    #[error("it does not say when the next one comes, so it would count for ever")]
    NoNextUpdate,
    /// The signature over it is not good.
    #[error(transparent)]
    Key(#[from] KeyError),
}
