//! The decoders of protocol documents.
//! `tests/tests/decoders.rs` runs the same functions over broken copies of good documents.
//!
//! A decoder promises never to panic, never to allocate more than its cap, and, where it accepts,
//! that writing the value and reading it back gives the same value.

use ed25519_dalek::SigningKey;
use mc2_attestation::{
    AppraisalInput, Evidence, Purpose, Tee, TrustStore, UnixSeconds, appraise,
    evidence::MAX_LEN,
    releases::{self, ReleaseList},
    sim, tee,
};
use mc2_protocol::{
    Card, Digest, Identity, Manifest, SecretKey,
    crypto::hpke::PrivateKey,
    documents::{
        broker::BrokerCard,
        control::{AskChallenge, AskEvidence, ChallengeGiven, OpenSession, SessionOpened},
        dsse::Envelope,
        job::Job,
        message::{self, Answer, SealedMessage},
        proposal::Proposal,
        receipt::{SealedReceipt, Statement},
        record::SessionRecord,
        replacement::Replacement,
        storage::{JobStatus, SealedEvent},
    },
    encoding::{Hex, parse_json, to_json},
    policy::Policy,
    sealed::{Header, Layout, Opener, SegmentCipher, paths::PathTable, small::SmallObject},
};

/// A decoder under test.
pub type Decoder = fn(&[u8]);

/// Every decoder by the name of its target.
pub const ALL: [(&str, Decoder); 17] = [
    ("manifest", manifest),
    ("paths", paths),
    ("card", card),
    ("identity", identity),
    ("policy", policy),
    ("record", record),
    ("job", job),
    ("proposal", proposal),
    ("message", sealed_message),
    ("envelope", envelope),
    ("answer", answer),
    ("receipt", sealed_receipt),
    ("event", event),
    ("control", control),
    ("segments", segments),
    ("evidence", evidence),
    ("trust_store", trust_store),
];

/// [`Manifest::parse`] and [`SmallObject::parse`].
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        for index in 0..manifest.stream_count() {
            let layout = manifest.layout(index);
            assert!(layout.sealed_length() > layout.length());
        }
        let again = Manifest::parse(&manifest.to_bytes()).expect("own bytes parse");
        assert_eq!(again, manifest);
    }
    // An object in one piece begins with a manifest.
    let begun = [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
    for bytes in [bytes, &begun] {
        if let Ok(small) = SmallObject::parse(bytes) {
            let streams = small.streams().iter().copied();
            let again = SmallObject::encode(small.manifest_bytes(), streams);
            assert_eq!(again.expect("it was small"), bytes);
        }
    }
}

/// [`PathTable::parse`] and its like.
pub fn paths(bytes: &[u8]) {
    if let Some(start) = bytes.first_chunk()
        && let Ok(length) = PathTable::stated_len(start)
    {
        assert!(length <= mc2_protocol::sealed::paths::MAX_LEN);
    }
    if let Ok(table) = PathTable::parse(bytes) {
        assert_eq!(table.encode(), bytes);
        if let (Some(length), Some((start, last))) = (table.packed_len(), table.packed().last()) {
            assert_eq!(start + last.length, length);
        }
        let padded = PathTable::parse_padded(&table.encode_padded());
        assert_eq!(padded.as_ref(), Ok(&table));
    }
    let _ = PathTable::parse_padded(bytes);
}

/// [`Card::from_bytes`] and its text, alone, as a broker's and in another's place.
pub fn card(bytes: &[u8]) {
    if let Ok(card) = Card::from_bytes(bytes) {
        assert_eq!(card.to_string().parse::<Card>().as_ref(), Ok(&card));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Card>();
        if let Ok(next) = text.parse::<Replacement>() {
            assert_eq!(next.to_string().parse().as_ref(), Ok(&next));
        }
        if let Ok(broker) = text.parse::<BrokerCard>() {
            assert_eq!(broker.to_string().parse().as_ref(), Ok(&broker));
        }
    }
}

/// [`Identity::from_text`].
pub fn identity(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(identity) = Identity::from_text(text)
    {
        assert!(Identity::from_text(&identity.to_text()).is_ok());
    }
}

/// [`Policy::parse`].
pub fn policy(bytes: &[u8]) {
    if let Ok(policy) = Policy::parse(bytes) {
        assert_eq!(*policy.digest(), Digest::of(bytes));
    }
}

/// [`SessionRecord::parse`].
pub fn record(bytes: &[u8]) {
    if let Ok(record) = SessionRecord::parse(bytes) {
        let _ = (record.hpke_public_key(), record.signing_public_key());
        let again = SessionRecord::parse(&record.to_bytes()).expect("own bytes parse");
        assert_eq!(again, record);
    }
}

/// [`Job::parse`].
pub fn job(bytes: &[u8]) {
    if let Ok(job) = Job::parse(bytes) {
        assert_eq!(Job::parse(&job.to_bytes()).expect("own bytes parse"), job);
    }
}

/// [`Proposal::open`].
pub fn proposal(bytes: &[u8]) {
    let seeds = [
        SecretKey::from_bytes([7; 32]),
        SecretKey::from_bytes([8; 32]),
    ];
    let [signing, opening] = seeds;
    let name = "alice".parse().expect("a good name");
    let alice = Identity::from_seeds(name, &signing, opening);
    let session = Digest::of(b"session");
    if let Ok(proposal) = Proposal::open(bytes, &session, &alice, |_| Some(alice.card())) {
        job(proposal.job());
    }
}

/// [`SealedMessage::parse`] and opening what it holds.
pub fn sealed_message(bytes: &[u8]) {
    if let Ok(message) = SealedMessage::parse(bytes) {
        let key = PrivateKey::from_seed(SecretKey::from_bytes([7; 32]));
        assert!(message.open(&Digest::of(b"session"), &key).is_err());
    }
}

/// [`Envelope`] and everything that is read from one.
pub fn envelope(bytes: &[u8]) {
    let envelope = parse_json::<Envelope>("an envelope", bytes, message::MAX_LEN);
    // The payload as a fuzzer can reach it without inventing base64.
    let raw = Envelope {
        payload_type: message::MESSAGE_TYPE.to_owned(),
        payload: bytes.to_vec().into(),
        signatures: Vec::new(),
    };
    for envelope in envelope.into_iter().chain([raw]) {
        let _ = message::claimed_sender(&envelope);
        if let Ok(statement) = Statement::claimed(&envelope) {
            let again = Envelope {
                payload: to_json(&statement).into(),
                ..envelope
            };
            assert_eq!(
                Statement::claimed(&again).expect("own bytes parse"),
                statement
            );
        }
    }
}

/// [`Answer::parse`].
pub fn answer(bytes: &[u8]) {
    if let Ok(answer) = Answer::parse(bytes) {
        assert_eq!(
            Answer::parse(&to_json(&answer)).expect("own bytes parse"),
            answer
        );
    }
}

/// [`SealedReceipt::parse`].
pub fn sealed_receipt(bytes: &[u8]) {
    if let Ok(receipt) = SealedReceipt::parse(bytes) {
        let again = SealedReceipt::parse(&receipt.to_bytes()).expect("own bytes parse");
        assert_eq!(again, receipt);
    }
}

/// [`SealedEvent::parse`].
pub fn event(bytes: &[u8]) {
    if let Ok(event) = SealedEvent::parse(bytes) {
        assert_eq!(
            SealedEvent::parse(&to_json(&event)).expect("own bytes parse"),
            event
        );
    }
}

/// The bodies of the control interface.
pub fn control(bytes: &[u8]) {
    let limit = mc2_protocol::documents::control::MAX_LEN;
    let _ = parse_json::<AskChallenge>("a request", bytes, limit);
    let _ = parse_json::<ChallengeGiven>("an answer", bytes, limit);
    let _ = parse_json::<OpenSession>("a request", bytes, limit);
    let _ = parse_json::<AskEvidence>("a request", bytes, limit);
    let _ = parse_json::<SessionOpened>("an answer", bytes, limit);
    let _ = parse_json::<JobStatus>("an answer", bytes, limit);
}

/// Headers, layouts and segments: four bytes of segment size, eight of length, then the file.
pub fn segments(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let Some((length, rest)) = rest.split_first_chunk::<8>() else {
        return;
    };
    let Ok(layout) = Layout::new(u64::from_be_bytes(*length), u32::from_be_bytes(*size)) else {
        return;
    };
    for index in [0, layout.segments() / 2, layout.segments() - 1] {
        let (start, plaintext) = layout.plaintext(index);
        assert!(start + plaintext as u64 <= layout.length());
        if plaintext > 0 {
            assert_eq!(layout.segment_of(start), index);
        }
        let (offset, ciphertext) = layout.ciphertext(index);
        assert!(offset + ciphertext as u64 <= layout.sealed_length());
    }
    let Some((header, segment)) = rest.split_first_chunk::<40>() else {
        return;
    };
    let Ok(header) = Header::from_bytes(header) else {
        return;
    };
    assert_eq!(Header::from_bytes(&header.to_bytes()), Ok(header));
    let key = SecretKey::from_bytes([1; 32]);
    let cipher = SegmentCipher::new(&key, &header, b"fuzz");
    assert!(
        cipher
            .open_within(0, true, &mut segment.to_vec(), 0)
            .is_err()
    );
    let opener = Opener::new(&key, &header, b"fuzz", layout);
    assert!(
        opener
            .open_within(0, &[0; 32], &mut segment.to_vec(), 0)
            .is_err()
    );
}

/// Evidence, as it is and as a TEE's own bytes, and the appraisal of it; and the simulator's report
/// as one who has its key would sign it.
pub fn evidence(bytes: &[u8]) {
    let key = SigningKey::from_bytes(&[5; 32]);
    let mut trust = TrustStore::new();
    trust.pin_simulator(key.verifying_key().into());
    let refuse = |evidence: &Evidence| {
        let appraisal = appraise(&AppraisalInput {
            evidence,
            endorsements: &[],
            record_bytes: b"{}",
            nonce: &Hex([1; 32]),
            policy_bytes: include_bytes!("../../policies/one-party.toml"),
            expected_components: None,
            trust: &trust,
            allow_simulated: true,
            purpose: Purpose::Receipt,
            now: UnixSeconds(0),
        });
        assert!(!appraisal.is_accepted());
        let shown = appraisal.checks.iter().map(|check| &check.found);
        assert!(
            shown
                .flat_map(|found| found.chars())
                .all(|c| !c.is_control())
        );
    };
    if let Ok(evidence) = parse_json::<Evidence>("evidence", bytes, 2 * MAX_LEN) {
        refuse(&evidence);
    }
    for tee in Tee::ALL {
        refuse(&Evidence {
            media_type: tee::media_type(tee).to_owned(),
            value: bytes.to_vec().into(),
        });
    }
    let report = Envelope::sign(sim::PAYLOAD_TYPE, bytes.to_vec(), &key);
    refuse(&Evidence {
        media_type: tee::media_type(Tee::Sim).to_owned(),
        value: to_json(&report).into(),
    });
}

/// [`TrustStore::parse`], and [`ReleaseList::verify`] of a list as one who has the release key
/// would sign it.
pub fn trust_store(bytes: &[u8]) {
    let key = SigningKey::from_bytes(&[5; 32]);
    let keys = [key.verifying_key().to_bytes()];
    if let Ok(store) = TrustStore::parse(bytes, &keys) {
        let written = store.to_bytes();
        let again = TrustStore::parse(&written, &keys).expect("own bytes parse");
        assert_eq!(again.to_bytes(), written);
    }
    let signed = Envelope::sign(releases::PAYLOAD_TYPE, bytes.to_vec(), &key);
    if let Ok(list) = ReleaseList::verify(&to_json(&signed), &keys) {
        let signed = Envelope::sign(releases::PAYLOAD_TYPE, to_json(&list), &key);
        let again = ReleaseList::verify(&to_json(&signed), &keys).expect("own bytes parse");
        assert_eq!(again, list);
    }
}
