//! Wire types and formats of the MC² runtime.
//!
//! Everything that crosses a trust boundary is defined here once: sealed objects and their
//! manifests, party cards, messages to an enclave, the session record, policies, jobs, receipts
//! and the two interfaces between host and runtime. The crate is pure: it does no I/O, reads no
//! clock, and uses no randomness but what its caller passes in. It trusts nobody: every decoder
//! takes hostile bytes and returns either a checked value or an error.
//!
//! `docs/protocol.md` is the specification. Five folders, each built on those before it:
//! [`crypto`] (ciphers, digests, keys, labels), [`sealed`] (data at rest), [`documents`] (what
//! travels between parties, host and enclave), [`policy`] (what a session is opened under) and
//! [`evidence`] (what each TEE's is called, and the formats that are our own).
//! Start with [`sealed`] for data, [`documents::message`] for what travels to an enclave and
//! [`documents::record`] for what the hardware signs.

#![deny(unsafe_code)]

pub mod crypto;
pub mod documents;
pub mod encoding;
pub mod evidence;
pub mod name;
pub mod policy;
pub mod sealed;

pub use crypto::{digest::Digest, secret::SecretKey};
pub use documents::card::{Card, Identity};
pub use name::{Name, PartyName};
pub use sealed::{key::DataKey, manifest::Manifest};

/// The version every format of this crate states and accepts.
pub const VERSION: u32 = 1;
