//! Compiled code kept with the host, sealed: where the operator chose so, it outlives the boot.
//!
//! [`sealed`] is the format and the cache, over whatever keeps its entries; `host` keeps them with
//! the host, which sees their sizes and when they are asked for.

mod host;
mod sealed;

pub use host::HostEntries;
pub use sealed::{Entries, SealedCache};
