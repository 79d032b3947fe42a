//! Compiled code is kept where nobody else can plant it.

use mc2_protocol::documents::record::CompilationCache;

use crate::{
    appraisal::{facts::Facts, rule::Rule},
    check::Finding,
    tee::{self, Tee},
};

pub(super) struct SafeCache;

impl Rule for SafeCache {
    fn id(&self) -> &'static str {
        "compilation-cache"
    }

    fn what(&self) -> &'static str {
        "compilation cache"
    }

    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding> {
        let tee = facts.tee?;
        let (found, allowed) = match facts.record.as_ref()?.compilation_cache {
            CompilationCache::Memory => ("in enclave memory", true),
            CompilationCache::Boot => ("on the host, sealed until the next boot", true),
            // The others derive no key that only this runtime gets.
            CompilationCache::Lasting => (
                "on the host, sealed to this runtime",
                matches!(tee, Tee::Sgx | Tee::SevSnp),
            ),
            CompilationCache::Simulator => ("in the user's cache folder", tee == Tee::Sim),
        };
        Some(Finding::new(
            allowed,
            format!("one that is safe in {}", tee::title(tee)),
            found,
            "compiled code could be planted there: use a host that keeps it elsewhere",
        ))
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::documents::record::{CompilationCache, SessionRecord};

    use super::SafeCache;
    use crate::{
        Outcome,
        appraisal::tests::{outcome_of, with_facts},
        tee::Tee,
        test_util::factory::Session,
    };

    /// Rows 4 and 29.
    #[test]
    fn a_compilation_cache_is_refused_where_others_could_write_it() {
        let cached = |tee, cache| {
            let mut record = Session::simulated().record;
            record.compilation_cache = cache;
            with_facts(&Session::simulated(), |facts| {
                facts.tee = Some(tee);
                facts.record = Some(record);
                outcome_of(&SafeCache, facts)
            })
        };
        for tee in Tee::ALL {
            let simulator = cached(tee, CompilationCache::Simulator);
            assert_eq!(simulator == Outcome::Passed, tee == Tee::Sim, "{tee}");
            let lasting = cached(tee, CompilationCache::Lasting);
            let derives = matches!(tee, Tee::Sgx | Tee::SevSnp);
            assert_eq!(lasting == Outcome::Passed, derives, "{tee}");
            assert_eq!(cached(tee, CompilationCache::Memory), Outcome::Passed);
        }
    }

    /// Row 8: a cache only the simulator has gives it away elsewhere; the simulator itself may.
    #[test]
    fn the_simulators_compilation_cache_passes_for_the_simulator() {
        let cache = |record: &mut SessionRecord| {
            record.compilation_cache = CompilationCache::Simulator;
        };
        assert!(
            Session::simulated()
                .with_record(cache)
                .appraise()
                .is_accepted()
        );
    }
}
