//! Where a broker's run is marked: a place that a reboot empties and a restored folder does not
//! bring back.

use std::{
    env,
    path::{Path, PathBuf},
};

use mc2_protocol::Digest;
use rustix::process::geteuid;

use super::error::BrokerError;
use crate::{
    files::{private_folder, read_capped},
    state::guard,
};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const SHARED_MEMORY: &str = "/dev/shm";

/// The file that marks the run of the broker with this card since this machine was started.
///
/// # Errors
/// The system does not say which start this is, or has no place for the mark.
pub(super) fn path(broker: &Digest, folder: Option<&Path>) -> Result<PathBuf, BrokerError> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => self::folder()?,
    };
    Ok(folder.join(format!("{broker}.{}.head", boot_id()?)))
}

/// Which start of this machine this is.
///
/// # Errors
/// The system does not say.
pub(super) fn boot_id() -> Result<String, BrokerError> {
    let bytes = read_capped(Path::new(BOOT_ID), 64)?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    let plain = |c: char| c.is_ascii_hexdigit() || c == '-';
    if text.is_empty() || !text.chars().all(plain) {
        return Err(BrokerError::BootId { found: text });
    }
    Ok(text)
}

fn folder() -> Result<PathBuf, BrokerError> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let (base, own) = match runtime.filter(|path| path.is_absolute() && path.is_dir()) {
        Some(runtime) => (runtime, "mc2".to_owned()),
        None => {
            let shared = PathBuf::from(SHARED_MEMORY);
            if !shared.is_dir() {
                return Err(BrokerError::NoPlace);
            }
            (shared, format!("mc2-{}", geteuid().as_raw()))
        }
    };
    let own = base.join(own);
    guard::check(&own)?;
    let folder = own.join("brokers");
    private_folder(&folder)?;
    // Whoever made it meanwhile may be somebody else.
    guard::check(&own)?;
    Ok(folder)
}
