//! Files that appear whole or not at all, and folders only their owner can read.

mod error;
mod locked;
mod staged;
mod whole;

pub use error::{FileError, failed};
pub use locked::{LockedFolder, remove_abandoned};
pub use staged::{Staged, StagedFolder, folder_of, private_temporary, sync_folder, vacant};
pub use whole::{
    lock, lock_shared, open_private, private_folder, read_capped, read_secret, try_lock,
    write_private, write_private_new, write_private_soon,
};
