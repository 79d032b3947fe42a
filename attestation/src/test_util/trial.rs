//! A piece of evidence, real or forged, and what is done to every one of them: it is cut, bits of
//! it are turned over, its time passes, and its root is taken away.

use std::ops::Range;

use crate::{
    Endorsement, Evidence, Outcome, Tee, UnixSeconds,
    tee::{self, Accepted, Anchors, Presented, Roots, Verified},
};

const FLIPS: usize = 1000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Evidence, and all a verifier judges it by.
#[derive(Clone)]
pub struct Trial {
    /// Its kind.
    pub tee: Tee,
    /// Its bytes.
    pub evidence: Vec<u8>,
    /// What its vendor says of it.
    pub endorsements: Vec<Endorsement>,
    /// The roots that are trusted.
    pub roots: Roots,
    /// What is done without.
    pub accepted: Accepted,
    /// How new the collateral was that was seen before.
    pub seen: Vec<tee::Mark>,
    /// When.
    pub now: UnixSeconds,
    /// The bytes of the evidence that nobody vouches for and no verifier uses.
    pub unsigned: Vec<Range<usize>>,
}

impl Trial {
    /// Evidence of `tee` without endorsements, under the vendors' roots.
    pub fn new(tee: Tee, evidence: Vec<u8>, now: u64) -> Self {
        Self {
            tee,
            evidence,
            endorsements: Vec::new(),
            roots: Roots::default(),
            accepted: Accepted::default(),
            seen: Vec::new(),
            now: UnixSeconds(now),
            unsigned: Vec::new(),
        }
    }

    /// With one endorsement more.
    #[must_use]
    pub fn with(mut self, media_type: &str, bytes: Vec<u8>) -> Self {
        self.endorsements.push(Endorsement {
            media_type: media_type.to_owned(),
            value: bytes.into(),
        });
        self
    }

    /// What its verifier says.
    pub fn verify(&self) -> Verified {
        tee::verify(
            self.tee,
            &Presented {
                evidence: &Evidence {
                    media_type: tee::media_type(self.tee).to_owned(),
                    value: self.evidence.clone().into(),
                },
                endorsements: &self.endorsements,
                anchors: Anchors {
                    simulators: &[],
                    roots: &self.roots,
                },
                accepted: self.accepted,
                seen: &self.seen,
                now: self.now,
            },
        )
    }

    /// The checks that do not pass, those that were not reached among them.
    pub fn failed(&self) -> Vec<&'static str> {
        failed(&self.verify())
    }

    /// The first check that fails.
    ///
    /// # Panics
    /// Panics where none does.
    pub fn refused_by(&self) -> &'static str {
        let verified = self.verify();
        let first = verified
            .checks
            .iter()
            .find(|check| check.outcome == Outcome::Failed);
        match first {
            Some(check) => check.id,
            None => panic!("nothing was refused: {:?}", verified.checks),
        }
    }

    /// Does to it all that must end in a refusal.
    ///
    /// # Panics
    /// Panics where something passes that ought not.
    pub fn withstands(&self, dates: &str, chain: &str, wrong_roots: &Roots) {
        self.is_refused_when_cut();
        self.withstands_flips();
        self.ends_when_it_says(dates);
        let elsewhere = Self {
            roots: wrong_roots.clone(),
            ..self.clone()
        };
        assert_eq!(elsewhere.refused_by(), chain, "under a wrong root");
    }

    /// Cut at every byte, and with a byte too many.
    fn is_refused_when_cut(&self) {
        let good = self.failed();
        let mut cut = self.clone();
        for len in 0..self.evidence.len() {
            cut.evidence.truncate(self.evidence.len() - 1 - len);
            let verified = cut.verify();
            assert!(verified.claims.is_none(), "{len} bytes fewer");
            assert!(failed(&verified).len() > good.len(), "{len} bytes fewer");
        }
        let mut long = self.clone();
        long.evidence.push(0);
        assert!(long.verify().claims.is_none(), "a byte more");
        for (index, endorsement) in self.endorsements.iter().enumerate() {
            for len in 0..endorsement.value.0.len() {
                let mut cut = self.clone();
                cut.endorsements[index].value.0.truncate(len);
                let found = cut.failed().len();
                assert!(found > good.len(), "endorsement {index} cut to {len}");
            }
        }
    }

    /// Any bit turned over, in the evidence or what is said of it.
    fn withstands_flips(&self) {
        let good = self.verify();
        let lens: Vec<usize> = std::iter::once(self.evidence.len())
            .chain(self.endorsements.iter().map(|one| one.value.0.len()))
            .collect();
        let bits: usize = lens.iter().sum::<usize>() * 8;
        let mut random = SEED;
        for _ in 0..FLIPS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let bit = usize::try_from(random % bits as u64).unwrap_or_default();
            let (mut piece, mut byte) = (0, bit / 8);
            while byte >= lens[piece] {
                byte -= lens[piece];
                piece += 1;
            }
            let mut flipped = self.clone();
            let target = match piece {
                0 => &mut flipped.evidence,
                _ => &mut flipped.endorsements[piece - 1].value.0,
            };
            target[byte] ^= 1 << (bit % 8);
            let found = flipped.verify();
            if found.claims.is_none() || failed(&found).len() > failed(&good).len() {
                continue;
            }
            let place = format!("piece {piece}, byte {byte}, bit {}", bit % 8);
            assert_eq!(found.claims, good.claims, "{place}");
            assert_eq!(failed(&found), failed(&good), "{place}");
            let listed = self.unsigned.iter().any(|range| range.contains(&byte));
            assert!(piece == 0 && listed, "{place} is not listed as unsigned");
        }
    }

    /// A second after the end, and a second before the beginning.
    fn ends_when_it_says(&self, dates: &str) {
        let holds = self.verify().holds;
        assert!(holds.contains(self.now), "{holds}");
        for (now, passes) in [
            (holds.from.0 - 1, false),
            (holds.from.0, true),
            (holds.until.0, true),
            (holds.until.0 + 1, false),
        ] {
            let then = Self {
                now: UnixSeconds(now),
                ..self.clone()
            };
            let passed = !then.failed().iter().any(|id| id.starts_with(dates));
            assert_eq!(passed, passes, "at {now}, which counts {holds}");
        }
    }
}

/// The checks of `verified` that do not pass.
pub fn failed(verified: &Verified) -> Vec<&'static str> {
    verified
        .checks
        .iter()
        .filter(|check| !check.has_passed())
        .map(|check| check.id)
        .collect()
}
