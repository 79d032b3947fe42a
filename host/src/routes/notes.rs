//! Notes between the parties of a session: one leaves what another finds when it comes.

use std::time::Duration;

use axum::extract;
use http::StatusCode;
use mc2_protocol::{
    Digest,
    documents::hosting::{MAX_NOTE_LEN, Note, NoteList, NotePosted, PostNote},
    encoding::{parse_json, to_json},
};
use mc2_wire::{json, routes::template};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Answer,
    api::{Route, shapes},
    extract::{Asked, In, Sent, whole},
    jobs::MAX_WAIT,
};
use crate::{refusal::Refusal, state::State, waiting::raised};

/// Largest request, in bytes: a note in base64, and whom it is to.
const MAX_POST_LEN: usize = MAX_NOTE_LEN.div_ceil(3) * 4 + 1024;

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(template::NOTES, post)
            .does("Leave a note for a card of the session's policy")
            .explained("At most 2 MiB; sealed to the card, where the host is not to read it.")
            .takes::<shapes::PostNote>()
            .answers::<shapes::NotePosted>(StatusCode::CREATED, "Its number.")
            .refuses(404, &["unknown-session", "unknown-party"])
            .refuses(413, &["too-large"])
            .refuses(507, &["notes-full"]),
        Route::get(template::NOTES, read)
            .does("The notes to a card, oldest first")
            .query::<NotesQuery>()
            .answers::<shapes::NoteList>(StatusCode::OK, "At once where there is one.")
            .refuses(404, &["unknown-session", "unknown-party"]),
    ]
}

async fn post(
    extract::State(state): extract::State<State>,
    In(session): In<Digest>,
    body: Sent,
) -> Answer {
    let body = body.whole(MAX_POST_LEN).await?;
    let PostNote { to, body } = parse_json("the note", &body, MAX_POST_LEN)
        .map_err(|error| Refusal::bad("request", error.to_string()))?;
    if body.as_slice().len() > MAX_NOTE_LEN {
        return Err(Refusal::too_large("a note", MAX_NOTE_LEN));
    }
    addressed(&state, &session, &to)?;
    let number = state.store.notes.post(session, to, body.0.into()).await?;
    let posted = NotePosted { number };
    Ok(json(StatusCode::CREATED, to_json(&posted).into()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct NotesQuery {
    /// The digest of the card.
    #[param(value_type = String, pattern = "^[0-9a-f]{64}$")]
    to: Digest,
    /// The number of the last note that was read.
    #[serde(default, deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
    after: u64,
    /// Seconds to wait for a note; 30 at most.
    #[serde(default, deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
    wait: u64,
}

async fn read(
    extract::State(state): extract::State<State>,
    In(session): In<Digest>,
    Asked(NotesQuery { to, after, wait }): Asked<NotesQuery>,
) -> Answer {
    addressed(&state, &session, &to)?;
    let wait = Duration::from_secs(wait).min(MAX_WAIT);
    let mut ending = state.ending.subscribe();
    let notes = &state.store.notes;
    let found = tokio::select! {
        found = notes.read(session, to, after, wait) => found?,
        () = raised(&mut ending) => notes.read(session, to, after, Duration::ZERO).await?,
    };
    let list = NoteList {
        next: found.last().map_or(after, |note| note.number),
        notes: found
            .into_iter()
            .map(|note| Note {
                number: note.number,
                body: note.body.as_ref().into(),
            })
            .collect(),
    };
    Ok(json(StatusCode::OK, to_json(&list).into()))
}

/// Refuses a card that the session's policy does not name.
fn addressed(state: &State, session: &Digest, card: &Digest) -> Result<(), Refusal> {
    if state.store.jobs.names(session, card) {
        return Ok(());
    }
    // Says so where there is no such session.
    state.store.jobs.require(session)?;
    let message = format!("the session's policy names no card {card}");
    Err(Refusal::not_found("unknown-party", message))
}
