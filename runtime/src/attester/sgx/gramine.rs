//! Gramine's pseudo-files (`/dev/attestation`): 64 bytes are written to one, and the quote over what
//! was written last is read from another.

use std::{path::PathBuf, thread, time::Duration};

use mc2_protocol::{SecretKey, policy::Tee};
use zeroize::Zeroizing;

use super::{MAX_QUOTE_LEN, asked};
use crate::{
    attester::{
        contract::{Attested, Attester, AttesterError},
        devices::Devices,
        files::{self, FileError},
    },
    random,
};

/// Where the pseudo-files are.
pub(in crate::attester) const FOLDER: &str = "dev/attestation";
/// Says how the enclave attests: `dcap` or `none`.
pub(in crate::attester) const TYPE: &str = "attestation_type";
const ASKING: &str = "asking Gramine for a quote";
/// The sealing key that the CPU derives from MRENCLAVE, all attributes in the mask, DEBUG among them
/// (`sgx.seal_key` of the manifest, which is measured, stays as it is).
const KEY: &str = "keys/_sgx_mrenclave";
const KEY_LEN: usize = 16;
/// How often a quote is asked for where others kept asking for theirs in between.
const TRIES: usize = 200;
/// What passes in between is below this many milliseconds.
const PAUSE: u8 = 16;

/// An enclave under Gramine.
///
/// There is one place for the 64 bytes in all of the enclave. Rather than have one party wait, under
/// a lock, for as long as the host stalls another's quote, each looks whose quote it got and asks
/// again where it was another's.
pub(in crate::attester) struct Gramine {
    folder: PathBuf,
}

impl Gramine {
    pub(in crate::attester) fn of(devices: &Devices) -> Self {
        Self {
            folder: devices.path(FOLDER),
        }
    }

    fn quote(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, FileError> {
        files::write(&self.folder.join("user_report_data"), report_data)?;
        files::read(&self.folder.join("quote"), MAX_QUOTE_LEN)
    }
}

impl Attester for Gramine {
    fn tee(&self) -> Tee {
        Tee::Sgx
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Result<Attested, AttesterError> {
        let failed = |reason: String| AttesterError::new(Tee::Sgx, ASKING, reason);
        for _ in 0..TRIES {
            let quote = self.quote(report_data).map_err(|error| {
                failed(format!(
                    "{error}; the host must run Intel's AESM service and reach its PCCS"
                ))
            })?;
            match asked(&quote) {
                Some(about) if about == report_data => return Ok(Attested::new(Tee::Sgx, quote)),
                Some(_) => {}
                None => {
                    let found = quote.len();
                    let reason = format!("{found} bytes are no quote of version 3");
                    return Err(failed(reason));
                }
            }
            let [byte] = random::bytes();
            thread::sleep(Duration::from_millis(u64::from(byte % PAUSE)));
        }
        Err(failed(format!(
            "the quote was about something else {TRIES} times: too many ask at once, ask again"
        )))
    }

    fn lasting_key(&self) -> Result<SecretKey, AttesterError> {
        let failed = |reason: String| {
            AttesterError::new(Tee::Sgx, "reading the sealing key of MRENCLAVE", reason)
        };
        let path = self.folder.join(KEY);
        let bytes = files::read(&path, KEY_LEN).map_err(|error| failed(error.to_string()))?;
        let bytes = Zeroizing::new(bytes);
        // The firmware gives no key of zeros; one that is not set does.
        if bytes.len() != KEY_LEN || *bytes == [0; KEY_LEN] {
            return Err(failed(format!("{} has no key", path.display())));
        }
        // What is sealed is sealed under keys that HKDF makes of it.
        Ok(SecretKey::filled(|key| {
            key[..KEY_LEN].copy_from_slice(&bytes);
        }))
    }
}
