//! Forged vendors: PKIs with roots of their own, which issue well-formed evidence over whatever a
//! test asks for. Nothing trusts them but a trust store whose roots a test replaced
//! ([`TrustStore::set_roots`](crate::TrustStore::set_roots)), which no release can do.

pub mod any;
pub mod der;
pub mod intel;
pub mod nitro;
mod pki;
pub mod snp;
pub mod vtpm;

pub use intel::{Enclave, Intel, Td};
pub use nitro::Nitro;
pub use pki::RevocationList;
pub use snp::{Snp, ark_serial, ask_serial};
pub use vtpm::Vtpm;

use crate::{
    Endorsement, Evidence,
    time::{Interval, UnixSeconds},
};

/// A time at which what AMD and AWS would sign counts, on the day of this source.
pub const NOW: UnixSeconds = UnixSeconds(UnixSeconds::OF_THIS_SOURCE.0 + 3200);
/// When certificates of authorities count.
const HOLDS: Interval = Interval::new(
    UnixSeconds(NOW.0 - 365 * 86_400),
    UnixSeconds(NOW.0 + 365 * 86_400),
);

/// Evidence, and what its vendor would say of it.
#[derive(Clone)]
pub struct Forged {
    /// The evidence.
    pub evidence: Evidence,
    /// Certificates, lists and their like.
    pub endorsements: Vec<Endorsement>,
}

fn endorsement(media_type: &str, bytes: Vec<u8>) -> Endorsement {
    Endorsement {
        media_type: media_type.to_owned(),
        value: bytes.into(),
    }
}
