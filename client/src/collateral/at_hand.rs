//! What a verifier has at hand, and what of it one piece of evidence is judged by.

use std::path::PathBuf;

use mc2_attestation::{Check, Endorsement, Evidence, Finding, UnixSeconds, evidence::Needs};

use super::bundle::{Bundle, BundleError, Entry};

/// How many days collateral is used after it was fetched, where nothing is said: Intel issues its own
/// anew within as many.
pub const DEFAULT_DAYS: u32 = 30;

const DAY: u64 = 86_400;

/// Collateral of a verifier's own.
#[derive(Clone, Debug)]
pub struct Collateral {
    bundle: Bundle,
    max_age_days: u32,
}

/// Which collateral a person wants to have at hand.
#[derive(Clone, Debug, Default)]
pub struct CollateralOptions {
    /// A bundle, where not the usual one.
    pub file: Option<PathBuf>,
    /// How many days it is used after it was fetched, where not [`DEFAULT_DAYS`].
    pub max_age_days: Option<u32>,
}

impl CollateralOptions {
    /// Reads it; the bundle at `usual`, where none is named, need not be there.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read(&self, usual: PathBuf) -> Result<Option<Collateral>, BundleError> {
        let path = match &self.file {
            Some(path) => path.clone(),
            None if usual.exists() => usual,
            None => return Ok(None),
        };
        let days = self.max_age_days.unwrap_or(DEFAULT_DAYS);
        Ok(Some(Collateral::new(Bundle::read(&path)?, days)))
    }
}

/// What a piece of evidence is judged by.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The endorsements.
    pub endorsements: Vec<Endorsement>,
    /// What is said where the evidence is refused, because collateral of its own was left out for its
    /// age.
    pub stale: Option<Check>,
}

impl Collateral {
    /// The collateral of a bundle, used for so many days after it was fetched.
    pub const fn new(bundle: Bundle, max_age_days: u32) -> Self {
        Self {
            bundle,
            max_age_days,
        }
    }

    /// The collateral that is used where nothing is said: in the bundle at `usual`, which need not be
    /// there.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn usual(usual: PathBuf) -> Result<Option<Self>, BundleError> {
        CollateralOptions::default().read(usual)
    }

    /// What of it was fetched by then: for a verdict as of that time, at which anything newer may not
    /// have been good yet.
    #[must_use]
    pub fn fetched_by(&self, time: UnixSeconds) -> Self {
        Self {
            bundle: self.bundle.fetched_by(time.0),
            ..*self
        }
    }

    /// What evidence is judged by: what came with it and what is at hand, of each the newest.
    ///
    /// Neither the evidence nor what came with it is believed: whoever wrote them can make the verifier
    /// refuse, and nothing more.
    pub fn choose(
        at_hand: Option<&Self>,
        evidence: &Evidence,
        came: &[Endorsement],
        now: UnixSeconds,
    ) -> Chosen {
        let Ok(needs) = Needs::of(evidence) else {
            // The verifier says what is wrong with it.
            return Chosen {
                endorsements: came.to_vec(),
                stale: None,
            };
        };
        let entries = at_hand.map_or(&[][..], |own| own.bundle.entries());
        let days = at_hand.map_or(DEFAULT_DAYS, |own| own.max_age_days);
        let (fresh, stale): (Vec<&Entry>, Vec<&Entry>) = entries
            .iter()
            .partition(|entry| is_fresh(entry.fetched, days, now));
        let of = |entries: &[&'_ Entry]| -> Vec<Endorsement> {
            let all: Vec<&Endorsement> = entries.iter().map(|entry| &entry.endorsement).collect();
            needs.among(all)
        };
        let fresh = of(&fresh);
        let left_out = stale.iter().filter(|entry| {
            let own = of(&[**entry]);
            !own.is_empty() && !fresh.contains(&entry.endorsement)
        });
        let oldest = left_out.map(|entry| entry.fetched).min();
        Chosen {
            endorsements: needs.among(fresh.iter().chain(came)),
            stale: oldest.map(|fetched| too_old(fetched, days)),
        }
    }
}

/// Whether what was fetched then is used now. What claims to come from the days to come is not.
const fn is_fresh(fetched: u64, days: u32, now: UnixSeconds) -> bool {
    let age = now.0.saturating_sub(fetched);
    age <= days as u64 * DAY && fetched <= now.0.saturating_add(DAY)
}

fn too_old(fetched: u64, days: u32) -> Check {
    let finding = Finding::failed(
        format!("fetched within the last {days} days"),
        format!(
            "some fetched at {}, which was left out",
            UnixSeconds(fetched)
        ),
        "fetch it anew: `mc2 collateral fetch`",
    );
    Check::made("collateral-age", "collateral at hand", finding)
}

#[cfg(test)]
mod tests {
    use mc2_attestation::test_util::forger::{Forged, NOW, Snp};

    use super::*;

    fn at_hand(forged: &Forged, fetched: u64) -> Collateral {
        let mut bundle = Bundle::default();
        let needs = Needs::of(&forged.evidence).unwrap();
        bundle.take(&needs, forged.endorsements.clone(), fetched);
        Collateral::new(bundle, DEFAULT_DAYS)
    }

    #[test]
    fn evidence_is_judged_by_what_came_with_it_and_what_is_at_hand() {
        let chip = Snp::genoa().sign(&[7; 64]);
        let [certificate, list] = &chip.endorsements[..] else {
            panic!("a certificate and a list");
        };
        let own = at_hand(&chip, NOW.0);
        let alone = std::slice::from_ref(certificate);
        let choose = |own, came: &[Endorsement]| {
            Collateral::choose(own, &chip.evidence, came, NOW).endorsements
        };
        assert_eq!(choose(None, alone), alone);
        assert_eq!(choose(Some(&own), &[]), chip.endorsements);
        assert_eq!(choose(Some(&own), &chip.endorsements), chip.endorsements);
        let came = std::slice::from_ref(list);
        assert_eq!(choose(Some(&own), came), chip.endorsements);
    }

    #[test]
    fn what_is_too_old_is_left_out_and_said() {
        let chip = Snp::genoa().sign(&[7; 64]);
        for (fetched, used) in [
            (NOW.0 - 30 * DAY, true),
            (NOW.0 - 30 * DAY - 1, false),
            (NOW.0 + DAY, true),
            (NOW.0 + DAY + 1, false),
        ] {
            let own = at_hand(&chip, fetched);
            let chosen = Collateral::choose(Some(&own), &chip.evidence, &[], NOW);
            assert_eq!(!chosen.endorsements.is_empty(), used, "{fetched}");
            assert_eq!(chosen.stale.is_none(), used, "{fetched}");
        }
        let own = at_hand(&chip, 0);
        let chosen = Collateral::choose(Some(&own), &chip.evidence, &[], NOW);
        let told = chosen.stale.expect("all of it is too old").to_string();
        assert!(told.contains("mc2 collateral fetch"), "{told}");
        // What is too old of another chip's is nobody's business here.
        let mut other = Snp::genoa();
        other.chip_id[0] ^= 1;
        let other = other.sign(&[7; 64]);
        let [certificate, _] = &chip.endorsements[..] else {
            panic!("a certificate and a list");
        };
        let mut bundle = Bundle::default();
        let needs = Needs::of(&chip.evidence).unwrap();
        bundle.take(&needs, vec![certificate.clone()], 0);
        let own = Collateral::new(bundle, DEFAULT_DAYS);
        assert!(
            Collateral::choose(Some(&own), &other.evidence, &[], NOW)
                .stale
                .is_none()
        );
    }
}
