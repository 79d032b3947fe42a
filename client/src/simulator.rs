//! What a simulator of this release measures to. NOT SECURE.

use std::{fs::File, io::Read as _, path::Path};

use mc2_attestation::{Measurement, ReferenceValue, Tee, trust::SIM_RUNTIME};
use sha2::{Digest as _, Sha256};

use crate::files::{FileError, failed};

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
