//! The vectors of `docs/protocol.md`, and that this code still makes exactly them.
//!
//! Each file of `tests/vectors/protocol/` holds seeds and what they give. The randomness is a
//! generator that counts, so a second implementation that knows the formats, and the order in
//! which bytes are drawn, gets the same. To write the files anew after a deliberate change of the
//! formats: `MC2_WRITE_VECTORS=1 cargo test --release -p mc2-tests --test protocol_vectors`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod x_wing;

use std::{convert::Infallible, fs, path::PathBuf};

use ed25519_dalek::SigningKey;
use mc2_protocol::{
    DataKey, Digest, Identity, Manifest, Name, SecretKey,
    crypto::{
        hpke::{PrivateKey, PublicKey},
        label,
    },
    documents::{
        card::Card,
        control::OpenSession,
        dsse::Envelope,
        failure::FailureDetail,
        figures::{InstanceObserved, InstanceUsage, StepObserved, StepOf, StepUsage},
        job::{Job, Source, Step, StepInput},
        message::{
            Answer, Approve, Body, Cancel, End, Kind, Outcome, Refused, Release, SealedMessage,
            Submit,
        },
        receipt::{
            Evidence, OutputSecret, Receipt, ReceiptInput, ReceiptOutput, ReceiptParts,
            ReceiptStep, SealedReceipt, Statement, Status,
        },
        record::{
            CompilationCache, ComponentDigest, Engine, RecordParts, Runtime, SessionRecord,
            report_data, session_digest,
        },
        storage::{Event, SealedEvent},
    },
    encoding::{Hex, to_json},
    sealed::{
        SealedFile, associated_data,
        manifest::{Content, MediaType, SealedStream, WrappedKey},
        packed_folder_associated_data, path_table_associated_data,
        paths::{PathEntry, PathTable},
        seal_bytes,
    },
};
use mc2_tests::Counting;
use rand_core::{TryCryptoRng, TryRng, utils};
use serde_json::{Value, json};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn party(text: &str, seed: u8) -> Identity {
    Identity::from_seeds(
        text.parse().unwrap(),
        &SecretKey::from_bytes([seed; 32]),
        SecretKey::from_bytes([seed + 1; 32]),
    )
}

fn alice() -> Identity {
    party("alice", 0x10)
}

fn bob() -> Identity {
    party("bob", 0x20)
}

fn session_private_key() -> PrivateKey {
    PrivateKey::from_seed(SecretKey::from_bytes([0x30; 32]))
}

fn session_signing_key() -> SigningKey {
    SigningKey::from_bytes(&[0x40; 32])
}

/// The plaintext of `length` bytes that the vectors of sealed files use.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31 + 7) % 251) as u8).collect()
}

fn record() -> SessionRecord {
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

const POLICY: &[u8] = b"version = 1\n";
const NONCE: Hex<32> = Hex([0x50; 32]);
/// A name for a receipt's files: what they are is §4's business.
const OBJECT: &[u8] = b"manifest";

fn session() -> Digest {
    session_digest(&record().to_bytes())
}

fn contexts() -> Value {
    let vector = |label: &str, parts: &[&[u8]]| {
        let hex_parts: Vec<String> = parts.iter().map(hex::encode).collect();
        let bytes = hex::encode(label::context(label, parts));
        json!({ "label": label, "parts": hex_parts, "bytes": bytes })
    };
    json!([
        vector(label::CARD, &[]),
        vector(label::CARD, &[b""]),
        vector(label::OWNER_KEY, &[b"ab", b"c"]),
        vector(label::OWNER_KEY, &[b"a", b"bc"]),
        vector(label::REPORT_DATA, &[&[0; 300]]),
    ])
}

fn hpke() -> Value {
    let vector = |seed: u8, info: &[u8], plaintext: &[u8], exporter_context: &[u8]| {
        let key = PrivateKey::from_seed(SecretKey::from_bytes([seed; 32]));
        let public = key.public_key();
        let rng = &mut Counting(seed);
        let (sealed, exported) =
            public.seal_with_answer_key(info, plaintext, exporter_context, rng);
        json!({
            "seed": hex::encode([seed; 32]),
            "randomness_starts_at": seed,
            "public_key": hex::encode(public.as_bytes()),
            "info": hex::encode(info),
            "plaintext": hex::encode(plaintext),
            "exporter_context": hex::encode(exporter_context),
            "sealed": sealed,
            "exported": hex::encode(exported.expose()),
        })
    };
    json!([
        vector(1, b"", b"", b""),
        vector(2, b"purpose", b"secret", b"mc2/v1/answer"),
        vector(200, &[0xff; 100], &[0x5a; 1000], b"other"),
    ])
}

fn seal(
    key: &SecretKey,
    associated_data: &[u8],
    segment_size: u32,
    plaintext: &[u8],
) -> (Vec<u8>, SealedFile) {
    let rng = &mut Counting(0x60);
    seal_bytes(key, associated_data, segment_size, plaintext, rng)
}

fn sealed() -> Value {
    let key = SecretKey::from_bytes([0x70; 32]);
    let dataset = name("transactions");
    let mut vectors = Vec::new();
    for segment_size in [4096, 65_536, 1_048_576] {
        let first = segment_size as usize - 16 - 40;
        let body = segment_size as usize - 16;
        for length in [
            0,
            1,
            first - 1,
            first,
            first + 1,
            first + body,
            first + body + 1,
        ] {
            let ad = associated_data(&dataset);
            let (sealed, file) = seal(&key, &ad, segment_size, &pattern(length));
            let short = (sealed.len() <= 100).then(|| hex::encode(&sealed));
            vectors.push(json!({
                "key": hex::encode(key.expose()),
                "dataset": dataset,
                "associated_data": hex::encode(associated_data(&dataset)),
                "segment_size": segment_size,
                "length": length,
                "header": file.header,
                "key_commitment": hex::encode(file.key_commitment),
                "sealed_length": sealed.len(),
                "sealed_sha256": Digest::of(&sealed),
                "sealed": short,
                "segment_digests": hex::encode(&file.digests),
                "digest_list_digest": hex::encode(file.digest_list_digest()),
            }));
        }
    }
    json!(vectors)
}

fn manifests() -> Value {
    let key = SecretKey::from_bytes([0x70; 32]);
    let owner = alice();
    let wrap = |dataset: &Name| {
        let card = owner.card();
        WrappedKey::for_owner(
            dataset,
            *card.digest(),
            card.public_key(),
            &key,
            &mut Counting(0x71),
        )
    };
    let vector = |manifest: Manifest, owned: bool| {
        let bytes = manifest.to_bytes();
        json!({
            "manifest": text(&bytes),
            "object": Digest::of(&bytes),
            "owner": owned.then(|| owner.to_text().to_string()),
            "key": owned.then(|| hex::encode(key.expose())),
        })
    };
    let dataset = name("transactions");
    let (_, file) = seal(&key, &associated_data(&dataset), 65_536, &pattern(1000));
    let stream = SealedStream::new(&file);
    let manifest = |content, owner| {
        let media_type = MediaType::try_from("text/csv".to_owned()).unwrap();
        Manifest::new(dataset.clone(), media_type, 65_536, content, owner).unwrap()
    };
    let owned = manifest(Content::File(stream.clone()), Some(wrap(&dataset)));
    let empty = Content::Folder {
        files: vec![],
        table: stream.clone(),
    };
    json!([
        vector(owned, true),
        vector(manifest(empty, None), false),
        vector(manifest(Content::Packed(stream), None), false),
    ])
}

fn tables() -> Value {
    let vector = |files: &[(&str, u64)]| {
        let entries = files.iter().map(|(path, length)| PathEntry {
            path: (*path).to_owned(),
            length: *length,
        });
        let table = PathTable::new(entries.collect()).unwrap();
        json!({
            "files": files,
            "table": hex::encode(table.encode()),
            "padded_length": table.encode_padded().len(),
        })
    };
    json!([
        vector(&[]),
        vector(&[("2025/a.csv", 0), ("2025/b.csv", 1 << 40), ("ä.csv", 7)]),
        vector(
            &[(&"x/".repeat(511), 1), (&"y/".repeat(511), 2)]
                .map(|(path, length)| { (path.trim_end_matches('/'), length) })
        ),
    ])
}

/// A folder of files as its owner seals it, and as a job leaves it.
fn folders() -> Value {
    let key = SecretKey::from_bytes([0x70; 32]);
    let dataset = name("days");
    let files = [
        ("2025/a.csv", pattern(10)),
        ("2025/b.csv", vec![]),
        ("ä.csv", pattern(3)),
    ];
    let entries = files.iter().map(|(path, bytes)| PathEntry {
        path: (*path).to_owned(),
        length: bytes.len() as u64,
    });
    let table = PathTable::new(entries.collect()).unwrap();
    let vector = |content, streams: Vec<(Vec<u8>, SealedFile)>| {
        let media_type = MediaType::octet_stream();
        let manifest = Manifest::new(dataset.clone(), media_type, 4096, content, None).unwrap();
        let streams: Vec<Value> = streams
            .iter()
            .map(|(sealed, file)| {
                json!({ "sealed": hex::encode(sealed), "digests": hex::encode(&file.digests) })
            })
            .collect();
        let files = files
            .iter()
            .map(|(path, bytes)| json!([path, hex::encode(bytes)]));
        json!({
            "manifest": text(&manifest.to_bytes()),
            "key": hex::encode(key.expose()),
            "streams": streams,
            "files": files.collect::<Vec<_>>(),
        })
    };
    let mut streams: Vec<_> = files
        .iter()
        .map(|(_, bytes)| seal(&key, &associated_data(&dataset), 4096, bytes))
        .collect();
    let own = path_table_associated_data(&dataset);
    let sealed_table = seal(&key, &own, 4096, &table.encode_padded());
    let folder = Content::Folder {
        files: streams
            .iter()
            .map(|(_, file)| SealedStream::new(file))
            .collect(),
        table: SealedStream::new(&sealed_table.1),
    };
    streams.push(sealed_table);

    let mut packed = table.encode();
    files
        .iter()
        .for_each(|(_, bytes)| packed.extend_from_slice(bytes));
    packed.resize(packed.len().next_power_of_two(), 0);
    let packed = seal(
        &key,
        &packed_folder_associated_data(&dataset),
        4096,
        &packed,
    );
    let content = Content::Packed(SealedStream::new(&packed.1));
    json!([vector(folder, streams), vector(content, vec![packed])])
}

fn cards() -> Value {
    let vector = |name: &str, seed: u8| {
        let identity = party(name, seed);
        let card = identity.card();
        json!({
            "name": name,
            "signing_seed": hex::encode([seed; 32]),
            "private_seed": hex::encode([seed + 1; 32]),
            "identity": identity.to_text().to_string(),
            "card": card.to_string(),
            "digest": card.digest(),
            "fingerprint": card.fingerprint(),
        })
    };
    json!([
        vector("a", 1),
        vector("bank-a", 0x10),
        vector(&"x".repeat(64), 0x7f)
    ])
}

fn dsse() -> Value {
    let vector = |payload_type: &str, payload: &[u8]| {
        let key = SigningKey::from_bytes(&[0x40; 32]);
        let envelope = Envelope::sign(payload_type, payload.to_vec(), &key);
        json!({
            "seed": hex::encode(key.to_bytes()),
            "public_key": hex::encode(key.verifying_key().as_bytes()),
            "payload_type": payload_type,
            "payload": hex::encode(payload),
            "envelope": text(&to_json(&envelope)),
        })
    };
    json!([
        vector("http://example.com/HelloWorld", b"hello world"),
        vector("application/vnd.mc2.message.v1+json", b""),
    ])
}

fn records() -> Value {
    let bytes = record().to_bytes();
    json!([{
        "record": text(&bytes),
        "session": session(),
        "nonce": NONCE,
        "report_data": hex::encode(report_data(&bytes, &NONCE)),
    }])
}

fn openings() -> Value {
    let opener = alice();
    let open = OpenSession::sign(POLICY, NONCE, Hex([0x51; 32]), &opener);
    json!([{
        "opener": opener.card().to_string(),
        "open": text(&to_json(&open)),
    }])
}

fn messages() -> Value {
    let sender = alice();
    let bodies = [
        Body::Release(Release {
            key: DataKey {
                dataset: name("transactions"),
                object: Digest::of(OBJECT),
                secret: SecretKey::from_bytes([0x70; 32]),
            },
            runs: 3,
        }),
        Body::Approve(Approve::Policy(Digest::of(POLICY))),
        Body::Approve(Approve::Job(Digest::of(&job().to_bytes()))),
        Body::Submit(Submit {
            job: job().to_bytes().into(),
            nonce: NONCE,
            endorsements: vec![],
        }),
        Body::Cancel(Cancel { number: 7 }),
        Body::End(End {}),
    ];
    let outcomes = [
        Outcome::Released,
        Outcome::Approved,
        Outcome::Refused(Refused {
            code: "not-a-party".to_owned(),
            message: "no".to_owned(),
        }),
        Outcome::Submitted { number: 1 },
        Outcome::Cancelled,
        Outcome::Ended,
    ];
    let vectors = bodies.iter().zip(outcomes).enumerate();
    let vectors = vectors.map(|(sequence, (body, outcome))| {
        let to = session_private_key().public_key();
        let rng = &mut Counting(0x80);
        let sequence = sequence as u64;
        let (bytes, pending) = SealedMessage::seal(body, session(), &to, &sender, sequence, rng);
        let (opened, key) = SealedMessage::parse(&bytes)
            .unwrap()
            .open(&session(), &session_private_key())
            .unwrap();
        let message = opened.verify(|_| Some(sender.card())).unwrap();
        assert_eq!(message.sequence, sequence);
        let request = Digest::of(&bytes);
        let signing = session_signing_key();
        let rng = &mut Counting(0x81);
        let sealed = Answer::new(
            outcome.clone(),
            session(),
            request,
            &signing,
            Some(&key),
            rng,
        );
        let signed = Answer::new(outcome.clone(), session(), request, &signing, None, rng);
        for answer in [&sealed, &signed] {
            let opened = pending.open(answer, &signing.verifying_key()).unwrap();
            assert_eq!(opened, outcome);
        }
        let kind: Kind = body.kind();
        json!({
            "session": session(),
            "session_seed": hex::encode([0x30; 32]),
            "session_signing_key": hex::encode(signing.verifying_key().as_bytes()),
            "sender": sender.card().to_string(),
            "kind": kind,
            "sequence": sequence,
            "message": text(&bytes),
            "request": request,
            "approval": message.approval.map(|approval| text(&to_json(&approval))),
            "body": body,
            "sealed_answer": text(&to_json(&sealed)),
            "signed_answer": text(&to_json(&signed)),
            "outcome": outcome,
        })
    });
    json!(vectors.collect::<Vec<_>>())
}

fn job() -> Job {
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

fn jobs() -> Value {
    let bytes = job().to_bytes();
    json!([{ "job": text(&bytes), "digest": Digest::of(&bytes) }])
}

fn receipts() -> Value {
    let (submitter, recipient) = (alice(), bob());
    let session = session();
    let job_digest = Digest::of(&job().to_bytes());
    let record_bytes = record().to_bytes();
    let simulator = SigningKey::from_bytes(&[0xa0; 32]);
    let data = report_data(&record_bytes, &NONCE);
    let evidence = mc2_attestation::sim::evidence(&data, &Digest::of(b"executable"), &simulator);
    let rng = &mut Counting(0xa1);
    let secret = OutputSecret {
        key: SecretKey::from_bytes([0x70; 32]),
        length: 10,
        sha256: Digest::of(b"0123456789"),
    };
    let (to, job) = (recipient.card(), &job_digest);
    let of = StepOf {
        session: &session,
        job,
        step: 0,
    };
    let usage = StepUsage(vec![
        InstanceUsage {
            memory_peak: 1 << 30,
            input_bytes: 1000,
            output_bytes: 10,
            fuel: None,
        },
        InstanceUsage {
            memory_peak: 1 << 16,
            input_bytes: 0,
            output_bytes: 0,
            fuel: Some(77),
        },
    ]);
    let observed = StepObserved {
        fetched_segments: 3,
        fetched_bytes: 200_000,
        stored_bytes: 72,
        instances: vec![
            InstanceObserved {
                spilled_bytes: 65_536,
                untrusted_wall_ms: 12,
            };
            2
        ],
    };
    let step = ReceiptStep {
        component: name("sql"),
        usage: vec![usage.seal(of, to, rng)],
        observed: vec![observed.seal(of, submitter.card(), rng)],
    };
    let sealed_output = secret.seal(&session, job, "model", to, rng);
    let opened = OutputSecret::open(&session, job, "model", &sealed_output, &recipient).unwrap();
    assert_eq!(
        (opened.length, opened.sha256),
        (secret.length, secret.sha256)
    );
    let failure = FailureDetail {
        output: Some(name("importance")),
    };
    let statement = Statement::new(Receipt::new(ReceiptParts {
        record: record_bytes,
        nonce: NONCE,
        evidence,
        endorsements: vec![Evidence {
            media_type: "application/example".to_owned(),
            value: vec![1, 2, 3].into(),
        }],
        policy: POLICY.to_vec(),
        approvals: vec![approval(&submitter)],
        submitter: *submitter.card().digest(),
        job: job_digest,
        job_name: name("train"),
        number: 1,
        inputs: vec![ReceiptInput {
            dataset: name("transactions"),
            owner: "alice".parse().unwrap(),
            object: Digest::of(OBJECT),
        }],
        status: Status::Failed {
            step: 1,
            reason: "missing-output".to_owned(),
        },
        failure: Some(failure.seal(&session, &job_digest, submitter.card(), rng)),
        steps: vec![step],
        outputs: vec![ReceiptOutput {
            name: "model".to_owned(),
            step: 1,
            object: Digest::of(b"output's manifest"),
            recipients: vec![sealed_output],
        }],
    }));
    let envelope = statement.sign(&session_signing_key());
    let readers = [submitter.card(), recipient.card()];
    let sealed = SealedReceipt::seal(&envelope, &session, &readers, rng);
    for reader in [&submitter, &recipient] {
        assert_eq!(sealed.open(&session, reader).unwrap(), envelope);
    }
    json!([{
        "session": session,
        "reader": recipient.to_text().to_string(),
        "signing_public_key": hex::encode(session_signing_key().verifying_key().as_bytes()),
        "sealed_receipt": text(&sealed.to_bytes()),
        "statement": text(&to_json(&statement)),
        "approver": submitter.card().to_string(),
        "output": {
            "key": hex::encode(secret.key.expose()),
            "length": secret.length,
            "sha256": secret.sha256,
        },
        "submitter": submitter.to_text().to_string(),
        "failed_output": failure.output,
        "usage": usage.0.iter().map(|one| {
            json!([one.memory_peak, one.input_bytes, one.output_bytes, one.fuel])
        }).collect::<Vec<_>>(),
        "observed": {
            "step": [observed.fetched_segments, observed.fetched_bytes, observed.stored_bytes],
            "instances": observed.instances.iter().map(|one| {
                json!([one.spilled_bytes, one.untrusted_wall_ms])
            }).collect::<Vec<_>>(),
        },
    }])
}

/// An approval as its sender signed it.
fn approval(sender: &Identity) -> Envelope {
    let body = Body::Approve(Approve::Policy(Digest::of(POLICY)));
    let to = session_private_key().public_key();
    let (bytes, _) = SealedMessage::seal(&body, session(), &to, sender, 0, &mut Counting(0));
    let (opened, _) = SealedMessage::parse(&bytes)
        .unwrap()
        .open(&session(), &session_private_key())
        .unwrap();
    opened
        .verify(|_| Some(sender.card()))
        .unwrap()
        .approval
        .unwrap()
}

fn events() -> Value {
    let event = Event {
        session: session(),
        number: 1,
        sequence: 0,
        permille: 420,
        text: "joined orders".to_owned(),
    };
    let recipient = bob();
    let signing = session_signing_key();
    let sealed = SealedEvent::seal(&event, recipient.card(), &signing, &mut Counting(0xb0));
    let opened = sealed.open(&session(), &signing.verifying_key(), &recipient);
    assert_eq!(opened.unwrap(), event);
    json!([{
        "session": session(),
        "recipient": recipient.to_text().to_string(),
        "signing_public_key": hex::encode(signing.verifying_key().as_bytes()),
        "sealed_event": text(&to_json(&sealed)),
        "event": event,
    }])
}

fn evidence() -> Value {
    let key = SigningKey::from_bytes(&[0xa0; 32]);
    let record = record().to_bytes();
    let data = report_data(&record, &NONCE);
    let evidence = mc2_attestation::sim::evidence(&data, &Digest::of(b"executable"), &key);
    json!([{
        "simulator_seed": hex::encode(key.to_bytes()),
        "record": text(&record),
        "nonce": NONCE,
        "measurement": Digest::of(b"executable"),
        "evidence": text(&to_json(&evidence)),
    }])
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/protocol")
}

#[test]
fn the_code_still_makes_the_committed_vectors() {
    let files = [
        ("context", contexts()),
        ("hpke", hpke()),
        ("sealed", sealed()),
        ("manifest", manifests()),
        ("paths", tables()),
        ("folder", folders()),
        ("card", cards()),
        ("dsse", dsse()),
        ("record", records()),
        ("opening", openings()),
        ("message", messages()),
        ("job", jobs()),
        ("receipt", receipts()),
        ("event", events()),
        ("evidence", evidence()),
    ];
    for (file, made) in &files {
        let path = folder().join(format!("{file}.json"));
        if std::env::var_os("MC2_WRITE_VECTORS").is_some() {
            fs::write(&path, format!("{made:#}\n")).unwrap();
        }
        let kept = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept, *made, "{file}: version 1 of a format has changed");
    }
    let kept = fs::read_dir(folder()).unwrap().count();
    // And one file of published vectors.
    assert_eq!(
        kept,
        files.len() + 1,
        "a file of vectors that nothing makes"
    );
}

/// The draft's own vectors ship with the crate `x-wing`.
#[test]
fn the_x_wing_drafts_vectors_hold() {
    let vectors = x_wing::vectors();
    let vectors: Vec<Value> = serde_json::from_slice(&fs::read(vectors).unwrap()).unwrap();
    assert!(vectors.len() >= 3);
    for vector in vectors {
        let bytes = |field: &str| hex::decode(vector[field].as_str().unwrap()).unwrap();
        let seed = SecretKey::from_bytes(bytes("sk").try_into().unwrap());
        let key = PrivateKey::from_seed(seed);
        assert_eq!(key.public_key().as_bytes(), bytes("pk"));
        let public = PublicKey::from_bytes(&bytes("pk")).unwrap();
        let sealed = public.seal(b"", b"text", &mut Replay(bytes("eseed")));
        assert_eq!(sealed.encapsulated_key.0, bytes("ct"));
        assert_eq!(key.open(b"", &sealed).unwrap().as_slice(), b"text");
    }
}

/// RFC 9180 has no vectors for this suite; A.1.1 has those for its key derivation function.
#[test]
fn the_rfcs_vector_for_hkdf_sha256_holds() {
    use hpke::{
        Deserializable as _, OpModeR, aead::AesGcm128, kdf::HkdfSha256, kem::X25519HkdfSha256,
        setup_receiver,
    };
    type Kem = X25519HkdfSha256;
    let vector = fs::read(folder().join("published.json")).unwrap();
    let vector: Value = serde_json::from_slice(&vector).unwrap();
    let vector = &vector["rfc9180_a_1_1"];
    let bytes = |field: &str| hex::decode(vector[field].as_str().unwrap()).unwrap();
    let key = <Kem as hpke::Kem>::PrivateKey::from_bytes(&bytes("skRm")).unwrap();
    let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(&bytes("enc")).unwrap();
    let mut context = setup_receiver::<AesGcm128, HkdfSha256, Kem>(
        &OpModeR::Base,
        &key,
        &encapsulated,
        &bytes("info"),
    )
    .unwrap();
    assert_eq!(
        context.open(&bytes("ct"), &bytes("aad")).unwrap(),
        bytes("pt")
    );
    let mut exported = [0; 32];
    context.export(b"", &mut exported).unwrap();
    assert_eq!(exported.as_slice(), bytes("exported"));
}

#[test]
fn a_card_of_the_vectors_parses_to_itself() {
    for vector in cards().as_array().unwrap() {
        let text = vector["card"].as_str().unwrap();
        assert_eq!(text.parse::<Card>().unwrap().to_string(), text);
    }
}

/// Draws what it was given.
struct Replay(Vec<u8>);

impl TryRng for Replay {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(bytes.len());
        bytes.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Replay {}
