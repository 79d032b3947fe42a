//! Keys that the policy hands to guests: from the party it names, to the steps it names.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use mc2_client::{
    session::{Session, SessionError},
    state::sequence,
};
use mc2_protocol::{
    Identity, Name,
    documents::message::{Body, GiveKey, GuestSecret, MAX_GUEST_KEY, Outcome},
    policy::Policy,
};
use mc2_tests::{Finished, RunFailed, Stack, identity, messages, parse, policy_of};

struct Two {
    stack: Stack,
    you: Identity,
    component: mc2_protocol::Digest,
    said: AtomicU64,
}

/// A job of two steps, of which the second is handed two keys, one from each party.
const JOB: &str = r#"
submit = ["me"]
approve = { who = "all", when = "session" }
errors = "full"
runs = 1
limits = { memory = "64MiB", time = "20s", output = "1MiB" }
[[job.step]]
component = "workload"
args = "any"
padding = "power-of-two"
outputs = { stdout = ["me"] }
[[job.step]]
component = "workload"
args = "any"
padding = "power-of-two"
outputs = { stdout = ["me"] }
keys = { parquet = "you", own = "me" }
"#;

impl Two {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let component = stack.component("hostile").await;
        Self {
            stack,
            you: identity("you"),
            component,
            said: AtomicU64::new(0),
        }
    }

    fn policy(&self) -> Policy {
        policy_of(&[&self.stack.me, &self.you], &self.component, &[], JOB)
    }

    async fn session(&self) -> Session<'_> {
        let parties = [&self.stack.me, &self.you];
        self.stack.approved(self.policy(), &parties).await
    }

    /// Sends a message that the client would not.
    async fn say(&self, session: &Session<'_>, sender: &Identity, body: &Body) -> Outcome {
        // Beside what the client counts, and within the enclave's window.
        let number = self.said.fetch_add(1, Ordering::Relaxed);
        let sequence = sequence::after(0) + 100 + number;
        self.stack.say(session, sender, sequence, body).await
    }

    /// Each step says what keys it has.
    async fn run(&self, session: &Session<'_>) -> Result<Finished, RunFailed> {
        let words = ["keys", "parquet", "own"].map(str::to_owned).to_vec();
        let mut salt = [0; 32];
        rand_core::Rng::fill_bytes(&mut mc2_tests::rng(), &mut salt);
        let job = session
            .policy()
            .draft(
                &parse("run"),
                &BTreeMap::new(),
                vec![words.clone(), words],
                salt,
            )
            .expect("a job the policy allows");
        self.stack.submit_job(session, &self.stack.me, &job).await
    }
}

fn key(bytes: &[u8]) -> GuestSecret {
    GuestSecret::new(bytes.to_vec().into()).expect("a key")
}

async fn give(
    session: &Session<'_>,
    giver: &Identity,
    name: &str,
    bytes: &[u8],
) -> Result<(), SessionError> {
    session
        .give_key(giver, &parse::<Name>(name), key(bytes))
        .await
}

fn refusal(failed: &SessionError) -> (&str, &str) {
    match failed {
        SessionError::Refused { refused, .. } => (&refused.code, &refused.message),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_step_has_the_keys_the_policy_hands_it_and_no_other_step_has_them() {
    let two = Two::new().await;
    let session = two.session().await;
    give(&session, &two.you, "parquet", b"first").await.unwrap();
    give(&session, &two.stack.me, "own", &[0xab; MAX_GUEST_KEY])
        .await
        .unwrap();
    // The later one counts.
    give(&session, &two.you, "parquet", b"second")
        .await
        .unwrap();
    let finished = two.run(&session).await.unwrap();
    assert_eq!(finished.reason(), "succeeded");
    // Both steps' standard output have one name; the receipt has them in the order of the steps.
    let of_step = |step: u32| {
        let outputs = &finished.receipt.outputs;
        outputs
            .iter()
            .filter(move |output| output.step == step)
            .count()
    };
    assert_eq!((of_step(0), of_step(1)), (1, 1));
    let printed = finished.stdout();
    assert!(printed.starts_with("there: own parquet\n"), "{printed}");
    assert!(
        printed.contains(&format!("parquet = {:02x?}\n", b"second")),
        "{printed}"
    );
    assert!(
        printed.contains(&format!("own = {:02x?}\n", [0xab; MAX_GUEST_KEY])),
        "{printed}"
    );
    assert!(!printed.contains("GOT"), "{printed}");
}

#[tokio::test]
async fn a_job_without_a_key_is_refused_with_who_must_give_it_and_no_run_is_spent() {
    let two = Two::new().await;
    let session = two.session().await;
    give(&session, &two.stack.me, "own", b"mine").await.unwrap();
    let Err(RunFailed::Session(refused)) = two.run(&session).await else {
        panic!("it runs without a key");
    };
    let (code, message) = refusal(&refused);
    assert_eq!(code, "no-guest-key");
    for part in ["step 2", "parquet", "you must give it"] {
        assert!(message.contains(part), "{message}");
    }
    give(&session, &two.you, "parquet", b"yours").await.unwrap();
    let status = session.status(&two.stack.me).await.unwrap();
    assert_eq!(status.guest_keys, [parse::<Name>("own"), parse("parquet")]);
    // The only run there is.
    assert_eq!(two.run(&session).await.unwrap().reason(), "succeeded");
}

#[tokio::test]
async fn a_key_is_taken_from_the_party_that_the_policy_names_and_from_nobody_else() {
    let two = Two::new().await;
    let session = two.session().await;
    for (giver, name, code) in [
        (&two.stack.me, "parquet", "not-the-giver"),
        (&two.you, "own", "not-the-giver"),
        (&two.you, "other", "unknown-guest-key"),
    ] {
        // The client does not send it.
        let refused = give(&session, giver, name, b"k").await.unwrap_err();
        assert!(matches!(refused, SessionError::Policy(_)), "{refused}");
        // The enclave does not take it.
        let body = Body::GuestKey(GiveKey {
            name: parse(name),
            key: key(b"k"),
        });
        let outcome = two.say(&session, giver, &body).await;
        assert_eq!(messages::code(&outcome), code, "{name}");
    }
    let stranger = identity("stranger");
    let body = Body::GuestKey(GiveKey {
        name: parse("parquet"),
        key: key(b"k"),
    });
    let outcome = two.say(&session, &stranger, &body).await;
    assert_eq!(messages::code(&outcome), "unauthenticated");
    let Err(RunFailed::Session(refused)) = two.run(&session).await else {
        panic!("it runs without a key");
    };
    assert_eq!(refusal(&refused).0, "no-guest-key");
}
