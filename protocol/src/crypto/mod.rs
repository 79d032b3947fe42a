//! Ciphers, digests, keys and labels: everything that touches key material (protocol.md §2, §3).
//!
//! [`aead`] is the one AES-256-GCM, [`hpke`] seals to a public key, [`secret`] holds keys so that
//! they are wiped, and [`label`] has every context string, so that no use of a key meets another.

pub mod aead;
pub mod digest;
pub mod hpke;
pub mod label;
pub mod secret;
