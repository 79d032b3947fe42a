//! AMD SEV-SNP: a report of the secure processor's over the guest.

use mc2_protocol::{Digest, policy::Tee};

use super::{Report, Tsm, certificates};
use crate::attester::{
    contract::{Attested, Attester, AttesterError},
    devices::Devices,
};

const ASKING: &str = "asking the kernel for a report (configfs-tsm)";
const REPORT_LEN: usize = 1184;

/// An SNP guest.
pub(in crate::attester) struct Snp {
    tsm: Tsm,
}

impl Snp {
    pub(in crate::attester) fn of(devices: &Devices) -> Self {
        Self {
            tsm: Tsm::of(devices),
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
}

/// The fields of a report that are used here.
struct SnpReport {
    report_data: [u8; 64],
    host_data: [u8; 32],
}

impl SnpReport {
    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; REPORT_LEN] = bytes.try_into().ok()?;
        Some(Self {
            report_data: *bytes[0x50..].first_chunk()?,
            host_data: *bytes[0xc0..].first_chunk()?,
        })
    }
}
