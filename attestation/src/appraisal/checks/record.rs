//! The session record parses, strictly. Only bytes the hardware vouches for are read at all.

use mc2_protocol::documents::record::{SessionRecord, session_digest};

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

pub(super) struct RecordParses;

impl Rule for RecordParses {
    fn id(&self) -> &'static str {
        "record"
    }

    fn what(&self) -> &'static str {
        "session record"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let bytes = facts.vouched?;
        Some(match SessionRecord::parse(bytes) {
            Ok(record) => {
                facts.record = Some(record);
                Finding::passed(format!("session {}", session_digest(bytes)))
            }
            Err(error) => Finding::failed(
                "a session record of version 1",
                error,
                "the runtime speaks another version of the protocol: use a client of the same \
                 release",
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{appraisal::tests::refused, test_util::factory::Session};

    /// Row 5: duplicate and unknown fields of the record are errors.
    #[test]
    fn a_record_with_duplicate_or_unknown_fields_is_refused() {
        for extra in ["{\"version\":1,", "{\"extra\":1,"] {
            let text = String::from_utf8(Session::simulated().record_bytes).unwrap();
            let bytes = text.replacen('{', extra, 1).into_bytes();
            let session = Session::simulated().with_record_bytes(bytes);
            assert_eq!(refused(&session).what, "session record");
        }
    }
}
