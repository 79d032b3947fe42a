//! Dates that an authority vouches for: timestamp tokens (RFC 3161, RFC 5816).
//!
//! A token says that its authority saw the digest of some bytes at a time. It counts where it is over
//! exactly these bytes, is signed by the certificate it names, that certificate is for timestamps and
//! for nothing else, and leads to a root that whoever verifies names. All certificates on the way must
//! be good at the token's time and now: of one that has ended nobody says any more who has its key.
//! Whether one was revoked is not asked.
//!
//! The token is taken apart in `token`, the way to a root is searched in `chain`.

mod chain;
mod error;
mod token;

#[cfg(test)]
mod tests;

pub use error::{MAX_LEN, TimestampError};

use crate::{
    evidence::{CERTIFICATE_TYPE, endorsements_in},
    time::{Interval, UnixSeconds},
    x509::{Certificate, Hash},
};
use chain::{Candidate, TIME_STAMPING};
use token::{Info, Token};

/// The certificates at which tokens may end: whom a person believes about time.
#[derive(Clone, Debug)]
pub struct TimestampRoots(Vec<Candidate>);

/// A time somebody is believed about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// The latest time at which the token may have been made: its time and how exact that is. What
    /// it is over was there by then.
    pub time: UnixSeconds,
    /// The authority, as its certificate names it.
    pub by: String,
    /// When the token can be verified.
    pub holds: Interval,
}

impl TimestampRoots {
    /// The certificates in a file: PEM, or DER of one.
    ///
    /// # Errors
    /// [`TimestampError::Roots`] where it holds none, or something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, TimestampError> {
        let refused = |found: String| TimestampError::Roots { found };
        let found = endorsements_in(bytes).map_err(|error| refused(error.to_string()))?;
        let roots = found.iter().map(|item| {
            if item.media_type != CERTIFICATE_TYPE {
                return Err(refused("something else is among them".to_owned()));
            }
            Candidate::read(item.value.as_slice()).map_err(|error| refused(error.to_string()))
        });
        roots.collect::<Result<_, _>>().map(Self)
    }
}

/// Verifies a token, or the whole response of an authority with one in it, DER, over `message`.
///
/// # Errors
/// [`TimestampError`].
pub fn verify(
    token: &[u8],
    message: &[u8],
    roots: &TimestampRoots,
    now: UnixSeconds,
) -> Result<Timestamp, TimestampError> {
    if token.len() > MAX_LEN {
        return Err(TimestampError::TooLarge { found: token.len() });
    }
    let token = Token::parse(token)?;
    let info = Info::parse(&token.content)?;
    let expected = info.imprint.0.of(message);
    if info.imprint.1 != expected {
        return Err(TimestampError::OtherMessage {
            expected: hex::encode(&expected),
            found: hex::encode(&info.imprint.1),
        });
    }
    let certificates: Vec<Candidate> = token
        .certificates
        .iter()
        // What is no certificate that could be on the way leads nowhere.
        .filter_map(|der| Candidate::read(der).ok())
        .collect();
    let signer = signer(&token, &certificates)?;
    let holder = &signer.certificate;
    let key = holder.key().map_err(|error| TimestampError::Signature {
        found: error.to_string(),
    })?;
    key.verify_scheme(token.scheme, &token.signed_attributes, &token.signature)
        .map_err(|error| TimestampError::Signature {
            found: error.to_string(),
        })?;
    for_timestamps_alone(holder)?;
    if info.time > now {
        return Err(TimestampError::ToCome {
            found: info.time,
            now,
        });
    }
    let holds = chain::to_a_root(signer, &certificates, &roots.0, [info.time, now])?;
    Ok(Timestamp {
        time: info.time,
        by: holder.subject(),
        holds,
    })
}

/// The certificate whose digest is among what was signed (ESSCertIDv2). The issuer and number that
/// stand beside the signature are not signed and add nothing.
fn signer<'a>(
    token: &Token,
    certificates: &'a [Candidate],
) -> Result<&'a Candidate, TimestampError> {
    let (hash, digest): &(Hash, Vec<u8>) = &token.certificate_id;
    let mut named = certificates
        .iter()
        .filter(|candidate| hash.of(&candidate.der) == *digest);
    named.next().ok_or(TimestampError::NoCertificate)
}

/// RFC 3161, §2.3: the one purpose of the authority's key, and critical; where its usage is stated,
/// signatures alone.
fn for_timestamps_alone(certificate: &Certificate) -> Result<(), TimestampError> {
    let refused = |found: String| TimestampError::Purpose { found };
    let usage = certificate.extended_usage();
    let usage = usage.map_err(|error| refused(error.to_string()))?;
    let Some(usage) = usage else {
        return Err(refused("one that states no purpose".to_owned()));
    };
    if usage.purposes != [TIME_STAMPING] {
        let purposes: Vec<String> = usage.purposes.iter().map(ToString::to_string).collect();
        return Err(refused(format!("one for {}", purposes.join(", "))));
    }
    if !usage.critical {
        return Err(refused("one whose purpose is not critical".to_owned()));
    }
    let signs = certificate.usage().is_none_or(|usage| {
        (usage.digital_signature() || usage.non_repudiation())
            && !usage.key_cert_sign()
            && !usage.crl_sign()
    });
    if certificate.is_authority() || !signs {
        return Err(refused("an authority's own".to_owned()));
    }
    Ok(())
}
