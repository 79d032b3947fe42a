//! The trust store: a verifier's own reference values. Nothing else says what is good.

use mc2_protocol::{
    Digest,
    encoding::{Base64, JsonError, parse_json, to_json},
};
use serde::{Deserialize, Serialize};

use super::{
    reference::{ReferenceValue, ReferenceValueError},
    releases::{ReleaseList, ReleaseListError},
    seen::History,
};
use crate::{
    claims::Register,
    measurement::Measurement,
    tee::{Anchors, Mark, Roots, SimKey, Tee},
    time::UnixSeconds,
};

/// Largest trust store file accepted, in bytes.
pub const MAX_LEN: usize = 4 * 1024 * 1024;

const VERSION: u32 = 1;

/// The reference values one verifier trusts: published releases from a signed list, and what the
/// party added after checking it itself; and the simulators it started.
///
/// It starts empty, and empty trusts nothing.
///
/// ```
/// use mc2_attestation::{ReferenceValue, Tee, TrustStore, trust::Known};
///
/// let mut store = TrustStore::new();
/// let measurement = "ab".repeat(48).parse()?;
/// assert_eq!(store.find(Tee::SevSnp, &measurement, &[]), Known::Unknown);
/// store.add(ReferenceValue {
///     tee: Tee::SevSnp,
///     measurement: measurement.clone(),
///     runtime: "mc2-runtime".to_owned(),
///     version: "0.1.0".to_owned(),
///     revoked: false,
///     registers: Default::default(),
/// })?;
/// assert!(matches!(store.find(Tee::SevSnp, &measurement, &[]), Known::Good(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustStore {
    releases: Option<SignedReleases>,
    added: Vec<ReferenceValue>,
    simulators: Vec<SimKey>,
    seen: History,
    roots: Roots,
}

impl TrustStore {
    /// An empty store, which trusts nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a store's file and verifies the release list in it with `release_keys`.
    ///
    /// # Errors
    /// [`TrustStoreError`].
    pub fn parse(bytes: &[u8], release_keys: &[[u8; 32]]) -> Result<Self, TrustStoreError> {
        let file: File = parse_json("the trust store", bytes, MAX_LEN)?;
        if file.version != VERSION {
            return Err(TrustStoreError::Version {
                found: file.version,
            });
        }
        let mut store = Self::new();
        if let Some(envelope) = file.releases {
            store.take_releases(&envelope.0, release_keys)?;
        }
        for value in file.added {
            store.add(value)?;
        }
        for key in file.simulators {
            store.pin_simulator(key);
        }
        store.seen = file.seen;
        Ok(store)
    }

    /// The store's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(&File {
            version: VERSION,
            releases: self
                .releases
                .as_ref()
                .map(|releases| releases.envelope.as_slice().into()),
            added: self.added.clone(),
            simulators: self.simulators.clone(),
            seen: self.seen.clone(),
        })
    }

    /// Takes a signed release list in place of the one it has, never an older one.
    ///
    /// # Errors
    /// [`ReleaseListError`]; the store is then unchanged.
    pub fn take_releases(
        &mut self,
        envelope: &[u8],
        release_keys: &[[u8; 32]],
    ) -> Result<(), ReleaseListError> {
        let list = ReleaseList::verify(envelope, release_keys)?;
        if let Some(known) = self.releases.as_ref().map(|known| known.list.number)
            && list.number < known
        {
            let found = list.number;
            return Err(ReleaseListError::RolledBack { found, known });
        }
        let envelope = envelope.to_vec();
        self.releases = Some(SignedReleases { envelope, list });
        Ok(())
    }

    /// Adds a reference value the party checked itself, in place of one for the same TEE,
    /// measurement and registers. A value with `revoked` set revokes, also against the release list.
    ///
    /// # Errors
    /// [`ReferenceValueError`] when it is empty somewhere or contradicts itself.
    pub fn add(&mut self, value: ReferenceValue) -> Result<(), ReferenceValueError> {
        value.check()?;
        let same = |known: &ReferenceValue| {
            known.tee == value.tee
                && known.measurement == value.measurement
                && known.registers == value.registers
        };
        self.added.retain(|known| !same(known));
        self.added.push(value);
        Ok(())
    }

    /// Takes out what was added for this measurement, in every kind of TEE, and returns how much
    /// there was. What a release list holds stays: the party revokes it by a value of its own.
    pub fn remove(&mut self, measurement: &Measurement) -> usize {
        let before = self.added.len();
        self.added.retain(|known| known.measurement != *measurement);
        before - self.added.len()
    }

    /// Pins the key of a simulator this client started. NOT SECURE.
    pub fn pin_simulator(&mut self, key: SimKey) {
        if !self.simulators.contains(&key) {
            self.simulators.push(key);
        }
    }

    /// Forgets the key of a simulator, and returns whether it was pinned.
    pub fn unpin_simulator(&mut self, key: &SimKey) -> bool {
        let before = self.simulators.len();
        self.simulators.retain(|pinned| pinned != key);
        self.simulators.len() < before
    }

    /// The signed release list it took.
    pub fn releases(&self) -> Option<&ReleaseList> {
        self.releases.as_ref().map(|releases| &releases.list)
    }

    /// What the party added itself.
    pub fn added(&self) -> &[ReferenceValue] {
        &self.added
    }

    /// The pinned simulators.
    pub fn simulators(&self) -> &[SimKey] {
        &self.simulators
    }

    /// Whom its evidence may be traced to.
    pub(crate) fn anchors(&self) -> Anchors<'_> {
        Anchors {
            simulators: self.simulators(),
            roots: self.roots(),
        }
    }

    /// How new the vendors' collateral was that this verifier accepted so far: the newest of each.
    pub fn seen(&self) -> Vec<Mark> {
        self.seen.newest()
    }

    /// Whether nothing in these marks is newer than what was seen.
    pub fn has_seen(&self, marks: &[Mark]) -> bool {
        self.seen.has(marks)
    }

    /// Notes how new collateral was that was accepted: older collateral is refused from `now` on.
    pub fn note_seen(&mut self, marks: &[Mark], now: UnixSeconds) {
        self.seen.note(marks, now);
    }

    /// As if no collateral had been seen but by `time`: for a verdict as of then. What was seen since
    /// may not have been there yet.
    #[must_use]
    pub fn seen_by(self, time: UnixSeconds) -> Self {
        Self {
            seen: self.seen.by(time),
            ..self
        }
    }

    /// The vendors' roots that evidence of hardware must end at.
    pub(crate) const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Trusts other roots than the vendors', for evidence that a test made.
    #[cfg(any(test, feature = "test-util"))]
    pub fn set_roots(&mut self, roots: Roots) {
        self.roots = roots;
    }

    /// Every reference value, published ones first.
    pub fn reference_values(&self) -> impl Iterator<Item = &ReferenceValue> {
        self.releases
            .iter()
            .flat_map(|releases| &releases.list.releases)
            .chain(&self.added)
    }

    /// What is known of a measurement with these registers beside it; a revocation wins over
    /// everything.
    pub fn find(&self, tee: Tee, measurement: &Measurement, registers: &[Register]) -> Known<'_> {
        let mut known = Known::Unknown;
        for value in self.reference_values() {
            if value.tee != tee || value.measurement != *measurement {
                continue;
            }
            match (value.differing(registers), value.revoked) {
                (None, true) => return Known::Revoked(value),
                (None, false) => known = Known::Good(value),
                (Some(register), false) if known == Known::Unknown => {
                    known = Known::OtherRegister(value, register);
                }
                (Some(_), _) => {}
            }
        }
        known
    }

    /// Whether a component was revoked by its publisher.
    pub fn is_component_revoked(&self, component: &Digest) -> bool {
        self.releases
            .as_ref()
            .is_some_and(|releases| releases.list.revoked_components.contains(component))
    }
}

/// What the trust store knows of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// A runtime that may be trusted.
    Good(&'a ReferenceValue),
    /// A runtime that was revoked; this wins over any other entry.
    Revoked(&'a ReferenceValue),
    /// A runtime that may be trusted has this measurement, but the register of this name holds
    /// something else there.
    OtherRegister(&'a ReferenceValue, &'a str),
    /// Nothing.
    Unknown,
}

#[derive(Clone, Debug)]
struct SignedReleases {
    envelope: Vec<u8>,
    list: ReleaseList,
}

/// The file: a release list stays in its envelope and is verified again at each reading.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    releases: Option<Base64>,
    added: Vec<ReferenceValue>,
    simulators: Vec<SimKey>,
    #[serde(default, skip_serializing_if = "History::is_empty")]
    seen: History,
}

/// Why a trust store was refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustStoreError {
    /// Not a trust store file.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Another version.
    #[error("the trust store has format version {found}, this release reads version 1")]
    Version {
        /// The version it states.
        found: u32,
    },
    /// A reference value that cannot be one.
    #[error("the trust store's {0}")]
    Entry(#[from] ReferenceValueError),
    /// Its release list is not good.
    #[error(transparent)]
    Releases(#[from] ReleaseListError),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ed25519_dalek::SigningKey;
    use mc2_protocol::documents::dsse::Envelope;

    use super::*;
    use crate::{
        test_util::factory,
        trust::{SIM_RUNTIME, releases},
    };

    fn value(measurement: u8, revoked: bool) -> ReferenceValue {
        ReferenceValue {
            tee: Tee::SevSnp,
            measurement: Measurement::from_bytes(&[measurement; 48]).unwrap(),
            runtime: "mc2-runtime".to_owned(),
            version: "0.1.0".to_owned(),
            revoked,
            registers: BTreeMap::new(),
        }
    }

    fn signed(list: &ReleaseList, key: &SigningKey) -> Vec<u8> {
        to_json(&Envelope::sign(releases::PAYLOAD_TYPE, to_json(list), key))
    }

    fn release_key() -> (SigningKey, [[u8; 32]; 1]) {
        let key = SigningKey::from_bytes(&[5; 32]);
        let public = key.verifying_key().to_bytes();
        (key, [public])
    }

    #[test]
    fn an_empty_store_trusts_nothing() {
        let store = TrustStore::new();
        let measurement = value(1, false).measurement;
        assert_eq!(store.find(Tee::SevSnp, &measurement, &[]), Known::Unknown);
        assert!(store.simulators().is_empty());
    }

    #[test]
    fn a_store_survives_its_file_and_its_list_is_verified_again() {
        let (key, keys) = release_key();
        let list = ReleaseList::new(3, vec![value(1, false)], vec![Digest::of(b"bad")]);
        let mut store = TrustStore::new();
        store.take_releases(&signed(&list, &key), &keys).unwrap();
        store.add(value(2, false)).unwrap();
        store.pin_simulator(key.verifying_key().into());
        let bytes = store.to_bytes();
        let again = TrustStore::parse(&bytes, &keys).unwrap();
        assert_eq!(again.reference_values().count(), 2);
        assert_eq!(again.simulators(), store.simulators());
        assert!(again.is_component_revoked(&Digest::of(b"bad")));
        assert!(!again.is_component_revoked(&Digest::of(b"good")));
        // Without keys, or with others, the same file is refused.
        assert!(TrustStore::parse(&bytes, &[]).is_err());
        let other = SigningKey::from_bytes(&[6; 32]).verifying_key().to_bytes();
        assert!(TrustStore::parse(&bytes, &[other]).is_err());
        assert!(TrustStore::parse(&bytes, releases::RELEASE_KEYS).is_err());
    }

    /// Row 9: a party's own entry does not bring a revoked release back.
    #[test]
    fn a_revocation_wins_over_every_other_entry() {
        let (key, keys) = release_key();
        let mut store = TrustStore::new();
        let list = ReleaseList::new(1, vec![value(1, true)], vec![]);
        store.take_releases(&signed(&list, &key), &keys).unwrap();
        store.add(value(1, false)).unwrap();
        let measurement = value(1, false).measurement;
        assert!(matches!(
            store.find(Tee::SevSnp, &measurement, &[]),
            Known::Revoked(_)
        ));
        // And the other way round.
        let mut store = TrustStore::new();
        let list = ReleaseList::new(1, vec![value(1, false)], vec![]);
        store.take_releases(&signed(&list, &key), &keys).unwrap();
        store.add(value(1, true)).unwrap();
        assert!(matches!(
            store.find(Tee::SevSnp, &measurement, &[]),
            Known::Revoked(_)
        ));
    }

    #[test]
    fn what_is_built_for_tests_takes_lists_of_the_key_that_everybody_has_and_of_no_other() {
        let list = ReleaseList::new(1, vec![], vec![]);
        let mut store = TrustStore::new();
        let other = signed(&list, &release_key().0);
        assert!(matches!(
            store.take_releases(&other, releases::RELEASE_KEYS),
            Err(ReleaseListError::Signature { keys: 1, .. })
        ));
        let known = signed(&list, &factory::release_key());
        store.take_releases(&known, releases::RELEASE_KEYS).unwrap();
    }

    /// Row 35, for the one list there is today.
    #[test]
    fn an_older_release_list_is_refused() {
        let (key, keys) = release_key();
        let mut store = TrustStore::new();
        let newer = signed(&ReleaseList::new(2, vec![value(1, true)], vec![]), &key);
        let older = signed(&ReleaseList::new(1, vec![value(1, false)], vec![]), &key);
        store.take_releases(&newer, &keys).unwrap();
        assert!(matches!(
            store.take_releases(&older, &keys),
            Err(ReleaseListError::RolledBack { found: 1, known: 2 })
        ));
        let measurement = value(1, false).measurement;
        assert!(matches!(
            store.find(Tee::SevSnp, &measurement, &[]),
            Known::Revoked(_)
        ));
    }

    #[test]
    fn what_was_added_is_taken_out_and_what_was_published_stays() {
        let (key, keys) = release_key();
        let mut store = TrustStore::new();
        let list = ReleaseList::new(1, vec![value(1, false)], vec![]);
        store.take_releases(&signed(&list, &key), &keys).unwrap();
        store.add(value(1, false)).unwrap();
        store.add(value(2, false)).unwrap();
        let measurement = |of: u8| value(of, false).measurement;
        assert_eq!(store.remove(&measurement(2)), 1);
        assert_eq!(store.remove(&measurement(2)), 0);
        assert_eq!(
            store.find(Tee::SevSnp, &measurement(2), &[]),
            Known::Unknown
        );
        assert_eq!(store.remove(&measurement(1)), 1);
        assert!(matches!(
            store.find(Tee::SevSnp, &measurement(1), &[]),
            Known::Good(_)
        ));
        let simulator = key.verifying_key().into();
        store.pin_simulator(simulator);
        assert!(store.unpin_simulator(&simulator));
        assert!(!store.unpin_simulator(&simulator) && store.simulators().is_empty());
    }

    /// Row 32: firmware that is good runs a kernel, or tables, that nobody measured.
    #[test]
    fn a_measurement_counts_only_with_the_registers_its_value_names() {
        let register = |name: &str, byte| Register {
            name: name.to_owned(),
            value: vec![byte; 48],
        };
        let all = ["RTMR0", "RTMR1", "RTMR2"];
        let mut good = value(1, false);
        good.tee = Tee::Tdx;
        let mut store = TrustStore::new();
        assert!(store.add(good.clone()).is_err(), "MRTD alone");
        for name in all {
            let held = "07".repeat(48).parse().unwrap();
            good.registers.insert(name.to_owned(), held);
        }
        store.add(good.clone()).unwrap();
        let found = all.map(|name| register(name, 7));
        let find = |found: &[Register]| match store.find(Tee::Tdx, &good.measurement, found) {
            Known::Good(_) => "good".to_owned(),
            Known::OtherRegister(_, name) => name.to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(find(&found), "good");
        for (at, name) in all.into_iter().enumerate() {
            let mut other = found.clone();
            other[at].value[47] ^= 1;
            assert_eq!(find(&other), name);
            other[at].name.clear();
            assert_eq!(find(&other), name, "not stated");
        }
        let twice = [&found[..], &[register("RTMR1", 8)]].concat();
        assert_eq!(find(&twice), "RTMR1");
    }

    /// Row 35: what is newer stays known, also over the file.
    #[test]
    fn the_newest_collateral_seen_is_kept() {
        let mark = |number| [Mark::new("a list", number)];
        let mut store = TrustStore::new();
        store.note_seen(&mark(2), UnixSeconds(1));
        store.note_seen(&mark(1), UnixSeconds(2));
        let store = TrustStore::parse(&store.to_bytes(), &[]).unwrap();
        assert_eq!(store.seen(), mark(2));
        assert!(Mark::rolled_back(&mark(1), &store.seen()).is_some());
        assert!(Mark::rolled_back(&mark(2), &store.seen()).is_none());
        assert!(Mark::rolled_back(&mark(3), &store.seen()).is_none());
        assert!(store.has_seen(&mark(1)) && store.has_seen(&mark(2)) && store.has_seen(&[]));
        assert!(!store.has_seen(&mark(3)) && !store.has_seen(&[Mark::new("another", 1)]));
    }

    #[test]
    fn an_altered_list_or_one_of_another_kind_is_refused() {
        let (key, keys) = release_key();
        let list = ReleaseList::new(1, vec![value(1, false)], vec![]);
        let good = signed(&list, &key);
        for at in 0..good.len() {
            let mut broken = good.clone();
            broken[at] ^= 1;
            // The key id is only a hint; everything else counts.
            if let Ok(found) = ReleaseList::verify(&broken, &keys) {
                assert_eq!(found, list, "byte {at}");
            }
        }
        let elsewhere = to_json(&Envelope::sign("a/b", to_json(&list), &key));
        assert!(ReleaseList::verify(&elsewhere, &keys).is_err());
    }

    /// Rows 7 and 25: what is empty is an error, in files as in code.
    #[test]
    fn empty_reference_values_are_refused() {
        let mut store = TrustStore::new();
        let mut nameless = value(1, false);
        nameless.runtime.clear();
        assert!(store.add(nameless).is_err());
        let mut versionless = value(1, false);
        versionless.version.clear();
        assert!(store.add(versionless).is_err());
        let mut short = value(1, false);
        short.tee = Tee::Sgx;
        assert!(store.add(short).is_err(), "48 bytes are no MRENCLAVE");
        let mut disguised = value(1, false);
        disguised.runtime = SIM_RUNTIME.to_owned();
        assert!(store.add(disguised).is_err());
        let file = br#"{"version":1,"releases":null,"added":[{"tee":"sim","measurement":"","runtime":"mc2-runtime-sim","version":"0.1.0","revoked":false}],"simulators":[]}"#;
        assert!(TrustStore::parse(file, &[]).is_err());
        assert!(TrustStore::parse(b"", &[]).is_err());
        assert!(TrustStore::parse(b"{}", &[]).is_err());
    }
}
