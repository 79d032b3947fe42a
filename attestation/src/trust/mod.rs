//! What a verifier trusts: its reference values, and the signed lists they come from.

mod reference;
mod register;
pub mod releases;
mod seen;
mod store;

pub use reference::{ReferenceValue, ReferenceValueError, SIM_RUNTIME};
pub use register::{RegisterValue, RegisterValueError};
pub use store::{Known, MAX_LEN, TrustStore, TrustStoreError};
