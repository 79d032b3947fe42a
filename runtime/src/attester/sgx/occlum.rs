//! Occlum's ioctls on `/dev/sgx`: one tells how long a quote is, one makes it.

use std::{fs::File, io, path::PathBuf};

use mc2_protocol::policy::Tee;

use super::{MAX_QUOTE_LEN, asked};
use crate::attester::{
    contract::{Attested, Attester, AttesterError},
    devices::Devices,
    ioctl,
};

/// Occlum's own device. On a machine outside Occlum it is a folder, or not there.
pub(in crate::attester) const DEVICE: &str = "dev/sgx";
const ASKING: &str = "asking Occlum for a quote";

/// An enclave under Occlum.
pub(in crate::attester) struct Occlum {
    device: PathBuf,
}

impl Occlum {
    pub(in crate::attester) fn of(devices: &Devices) -> Self {
        Self {
            device: devices.path(DEVICE),
        }
    }

    /// How long a quote is; whoever does not answer is not Occlum.
    pub(in crate::attester) fn quote_len(&self) -> io::Result<usize> {
        let length = ioctl::occlum_quote_len(&File::open(&self.device)?)?;
        usize::try_from(length)
            .ok()
            .filter(|length| (1..=MAX_QUOTE_LEN).contains(length))
            .ok_or_else(|| io::Error::other(format!("it says a quote has {length} bytes")))
    }

    fn quote(&self, report_data: &[u8; 64]) -> io::Result<Vec<u8>> {
        let mut quote = vec![0; self.quote_len()?];
        let device = File::open(&self.device)?;
        let length = ioctl::occlum_quote(&device, report_data, &mut quote)?;
        quote.truncate(length);
        Ok(quote)
    }
}

impl Attester for Occlum {
    fn tee(&self) -> Tee {
        Tee::Sgx
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Result<Attested, AttesterError> {
        let failed = |reason: String| AttesterError::new(Tee::Sgx, ASKING, reason);
        let quote = self.quote(report_data).map_err(|error| {
            failed(format!(
                "{}: {error}; the host must run Intel's AESM service and reach its PCCS",
                self.device.display()
            ))
        })?;
        if asked(&quote) != Some(report_data) {
            return Err(failed("the quote is about other report data".to_owned()));
        }
        Ok(Attested::new(Tee::Sgx, quote))
    }
}
