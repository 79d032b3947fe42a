//! AMD SEV-SNP: a report of the secure processor's over the guest.

use std::{fs::File, io};

use mc2_protocol::{Digest, SecretKey, policy::Tee};
use zeroize::Zeroizing;

use super::{Report, Tsm, certificates};
use crate::attester::{
    contract::{Attested, Attester, AttesterError},
    devices::Devices,
    ioctl::{self, SnpKeyRequest},
};

const ASKING: &str = "asking the kernel for a report (configfs-tsm)";
const REPORT_LEN: usize = 1184;
/// The kernel's own device for the secure processor.
const DEVICE: &str = "dev/sev-guest";

/// What a lasting key is derived from besides the chip (GUEST_FIELD_SELECT): the guest's policy, in
/// which debugging is a bit, its launch digest, its SVN and the TCB. It is asked for at VMPL 0.
const KEY_FIELDS: u64 = 1 << 0 | 1 << 3 | 1 << 4 | 1 << 5;
/// MSG_KEY_RSP: a status, which is 0 if all is well, reserved bytes, and the key.
const KEY_AT: usize = 32;

/// An SNP guest.
pub(in crate::attester) struct Snp {
    tsm: Tsm,
    devices: Devices,
}

impl Snp {
    pub(in crate::attester) fn of(devices: &Devices) -> Self {
        Self {
            tsm: Tsm::of(devices),
            devices: devices.clone(),
        }
    }

    fn report(&self, report_data: &[u8; 64]) -> Result<(SnpReport, Report), AttesterError> {
        let failed = |reason: String| AttesterError::new(Tee::SevSnp, ASKING, reason);
        let report = self
            .tsm
            .report(report_data)
            .map_err(|error| failed(error.to_string()))?;
        let found = report.out.len();
        let read = SnpReport::read(&report.out).ok_or_else(|| {
            failed(format!(
                "the report has {found} bytes, where {REPORT_LEN} were expected"
            ))
        })?;
        if read.report_data != *report_data {
            let reason = "the report is about other report data than was asked for";
            return Err(failed(reason.to_owned()));
        }
        Ok((read, report))
    }
}

impl Attester for Snp {
    fn tee(&self) -> Tee {
        Tee::SevSnp
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Result<Attested, AttesterError> {
        let (_, report) = self.report(report_data)?;
        Ok(Attested {
            endorsements: certificates::endorsements(&report.aux),
            ..Attested::new(Tee::SevSnp, report.out)
        })
    }

    /// Whoever launches the guest states it in HOST_DATA, or leaves that zero.
    fn fix_tenant(&mut self, policy: &Digest) -> Result<(), AttesterError> {
        let (report, _) = self.report(&[0; 64])?;
        if report.host_data == [0; 32] || report.host_data == *policy.as_bytes() {
            return Ok(());
        }
        Err(AttesterError::new(
            Tee::SevSnp,
            "comparing HOST_DATA with the policy's digest",
            "this guest was launched for another policy",
        ))
    }

    fn lasting_key(&self) -> Result<SecretKey, AttesterError> {
        let (report, _) = self.report(&[0; 64])?;
        let request = SnpKeyRequest::new(KEY_FIELDS, report.guest_svn, report.committed_tcb);
        self.derive(&request).map_err(|error| {
            let path = self.devices.path(DEVICE);
            let reason = format!("{}: {error}", path.display());
            AttesterError::new(Tee::SevSnp, "deriving a lasting key", reason)
        })
    }
}

impl Snp {
    fn derive(&self, request: &SnpKeyRequest) -> io::Result<SecretKey> {
        let device = File::options()
            .read(true)
            .write(true)
            .open(self.devices.path(DEVICE))?;
        let mut response = Zeroizing::new([0; 64]);
        ioctl::snp_key(&device, request, &mut response)?;
        let key = SecretKey::from_slice(&response[KEY_AT..]);
        match (&response[..4], key) {
            // The firmware gives no key of zeros; a device that wrote nothing does.
            ([0, 0, 0, 0], Some(key)) if *key.expose() != [0; 32] => Ok(key),
            (status, _) => Err(io::Error::other(format!(
                "the secure processor gave no key, status {status:?}"
            ))),
        }
    }
}

/// The fields of a report that are used here.
struct SnpReport {
    guest_svn: u32,
    report_data: [u8; 64],
    host_data: [u8; 32],
    committed_tcb: u64,
}

impl SnpReport {
    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; REPORT_LEN] = bytes.try_into().ok()?;
        Some(Self {
            guest_svn: u32::from_le_bytes(*bytes[0x04..].first_chunk()?),
            report_data: *bytes[0x50..].first_chunk()?,
            host_data: *bytes[0xc0..].first_chunk()?,
            committed_tcb: u64::from_le_bytes(*bytes[0x1e0..].first_chunk()?),
        })
    }
}
