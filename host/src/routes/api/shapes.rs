//! How bodies look that are other crates' types, for the document alone. The tests hold each
//! against the type it stands for.

#![expect(
    dead_code,
    unused_qualifications,
    reason = "read by the derive, which writes schemas; nothing is made of these types"
)]

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

/// A variable part of a path: its schema and what it is.
pub(super) fn part(name: &str) -> (RefOr<Schema>, &'static str) {
    match name {
        "session" => (Digest::schema(), "SHA-256 of the session's record."),
        "object" => (Digest::schema(), "SHA-256 of the object's manifest."),
        "digest" => (Digest::schema(), "SHA-256 of the component's bytes."),
        "upload" => (Id::schema(), "Chosen by whoever uploads."),
        "ticket" => (
            Id::schema(),
            "As the answer to the job's submission had it.",
        ),
        "area" => (Id::schema(), "Chosen by the runtime."),
        "slot" => (number(0), "A page's place in its area."),
        "key" => (Digest::schema(), "The entry's name."),
        "number" => (number(1), "The job's number in its session, from 1."),
        "index" => (number(0), "A stream's number in its manifest, from 0."),
        // The test of the whole document asks for every route.
        other => unreachable!("a part of a path is described here: {other}"),
    }
}

/// Any text.
pub(in crate::routes) fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// A number that may be nought.
pub(in crate::routes) fn count() -> RefOr<Schema> {
    number(0)
}

fn number(least: u64) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least as f64))
        .maximum(Some(9_007_199_254_740_991_f64))
        .into()
}

macro_rules! texts {
    ($($(#[doc = $doc:literal])* $name:ident = $pattern:literal;)*) => {$(
        $(#[doc = $doc])*
        pub(in crate::routes) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(Some($pattern))
                    .description(Some(concat!($($doc),*).trim()))
                    .into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

texts! {
    /// SHA-256 in lower-case hexadecimal digits.
    Digest = "^[0-9a-f]{64}$";
    /// 16 bytes in lower-case hexadecimal digits.
    Id = "^[0-9a-f]{32}$";
    /// 32 bytes in lower-case hexadecimal digits.
    Hex32 = "^[0-9a-f]{64}$";
    /// 64 bytes in lower-case hexadecimal digits.
    Hex64 = "^[0-9a-f]{128}$";
    /// Bytes in base64 (RFC 4648, with padding).
    Base64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";
}

/// Problem details, RFC 9457: decide by `code` alone.
#[derive(ToSchema)]
pub(in crate::routes) struct Problem {
    /// `urn:mc2:problem:` and the code.
    r#type: String,
    /// The code as words.
    title: String,
    /// The answer's status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was expected, what was found, what to do.
    detail: String,
    /// A stable word in kebab case.
    code: String,
}

/// Who is about to open a session under which policy.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct AskChallenge {
    // SHA-256 of the policy's exact bytes.
    #[schema(inline)]
    policy: Digest,
}

/// To be signed, once.
#[derive(ToSchema)]
pub(in crate::routes) struct ChallengeGiven {
    #[schema(inline)]
    challenge: Hex32,
}

/// The opening of a session, signed by a card that the policy names.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct OpenSession {
    // The policy's exact bytes.
    #[schema(inline)]
    policy: Base64,
    // The opener's own.
    #[schema(inline)]
    nonce: Hex32,
    // As it was given.
    #[schema(inline)]
    challenge: Hex32,
    // Digest of the opener's card.
    #[schema(inline)]
    opener: Digest,
    // Ed25519 over challenge, policy digest and nonce, as protocol.md §9 has it.
    #[schema(inline)]
    signature: Hex64,
}

/// A session's record and evidence over it.
#[derive(ToSchema)]
pub(in crate::routes) struct SessionOpened {
    // The record's exact bytes; their SHA-256 names the session.
    #[schema(inline)]
    record: Base64,
    /// Media type, and bytes in base64url.
    #[schema(min_items = 2, max_items = 2)]
    evidence: Vec<String>,
    /// What its vendor says of it, as far as the runtime has that: each as the evidence.
    endorsements: Vec<Vec<String>>,
}

/// Asks for evidence.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct AskEvidence {
    // The asking verifier's own.
    #[schema(inline)]
    nonce: Hex32,
}

/// A message sealed to a session, or its answer (protocol.md §10): for the host, any JSON.
pub(in crate::routes) struct Message;

impl PartialSchema for Message {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("A sealed message or its answer, protocol.md §10."))
            .into()
    }
}

impl ToSchema for Message {}

/// What an upload became.
#[derive(ToSchema)]
pub(in crate::routes) struct Committed {
    // The object: SHA-256 of its manifest.
    #[schema(inline)]
    object: Digest,
}

/// How far a job is, as far as the host may know.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::routes) enum JobState {
    /// It waits for answers to its start's challenge.
    Waiting,
    /// It has not ended.
    Running,
    /// It ended with success.
    Done,
    /// It ended without.
    Failed,
    /// Its runtime went away before it ended.
    Lost,
}

/// A job's state, and what it said that its reader has not seen.
#[derive(ToSchema)]
pub(in crate::routes) struct JobStatus {
    state: JobState,
    /// In their order.
    events: Vec<SealedEvent>,
    /// What to ask for next.
    next: u64,
    /// Of a job that has ended, where it was asked for, is stored and has at most 256 KiB.
    receipt: Option<SealedReceipt>,
}

/// What a job leaves, for its readers (protocol.md §12).
#[derive(ToSchema)]
pub(in crate::routes) struct SealedReceipt {
    version: u32,
    readers: Vec<WrappedKey>,
    #[schema(inline)]
    ciphertext: Base64,
}

/// A key of 32 bytes sealed to a card.
#[derive(ToSchema)]
pub(in crate::routes) struct WrappedKey {
    // Digest of the card.
    #[schema(inline)]
    card: Digest,
    key: Sealed,
}

/// What a job waits for before it starts (protocol.md §11).
#[derive(ToSchema)]
pub(in crate::routes) struct StartQuestion {
    // Digest of the session's policy.
    #[schema(inline)]
    policy: Digest,
    // The job digest.
    #[schema(inline)]
    job: Digest,
    // What the answer repeats: 32 bytes.
    #[schema(inline)]
    challenge: Hex32,
    /// Names of the datasets that must be answered for.
    datasets: Vec<String>,
}

/// One server-sent event.
#[derive(ToSchema)]
pub(in crate::routes) struct Told {
    /// How many sealed events there were with this one.
    id: Option<String>,
    /// `state` or `event`.
    #[schema(pattern = "^(state|event)$")]
    event: String,
    /// JSON: `{"state": …}`, or a sealed event.
    data: String,
}

/// An event of a job, sealed to one card (protocol.md §12).
#[derive(ToSchema)]
pub(in crate::routes) struct SealedEvent {
    // Digest of the card.
    #[schema(inline)]
    card: Digest,
    sealed: Sealed,
}

/// What HPKE makes for one recipient.
#[derive(ToSchema)]
pub(in crate::routes) struct Sealed {
    #[schema(inline)]
    encapsulated_key: Base64,
    #[schema(inline)]
    ciphertext: Base64,
}

/// Sessions whose policy names a card.
#[derive(ToSchema)]
pub(in crate::routes) struct SessionList {
    /// Some of them, oldest first.
    sessions: Vec<SessionEntry>,
    /// The number to go on after, where there may be more.
    #[schema(required)]
    next: Option<u64>,
}

/// A session in a list.
#[derive(ToSchema)]
pub(in crate::routes) struct SessionEntry {
    /// Sessions are numbered as they were opened.
    number: u64,
    #[schema(inline)]
    session: Digest,
    // The policy's digest.
    #[schema(inline)]
    policy: Digest,
    /// The policy's name.
    name: String,
    /// In seconds of Unix time, by the host's clock.
    opened: u64,
    state: SessionState,
}

/// Whether a session can still be used.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::routes) enum SessionState {
    /// Its runtime is there.
    Open,
    /// Its runtime is gone, and its keys with it.
    Over,
}

/// What passed through the host when a session was opened.
#[derive(ToSchema)]
pub(in crate::routes) struct SessionKept {
    // The record's exact bytes.
    #[schema(inline)]
    record: Base64,
    // The policy's exact bytes.
    #[schema(inline)]
    policy: Base64,
    state: SessionState,
}

/// Jobs in the order of their numbers.
#[derive(ToSchema)]
pub(in crate::routes) struct JobList {
    /// Some of them.
    jobs: Vec<JobEntry>,
    /// The number to go on after, where there may be more.
    #[schema(required)]
    next: Option<u64>,
}

/// A job in a list.
#[derive(ToSchema)]
pub(in crate::routes) struct JobEntry {
    /// Its number in the session.
    number: u64,
    state: JobState,
}

/// A note for a card of the session's policy.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct PostNote {
    // The card's digest.
    #[schema(inline)]
    to: Digest,
    // At most 2 MiB.
    #[schema(inline)]
    body: Base64,
}

/// That a note was left.
#[derive(ToSchema)]
pub(in crate::routes) struct NotePosted {
    /// Its number among the notes to that card in that session, from 1.
    number: u64,
}

/// Notes to a card, oldest first.
#[derive(ToSchema)]
pub(in crate::routes) struct NoteList {
    /// Those that are asked for, or the first of them.
    notes: Vec<Note>,
    /// The number to go on after.
    next: u64,
}

/// A note in a list.
#[derive(ToSchema)]
pub(in crate::routes) struct Note {
    number: u64,
    #[schema(inline)]
    body: Base64,
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{
        documents::{control, hosting, receipt, storage},
        encoding::Hex,
    };
    use serde::Serialize;
    use serde_json::Value;

    use super::*;

    /// The names of a shape's properties, and those it says are required, must be those of the
    /// type it stands for.
    #[track_caller]
    fn same<S: ToSchema>(real: &impl Serialize) {
        same_but::<S>(real, &[]);
    }

    /// The same where some of the properties may be missing.
    #[track_caller]
    fn same_but<S: ToSchema>(real: &impl Serialize, optional: &[&str]) {
        let Value::Object(real) = serde_json::to_value(real).unwrap() else {
            panic!("an object");
        };
        let shape = serde_json::to_value(S::schema()).unwrap();
        let mut fields: Vec<&str> = real.keys().map(String::as_str).collect();
        fields.sort_unstable();
        let mut properties: Vec<&String> =
            shape["properties"].as_object().unwrap().keys().collect();
        properties.sort_unstable();
        assert_eq!(properties, fields, "{}", S::name());
        let mut required: Vec<&str> = shape["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        required.sort_unstable();
        fields.retain(|field| !optional.contains(field));
        assert_eq!(required, fields, "{}", S::name());
    }

    #[test]
    fn every_shape_has_the_fields_of_the_type_it_stands_for() {
        let digest = mc2_protocol::Digest::of(b"x");
        same::<Problem>(&control::Problem::new(404, "no", "no"));
        same::<AskChallenge>(&control::AskChallenge { policy: digest });
        same::<ChallengeGiven>(&control::ChallengeGiven {
            challenge: Hex([0; 32]),
        });
        same::<OpenSession>(&control::OpenSession {
            policy: b"policy".to_vec().into(),
            nonce: Hex([0; 32]),
            challenge: Hex([0; 32]),
            opener: digest,
            signature: Hex([0; 64]),
        });
        let evidence = receipt::Evidence {
            media_type: "a/b".into(),
            value: b"evidence".to_vec().into(),
        };
        same::<SessionOpened>(&control::SessionOpened {
            record: b"record".to_vec().into(),
            endorsements: vec![evidence.clone()],
            evidence,
        });
        same::<AskEvidence>(&control::AskEvidence {
            nonce: Hex([0; 32]),
        });
        same::<Committed>(&storage::Committed { object: digest });
        let listed = hosting::SessionEntry {
            number: 1,
            session: digest,
            policy: digest,
            name: "name".into(),
            opened: 1,
            state: hosting::SessionState::Open,
        };
        same::<SessionEntry>(&listed);
        same::<SessionList>(&hosting::SessionList {
            sessions: vec![listed],
            next: None,
        });
        same::<SessionKept>(&hosting::SessionKept {
            record: b"record".to_vec().into(),
            policy: b"policy".to_vec().into(),
            state: hosting::SessionState::Over,
        });
        let job = hosting::JobEntry {
            number: 1,
            state: control::JobState::Done,
        };
        same::<JobEntry>(&job);
        same::<JobList>(&hosting::JobList {
            jobs: vec![job],
            next: Some(1),
        });
        same::<PostNote>(&hosting::PostNote {
            to: digest,
            body: b"note".to_vec().into(),
        });
        same::<NotePosted>(&hosting::NotePosted { number: 1 });
        let note = hosting::Note {
            number: 1,
            body: b"note".to_vec().into(),
        };
        same::<Note>(&note);
        same::<NoteList>(&hosting::NoteList {
            notes: vec![note],
            next: 1,
        });
        same::<StartQuestion>(&storage::StartQuestion {
            policy: digest,
            job: digest,
            challenge: Hex([7; 32]),
            datasets: Vec::new(),
        });
        let receipt = br#"{"version":1,"readers":[],"ciphertext":""}"#;
        let receipt = receipt::SealedReceipt::parse(receipt).unwrap();
        same::<SealedReceipt>(&receipt);
        let status = storage::JobStatus {
            state: control::JobState::Done,
            events: Vec::new(),
            next: 0,
            receipt: Some(receipt),
        };
        same_but::<JobStatus>(&status, &["receipt"]);
    }
}
