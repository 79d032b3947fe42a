//! Forged vendors: PKIs with roots of their own, which issue well-formed evidence over whatever a
//! test asks for. Nothing trusts them but a trust store whose roots a test replaced
//! ([`TrustStore::set_roots`](crate::TrustStore::set_roots)), which no release can do.

pub mod der;
pub mod intel;

pub use intel::{Enclave, Intel, Td};
