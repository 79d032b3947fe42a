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
    /// SHA-256 of the policy's exact bytes.
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
    /// The policy's exact bytes.
    #[schema(inline)]
    policy: Base64,
    /// The opener's own.
    #[schema(inline)]
    nonce: Hex32,
    /// As it was given.
    #[schema(inline)]
    challenge: Hex32,
    /// Digest of the opener's card.
    #[schema(inline)]
    opener: Digest,
    /// Ed25519 over challenge, policy digest and nonce, as protocol.md §9 has it.
    #[schema(inline)]
    signature: Hex64,
}

/// A session's record and evidence over it.
#[derive(ToSchema)]
pub(in crate::routes) struct SessionOpened {
    /// The record's exact bytes; their SHA-256 names the session.
    #[schema(inline)]
    record: Base64,
    /// Media type, and bytes in base64url.
    #[schema(min_items = 2, max_items = 2)]
    evidence: Vec<String>,
}

/// Asks for evidence.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct AskEvidence {
    /// The asking verifier's own.
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
    /// The object: SHA-256 of its manifest.
    #[schema(inline)]
    object: Digest,
}

/// How far a job is, as far as the host may know.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::routes) enum JobState {
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
}

/// An event of a job, sealed to one card (protocol.md §12).
#[derive(ToSchema)]
pub(in crate::routes) struct SealedEvent {
    /// Digest of the card.
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

#[cfg(test)]
mod tests {
    use mc2_protocol::{
        documents::{control, receipt, storage},
        encoding::Hex,
    };
    use serde::Serialize;
    use serde_json::Value;

    use super::*;

    /// The names of a shape's properties, and those it says are required, must be those of the
    /// type it stands for.
    #[track_caller]
    fn same<S: ToSchema>(real: &impl Serialize) {
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
            evidence,
        });
        same::<AskEvidence>(&control::AskEvidence {
            nonce: Hex([0; 32]),
        });
        same::<Committed>(&storage::Committed { object: digest });
        same::<JobStatus>(&storage::JobStatus {
            state: control::JobState::Running,
            events: Vec::new(),
            next: 0,
        });
    }
}
