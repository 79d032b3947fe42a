//! The vendors' roots, at which chains of evidence end: constants of this crate.

/// The roots a verifier takes. A release has the vendors' alone; nothing but a test can put others
/// in their place.
#[derive(Clone, Debug, Default)]
pub struct Roots {}
