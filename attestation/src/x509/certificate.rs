//! One certificate.

use der::{Decode, asn1::ObjectIdentifier};
use x509_cert::{
    TbsCertificate,
    certificate::Version,
    ext::pkix::{BasicConstraints, KeyUsage},
};

use super::{
    key::{KeyError, PublicKey},
    signed::Signed,
};
use crate::time::{Interval, UnixSeconds};

/// Largest certificate read, in bytes; those of vendors have under 2 KiB.
const MAX_LEN: usize = 8192;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

/// A certificate whose bytes were read and of which nothing was verified yet.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    signed: Signed,
    tbs: TbsCertificate,
}

impl Certificate {
    /// Reads a certificate, DER.
    ///
    /// # Errors
    /// [`CertificateError`] when it is not one, or has a critical extension that is not known.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_LEN {
            return Err(CertificateError::TooLarge { found: der.len() });
        }
        let signed = Signed::parse(der).map_err(|_| CertificateError::Malformed)?;
        let tbs =
            TbsCertificate::from_der(&signed.content).map_err(|_| CertificateError::Malformed)?;
        if tbs.version() != Version::V3 || !signed.agrees_with(tbs.signature()) {
            return Err(CertificateError::Malformed);
        }
        let certificate = Self { signed, tbs };
        for extension in certificate.extensions() {
            let id = extension.extn_id;
            if extension.critical && id != BASIC_CONSTRAINTS && id != KEY_USAGE {
                return Err(CertificateError::Critical {
                    found: id.to_string(),
                });
            }
            if certificate.extensions().filter(|e| e.extn_id == id).count() > 1 {
                return Err(CertificateError::Malformed);
            }
        }
        Ok(certificate)
    }

    /// Whom it is about, as RFC 4514 writes names.
    pub(crate) fn subject(&self) -> String {
        self.tbs.subject().to_string()
    }

    /// Its serial number, big-endian.
    pub(super) fn serial(&self) -> &[u8] {
        self.tbs.serial_number().as_bytes()
    }

    /// The name of whom it is about.
    pub(super) fn subject_name(&self) -> &x509_cert::name::Name {
        self.tbs.subject()
    }

    /// The dates between which it counts.
    pub(crate) fn holds(&self) -> Interval {
        let validity = self.tbs.validity();
        Interval::new(seconds(validity.not_before), seconds(validity.not_after))
    }

    /// The key it certifies.
    ///
    /// # Errors
    /// [`KeyError`] when it is of no kind that vendors use.
    pub(crate) fn key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::of(self.tbs.subject_public_key_info())
    }

    /// The content of an extension, where it has that.
    pub(crate) fn extension(&self, id: &ObjectIdentifier) -> Option<&[u8]> {
        self.extensions()
            .find(|extension| extension.extn_id == *id)
            .map(|extension| extension.extn_value.as_bytes())
    }

    /// Whether `issuer` issued it: the names agree, the issuer may sign certificates, and did.
    ///
    /// # Errors
    /// [`CertificateError`] says which of these does not hold.
    pub(crate) fn issued_by(&self, issuer: &Self) -> Result<(), CertificateError> {
        if self.tbs.issuer() != issuer.tbs.subject() {
            return Err(CertificateError::Issuer {
                found: self.tbs.issuer().to_string(),
                expected: issuer.subject(),
            });
        }
        if !issuer.is_authority() || !issuer.usage().is_none_or(|usage| usage.key_cert_sign()) {
            return Err(CertificateError::NoAuthority {
                found: issuer.subject(),
            });
        }
        Ok(self.signed.verify(&issuer.key()?)?)
    }

    /// Whether it may sign certificates at all.
    pub(crate) fn is_authority(&self) -> bool {
        self.basic_constraints()
            .is_some_and(|constraints| constraints.ca)
    }

    /// How many authorities may stand between it and the last certificate; `None` where that is
    /// not limited.
    pub(crate) fn path_len(&self) -> Option<u8> {
        self.basic_constraints()?.path_len_constraint
    }

    /// What the key may be used for, where the certificate says.
    pub(crate) fn usage(&self) -> Option<KeyUsage> {
        KeyUsage::from_der(self.extension(&KEY_USAGE)?).ok()
    }

    fn basic_constraints(&self) -> Option<BasicConstraints> {
        BasicConstraints::from_der(self.extension(&BASIC_CONSTRAINTS)?).ok()
    }

    fn extensions(&self) -> impl Iterator<Item = &x509_cert::ext::Extension> {
        self.tbs.extensions().into_iter().flatten()
    }
}

/// X.509's time in ours.
pub(super) fn seconds(time: x509_cert::time::Time) -> UnixSeconds {
    UnixSeconds(time.to_unix_duration().as_secs())
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    /// More bytes than a certificate has.
    #[error("{found} bytes, where a certificate has at most {MAX_LEN}")]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// Not a certificate.
    #[error("not an X.509 certificate of version 3 in DER")]
    Malformed,
    /// An extension that must be understood.
    #[error("the critical extension {found} is not known")]
    Critical {
        /// Its object identifier.
        found: String,
    },
    /// Issued by somebody else.
    #[error("issued by {found:?}, not by {expected:?}")]
    Issuer {
        /// The issuer it names.
        found: String,
        /// Whose it ought to be.
        expected: String,
    },
    /// Issued by one who may not.
    #[error("issued by {found:?}, which may not issue certificates")]
    NoAuthority {
        /// The issuer.
        found: String,
    },
    /// Its key, or the signature over it, is not good.
    #[error(transparent)]
    Key(#[from] KeyError),
}
