//! A file of collateral, and when each part of it was fetched.

use std::path::{Path, PathBuf};

use mc2_attestation::{
    Endorsement,
    evidence::{Needs, REVOCATION_LIST_TYPE, are_lists_of_one_issuer},
};
use mc2_protocol::encoding::{JsonError, check_version, parse_json, to_json};
use serde::{Deserialize, Serialize};

use crate::files::{FileError, read_capped, write_private};

/// Largest bundle accepted, in bytes.
const MAX_LEN: usize = 64 * 1024 * 1024;
/// Most parts of one.
const MAX_ENTRIES: usize = 1024;

/// Collateral as a file holds it: JSON. Nothing says that it is whole, or whose; the vendors'
/// signatures in it are all that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    version: u32,
    entries: Vec<Entry>,
}

/// One part of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When it was fetched, in seconds since 1970, by the clock of whoever did: a note, which limits
    /// how long it is used here and vouches for nothing.
    pub fetched: u64,
    /// A certificate, a revocation list, or Intel's collateral for one kind of platforms.
    pub endorsement: Endorsement,
}

impl Bundle {
    /// Reads a bundle's bytes.
    ///
    /// # Errors
    /// [`JsonError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        const WHAT: &str = "the bundle of collateral";
        let bundle: Self = parse_json(WHAT, bytes, MAX_LEN)?;
        check_version(WHAT, bundle.version)?;
        Ok(bundle)
    }

    /// Reads the bundle in the file `path`.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let bytes = read_capped(path, MAX_LEN)?;
        let none = |source| BundleError::None {
            path: path.to_owned(),
            source,
        };
        let bundle = Self::parse(&bytes).map_err(none)?;
        if bundle.entries.len() > MAX_ENTRIES {
            return Err(BundleError::Number {
                path: path.to_owned(),
                found: bundle.entries.len(),
            });
        }
        Ok(bundle)
    }

    /// Writes it to the file `path`, in place of what is there.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        write_private(path, &to_json(self))
    }

    /// Takes what was fetched for evidence with these needs, in place of what was there for the same;
    /// a revocation list in place of all others of its issuer's, whatever dates they state. Where there are too many parts, the oldest go.
    pub fn take(&mut self, needs: &Needs, found: Vec<Endorsement>, now: u64) {
        for new in found {
            self.entries.retain(|entry| {
                let old = &entry.endorsement;
                let about_the_same = old.media_type == new.media_type
                    && new.media_type != REVOCATION_LIST_TYPE
                    && !needs.among([old]).is_empty();
                let same = about_the_same || are_lists_of_one_issuer(old, &new);
                !same && *old != new
            });
            self.entries.push(Entry {
                fetched: now,
                endorsement: new,
            });
        }
        self.entries.sort_by_key(|entry| entry.fetched);
        let beyond = self.entries.len().saturating_sub(MAX_ENTRIES);
        self.entries.drain(..beyond);
    }

    /// What of it was fetched at `time` or before.
    #[must_use]
    pub fn fetched_by(&self, time: u64) -> Self {
        let entries = self.entries.iter();
        Self {
            version: self.version,
            entries: entries
                .filter(|entry| entry.fetched <= time)
                .cloned()
                .collect(),
        }
    }

    /// What is in it.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Nothing is in it.
impl Default for Bundle {
    fn default() -> Self {
        Self {
            version: mc2_protocol::VERSION,
            entries: Vec::new(),
        }
    }
}

/// Why there is no collateral to be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The system.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something else.
    #[error(
        "{} is no bundle of collateral; `mc2 collateral fetch --output {}` makes one",
        path.display(), path.display()
    )]
    None {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: JsonError,
    },
    /// More than a verifier would look at.
    #[error(
        "{} has {found} parts, at most {MAX_ENTRIES} are read: fetch it anew with `mc2 collateral \
         fetch`",
        path.display()
    )]
    Number {
        /// The file.
        path: PathBuf,
        /// How many it has.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use mc2_attestation::{
        Interval, Tee, UnixSeconds,
        test_util::forger::{Enclave, Intel, Snp},
    };

    use super::*;

    #[test]
    fn what_is_fetched_anew_takes_the_place_of_what_it_follows_and_of_nothing_else() {
        let good = |from| Interval::new(UnixSeconds(from), UnixSeconds(from + 1000));
        let (old, new) = (
            Intel::new(1, good(1_000_000)),
            Intel::new(1, good(1_000_500)),
        );
        let quote = new.sgx_quote(&Enclave::new([1; 32], [2; 64]));
        let needs = Needs::of(&quote).unwrap();
        let chip = Snp::genoa().sign(&[7; 64]);
        let mut bundle = Bundle::default();
        bundle.take(&needs, vec![old.collateral(Tee::Sgx)], 1);
        bundle.take(
            &Needs::of(&chip.evidence).unwrap(),
            chip.endorsements.clone(),
            2,
        );
        bundle.take(&needs, vec![new.collateral(Tee::Sgx)], 3);
        let found: Vec<_> = bundle
            .entries()
            .iter()
            .map(|entry| &entry.endorsement)
            .collect();
        let [certificate, list] = &chip.endorsements[..] else {
            panic!("a certificate and a list");
        };
        assert_eq!(found, [certificate, list, &new.collateral(Tee::Sgx)]);
    }

    #[test]
    fn a_list_that_is_fetched_takes_the_place_of_its_issuer_s_and_of_no_other_s() {
        let (old, mut newer, other) = (Snp::genoa(), Snp::genoa(), Snp::milan());
        newer.revocation_list.as_mut().unwrap().from.0 += 1;
        let [old, newer, other] = [old, newer, other].map(|chip| chip.sign(&[7; 64]));
        let mut bundle = Bundle::default();
        for (now, chip) in (1..).zip([&old, &other, &newer]) {
            let needs = Needs::of(&chip.evidence).unwrap();
            bundle.take(&needs, chip.endorsements.clone(), now);
        }
        let found: Vec<_> = bundle
            .entries()
            .iter()
            .map(|entry| &entry.endorsement)
            .collect();
        let expected: Vec<_> = other
            .endorsements
            .iter()
            .chain(&newer.endorsements)
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        let chip = Snp::genoa().sign(&[7; 64]);
        let mut bundle = Bundle::default();
        bundle.take(&Needs::of(&chip.evidence).unwrap(), chip.endorsements, 2);
        bundle.write(&path).unwrap();
        assert_eq!(Bundle::read(&path).unwrap(), bundle);
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"version":2,"entries":[]}"#,
            r#"{"version":1,"entries":[1]}"#,
        ] {
            std::fs::write(&path, bad).unwrap();
            let error = Bundle::read(&path).unwrap_err();
            assert!(
                error.to_string().contains("mc2 collateral fetch"),
                "{bad}: {error}"
            );
        }
    }
}
