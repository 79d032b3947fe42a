//! Compiled code kept outside the enclave, sealed: [`sealed`] is the format and the cache, over
//! whatever keeps its entries.

mod sealed;

pub use sealed::{Entries, SealedCache};
