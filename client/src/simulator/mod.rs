//! Which simulators are believed where somebody accepts them. NOT SECURE.
//!
//! A simulator's evidence counts where its key was pinned here and it runs this release's file. The
//! key of a host of this user's on this machine lies in a file that host wrote ([`pin`]); of others
//! it is pinned by hand (`mc2 trust add --simulator`).

mod error;
mod pin;

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use mc2_attestation::{Measurement, ReferenceValue, Tee, TrustStore, trust::SIM_RUNTIME};
use mc2_host::SimulatorPin;
use sha2::{Digest as _, Sha256};

pub use error::SimulatorError;

use crate::{
    files::{FileError, failed, folder_of},
    http::HostAddress,
    state::State,
};

/// Whom somebody trusts that talks to the host at `address`: the trust store, and where simulators
/// are allowed those of a host that this user started on this machine, where they run the file
/// `runtime`, or [this release's](binary) where none is named.
///
/// # Errors
/// The trust store cannot be read, or the host's file is not this user's alone or holds no key.
pub fn trusted(
    state: &State,
    address: &HostAddress,
    allow_simulated: bool,
    runtime: Option<&Path>,
) -> Result<TrustStore, SimulatorError> {
    let mut trust = state.trusted()?;
    if !allow_simulated {
        return Ok(trust);
    }
    let Some(key) = pin::of(address, |name| std::env::var_os(name))? else {
        return Ok(trust);
    };
    trust.pin_simulator(key);
    let runtime = runtime.map_or_else(binary, Path::to_owned);
    // Without it the appraisal says that this measurement is not known.
    if runtime.is_file() {
        trust
            .add(reference(&runtime)?)
            // A measurement of 32 bytes under the simulator's own name and this release's version.
            .unwrap_or_else(|error| unreachable!("{error}"));
    }
    Ok(trust)
}

/// Where hosts of this user's leave the keys of their simulators, where there is such a folder.
pub(crate) fn pins() -> Option<PathBuf> {
    SimulatorPin::folder(|name| std::env::var_os(name))
}

/// This release's simulator: the file `$MC2_RUNTIME`, or the one beside this program. It need not
/// be there.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("MC2_RUNTIME").filter(|path| !path.is_empty());
    named.map_or_else(
        || {
            let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("mc2-run"));
            folder_of(&own).join(SIM_RUNTIME)
        },
        PathBuf::from,
    )
}

/// The reference value of the simulator that is the file `path`.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn reference(path: &Path) -> Result<ReferenceValue, FileError> {
    let measurement = Measurement::from_bytes(&digest_of(path)?)
        // SHA-256 of a file that is not all zero.
        .unwrap_or_else(|error| unreachable!("{error}"));
    Ok(ReferenceValue {
        tee: Tee::Sim,
        measurement,
        runtime: SIM_RUNTIME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revoked: false,
        registers: std::collections::BTreeMap::new(),
    })
}

/// SHA-256 of a file.
fn digest_of(path: &Path) -> Result<[u8; 32], FileError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(failed("read", path))?;
        if read == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&buffer[..read]);
    }
}
