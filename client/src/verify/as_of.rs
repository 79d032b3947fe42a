//! Row 30: a receipt as of a time that somebody vouches for.

use std::time::{Duration, UNIX_EPOCH};

use mc2_attestation::UnixSeconds;
use mc2_protocol::documents::dsse::Envelope;

use super::{Expected, Verdict, verify};

/// Follows a receipt as [`verify`] does, as of `time`: all of the receipt was there by then, says
/// somebody whom the verifier believes.
///
/// Dates alone are of then: certificates and collateral must be good at that time, and of one's own
/// collateral what was fetched by then is used. Older collateral than what the verifier had seen by then
/// is refused; that newer one was seen since says nothing of then. Which runtimes and components are good is what the verifier knows today: one that was
/// revoked since was not good then either.
pub fn verify_as_of(envelope: &Envelope, expected: &Expected<'_>, time: UnixSeconds) -> Verdict {
    let trust = expected.trust.clone().seen_by(time);
    let collateral = expected.collateral.map(|own| own.fetched_by(time));
    verify(
        envelope,
        &Expected {
            trust: &trust,
            now: UNIX_EPOCH
                .checked_add(Duration::from_secs(time.0))
                .unwrap_or(expected.now),
            collateral: collateral.as_ref(),
            ..*expected
        },
    )
}
