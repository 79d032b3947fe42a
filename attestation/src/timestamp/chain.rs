//! The way from an authority's certificate to a root.

use der::asn1::ObjectIdentifier;

use super::error::TimestampError;
use crate::{
    time::{Interval, UnixSeconds},
    x509::{Certificate, CertificateError},
};

/// Certificates between an authority's own and a root, at most.
const MAX_BETWEEN: usize = 4;
/// id-kp-timeStamping.
pub(super) const TIME_STAMPING: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");
/// anyExtendedKeyUsage.
const ANY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// A certificate that may be on the way.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) der: Vec<u8>,
    pub(super) certificate: Certificate,
}

impl Candidate {
    pub(super) fn read(der: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self {
            der: der.to_vec(),
            certificate: Certificate::parse_timestamper(der)?,
        })
    }

    /// Whether it issued `subject`, with so many authorities between that and a token's certificate.
    fn issued(&self, subject: &Self, below: usize) -> bool {
        let issuer = &self.certificate;
        let far_enough = issuer
            .path_len()
            .is_none_or(|length| usize::from(length) >= below);
        // Whoever is limited to other purposes may not issue for this one.
        let purpose = issuer.extended_usage().is_ok_and(|usage| {
            usage.is_none_or(|usage| {
                let mut purposes = usage.purposes.iter();
                purposes.any(|purpose| *purpose == TIME_STAMPING || *purpose == ANY)
            })
        });
        far_enough && purpose && subject.certificate.issued_by(issuer).is_ok()
    }
}

/// When all certificates are good on a way from `signer` over some of `others` to one of `roots`, which
/// must contain `times`: the token's and the verifier's.
///
/// # Errors
/// [`TimestampError::Root`] where there is no way, [`TimestampError::Dates`] where none is good then.
pub(super) fn to_a_root(
    signer: &Candidate,
    others: &[Candidate],
    roots: &[Candidate],
    times: [UnixSeconds; 2],
) -> Result<Interval, TimestampError> {
    // Each certificate is come to once, by as few steps as can be: the work is bounded, whatever
    // names the certificates of a hostile token have.
    let mut rest: Vec<&Candidate> = others.iter().filter(|one| one.der != signer.der).collect();
    let mut reached = vec![(signer, signer.certificate.holds())];
    let mut found = None;
    let good = |holds: &Interval| times.iter().all(|time| holds.contains(*time));
    for below in 0..=MAX_BETWEEN {
        for (last, holds) in &reached {
            for root in roots {
                let holds = holds.and(root.certificate.holds());
                if root.der != last.der && !root.issued(last, below) {
                    continue;
                }
                if good(&holds) {
                    return Ok(holds);
                }
                found = found.or(Some(holds));
            }
        }
        let mut next = Vec::new();
        for (last, holds) in &reached {
            rest.retain(|other| {
                let issued = other.issued(last, below);
                if issued {
                    next.push((*other, holds.and(other.certificate.holds())));
                }
                !issued
            });
        }
        // By way of those that are good now: an authority may have renewed a certificate under its key.
        next.sort_by_key(|(_, holds)| !good(holds));
        reached = next;
    }
    let [time, now] = times;
    Err(match found {
        Some(found) => TimestampError::Dates { found, time, now },
        None => TimestampError::Root {
            found: signer.certificate.subject(),
        },
    })
}
