use ed25519_dalek::SigningKey;
use serde_json::value::RawValue;

use super::{
    sealing::{Content, info},
    *,
};
use crate::{
    Digest, Identity,
    crypto::hpke::PrivateKey,
    documents::{
        dsse::Envelope,
        receipt::{Endorsement, MAX_ENDORSEMENTS, MAX_EVIDENCE_LEN, MAX_MEDIA_TYPE_LEN},
    },
    encoding::to_json,
};

struct Fixture {
    sender: Identity,
    session: Digest,
    private: PrivateKey,
    signing: SigningKey,
}

fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

fn fixture() -> Fixture {
    Fixture {
        sender: Identity::generate("alice".parse().unwrap(), &mut rng()),
        session: Digest::of(b"session"),
        private: PrivateKey::generate(&mut rng()),
        signing: SigningKey::from_bytes(&[3; 32]),
    }
}

/// `None` where the seal does not open.
fn receive(f: &Fixture, session: &Digest, bytes: &[u8]) -> Option<Result<Message, MessageError>> {
    let sealed = SealedMessage::parse(bytes).unwrap();
    let (opened, _) = sealed.open(session, &f.private).ok()?;
    Some(opened.verify(|digest| (digest == f.sender.card().digest()).then_some(f.sender.card())))
}

/// A message made by hand: what is signed, by which key, and as what it is sealed.
struct Forged<'a> {
    inner_session: Digest,
    inner_kind: Kind,
    sender: Digest,
    body: &'a str,
    payload_type: &'a str,
    key: &'a SigningKey,
    outer_kind: Kind,
}

impl<'a> Forged<'a> {
    /// What the sender itself would sign.
    fn honest(f: &'a Fixture) -> Self {
        Self {
            inner_session: f.session,
            inner_kind: Kind::Cancel,
            sender: *f.sender.card().digest(),
            body: r#"{"number":1}"#,
            payload_type: MESSAGE_TYPE,
            key: f.sender.signing_key(),
            outer_kind: Kind::Cancel,
        }
    }

    fn envelope(&self) -> Envelope {
        let body = RawValue::from_string(self.body.to_owned()).unwrap();
        let content = Content {
            version: crate::VERSION,
            kind: self.inner_kind,
            session: self.inner_session,
            sender: self.sender,
            sequence: 1,
            body: &*body,
        };
        Envelope::sign(self.payload_type, to_json(&content), self.key)
    }

    fn arrive(&self, f: &Fixture) -> Result<Message, MessageError> {
        arrive(f, self.outer_kind, &to_json(&self.envelope()))
    }
}

/// Seals any bytes to the session and receives them.
fn arrive(f: &Fixture, kind: Kind, plaintext: &[u8]) -> Result<Message, MessageError> {
    let info = info(kind, &f.session);
    let sealed = f.private.public_key().seal(&info, plaintext, &mut rng());
    let version = crate::VERSION;
    let message = SealedMessage {
        version,
        kind,
        sealed,
    };
    receive(f, &f.session, &to_json(&message)).expect("it opens")
}

#[test]
fn a_message_arrives_only_where_it_was_sealed_to() {
    let f = fixture();
    let body = Body::Approve(Approve::Policy(Digest::of(b"policy")));
    let to = f.private.public_key();
    let (bytes, _) = SealedMessage::seal(&body, f.session, &to, &f.sender, 1, &mut rng());
    let message = receive(&f, &f.session, &bytes).unwrap().unwrap();
    assert_eq!(message.sequence, 1);
    assert!(matches!(message.body, Body::Approve(Approve::Policy(_))));
    assert!(receive(&f, &Digest::of(b"other"), &bytes).is_none());
    let as_submit = String::from_utf8(bytes)
        .unwrap()
        .replacen("approve", "submit", 1);
    assert!(receive(&f, &f.session, as_submit.as_bytes()).is_none());
}

#[test]
fn a_stranger_or_a_forged_sender_is_refused() {
    let f = fixture();
    let stranger = Identity::generate("alice".parse().unwrap(), &mut rng());
    let body = Body::Cancel(Cancel { number: 1 });
    let to = f.private.public_key();
    let (bytes, _) = SealedMessage::seal(&body, f.session, &to, &stranger, 1, &mut rng());
    assert!(matches!(
        receive(&f, &f.session, &bytes),
        Some(Err(MessageError::Unauthenticated))
    ));
}

#[test]
fn a_message_that_names_a_party_s_card_is_signed_by_that_card_s_key() {
    let f = fixture();
    let honest = Forged::honest(&f);
    assert!(honest.arrive(&f).is_ok());
    let stranger = Identity::generate("alice".parse().unwrap(), &mut rng());
    let forged = Forged {
        key: stranger.signing_key(),
        ..Forged::honest(&f)
    };
    assert!(matches!(
        forged.arrive(&f),
        Err(MessageError::Unauthenticated)
    ));
    // Signed by the party, but as another kind of document.
    let other_kind = Forged {
        payload_type: ANSWER_TYPE,
        ..Forged::honest(&f)
    };
    assert!(matches!(
        other_kind.arrive(&f),
        Err(MessageError::Unauthenticated)
    ));
    // Or signed as a message, and called something else.
    let mut called = honest.envelope();
    called.payload_type = ANSWER_TYPE.to_owned();
    assert!(matches!(
        arrive(&f, Kind::Cancel, &to_json(&called)),
        Err(MessageError::Unauthenticated)
    ));
}

#[test]
fn a_message_signed_for_another_session_or_as_another_type_is_refused_whoever_sealed_it() {
    let f = fixture();
    let elsewhere = Forged {
        inner_session: Digest::of(b"other"),
        ..Forged::honest(&f)
    };
    assert!(matches!(
        elsewhere.arrive(&f),
        Err(MessageError::Elsewhere { what: "session" })
    ));
    let otherwise = Forged {
        outer_kind: Kind::Approve,
        ..Forged::honest(&f)
    };
    assert!(matches!(
        otherwise.arrive(&f),
        Err(MessageError::Elsewhere { what: "type" })
    ));
}

#[test]
fn a_forged_approval_in_a_receipt_is_refused() {
    let f = fixture();
    let card = f.sender.card();
    let policy = Digest::of(b"policy");
    let body = to_json(&Approve::Policy(policy));
    let body = std::str::from_utf8(&body).unwrap();
    let honest = || Forged {
        inner_kind: Kind::Approve,
        body,
        ..Forged::honest(&f)
    };
    let approval = verify_approval(&honest().envelope(), &f.session, card);
    assert_eq!(approval.unwrap(), Approve::Policy(policy));

    let stranger = Identity::generate("alice".parse().unwrap(), &mut rng());
    let forgeries = [
        Forged {
            key: stranger.signing_key(),
            ..honest()
        },
        Forged {
            sender: *stranger.card().digest(),
            ..honest()
        },
        Forged {
            inner_session: Digest::of(b"other"),
            ..honest()
        },
        Forged {
            inner_kind: Kind::Cancel,
            ..honest()
        },
        Forged {
            payload_type: ANSWER_TYPE,
            ..honest()
        },
    ];
    for (number, forged) in forgeries.iter().enumerate() {
        let approval = verify_approval(&forged.envelope(), &f.session, card);
        assert!(approval.is_err(), "forgery {number}");
    }
    let mut called = honest().envelope();
    called.payload_type = ANSWER_TYPE.to_owned();
    assert!(verify_approval(&called, &f.session, card).is_err());
    // The honest signature over another approval.
    let mut moved = honest().envelope();
    let other = to_json(&Approve::Policy(Digest::of(b"other policy")));
    let payload = String::from_utf8(moved.payload.0.clone()).unwrap();
    let payload = payload.replace(body, std::str::from_utf8(&other).unwrap());
    assert_ne!(payload.as_bytes(), moved.payload.as_slice());
    moved.payload = payload.into_bytes().into();
    assert!(verify_approval(&moved, &f.session, card).is_err());
}

#[test]
fn a_refusal_before_the_sender_is_known_quotes_nothing_of_what_was_opened() {
    let f = fixture();
    let stranger = Identity::generate("alice".parse().unwrap(), &mut rng());
    let secret = "a-secret-word";
    let envelope = |payload_type: &str, payload: String| {
        to_json(&Envelope::sign(
            payload_type,
            payload.into_bytes(),
            stranger.signing_key(),
        ))
    };
    let named = Forged {
        sender: *stranger.card().digest(),
        body: r#""a-secret-word""#,
        key: stranger.signing_key(),
        ..Forged::honest(&f)
    };
    for plaintext in [
        secret.as_bytes().to_vec(),
        format!("\"{secret}\"").into_bytes(),
        format!("{{\"{secret}\":1}}").into_bytes(),
        envelope(secret, "{}".to_owned()),
        envelope(MESSAGE_TYPE, secret.to_owned()),
        envelope(MESSAGE_TYPE, format!("{{\"{secret}\":1}}")),
        to_json(&named.envelope()),
    ] {
        let error = arrive(&f, Kind::Cancel, &plaintext).err().unwrap();
        let (said, shown) = (error.to_string(), format!("{error:?}"));
        let card = stranger.card().digest();
        for quoted in [secret, &card.to_string(), &card.short()] {
            assert!(!said.contains(quoted) && !shown.contains(quoted), "{said}");
        }
    }
}

#[test]
fn an_answer_is_believed_only_for_its_own_request() {
    let f = fixture();
    let body = Body::Cancel(Cancel { number: 1 });
    let to = f.private.public_key();
    let (bytes, pending) = SealedMessage::seal(&body, f.session, &to, &f.sender, 1, &mut rng());
    let (other, other_pending) =
        SealedMessage::seal(&body, f.session, &to, &f.sender, 2, &mut rng());
    let (_, key) = SealedMessage::parse(&bytes)
        .unwrap()
        .open(&f.session, &f.private)
        .unwrap();
    let request = Digest::of(&bytes);
    let outcome = Outcome::Submitted { number: 7 };
    let answer = Answer::new(
        outcome.clone(),
        f.session,
        request,
        &f.signing,
        Some(&key),
        &mut rng(),
    );
    let key = f.signing.verifying_key();
    assert_eq!(pending.open(&answer, &key).unwrap(), outcome);
    assert!(matches!(
        other_pending.open(&answer, &key),
        Err(AnswerError::Open)
    ));
    // A signed answer to the other request, presented for the first.
    let swapped = Answer::new(
        outcome,
        f.session,
        Digest::of(&other),
        &f.signing,
        None,
        &mut rng(),
    );
    assert!(matches!(
        pending.open(&swapped, &key),
        Err(AnswerError::Elsewhere)
    ));
    let forged = SigningKey::from_bytes(&[4; 32]);
    assert!(pending.open(&swapped, &forged.verifying_key()).is_err());
}

#[test]
fn a_sequence_number_is_taken_once_and_not_when_too_old() {
    let mut window = SequenceWindow::default();
    assert!(window.accept(5));
    assert!(!window.accept(5));
    assert!(window.accept(3));
    // However far ahead the next are, what waited long is still taken, once.
    assert!(window.accept(u64::MAX) && !window.accept(u64::MAX));
    assert!(window.accept(4) && !window.accept(4));
    for sequence in 10_000..10_000 + SEQUENCE_WINDOW as u64 {
        assert!(window.accept(sequence));
    }
    assert!(!window.accept(5), "taken and old");
    assert!(!window.accept(6), "too old");
    assert!(!window.accept(u64::MAX));
    assert!(window.accept(u64::MAX - 1));
}

#[test]
fn a_window_takes_what_a_set_of_the_highest_numbers_would() {
    let mut window = SequenceWindow::default();
    let mut taken = std::collections::BTreeSet::new();
    let mut state = 1_u64;
    let mut around = 0_u64;
    for _ in 0..100_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let far = state >> 33;
        around = around.saturating_add(if far.is_multiple_of(50) {
            far % 3000
        } else {
            far % 3
        });
        let sequence = around.saturating_sub(far % 1500);
        let lowest = taken.iter().rev().nth(SEQUENCE_WINDOW - 1).copied();
        let expected = lowest.is_none_or(|lowest| sequence > lowest) && taken.insert(sequence);
        assert_eq!(
            window.accept(sequence),
            expected,
            "{sequence} of {lowest:?}"
        );
    }
}

#[test]
fn more_or_larger_endorsements_than_a_receipt_s_verifier_reads_are_refused() {
    let f = fixture();
    let of = |media_type: &str, len: usize| Endorsement {
        media_type: media_type.to_owned(),
        value: vec![7; len].into(),
    };
    let to = f.private.public_key();
    let mut sequence = 0;
    let mut taken = |endorsements: Vec<Endorsement>| {
        let body = Body::Submit(Submit {
            job: vec![].into(),
            nonce: crate::encoding::Hex([1; 32]),
            endorsements,
        });
        sequence += 1;
        let (bytes, _) =
            SealedMessage::seal(&body, f.session, &to, &f.sender, sequence, &mut rng());
        match receive(&f, &f.session, &bytes).unwrap() {
            Ok(_) => true,
            Err(MessageError::Body(_)) => false,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(taken(vec![of("a/b", 100); MAX_ENDORSEMENTS]));
    assert!(!taken(vec![of("a/b", 0); MAX_ENDORSEMENTS + 1]));
    assert!(taken(vec![of("a/b", MAX_EVIDENCE_LEN)]));
    assert!(!taken(vec![of("a/b", MAX_EVIDENCE_LEN + 1)]));
    assert!(taken(vec![of(&"a".repeat(MAX_MEDIA_TYPE_LEN), 0)]));
    assert!(!taken(vec![of(&"a".repeat(MAX_MEDIA_TYPE_LEN + 1), 0)]));
}
