//! The vendors' roots, at which chains of evidence end: constants of this crate.

#[cfg(feature = "verify")]
mod amd;
#[cfg(feature = "verify")]
mod aws;

use std::borrow::Cow;

#[cfg(feature = "verify")]
pub use amd::{Authorities, Product};
#[cfg(feature = "verify")]
use aws::AWS_ROOT;

/// The roots a verifier takes. A release has the vendors' alone; nothing but a test can put others
/// in their place.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(feature = "verify"),
    allow(dead_code, reason = "the simulator has no vendor")
)]
pub struct Roots {
    /// Intel's, for SGX and TDX: a certificate in DER.
    pub(crate) intel: Cow<'static, [u8]>,
    /// AMD's, for SEV-SNP: a set of authorities for each product line.
    #[cfg(feature = "verify")]
    pub(crate) amd: Vec<Authorities>,
    /// AWS's, for Nitro Enclaves: a certificate in DER.
    #[cfg(feature = "verify")]
    pub(crate) aws: Cow<'static, [u8]>,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            intel: Cow::Borrowed(INTEL_SGX_ROOT_CA),
            #[cfg(feature = "verify")]
            amd: amd::amd(),
            #[cfg(feature = "verify")]
            aws: Cow::Borrowed(AWS_ROOT),
        }
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Roots {
    /// With another root, in DER, for SGX and TDX.
    #[must_use]
    pub fn with_intel(self, root: Vec<u8>) -> Self {
        Self {
            intel: Cow::Owned(root),
            ..self
        }
    }

    /// With other authorities for SEV-SNP.
    #[cfg(feature = "verify")]
    #[must_use]
    pub fn with_amd(self, amd: Vec<Authorities>) -> Self {
        Self { amd, ..self }
    }

    /// With another root, in DER, for Nitro Enclaves.
    #[cfg(feature = "verify")]
    #[must_use]
    pub fn with_aws(self, root: Vec<u8>) -> Self {
        Self {
            aws: Cow::Owned(root),
            ..self
        }
    }
}

/// Intel SGX Root CA, 2018-05-21 to 2049-12-31, from
/// <https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer>;
/// SHA-256 44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3.
const INTEL_SGX_ROOT_CA: &[u8] = include_bytes!("../dcap/intel-sgx-root-ca.der");

#[cfg(test)]
mod tests {
    use mc2_protocol::Digest;

    use super::*;

    #[test]
    fn the_roots_are_the_vendors() {
        let Roots { intel, .. } = Roots::default();
        assert_eq!(
            hex::encode(Digest::of(&intel).as_bytes()),
            "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
        );
    }
}
