//! Why a token dates nothing.

use crate::time::{Interval, UnixSeconds};

/// Largest token read, in bytes; those of public authorities have under 8 KiB.
pub const MAX_LEN: usize = 64 * 1024;

/// Why a token dates nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// More bytes than a token has.
    #[error("it has {found} bytes, where a timestamp token has at most {MAX_LEN}")]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// Not a token.
    #[error("it is no timestamp token in DER (RFC 3161): {what}")]
    Malformed {
        /// What was being read.
        what: &'static str,
    },
    /// The authority made none.
    #[error("its authority refused to make a token: ask for one again")]
    Refused,
    /// A hash function that is not accepted.
    #[error(
        "it names {what} by the hash function {found}, expected SHA-256, SHA-384 or SHA-512: ask for \
         another with `openssl ts -query -sha256 -cert`, of an authority that uses one of these"
    )]
    Hash {
        /// What is named so.
        what: &'static str,
        /// Its object identifier.
        found: String,
    },
    /// A token over something else.
    #[error("it is over other bytes: their digest is {found}, expected {expected}")]
    OtherMessage {
        /// The digest of what is at hand.
        expected: String,
        /// What the token has.
        found: String,
    },
    /// The certificate of the authority is not in it.
    #[error(
        "the authority's certificate that its signature names is not in it: ask for a token with it, \
         `openssl ts -query -cert`"
    )]
    NoCertificate,
    /// Not signed by that certificate.
    #[error("it is not signed by the certificate it names: {found}")]
    Signature {
        /// What is wrong.
        found: String,
    },
    /// A certificate for something else.
    #[error("expected a certificate for timestamps and for nothing else, found {found}")]
    Purpose {
        /// What it is for.
        found: String,
    },
    /// Nobody the verifier believes.
    #[error(
        "its authority {found:?} leads to none of the roots that were named: name its root, if you \
         believe it about time"
    )]
    Root {
        /// Whom the certificate is about.
        found: String,
    },
    /// Certificates that were not good then, or are not now.
    #[error(
        "its authority's certificates are good {found}, expected at {time} and at {now}: an authority \
         may vouch for the token anew before they end, which dates what it is over by then"
    )]
    Dates {
        /// When all of them are good.
        found: Interval,
        /// The token's time.
        time: UnixSeconds,
        /// The verifier's.
        now: UnixSeconds,
    },
    /// A date that has not come.
    #[error("its time, {found}, is yet to come: here it is {now}")]
    ToCome {
        /// The token's time.
        found: UnixSeconds,
        /// The verifier's.
        now: UnixSeconds,
    },
    /// Roots that are none.
    #[error("expected the certificates of roots as PEM, or of one as DER: {found}")]
    Roots {
        /// What is wrong.
        found: String,
    },
}
