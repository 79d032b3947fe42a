//! One certificate.

use der::{Decode, Encode as _, asn1::ObjectIdentifier};
use x509_cert::{
    TbsCertificate,
    certificate::Version,
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage},
};

use super::{
    key::{KeyError, PublicKey, Signers},
    signed::Signed,
};
use crate::time::{Interval, UnixSeconds};

/// Largest certificate read, in bytes; those of vendors have under 2 KiB.
const MAX_LEN: usize = 8192;

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// A certificate whose bytes were read and of which nothing was verified yet.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    signed: Signed,
    tbs: TbsCertificate,
    basic_constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
    signers: Signers,
}

/// What else a certificate says that its key is for.
#[derive(Clone, Debug)]
pub(crate) struct ExtendedUsage {
    /// Whether whoever does not understand that must not use it.
    pub(crate) critical: bool,
    /// The purposes.
    pub(crate) purposes: Vec<ObjectIdentifier>,
}

impl Certificate {
    /// Reads a certificate of a vendor's, DER.
    ///
    /// # Errors
    /// [`CertificateError`] when it is not one, has a critical extension that is not known, or says
    /// in a way that cannot be read what its key is for: that would else count as not said.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        Self::of(Signers::Vendors, der)
    }

    /// Reads a certificate of a timestamping authority, or of one above it, DER. Whoever reads it
    /// asks for its [`extended_usage`](Self::extended_usage), which may be critical.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn parse_timestamper(der: &[u8]) -> Result<Self, CertificateError> {
        Self::of(Signers::Timestampers, der)
    }

    fn of(signers: Signers, der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_LEN {
            return Err(CertificateError::TooLarge { found: der.len() });
        }
        let signed = Signed::parse(der).map_err(|_| CertificateError::Malformed)?;
        let tbs =
            TbsCertificate::from_der(&signed.content).map_err(|_| CertificateError::Malformed)?;
        if tbs.version() != Version::V3 || !signed.agrees_with(tbs.signature()) {
            return Err(CertificateError::Malformed);
        }
        let mut certificate = Self {
            signed,
            tbs,
            basic_constraints: None,
            usage: None,
            signers,
        };
        for extension in certificate.extensions() {
            let id = extension.extn_id;
            let known = id == BASIC_CONSTRAINTS
                || id == KEY_USAGE
                || id == EXTENDED_KEY_USAGE && signers == Signers::Timestampers;
            if extension.critical && !known {
                return Err(CertificateError::Critical {
                    found: id.to_string(),
                });
            }
            if certificate.extensions().filter(|e| e.extn_id == id).count() > 1 {
                return Err(CertificateError::Malformed);
            }
        }
        certificate.basic_constraints = certificate.decoded(&BASIC_CONSTRAINTS)?;
        certificate.usage = certificate.decoded(&KEY_USAGE)?;
        Ok(certificate)
    }

    /// An extension that is read, where it is there.
    fn decoded<T: for<'a> Decode<'a>>(
        &self,
        id: &ObjectIdentifier,
    ) -> Result<Option<T>, CertificateError> {
        self.extension(id)
            .map(|content| T::from_der(content).map_err(|_| CertificateError::Malformed))
            .transpose()
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

    /// Whether it certifies this key, SubjectPublicKeyInfo in DER.
    pub(crate) fn is_of(&self, key: &[u8]) -> bool {
        let own = self.tbs.subject_public_key_info().to_der();
        own.is_ok_and(|own| own == key)
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
        Ok(self.signed.verify(self.signers, &issuer.key()?)?)
    }

    /// Whether it may sign certificates at all.
    pub(crate) fn is_authority(&self) -> bool {
        self.basic_constraints
            .as_ref()
            .is_some_and(|constraints| constraints.ca)
    }

    /// How many authorities may stand between it and the last certificate; `None` where that is
    /// not limited.
    pub(crate) fn path_len(&self) -> Option<u8> {
        self.basic_constraints.as_ref()?.path_len_constraint
    }

    /// What the key may be used for, where the certificate says.
    pub(crate) const fn usage(&self) -> Option<KeyUsage> {
        self.usage
    }

    /// What else its key is for, where the certificate says.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] where that cannot be read.
    pub(crate) fn extended_usage(&self) -> Result<Option<ExtendedUsage>, CertificateError> {
        let Some(ExtendedKeyUsage(purposes)) = self.decoded(&EXTENDED_KEY_USAGE)? else {
            return Ok(None);
        };
        let mut extensions = self.extensions();
        let critical = extensions.any(|e| e.extn_id == EXTENDED_KEY_USAGE && e.critical);
        Ok(Some(ExtendedUsage { critical, purposes }))
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

#[cfg(test)]
mod tests {
    use super::{Certificate, CertificateError, UnixSeconds};
    use crate::{
        Interval,
        test_util::forger::{Intel, Snp},
        x509::KeyError,
    };

    /// AMD and AWS sign in two ways, and a certificate signed in another is not theirs.
    #[test]
    fn a_vendor_s_certificate_is_not_signed_as_timestampers_sign() {
        let root = Intel::new(1, Interval::new(UnixSeconds(1), UnixSeconds(2))).root();
        let own = Certificate::parse_timestamper(&root).unwrap();
        assert_eq!(own.issued_by(&own), Ok(()));
        let vendors = Certificate::parse(&root).unwrap();
        let refused = vendors.issued_by(&vendors);
        assert!(
            matches!(
                refused,
                Err(CertificateError::Key(KeyError::Algorithm { .. }))
            ),
            "{refused:?}"
        );
    }

    /// A limit that cannot be read is no certificate without one.
    #[test]
    fn a_certificate_whose_key_s_use_cannot_be_read_is_refused() {
        let good = Snp::genoa().sign(&[0; 64]).endorsements[0].value.0.clone();
        assert!(Certificate::parse(&good).unwrap().usage().is_some());
        // digitalSignature alone, and no authority: a BIT STRING and a SEQUENCE, of other types.
        for (content, other) in [
            ([0x04, 0x04, 0x03, 0x02, 0x07, 0x80].as_slice(), 0x04),
            (&[0x04, 0x02, 0x30, 0x00], 0x31),
        ] {
            let mut places = good.windows(content.len());
            let at = places.position(|bytes| bytes == content).unwrap();
            let mut bad = good.clone();
            bad[at + 2] = other;
            let refused = Certificate::parse(&bad).map(drop);
            assert_eq!(refused, Err(CertificateError::Malformed), "{content:?}");
        }
    }
}
