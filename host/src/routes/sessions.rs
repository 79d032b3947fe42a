//! Sessions: opening one, asking for its evidence, and the messages that are sealed to it.

use std::time::Duration;

use axum::{extract, response::IntoResponse as _};
use bytes::Bytes;
use http::StatusCode;
use mc2_protocol::{
    Digest,
    documents::{
        control::{self, AskChallenge, AskEvidence, OpenSession, SessionOpened},
        hosting::{SessionEntry, SessionKept, SessionList, SessionState},
        message::{self, Kind, SealedMessage},
        record::{self, SessionRecord},
    },
    encoding::{Hex, parse_json, to_json},
    policy::Policy,
};
use mc2_wire::{
    Request, json,
    routes::{self, CHALLENGES_PATH, SESSIONS_PATH, template},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Answer,
    api::{Route, shapes},
    extract::{Asked, In, Sent, whole},
    jobs::page,
};
use crate::{
    refusal::{Refusal, blocking},
    runtimes::Runtime,
    state::State,
    store::jobs::{self, Opened, Owner},
    transfer::incoming::Whole,
};

/// Largest request for evidence or a challenge, in bytes.
const MAX_ASK_LEN: usize = 4096;
/// Largest message that ends a session, in bytes.
const MAX_END_LEN: usize = 64 * 1024;
/// What a runtime says that has no such session, or has it no more.
const NOT_FOUND: &str = "not-found";
/// What a runtime says that serves another tenant for its life.
const OTHER_TENANT: &str = "other-tenant";

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(CHALLENGES_PATH, challenge)
            .does("A challenge for whoever is about to open a session under a policy")
            .explained(
                "Given by the process that serves this policy or nobody yet; one is started where \
                 there is none.",
            )
            .takes::<shapes::AskChallenge>()
            .answers::<shapes::ChallengeGiven>(StatusCode::OK, "The challenge.")
            .asks_runtime()
            .refuses(502, &["runtime-failed"])
            .refuses(503, &["no-runtime"]),
        Route::post(SESSIONS_PATH, open_session)
            .does("Open a session under a policy")
            .explained(
                "The runtime checks the opener's signature, fetches the policy's components, \
                 measures and compiles them: that may take minutes.",
            )
            .takes::<shapes::OpenSession>()
            .answers::<shapes::SessionOpened>(StatusCode::OK, "Record and evidence.")
            .asks_runtime()
            .refuses(400, &["bad-request"])
            .refuses(403, &["not-the-opener"])
            .refuses(409, &[OTHER_TENANT, "unknown-challenge"])
            .refuses(422, &["policy-refused", "component-refused"])
            .refuses(429, &["too-many-sessions", "quota"])
            .refuses(500, &["no-evidence"])
            .refuses(502, &["runtime-failed"])
            .refuses(503, &["no-runtime"]),
        Route::get(SESSIONS_PATH, list)
            .does("The sessions whose policy names a card, oldest first")
            .query::<ListQuery>()
            .answers::<shapes::SessionList>(StatusCode::OK, "Some of them."),
        Route::get(template::SESSION, kept)
            .does("What passed through the host when a session was opened")
            .explained(
                "To be checked: the policy's digest against the record, and the record \
                        against its evidence.",
            )
            .answers::<shapes::SessionKept>(StatusCode::OK, "Record and policy.")
            .refuses(404, &["unknown-session"]),
        Route::post(template::EVIDENCE, evidence)
            .does("A session's evidence over a nonce of one's own")
            .takes::<shapes::AskEvidence>()
            .answers::<shapes::SessionOpened>(StatusCode::OK, "The same record, other evidence.")
            .asks_runtime()
            .refuses(404, &["unknown-session", "not-found"])
            .refuses(410, &["session-over"])
            .refuses(503, &["runtime-absent"])
            .refuses(500, &["no-evidence"]),
        Route::post(template::MESSAGES, messages)
            .does("Pass a sealed message on to a session, and its answer back")
            .explained("Byte for byte. What the enclave refuses is in the answer, sealed.")
            .takes_anything()
            .answers::<shapes::Message>(StatusCode::OK, "The answer.")
            .asks_runtime()
            .refuses(404, &["unknown-session", "not-found"])
            .refuses(410, &["session-over"])
            .refuses(503, &["runtime-absent"]),
    ]
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// The digest of the card.
    #[param(value_type = String, pattern = "^[0-9a-f]{64}$")]
    party: Digest,
    /// The number to go on after.
    #[serde(default, deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
    after: u64,
    /// How many at most: 100 unless stated, and never more than 1,000.
    most: Option<usize>,
}

async fn list(
    extract::State(state): extract::State<State>,
    Asked(ListQuery { party, after, most }): Asked<ListQuery>,
) -> Answer {
    let most = page(most);
    let found = state.store.jobs.sessions(Some(&party), after, most);
    let next = found.last().filter(|_| found.len() == most);
    let list = SessionList {
        next: next.map(|entry| entry.number),
        sessions: found.into_iter().map(entry).collect(),
    };
    Ok(json(StatusCode::OK, to_json(&list).into()))
}

fn entry(entry: jobs::SessionEntry) -> SessionEntry {
    SessionEntry {
        number: entry.number,
        session: entry.session,
        policy: entry.policy,
        name: entry.name,
        opened: entry.opened,
        state: session_state(entry.over),
    }
}

const fn session_state(over: bool) -> SessionState {
    if over {
        SessionState::Over
    } else {
        SessionState::Open
    }
}

async fn kept(extract::State(state): extract::State<State>, In(session): In<Digest>) -> Answer {
    let found = state.store.jobs.session(session).await?;
    let kept = SessionKept {
        record: found.record.as_ref().into(),
        policy: found.policy.as_ref().into(),
        state: session_state(found.entry.over),
    };
    Ok(json(StatusCode::OK, to_json(&kept).into()))
}

/// Has the process that serves a policy, or will, give a challenge.
async fn challenge(extract::State(state): extract::State<State>, body: Sent) -> Answer {
    let mut body = body.whole(MAX_ASK_LEN).await?;
    let ask: AskChallenge = parse_json("the request", &body, MAX_ASK_LEN)
        .map_err(|error| Refusal::bad("request", error.to_string()))?;
    let tenant = ask.policy;
    finish_anyway(async move {
        loop {
            let runtime = state.runtimes.runtime_for(tenant).await?;
            let (start, relay) = (state.config.timeouts.start, state.config.timeouts.relay);
            let request = asking(CHALLENGES_PATH.to_owned(), &mut body, relay);
            let answer = runtime.ask(&request, start).await?;
            if !answer.is_problem(OTHER_TENANT) {
                return Ok(answer.into_response());
            }
            // It served somebody before this host was started; it is not asked for this tenant
            // again, so this ends.
            state.runtimes.registry().refuse(&runtime, tenant);
        }
    })
    .await
}

async fn open_session(extract::State(state): extract::State<State>, body: Sent) -> Answer {
    let mut body = body.whole(control::MAX_LEN).await?;
    let open: OpenSession = parse_json("the request", &body, control::MAX_LEN)
        .map_err(|error| Refusal::bad("request", error.to_string()))?;
    let (open, signed) = blocking(move || {
        let signed = is_signed(&open);
        Ok((open, signed))
    })
    .await?;
    let opener = open.opener;
    let place = state
        .store
        .jobs
        .reserve(opener, signed, &state.config.quota)?;
    let policy = Bytes::from(open.policy.0);
    let tenant = Digest::of(&policy);
    // Compiling may take minutes, and is not in vain when the client goes away meanwhile.
    finish_anyway(async move {
        let runtime = state.runtimes.runtime_for(tenant).await?;
        let (start, open) = (state.config.timeouts.start, state.config.timeouts.open);
        let request = asking(SESSIONS_PATH.to_owned(), &mut body, open);
        let answer = runtime.ask(&request, start).await?;
        if answer.is_problem(OTHER_TENANT) {
            // The client asks for the next one's challenge.
            state.runtimes.registry().refuse(&runtime, tenant);
            return Ok(answer.into_response());
        }
        if !answer.status.is_success() {
            state.runtimes.registry().release_unused(&runtime);
            return Ok(answer.into_response());
        }
        let opened: SessionOpened =
            parse_json("the runtime's answer", &answer.body, control::MAX_LEN).map_err(
                |error| Refusal::new(StatusCode::BAD_GATEWAY, "runtime-answer", error.to_string()),
            )?;
        if opened.record.as_slice().len() > record::MAX_LEN {
            let message = format!("a session's record has at most {} bytes", record::MAX_LEN);
            return Err(Refusal::new(
                StatusCode::BAD_GATEWAY,
                "runtime-answer",
                message,
            ));
        }
        // Nobody could use one of another policy, and here it would stand among the sessions of this.
        let parsed = SessionRecord::parse(opened.record.as_slice());
        if let Some(other) = parsed.ok().filter(|record| record.policy != tenant) {
            let message = format!(
                "the session's record is of policy {}, expected {tenant}",
                other.policy
            );
            return Err(Refusal::new(
                StatusCode::BAD_GATEWAY,
                "runtime-answer",
                message,
            ));
        }
        let session = record::session_digest(opened.record.as_slice());
        let owner = Owner {
            runtime: Hex(runtime.id.0),
            tenant,
        };
        let opened = Opened {
            policy,
            record: opened.record.0.into(),
            opener,
        };
        let jobs = &state.store.jobs;
        jobs.begin_session(session, owner, opened).await?;
        drop(place);
        state.runtimes.opened(session, &runtime)?;
        tracing::info!(%session, %tenant, runtime = %runtime.id, "a session was opened");
        Ok(answer.into_response())
    })
    .await
}

/// Whether an opening bears the signature of the card that it says it is of: the runtime refuses what
/// does not, and until then it must not count for that card.
fn is_signed(open: &OpenSession) -> bool {
    Policy::parse(open.policy.as_slice()).is_ok_and(|policy| {
        let party = |card: &Digest| policy.party(card).map(AsRef::as_ref);
        open.verify(policy.digest(), party).is_ok()
    })
}

async fn evidence(
    extract::State(state): extract::State<State>,
    In(session): In<Digest>,
    body: Sent,
) -> Answer {
    let body = body.whole(MAX_ASK_LEN).await?;
    parse_json::<AskEvidence>("the request", &body, MAX_ASK_LEN)
        .map_err(|error| Refusal::bad("request", error.to_string()))?;
    relay(state, session, routes::evidence_path(&session), body).await
}

async fn messages(
    extract::State(state): extract::State<State>,
    In(session): In<Digest>,
    body: Sent,
) -> Answer {
    let body = body.whole(message::MAX_LEN).await?;
    relay(state, session, routes::messages_path(&session), body).await
}

/// Passes a request on to the session's runtime, byte for byte, and its answer back.
async fn relay(state: State, session: Digest, path: String, mut body: Whole) -> Answer {
    let runtime = state.runtimes.serving(&session)?;
    // Once sent it is done or not, whether the client waits for the answer or goes away.
    finish_anyway(async move {
        let relay = state.config.timeouts.relay;
        let ends = is_end(&body);
        let request = asking(path, &mut body, relay);
        let answer = runtime.ask(&request, relay).await?;
        if let Some(number) = answer.job.filter(|_| answer.status.is_success()) {
            // Known before its submitter asks for it; where that fails, word of it comes again.
            let _ = state.store.jobs.taken(session, number).await;
        }
        let gone = match ends && answer.status.is_success() {
            true => has_no_more(&state, &runtime, &session).await,
            false => answer.is_problem(NOT_FOUND),
        };
        if gone {
            state.runtimes.ended(session);
        }
        Ok(answer.into_response())
    })
    .await
}

/// Whether a message says by its outside that it is to end its session.
fn is_end(message: &[u8]) -> bool {
    message.len() <= MAX_END_LEN
        && SealedMessage::parse(message).is_ok_and(|message| message.kind == Kind::End)
}

/// Whether a runtime has a session no more: what it answered to the end is sealed, and whether it did
/// end it is for this host to find out.
async fn has_no_more(state: &State, runtime: &Runtime, session: &Digest) -> bool {
    let relay = state.config.timeouts.relay;
    // Nothing that it would answer otherwise.
    let nothing = Request::post(routes::evidence_path(session), "{}", control::MAX_LEN);
    let answer = runtime.ask(&nothing.within(relay), relay).await;
    answer.is_ok_and(|answer| answer.is_problem(NOT_FOUND))
}

/// A request of the body's bytes, which has `patience` for its answer.
fn asking(path: String, body: &mut Whole, patience: Duration) -> Request {
    Request::post(path, body.relayed(), control::MAX_LEN).within(patience)
}

/// Runs `work` to its end even where the request it is for is dropped.
async fn finish_anyway(work: impl Future<Output = Answer> + Send + 'static) -> Answer {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|error| Err(Refusal::internal("a task of the host ended early", &error)))
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{Identity, SecretKey};

    use super::*;

    fn identity(name: &str, seed: u8) -> Identity {
        let seeds = [seed, seed + 1].map(|byte| SecretKey::from_bytes([byte; 32]));
        let [first, second] = seeds;
        Identity::from_seeds(name.parse().unwrap(), &first, second)
    }

    #[test]
    fn an_opening_counts_for_the_card_of_its_policy_that_signed_it_and_for_no_other() {
        let [owner, stranger] = [identity("owner", 1), identity("stranger", 3)];
        let policy = format!(
            r#"version = 1
name = "policy"
expires = 2099-01-01T00:00:00Z
[enclave]
tee = ["sim"]
platforms = "any"
tcb = "up-to-date"
[[party]]
card = "{}"
[[component]]
name = "sql"
sha256 = "{}"
[[job]]
name = "run"
submit = ["owner"]
runs = 1
limits = {{ memory = "1GiB", time = "1h", output = "1GiB" }}
[[job.step]]
component = "sql"
args = "any"
"#,
            owner.card(),
            Digest::of(b"component"),
        );
        let sign = |policy: &str, signer| {
            OpenSession::sign(policy.as_bytes(), Hex([1; 32]), Hex([2; 32]), signer)
        };
        let signed = sign(&policy, &owner);
        assert!(is_signed(&signed));
        assert!(!is_signed(&sign(&policy, &stranger)));
        let in_the_owner_s_name = OpenSession {
            opener: *owner.card().digest(),
            ..sign(&policy, &stranger)
        };
        let over_another_nonce = OpenSession {
            nonce: Hex([4; 32]),
            ..signed.clone()
        };
        let over_another_policy = OpenSession {
            policy: policy.replace("runs = 1", "runs = 2").as_bytes().into(),
            ..signed
        };
        for forged in [in_the_owner_s_name, over_another_nonce, over_another_policy] {
            assert!(!is_signed(&forged));
        }
        // What this host does not understand may be another's by whatever it says.
        assert!(!is_signed(&sign("policy", &owner)));
    }
}
