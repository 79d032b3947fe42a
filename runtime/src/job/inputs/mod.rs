//! Sealed inputs: fetched from untrusted storage, checked and decrypted as the guest reads them.
//!
//! One [`SealedFile`] is one file of a dataset in exactly the version its manifest names. Before
//! its first byte is believed, the list of its segments' digests is checked against the manifest
//! and its last segment is opened, so a file that ends early is refused at once. Sequential reads
//! fetch a mebibyte at a time and stay a few mebibytes ahead of the guest; random reads fetch the
//! segments they touch and no others; readers that take turns, as for the columns of a table, fetch
//! what there is room to keep until their next turn ([`readers`]). What was decrypted stays in a
//! cache that all inputs of a job share and whose size does not grow with theirs.

mod cache;
mod digests;
mod error;
mod file;
mod object;
mod parts;
mod readers;
mod whole;
mod window;

pub use cache::{BlockCache, Fetched};
pub use error::InputError;
pub use file::SealedFile;
pub use object::ObjectFiles;
pub(crate) use whole::WholeFiles;
pub use window::Window;
