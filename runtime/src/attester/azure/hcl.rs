//! What Azure's paravisor leaves in its vTPM ("HCL report"): a head of 32 bytes, the hardware's
//! report in 1,184, a head of 20, and the paravisor's statement about its keys, which the
//! hardware's report commits to. Little-endian.

use mc2_protocol::evidence::Beneath;

const MAGIC: &[u8; 4] = b"HCLA";
const REPORT: usize = 32;
const REPORT_LEN: usize = 1184;
/// In the second head: the kind of hardware report, and the length of the statement.
const KIND: usize = REPORT + REPORT_LEN + 8;
const STATEMENT_LEN: usize = REPORT + REPORT_LEN + 16;
const STATEMENT: usize = REPORT + REPORT_LEN + 20;
const KIND_SNP: u32 = 2;
const KIND_TDX: u32 = 4;

/// The two parts that evidence has.
#[derive(Debug)]
pub(super) struct HclReport {
    /// What made the report.
    pub(super) beneath: Beneath,
    /// The report.
    pub(super) report: Vec<u8>,
    /// The statement.
    pub(super) runtime_data: Vec<u8>,
}

impl HclReport {
    /// Reads what the vTPM holds.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HclError> {
        let number = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        if !bytes.starts_with(MAGIC) {
            return Err(HclError::NoReport);
        }
        let beneath = match number(KIND).ok_or(HclError::NoReport)? {
            KIND_SNP => Beneath::SevSnp,
            KIND_TDX => Beneath::Tdx,
            found => return Err(HclError::Kind { found }),
        };
        let length = number(STATEMENT_LEN)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(HclError::NoReport)?;
        let statement = bytes[STATEMENT..].get(..length).ok_or(HclError::NoReport)?;
        Ok(Self {
            beneath,
            report: bytes[REPORT..REPORT + REPORT_LEN].to_vec(),
            runtime_data: statement.to_vec(),
        })
    }
}

/// Bytes that are no such report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::attester) enum HclError {
    /// Not laid out so.
    #[error("what the vTPM holds there is no report of Azure's paravisor")]
    NoReport,
    /// Of hardware that is not known.
    #[error("the paravisor's report is of hardware of the kind {found}, which is unknown")]
    Kind {
        /// The number.
        found: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: u32, statement: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; STATEMENT];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[REPORT..REPORT + REPORT_LEN].fill(7);
        bytes[KIND..KIND + 4].copy_from_slice(&kind.to_le_bytes());
        let length = u32::try_from(statement.len()).unwrap().to_le_bytes();
        bytes[STATEMENT_LEN..STATEMENT].copy_from_slice(&length);
        // The index is larger than what is in it.
        [&bytes, statement, &[0; 100]].concat()
    }

    #[test]
    fn both_parts_are_found_and_a_cut_report_is_refused() {
        let bytes = report(KIND_SNP, b"{}");
        let read = HclReport::parse(&bytes).unwrap();
        assert_eq!(read.beneath, Beneath::SevSnp);
        assert_eq!(read.report, [7; REPORT_LEN]);
        assert_eq!(read.runtime_data, b"{}");
        for len in 0..bytes.len() - 100 {
            assert!(HclReport::parse(&bytes[..len]).is_err(), "{len}");
        }
        let mut endless = bytes;
        endless[STATEMENT_LEN..STATEMENT].fill(0xff);
        assert_eq!(HclReport::parse(&endless).unwrap_err(), HclError::NoReport);
        let other = HclReport::parse(&report(9, b"")).unwrap_err();
        assert_eq!(other, HclError::Kind { found: 9 });
    }
}
