//! Fetching collateral from its vendors, or from whoever passes it on.
//!
//! Nothing that comes is believed: it is looked at only so far that a service that answers with
//! something else is found out here and not weeks later. Whether it is any good, the verifier says.

mod amd;
mod intel;

use mc2_attestation::{
    Endorsement, Evidence,
    evidence::{Needs, NeedsError},
};

use crate::http::{Patience, Proxy, Service, ServiceError, ServiceUrl, Trust};

/// Most bytes of one answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// Whom collateral is fetched from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Intel's provisioning certification service (PCS), or one that caches it (PCCS).
    pub intel: ServiceUrl,
    /// Where Intel's root puts its revocation list, where not behind the same address.
    pub intel_root_list: Option<ServiceUrl>,
    /// AMD's key distribution service (KDS).
    pub amd: ServiceUrl,
    /// Whose certificates they may have.
    pub trust: Trust,
    /// The proxy, where not the environment's.
    pub proxy: Option<Proxy>,
    /// How patiently they are asked.
    pub patience: Patience,
}

impl Sources {
    /// Intel's own service.
    pub const INTEL: &'static str = "https://api.trustedservices.intel.com";
    /// The revocation list of Intel's root, which that service does not have.
    pub const INTEL_ROOT_LIST: &'static str =
        "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
    /// AMD's own service.
    pub const AMD: &'static str = "https://kdsintf.amd.com";

    /// What a piece of evidence needs, fetched.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(
        &self,
        evidence: &Evidence,
    ) -> Result<(Needs, Vec<Endorsement>), FetchError> {
        let needs = Needs::of(evidence)?;
        let found = match &needs {
            Needs::Intel(platform) => vec![intel::collateral(self, platform).await?],
            Needs::Amd(signer) => amd::endorsements(self, signer).await?,
            Needs::Nothing => Vec::new(),
        };
        if let Some(other) = found.iter().find(|one| needs.among([*one]).is_empty()) {
            return Err(FetchError::Other {
                media_type: other.media_type.clone(),
            });
        }
        Ok((needs, found))
    }

    fn service(&self, url: &ServiceUrl) -> Result<Service, ServiceError> {
        Service::new(url.clone(), &self.trust, self.proxy.as_ref(), self.patience)
    }
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The evidence does not say what it needs.
    #[error(transparent)]
    Needs(#[from] NeedsError),
    /// The service.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// An answer of something else.
    #[error("the answer of {url} is not what was asked for: {reason}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What came is about another platform.
    #[error(
        "what the service gave ({media_type}) is not about the platform of this evidence: nothing was \
         kept"
    )]
    Other {
        /// What it is.
        media_type: String,
    },
    /// A key whose certificate nobody gives out.
    #[error(
        "the report is signed by a key that was loaded for the machine's operator (VLEK), whose \
         certificate the operator gives out with the report; AMD's service does not have it"
    )]
    Loaded,
    /// A report that does not say which chip signed it.
    #[error(
        "the report does not say which chip signed it: its operator had that masked, and must give out \
         the chip's certificate with the report"
    )]
    Masked,
}

/// A revocation list, which services give as DER, as PEM or as hexadecimal digits of DER.
fn revocation_list(url: &str, body: &[u8]) -> Result<Vec<u8>, FetchError> {
    use mc2_attestation::evidence::{REVOCATION_LIST_TYPE, endorsements_in};

    let refused = |reason: String| FetchError::Answer {
        url: url.to_owned(),
        reason,
    };
    let digits = body.trim_ascii();
    let decoded = hex::decode(digits).unwrap_or_else(|_| body.to_vec());
    let found = endorsements_in(&decoded).map_err(|error| refused(error.to_string()))?;
    match <[_; 1]>::try_from(found) {
        Ok([list]) if list.media_type == REVOCATION_LIST_TYPE => Ok(list.value.0),
        _ => Err(refused("it is no revocation list".to_owned())),
    }
}

#[cfg(test)]
mod tests;
