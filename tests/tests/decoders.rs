//! Row 21: crafted documents. Every decoder gets good documents, broken copies of them, and noise;
//! none may panic, whatever it is given. The fuzz targets in `fuzz/` run these same functions for
//! as long as one likes, from seeds in `fuzz/seeds/` that are these documents:
//! `MC2_WRITE_VECTORS=1 cargo test --release -p mc2-tests --test decoders` writes them.

#[path = "../../fuzz/src/decoders.rs"]
#[allow(
    unreachable_pub,
    reason = "it is the public interface of the fuzz crate"
)]
mod decoders;

use std::{collections::BTreeMap, fs, path::PathBuf};

use ed25519_dalek::SigningKey;
use mc2_attestation::{
    Measurement, ReferenceValue, Tee, TrustStore,
    releases::{self, ReleaseList},
    sim,
};
use mc2_protocol::{
    Digest, Identity, Manifest, SecretKey,
    crypto::hpke::PrivateKey,
    documents::{
        control::AskEvidence,
        dsse::Envelope,
        job::{Job, Source, Step, StepInput},
        message::Answer,
        message::{Approve, Body, Outcome, Refused, SealedMessage},
        proposal::Proposal,
        receipt::{Evidence, Receipt, ReceiptParts, SealedReceipt, Statement, Status},
        record::{CompilationCache, ComponentDigest, Engine, RecordParts, Runtime, SessionRecord},
        replacement::Replacement,
        storage::{Event, SealedEvent},
    },
    encoding::{Hex, to_json},
    sealed::{
        associated_data,
        manifest::{Content, MediaType, SealedStream, WrappedKey},
        paths::{PathEntry, PathTable},
        seal_bytes,
    },
};
use mc2_tests::counting;
use proptest::prelude::*;

/// Good documents, by the name of their decoder; always the same.
fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let mut rng = counting(0);
    let identity = Identity::generate("alice".parse().expect("a good document"), &mut rng);
    let card = identity.card();
    let session = Digest::of(b"session");
    let signing = SigningKey::from_bytes(&[5; 32]);
    let private = PrivateKey::generate(&mut rng);

    let dataset = "data".parse().expect("a good document");
    let key = SecretKey::generate(&mut rng);
    let ad = associated_data(&dataset);
    let (sealed, file) = seal_bytes(&key, &ad, 4096, &[7; 9000], &mut rng);
    let owner = WrappedKey::for_owner(&dataset, *card.digest(), card.public_key(), &key, &mut rng);
    let stream = SealedStream::new(&file);
    let content = Content::Folder {
        files: vec![stream.clone(), stream.clone()],
        table: stream,
    };
    let paths = ["a", "b/c"].map(|path| PathEntry {
        path: path.into(),
        length: 9000,
    });
    let table = PathTable::new(paths.into()).expect("a good document");
    let manifest = Manifest::new(
        dataset.clone(),
        MediaType::octet_stream(),
        4096,
        content,
        Some(owner),
    )
    .expect("a good document");

    let job = Job::new(
        session,
        "run".parse().expect("a good document"),
        [3; 32],
        vec![Step {
            component: "sql".parse().expect("a good document"),
            instances: 1,
            arguments: vec!["select 1".into()],
            inputs: vec![StepInput {
                name: dataset.clone(),
                source: Source::Dataset {
                    name: dataset,
                    object: session,
                },
            }],
        }],
    );
    let record = SessionRecord::new(RecordParts {
        runtime: Runtime {
            name: "mc2-runtime".into(),
            version: "0.1.0".into(),
        },
        engine: Engine {
            name: "wasmtime".into(),
            version: "48".into(),
            profile: "vm".into(),
            configuration: session,
        },
        compilation_cache: CompilationCache::Memory,
        tenant: None,
        policy: session,
        components: vec![ComponentDigest {
            name: "sql".parse().expect("a good document"),
            sha256: session,
        }],
        hpke_public_key: private.public_key(),
        signing_public_key: signing.verifying_key(),
    });
    let body = Body::Approve(Approve::Policy(session));
    let (message, _) = SealedMessage::seal(
        &body,
        session,
        &private.public_key(),
        &identity,
        1,
        &mut rng,
    );
    let refused = Outcome::Refused(Refused {
        code: "no".into(),
        message: "no".into(),
    });
    let answer = Answer::new(refused, session, session, &signing, None, &mut rng);
    let statement = Statement::new(Receipt::new(ReceiptParts {
        record: record.to_bytes(),
        nonce: Hex([1; 32]),
        evidence: Evidence {
            media_type: "a/b".into(),
            value: vec![1].into(),
        },
        endorsements: vec![],
        policy: b"policy".to_vec(),
        approvals: vec![],
        submitter: *card.digest(),
        job: session,
        job_name: "run".parse().expect("a good document"),
        number: 1,
        inputs: vec![],
        status: Status::Succeeded,
        failure: None,
        steps: vec![],
        outputs: vec![],
        custody: vec![],
    }));
    let envelope = statement.sign(&signing);
    let receipt = SealedReceipt::seal(&envelope, &session, &[card], &mut rng);
    let event = Event {
        session,
        number: 1,
        sequence: 0,
        permille: 5,
        text: "x".into(),
    };
    let event = SealedEvent::seal(&event, card, &signing, &mut rng);
    let next = Identity::from_seeds(
        identity.card().name().clone(),
        &SecretKey::from_bytes([0x51; 32]),
        SecretKey::from_bytes([0x52; 32]),
    );
    let replacement = Replacement::sign(&identity, next.card()).expect("new keys");
    let control = to_json(&AskEvidence {
        nonce: Hex([1; 32]),
    });
    let seeds = [
        SecretKey::from_bytes([7; 32]),
        SecretKey::from_bytes([8; 32]),
    ];
    let [one, two] = seeds;
    let approver = Identity::from_seeds("alice".parse().expect("a good document"), &one, two);
    let proposal = job.to_bytes();
    let proposal = Proposal::seal(&session, &proposal, &approver, approver.card(), &mut rng);
    let evidence = sim::evidence(&[1; 64], &session, &signing);
    let policy = include_bytes!("../../policies/one-party.toml").to_vec();
    let segments = [&4096u32.to_be_bytes()[..], &9000u64.to_be_bytes(), &sealed].concat();
    vec![
        ("manifest", manifest.to_bytes()),
        ("paths", table.encode()),
        ("paths", table.encode_padded()),
        ("card", card.as_bytes().to_vec()),
        ("card", card.to_string().into_bytes()),
        ("card", replacement.to_string().into_bytes()),
        ("identity", identity.to_text().as_bytes().to_vec()),
        ("policy", policy),
        ("record", record.to_bytes()),
        ("job", job.to_bytes()),
        ("proposal", proposal),
        ("message", message),
        ("envelope", to_json(&envelope)),
        ("answer", to_json(&answer)),
        ("receipt", receipt.to_bytes()),
        ("event", to_json(&event)),
        ("control", control),
        ("segments", segments),
        ("evidence", to_json(&evidence)),
        ("trust_store", trust_store(&signing).to_bytes()),
    ]
}

/// A store with everything in it.
fn trust_store(key: &SigningKey) -> TrustStore {
    let value = |byte, revoked| ReferenceValue {
        tee: Tee::SevSnp,
        measurement: Measurement::from_bytes(&[byte; 48]).expect("a good document"),
        runtime: "mc2-runtime".into(),
        version: "0.1.0".into(),
        revoked,
        registers: BTreeMap::new(),
    };
    let list = ReleaseList::new(
        2,
        vec![value(1, false), value(2, true)],
        vec![Digest::of(b"revoked.wasm")],
    );
    let list = Envelope::sign(releases::PAYLOAD_TYPE, to_json(&list), key);
    let mut store = TrustStore::new();
    let keys = [key.verifying_key().to_bytes()];
    store
        .take_releases(&to_json(&list), &keys)
        .expect("a good document");
    store.add(value(3, false)).expect("a good document");
    store.pin_simulator(key.verifying_key().into());
    store
}

fn seeds(target: &str) -> PathBuf {
    mc2_tests::package().join("../fuzz/seeds").join(target)
}

fn decoder(name: &str) -> decoders::Decoder {
    decoders::ALL
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a known decoder")
        .1
}

#[test]
fn every_decoder_takes_its_own_documents_and_every_truncation_of_them() {
    for (name, document) in documents() {
        let decode = decoder(name);
        decode(&document);
        let step = (document.len() / 200).max(1);
        for end in (0..document.len()).step_by(step) {
            decode(&document[..end]);
        }
    }
}

#[test]
fn no_decoder_panics_on_flipped_doubled_or_swapped_bytes() {
    for (name, document) in documents() {
        let decode = decoder(name);
        let step = (document.len() / 150).max(1);
        for at in (0..document.len()).step_by(step) {
            for bit in [0x01, 0x20, 0x80] {
                let mut broken = document.clone();
                broken[at] ^= bit;
                decode(&broken);
            }
            let mut doubled = document.clone();
            doubled.insert(at, document[at]);
            decode(&doubled);
            let mut zeroed = document.clone();
            zeroed[at] = 0;
            decode(&zeroed);
        }
    }
}

/// Every target starts from each good document of its kind, and from whatever it was broken by.
#[test]
fn the_seeds_of_the_fuzz_targets_are_these_documents_and_break_nothing() {
    let mut number: BTreeMap<&str, u32> = BTreeMap::new();
    for (name, document) in documents() {
        let number = number.entry(name).or_default();
        *number += 1;
        let path = seeds(name).join(format!("good-{number}"));
        if std::env::var_os("MC2_WRITE_VECTORS").is_some() {
            fs::create_dir_all(seeds(name)).expect("a folder for seeds");
            fs::write(&path, &document).expect("a seed");
        }
        let kept = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            kept == document,
            "{} is not what the format is now: see the head of this file",
            path.display()
        );
    }
    for (name, decode) in decoders::ALL {
        for seed in fs::read_dir(seeds(name)).expect("seeds of every target") {
            decode(&fs::read(seed.expect("a seed").path()).expect("a seed"));
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_not_recursed_into() {
    for (_, decode) in decoders::ALL {
        decode("[".repeat(100_000).as_bytes());
        decode("{\"a\":".repeat(100_000).as_bytes());
        decode(format!("a = {}", "[".repeat(100_000)).as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_decoder_panics_on_noise(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        for (_, decode) in decoders::ALL {
            decode(&bytes);
        }
    }
}
