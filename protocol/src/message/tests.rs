use super::*;

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

fn receive(f: &Fixture, session: &Digest, bytes: &[u8]) -> Result<Message, MessageError> {
    let (opened, _) = SealedMessage::parse(bytes)?.open(session, &f.private)?;
    opened.verify(|digest| (digest == f.sender.card().digest()).then_some(f.sender.card()))
}

#[test]
fn a_message_arrives_only_where_it_was_sealed_to() {
    let f = fixture();
    let body = Body::Approve(Approve::Policy(Digest::of(b"policy")));
    let to = f.private.public_key();
    let (bytes, _) = SealedMessage::seal(&body, f.session, &to, &f.sender, 1, &mut rng());
    let message = receive(&f, &f.session, &bytes).unwrap();
    assert_eq!(message.sequence, 1);
    assert!(matches!(message.body, Body::Approve(Approve::Policy(_))));
    assert!(receive(&f, &Digest::of(b"other"), &bytes).is_err());
    let as_submit = String::from_utf8(bytes)
        .unwrap()
        .replacen("approve", "submit", 1);
    assert!(receive(&f, &f.session, as_submit.as_bytes()).is_err());
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
        Err(MessageError::UnknownSender { .. })
    ));
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
    assert!(window.accept(5 + SEQUENCE_WINDOW));
    assert!(!window.accept(5), "seen and old");
    assert!(!window.accept(4), "too old");
    assert!(window.accept(6 + 1));
    for sequence in 10_000..20_000 {
        assert!(window.accept(sequence));
    }
    assert!(window.seen.len() <= SEQUENCE_WINDOW as usize);
    assert!(window.accept(u64::MAX) && !window.accept(u64::MAX) && !window.accept(0));
}
