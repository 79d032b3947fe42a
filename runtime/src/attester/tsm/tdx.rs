//! Intel TDX: a quote of the host's quoting enclave over the TD.

use mc2_protocol::{Digest, evidence::EventLog, policy::Tee};

use super::{Tsm, rtmr::Rtmr3};
use crate::attester::{
    contract::{Attested, Attester, AttesterError},
    devices::Devices,
};

const ASKING: &str = "asking the kernel for a quote (configfs-tsm)";
/// Where a quote's report data is: behind header and the rest of the TD's report, which version 5
/// states the kind and length of.
const REPORT_DATA_V4: usize = 48 + 520;
const REPORT_DATA_V5: usize = REPORT_DATA_V4 + 6;

/// A TD.
pub(in crate::attester) struct Tdx {
    tsm: Tsm,
    rtmr3: Rtmr3,
    log: Option<EventLog>,
}

impl Tdx {
    pub(in crate::attester) fn of(devices: &Devices) -> Self {
        Self {
            tsm: Tsm::of(devices),
            rtmr3: Rtmr3::of(devices),
            log: None,
        }
    }
}

impl Attester for Tdx {
    fn tee(&self) -> Tee {
        Tee::Tdx
    }

    fn evidence(&self, report_data: &[u8; 64]) -> Result<Attested, AttesterError> {
        let report = self.tsm.report(report_data).map_err(|error| {
            let reason = format!("{error}; the host must run Intel's quoting service (QGS)");
            AttesterError::new(Tee::Tdx, ASKING, reason)
        })?;
        if quoted_data(&report.out) != Some(report_data) {
            let reason = "the quote is about other report data than was asked for";
            return Err(AttesterError::new(Tee::Tdx, ASKING, reason));
        }
        Ok(Attested {
            endorsements: self.log.iter().map(EventLog::endorsement).collect(),
            ..Attested::new(Tee::Tdx, report.out)
        })
    }

    fn fix_tenant(&mut self, policy: &Digest) -> Result<(), AttesterError> {
        let log = self.rtmr3.fix_tenant(policy).map_err(|error| {
            let doing = "extending RTMR3 by the policy's digest";
            AttesterError::new(Tee::Tdx, doing, error)
        })?;
        self.log = Some(log);
        Ok(())
    }
}

/// A quote's report data.
pub(in crate::attester) fn quoted_data(quote: &[u8]) -> Option<&[u8; 64]> {
    let start = match quote.get(..2)? {
        [4, 0] => REPORT_DATA_V4,
        [5, 0] => REPORT_DATA_V5,
        _ => return None,
    };
    quote.get(start..)?.first_chunk()
}
