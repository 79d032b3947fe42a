//! The evidence is of a TEE this client knows, by its media type alone, and not oversized.

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    evidence::{self, EvidenceError},
};

pub(in crate::appraisal) struct EvidenceType;

impl Rule for EvidenceType {
    fn id(&self) -> &'static str {
        "evidence-type"
    }

    fn what(&self) -> &'static str {
        "evidence type"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let input = facts.input;
        Some(match evidence::tee_of(input.evidence, input.endorsements) {
            Ok(tee) => {
                facts.tee = Some(tee);
                Finding::passed(&input.evidence.media_type)
            }
            Err(error) => unknown(&error),
        })
    }
}

pub(in crate::appraisal) fn unknown(error: &EvidenceError) -> Finding {
    Finding::failed(
        "evidence of a known type",
        error,
        "the host answers with something that is no evidence this client reads: check the host, or \
         use a newer client",
    )
}

#[cfg(test)]
mod tests {
    use crate::{appraisal::tests::refused, test_util::factory::Session};

    /// Row 8: what is no TEE's evidence is nobody's.
    #[test]
    fn evidence_of_an_unknown_type_is_refused() {
        let mut session = Session::simulated();
        session.evidence.media_type = "application/json".to_owned();
        assert_eq!(refused(&session).what, "evidence type");
        session.evidence.media_type.clear();
        assert_eq!(refused(&session).what, "evidence type");
    }
}
