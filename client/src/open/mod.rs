//! Opening a sealed object: every segment is checked before the plaintext has a name.
//!
//! Whatever is wrong with an object (another key, a flipped bit, a missing end), the person who
//! opens it finds the old state of the disk, not half a file.

mod error;
mod fetched;
mod opening;
mod origin;
mod staged;
mod unpack;

pub use error::OpenError;
pub use fetched::Fetched;
pub use opening::{Exact, Opening};
pub use origin::Sealed;
pub use staged::StagedOutput;
