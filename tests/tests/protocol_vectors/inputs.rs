//! Who and what the vectors are about.

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    Digest, Identity, Name, SecretKey,
    crypto::hpke::PrivateKey,
    documents::{
        job::{Job, Source, Step, StepInput},
        record::{
            CompilationCache, ComponentDigest, Engine, RecordParts, Runtime, SessionRecord,
            session_digest,
        },
    },
    encoding::Hex,
};

pub(crate) const POLICY: &[u8] = b"version = 1\n";

pub(crate) const NONCE: Hex<32> = Hex([0x50; 32]);

/// A name for a receipt's files: what they are is §4's business.
pub(crate) const OBJECT: &[u8] = b"manifest";

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn party(text: &str, seed: u8) -> Identity {
    Identity::from_seeds(
        text.parse().unwrap(),
        &SecretKey::from_bytes([seed; 32]),
        SecretKey::from_bytes([seed + 1; 32]),
    )
}

pub(crate) fn alice() -> Identity {
    party("alice", 0x10)
}

pub(crate) fn bob() -> Identity {
    party("bob", 0x20)
}

pub(crate) fn session_private_key() -> PrivateKey {
    PrivateKey::from_seed(SecretKey::from_bytes([0x30; 32]))
}

pub(crate) fn session_signing_key() -> SigningKey {
    SigningKey::from_bytes(&[0x40; 32])
}

pub(crate) fn record() -> SessionRecord {
    SessionRecord::new(RecordParts {
        runtime: Runtime {
            name: "mc2-runtime-sim".to_owned(),
            version: "0.1.0".to_owned(),
        },
        engine: Engine {
            name: "wasmtime".to_owned(),
            version: "48.0.8".to_owned(),
            profile: "vm".to_owned(),
            configuration: Digest::of(b"configuration"),
        },
        compilation_cache: CompilationCache::Memory,
        tenant: None,
        policy: Digest::of(POLICY),
        components: vec![ComponentDigest {
            name: name("sql"),
            sha256: Digest::of(b"sql.wasm"),
        }],
        hpke_public_key: session_private_key().public_key(),
        signing_public_key: session_signing_key().verifying_key(),
    })
}

pub(crate) fn session() -> Digest {
    session_digest(&record().to_bytes())
}

pub(crate) fn job() -> Job {
    let input = |name_: &str, source| StepInput {
        name: name(name_),
        source,
    };
    let dataset = Source::Dataset {
        name: name("transactions"),
        object: Digest::of(OBJECT),
    };
    let output = Source::Step {
        output: name("features"),
    };
    let step = |component: &str, arguments: &[&str], inputs| Step {
        component: name(component),
        instances: 1,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        inputs,
    };
    let steps = vec![
        step("sql", &["select 'ä', \"x\"\n"], vec![input("t", dataset)]),
        step("xgboost", &[], vec![input("train", output)]),
    ];
    Job::new(Digest::of(POLICY), name("train"), [0x90; 32], steps)
}
