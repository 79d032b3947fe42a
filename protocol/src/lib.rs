//! Wire types and formats of the MC² runtime.
//!
//! Everything that crosses a trust boundary is defined here once: sealed objects and their
//! manifests, party cards, messages to an enclave, the session record, policies, jobs, receipts
//! and the two interfaces between host and runtime. The crate is pure: it does no I/O, reads no
//! clock, and uses no randomness but what its caller passes in. It trusts nobody: every decoder
//! takes hostile bytes and returns either a checked value or an error.
//!
//! `docs/protocol.md` is the specification; the modules follow its chapters in order. Start with
//! [`sealed`] for data at rest, [`message`] for what travels to an enclave and [`record`] for what
//! the hardware signs.

#![deny(unsafe_code)]

pub mod aead;
pub mod card;
pub mod control;
pub mod digest;
pub mod dsse;
pub mod encoding;
pub mod failure;
pub mod figures;
pub mod hpke;
pub mod job;
pub mod label;
pub mod manifest;
pub mod message;
pub mod name;
pub mod paths;
pub mod policy;
pub mod receipt;
pub mod record;
pub mod sealed;
pub mod secret;
pub mod storage;

pub use card::{Card, Identity};
pub use digest::Digest;
pub use manifest::Manifest;
pub use name::{Name, PartyName};
pub use secret::SecretKey;

/// The version every format of this crate states and accepts.
pub const VERSION: u32 = 1;
