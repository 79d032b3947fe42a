//! Evidence by media type: which TEE's verifier reads it (protocol.md §13).

#[cfg(feature = "verify")]
mod files;
#[cfg(feature = "verify")]
mod needs;

#[cfg(feature = "verify")]
pub use crate::tee::IntelCollateral;
#[cfg(feature = "verify")]
pub use files::{CERTIFICATE_TYPE, EndorsementFileError, REVOCATION_LIST_TYPE, endorsements_in};
use mc2_protocol::documents::receipt::Evidence;
pub use mc2_protocol::documents::receipt::{
    MAX_ENDORSEMENTS, MAX_EVIDENCE_LEN as MAX_LEN, MAX_MEDIA_TYPE_LEN,
};
#[cfg(feature = "verify")]
pub use needs::{IntelPlatform, Needs, NeedsError, SnpSigner, are_lists_of_one_issuer};

use crate::tee::{Tee, media_type};

/// The TEE whose verifier reads `evidence`: by its media type alone, nothing is guessed from its
/// bytes. Sizes are checked first.
///
/// ```
/// use mc2_attestation::{Evidence, Tee, evidence::tee_of};
///
/// let evidence = Evidence {
///     media_type: "application/vnd.mc2.sim-evidence.v1+json".to_owned(),
///     value: vec![].into(),
/// };
/// assert_eq!(tee_of(&evidence, &[])?, Tee::Sim);
/// # Ok::<(), mc2_attestation::evidence::EvidenceError>(())
/// ```
///
/// # Errors
/// [`EvidenceError`].
pub fn tee_of(evidence: &Evidence, endorsements: &[Evidence]) -> Result<Tee, EvidenceError> {
    if endorsements.len() > MAX_ENDORSEMENTS {
        return Err(EvidenceError::TooManyEndorsements {
            found: endorsements.len(),
        });
    }
    let all = std::iter::once(("evidence", evidence))
        .chain(endorsements.iter().map(|item| ("endorsement", item)));
    for (what, item) in all {
        cap(what, item.value.0.len(), MAX_LEN)?;
        cap("media type", item.media_type.len(), MAX_MEDIA_TYPE_LEN)?;
    }
    Tee::ALL
        .into_iter()
        .find(|tee| media_type(*tee) == evidence.media_type)
        .ok_or_else(|| EvidenceError::MediaType {
            found: evidence.media_type.clone(),
        })
}

/// Why evidence was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// A media type that no TEE here has.
    #[error("evidence of the type {found:?} is unknown to this release")]
    MediaType {
        /// The type it states, shortened.
        found: String,
    },
    /// More bytes than evidence has.
    #[error("the {what} has {found} bytes, at most {limit} are accepted")]
    TooLarge {
        /// `evidence`, `endorsement` or `media type`.
        what: &'static str,
        /// Its size in bytes.
        found: usize,
        /// The largest size accepted, in bytes.
        limit: usize,
    },
    /// More endorsements than are read.
    #[error("{found} endorsements came with the evidence, at most {MAX_ENDORSEMENTS} are accepted")]
    TooManyEndorsements {
        /// How many there are.
        found: usize,
    },
}

fn cap(what: &'static str, found: usize, limit: usize) -> Result<(), EvidenceError> {
    if found <= limit {
        return Ok(());
    }
    Err(EvidenceError::TooLarge { what, found, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIM: &str = media_type(Tee::Sim);

    fn evidence(media_type: &str, len: usize) -> Evidence {
        Evidence {
            media_type: media_type.to_owned(),
            value: vec![0; len].into(),
        }
    }

    #[test]
    fn the_media_type_alone_names_the_tee() {
        for tee in Tee::ALL {
            assert_eq!(tee_of(&evidence(media_type(tee), 0), &[]), Ok(tee));
        }
        assert!(tee_of(&evidence("application/json", 0), &[]).is_err());
        assert!(tee_of(&evidence("", 0), &[]).is_err());
    }

    #[test]
    fn oversized_evidence_is_refused_unread() {
        assert!(tee_of(&evidence(SIM, MAX_LEN + 1), &[]).is_err());
        let long = evidence(&"a".repeat(128), 0);
        assert!(tee_of(&long, &[]).is_err());
        let endorsement = evidence(SIM, 0);
        assert!(tee_of(&evidence(SIM, 0), &vec![endorsement; 17]).is_err());
        assert!(tee_of(&evidence(SIM, 0), &[evidence(SIM, MAX_LEN + 1)]).is_err());
    }
}
