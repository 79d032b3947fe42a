//! Makes a simulated session that passes every check.

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    Card, Digest, Identity, SecretKey,
    crypto::hpke::PrivateKey,
    documents::{
        receipt::{Endorsement, Evidence},
        record::{
            CompilationCache, ComponentDigest, Engine, Nonce, RecordParts, Runtime, SessionRecord,
            report_data,
        },
    },
    encoding::Hex,
};

use crate::{
    Appraisal, AppraisalInput, Measurement, Purpose, ReferenceValue, Tee, TrustStore, UnixSeconds,
    appraise, sim, trust::SIM_RUNTIME,
};

/// The version of the simulated runtime.
pub const VERSION: &str = "0.1.0";

/// The release key that what is built for tests believes; its secret half stands here.
pub fn release_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Everything an appraisal looks at, owned; a test changes what it wants and appraises.
pub struct Session {
    /// The simulator's key.
    pub sim_key: SigningKey,
    /// What it measures to.
    pub measurement: Digest,
    /// What the record is made of.
    pub record: SessionRecord,
    /// The record's bytes.
    pub record_bytes: Vec<u8>,
    /// The verifier's nonce.
    pub nonce: Nonce,
    /// Evidence over the two.
    pub evidence: Evidence,
    /// What came with it.
    pub endorsements: Vec<Endorsement>,
    /// The policy.
    pub policy_bytes: Vec<u8>,
    /// The verifier's trust store.
    pub trust: TrustStore,
    /// Whether the verifier accepts the simulator.
    pub allow_simulated: bool,
    /// What the appraisal is for.
    pub purpose: Purpose,
    /// The components the verifier measured.
    pub expected_components: Option<Vec<ComponentDigest>>,
    /// The verifier's time.
    pub now: UnixSeconds,
}

impl Session {
    /// A simulated session that passes every check.
    pub fn simulated() -> Self {
        Self::new(&policy("[\"sim\"]"))
    }

    /// A session under `policy`, which passes every check where that accepts the simulator.
    pub fn new(policy: &str) -> Self {
        let sim_key = SigningKey::from_bytes(&[1; 32]);
        let measurement = Digest::of(b"mc2-runtime-sim's executable");
        let policy_bytes = policy.as_bytes().to_vec();
        let record = record(Digest::of(&policy_bytes), components());
        let mut trust = TrustStore::new();
        trust.pin_simulator(sim_key.verifying_key().into());
        trust
            .add(reference(&measurement))
            .unwrap_or_else(|error| unreachable!("factory's reference value: {error}"));
        let nonce = Hex([7; 32]);
        let record_bytes = record.to_bytes();
        let evidence = sim::evidence(&report_data(&record_bytes, &nonce), &measurement, &sim_key);
        Self {
            sim_key,
            measurement,
            record,
            record_bytes,
            nonce,
            evidence,
            endorsements: Vec::new(),
            policy_bytes,
            trust,
            allow_simulated: true,
            purpose: Purpose::Release,
            expected_components: Some(components()),
            now: UnixSeconds(1_780_000_000),
        }
    }

    /// Appraises it.
    pub fn appraise(&self) -> Appraisal {
        appraise(&self.input())
    }

    /// What an appraisal of it looks at.
    pub fn input(&self) -> AppraisalInput<'_> {
        AppraisalInput {
            evidence: &self.evidence,
            endorsements: &self.endorsements,
            record_bytes: &self.record_bytes,
            nonce: &self.nonce,
            policy_bytes: &self.policy_bytes,
            expected_components: self.expected_components.as_deref(),
            trust: &self.trust,
            allow_simulated: self.allow_simulated,
            purpose: self.purpose,
            now: self.now,
        }
    }
}

/// The one party of the factory's policy.
pub fn party() -> Identity {
    let name = "bank-a"
        .parse()
        .unwrap_or_else(|error| unreachable!("a party's name: {error}"));
    Identity::from_seeds(
        name,
        &SecretKey::from_bytes([2; 32]),
        SecretKey::from_bytes([3; 32]),
    )
}

/// A policy of one party that accepts the kinds of enclave in the TOML list `tee`.
pub fn policy(tee: &str) -> String {
    let party = party();
    let card: &Card = party.card();
    let [sql, xgboost] = components()
        .try_into()
        .unwrap_or_else(|_| unreachable!("two"));
    format!(
        r#"version = 1
name = "test"
expires = 2026-12-31T00:00:00Z

[enclave]
tee = {tee}
platforms = "any"
tcb = "up-to-date"

[[party]]
card = "{card}"

[[component]]
name = "sql"
sha256 = "{}"

[[component]]
name = "xgboost"
sha256 = "{}"

[[job]]
name = "query"
submit = ["bank-a"]
approve = {{ who = "all", when = "session" }}
errors = "full"
runs = 1
limits = {{ memory = "1GiB", time = "1min", output = "1MiB" }}
[[job.step]]
component = "sql"
inputs = {{}}
args = "any"
outputs = {{ stdout = ["bank-a"] }}
padding = "exact"
"#,
        sql.sha256, xgboost.sha256
    )
}

/// The components of the factory's policy, in its order.
pub fn components() -> Vec<ComponentDigest> {
    [
        ("sql", b"sql.wasm".as_slice()),
        ("xgboost", b"xgboost.wasm"),
    ]
    .into_iter()
    .map(|(name, bytes)| ComponentDigest {
        name: name
            .parse()
            .unwrap_or_else(|error| unreachable!("a component's name: {error}")),
        sha256: Digest::of(bytes),
    })
    .collect()
}

/// The reference value of the simulated runtime that measures to `measurement`.
pub fn reference(measurement: &Digest) -> ReferenceValue {
    ReferenceValue {
        tee: Tee::Sim,
        measurement: Measurement::from_bytes(measurement.as_bytes())
            .unwrap_or_else(|error| unreachable!("a digest is 32 bytes: {error}")),
        runtime: SIM_RUNTIME.to_owned(),
        version: VERSION.to_owned(),
        revoked: false,
        registers: std::collections::BTreeMap::new(),
    }
}

/// The record of a simulated session.
pub fn record(policy: Digest, components: Vec<ComponentDigest>) -> SessionRecord {
    let private_key = PrivateKey::from_seed(SecretKey::from_bytes([4; 32]));
    SessionRecord::new(RecordParts {
        runtime: Runtime {
            name: SIM_RUNTIME.to_owned(),
            version: VERSION.to_owned(),
        },
        engine: Engine {
            name: "wasmtime".to_owned(),
            version: "48.0.8".to_owned(),
            profile: "vm".to_owned(),
            configuration: Digest::of(b"configuration"),
        },
        compilation_cache: CompilationCache::Memory,
        tenant: None,
        policy,
        components,
        hpke_public_key: private_key.public_key(),
        signing_public_key: SigningKey::from_bytes(&[5; 32]).verifying_key(),
    })
}
