//! The evidence is about exactly these bytes of the session record and exactly this verifier's
//! nonce. This is what makes it fresh, and what ties the session's keys to the enclave; until it
//! passes, nobody parses the record.

use mc2_protocol::documents::record::report_data;

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
};

const RELAYED: &str = "this evidence is not about this session and nonce: it was replayed or \
                       belongs to another enclave; ask for evidence again, and don't use this host \
                       if it happens twice";

pub(super) struct ReportData;

impl Rule for ReportData {
    fn id(&self) -> &'static str {
        "report-data"
    }

    fn what(&self) -> &'static str {
        "report data"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let claims = facts.claims.as_ref()?;
        let record = facts.input.record_bytes;
        let expected = report_data(record, facts.input.nonce);
        let same = claims.report_data.is(&expected);
        let finding = Finding::new(
            same,
            format!("{}… over this record and nonce", short(&expected)),
            format!("{}…", short(claims.report_data.as_bytes())),
            RELAYED,
        );
        facts.vouched = same.then_some(record);
        Some(finding)
    }
}

fn short(report_data: &[u8]) -> String {
    hex::encode(&report_data[..report_data.len().min(16)])
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{
        SecretKey,
        crypto::hpke::PrivateKey,
        documents::record::{RecordParts, SessionRecord},
        encoding::Hex,
    };

    use crate::{
        Outcome,
        appraisal::tests::{outcome, refused},
        test_util::factory::Session,
    };

    /// Row 1: replayed evidence.
    #[test]
    fn evidence_for_another_nonce_is_refused() {
        let mut session = Session::simulated();
        session.nonce = Hex([8; 32]);
        assert_eq!(refused(&session).what, "report data");
        assert_eq!(
            outcome(&session.appraise(), "session record"),
            Outcome::NotReached
        );
    }

    /// Row 2: a genuine enclave's evidence beside a record with the attacker's key.
    #[test]
    fn a_record_with_another_key_than_the_evidence_covers_is_refused_unparsed() {
        let attacker = PrivateKey::from_seed(SecretKey::from_bytes([9; 32]));
        let genuine = Session::simulated();
        let parts = &genuine.record;
        let diverted = SessionRecord::new(RecordParts {
            runtime: parts.runtime.clone(),
            engine: parts.engine.clone(),
            compilation_cache: parts.compilation_cache,
            tenant: parts.tenant,
            policy: parts.policy,
            components: parts.components.clone(),
            hpke_public_key: attacker.public_key(),
            signing_public_key: parts.signing_public_key(),
        });
        let session = Session::simulated().with_swapped_record(|record| *record = diverted);
        assert_eq!(refused(&session).what, "report data");
        for below in ["session record", "policy digest", "runtime release"] {
            assert_eq!(outcome(&session.appraise(), below), Outcome::NotReached);
        }
    }

    /// Row 2: the record's bytes are hashed as they came, so bytes that parse alike do not pass.
    #[test]
    fn a_record_that_parses_alike_but_has_other_bytes_is_refused() {
        let mut session = Session::simulated();
        session.record_bytes.push(b' ');
        assert_eq!(refused(&session).what, "report data");
    }
}
