//! What a TD's runtime says it measured into RTMR3, held against the register.

use dcap_qvl::quote::Report;
use mc2_protocol::{
    documents::receipt::Endorsement,
    evidence::{EventLog, Register384},
};

use crate::check::Finding;

const EXPECTED: &str = "no event log, or one that gives what RTMR3 holds";
const ASK_ANEW: &str = "whoever passed the evidence on altered its event log: ask the enclave for \
                        evidence anew";

/// A log counts for nothing by itself: where there is one, it is replayed.
pub(super) fn replayed(report: &Report, endorsements: &[Endorsement]) -> Finding {
    let mut logs = endorsements
        .iter()
        .filter(|one| one.media_type == EventLog::MEDIA_TYPE);
    let (log, None) = (logs.next(), logs.next()) else {
        return Finding::failed(EXPECTED, "several of them", ASK_ANEW);
    };
    let Some(log) = log else {
        return Finding::passed("none");
    };
    let log = match EventLog::parse(log.value.as_slice()) {
        Ok(log) => log,
        Err(error) => return Finding::failed(EXPECTED, error, ASK_ANEW),
    };
    let register = report.as_td10().map(|td| Register384(td.rt_mr3));
    Finding::new(
        register == Some(log.register()),
        EXPECTED,
        match log.events().len() {
            1 => "1 event".to_owned(),
            events => format!("{events} events"),
        },
        ASK_ANEW,
    )
}
