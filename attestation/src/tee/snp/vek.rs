//! The certificate of the key that signs reports: a chip's own (VCEK) or one loaded for an operator
//! (VLEK). Extensions as AMD's "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface
//! Specification" (57230) and its sister for VLEK write them.

use der::{
    Decode,
    asn1::{Ia5StringRef, ObjectIdentifier},
};

use mc2_protocol::policy::SnpTcb;

use super::report::SigningKey;
use crate::{
    tee::roots::{Authorities, Product},
    x509::{Certificate, CertificateError},
};

const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
const BOOTLOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
const OPERATOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");

/// A certificate, and the authorities that issued it.
#[derive(Debug)]
pub(super) struct Vek {
    pub(super) certificate: Certificate,
    pub(super) product: Product,
    pub(super) ark: Certificate,
    /// ASK or ASVK.
    pub(super) issuer: Certificate,
    pub(super) kind: SigningKey,
}

impl Vek {
    /// Finds the authority that issued `certificate`, and verifies the chain from its root down.
    ///
    /// # Errors
    /// [`VekError`] when none of `lines` did, or an authority itself is not good.
    pub(super) fn verify(
        certificate: Certificate,
        lines: &[Authorities],
    ) -> Result<Self, VekError> {
        for line in lines {
            for (authority, kind) in [
                (&line.ask, SigningKey::Vcek),
                (&line.asvk, SigningKey::Vlek),
            ] {
                let issuer = Certificate::parse(authority)?;
                match certificate.issued_by(&issuer) {
                    Ok(()) => {}
                    Err(CertificateError::Issuer { .. }) => continue,
                    Err(error) => return Err(error.into()),
                }
                let ark = Certificate::parse(&line.ark)?;
                ark.issued_by(&ark)?;
                issuer.issued_by(&ark)?;
                if certificate.is_authority() {
                    return Err(VekError::Authority);
                }
                return Ok(Self {
                    certificate,
                    product: line.product,
                    ark,
                    issuer,
                    kind,
                });
            }
        }
        Err(VekError::Unknown {
            found: certificate.subject(),
        })
    }

    /// The product it says it is of.
    pub(super) fn product_name(&self) -> Option<String> {
        self.text(&PRODUCT_NAME)
    }

    /// The versions it is for.
    pub(super) fn tcb(&self) -> Option<SnpTcb> {
        tcb_of(&self.certificate, self.product)
    }

    /// The chip it is of, as a report writes it: Turin's has 8 bytes, and zeros follow. None in an
    /// operator's.
    pub(super) fn chip_id(&self) -> Option<[u8; 64]> {
        let id = hardware_id(&self.certificate)?;
        let expected = match self.product {
            Product::Turin => 8,
            Product::Milan | Product::Genoa => 64,
        };
        if id.len() != expected {
            return None;
        }
        let mut chip_id = [0; 64];
        chip_id[..expected].copy_from_slice(id);
        Some(chip_id)
    }

    /// The operator it was loaded for; none in a chip's own.
    pub(super) fn operator(&self) -> Option<String> {
        let name = self.text(&OPERATOR)?;
        Some(name.strip_prefix("CN=").unwrap_or(&name).to_owned())
    }

    fn text(&self, id: &ObjectIdentifier) -> Option<String> {
        let text = Ia5StringRef::from_der(self.certificate.extension(id)?).ok()?;
        Some(text.as_str().to_owned())
    }
}

/// The versions that a certificate says it is for, as a chip of `product` has them.
pub(super) fn tcb_of(certificate: &Certificate, product: Product) -> Option<SnpTcb> {
    let number = |id| u8::from_der(certificate.extension(id)?).ok();
    Some(SnpTcb {
        fmc: match product {
            Product::Turin => number(&FMC)?,
            Product::Milan | Product::Genoa => 0,
        },
        bootloader: number(&BOOTLOADER)?,
        tee: number(&TEE)?,
        snp: number(&SNP)?,
        microcode: number(&MICROCODE)?,
    })
}

/// The chip that a certificate says it is of.
pub(super) fn hardware_id(certificate: &Certificate) -> Option<&[u8]> {
    certificate.extension(&HARDWARE_ID)
}

/// A certificate that signs no reports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum VekError {
    /// Not AMD's.
    #[error("the certificate of {found:?} was issued by none of AMD's authorities")]
    Unknown {
        /// Whom it is about.
        found: String,
    },
    /// An authority's own.
    #[error("the certificate is an authority's, which signs certificates and no reports")]
    Authority,
    /// A certificate in the chain is not good.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}
