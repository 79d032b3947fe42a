//! Certificates and revocation lists (RFC 5280), as the vendors of enclaves and authorities of
//! timestamps issue them: parsed strictly, signed over the bytes that came, with the dates between
//! which they count.
//!
//! There is no search for a path here: each verifier knows whose certificate ought to have signed
//! which, and asks for exactly that. Only of timestamps nobody knows; `crate::timestamp` looks.

mod certificate;
mod crl;
mod key;
mod scheme;
mod signed;

pub use mc2_protocol::evidence::{CERTIFICATE_TYPE, REVOCATION_LIST_TYPE};

pub(crate) use certificate::{Certificate, CertificateError};
pub(crate) use crl::{Crl, CrlError};
pub(crate) use key::{KeyError, PublicKey};
pub(crate) use scheme::{Hash, Scheme};
