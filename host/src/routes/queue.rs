//! The queue: submissions that are left with the host, and what came of them.

use std::time::Duration;

use axum::extract;
use http::{HeaderMap, StatusCode};
use mc2_protocol::{
    Digest,
    documents::{
        hosting::{PARTY, TicketGiven, TicketId, TicketState},
        message,
    },
    encoding::to_json,
};
use mc2_wire::{json, problem, routes::template};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer,
    api::{Route, shapes},
    extract::{Asked, In, Sent, whole},
};
use crate::{
    queue::{Outcome, Progress},
    refusal::Refusal,
    state::State,
    waiting::raised,
};

/// Longest wait for an answer.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(template::JOBS, submit)
            .does("Leave a sealed submission, to be passed on when the session can start a job")
            .explained(
                "In turns between the parties of all sessions. Ask for the answer by the ticket; it \
                 is kept for ten minutes.",
            )
            .header(PARTY, true, shapes::text(), "Digest of the submitter's card.")
            .takes::<shapes::Message>()
            .answers::<Given>(StatusCode::ACCEPTED, "Kept until it is passed on.")
            .refuses(400, &["party"])
            .refuses(403, &["not-a-party"])
            .refuses(404, &["unknown-session"])
            .refuses(410, &["session-over"])
            .refuses(429, &["queue-full"])
            .refuses(503, &["runtime-absent"]),
        Route::get(template::TICKET, ticket)
            .does("What came of a submission that was left with the host")
            .explained("A submission that was not passed on, or not taken, is the problem it met.")
            .query::<TicketQuery>()
            .answers::<Ticket>(StatusCode::OK, "At once where it was answered.")
            .refuses(404, &["unknown-ticket"])
            .refuses(410, &["session-over"]),
    ]
}

/// By which a submission is asked for.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document, where it stands for TicketGiven"
)]
struct Given {
    /// 16 bytes in lower-case hexadecimal digits.
    ticket: String,
}

/// What came of a submission.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the document, where it stands for TicketState"
)]
struct Ticket {
    /// `queued` or `answered`.
    state: String,
    /// Where it is queued, the most that may be passed on before it.
    position: Option<u64>,
    /// Where it is answered, the session's sealed answer in base64.
    answer: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct TicketQuery {
    /// Seconds to wait for the answer; 30 at most.
    #[serde(default, deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
    wait: u64,
}

async fn submit(
    extract::State(state): extract::State<State>,
    In(session): In<Digest>,
    headers: HeaderMap,
    body: Sent,
) -> Answer {
    let party = headers.get(PARTY).and_then(|value| value.to_str().ok());
    let party = party.and_then(|text| text.parse::<Digest>().ok());
    let party = party.ok_or_else(|| {
        let message =
            format!("expected the header {PARTY} with the digest of the submitter's card");
        Refusal::bad("party", message)
    })?;
    let message = body.whole(message::MAX_LEN).await?;
    let ticket = state.queue.submit(session, party, message.clone()).await?;
    let given = TicketGiven { ticket };
    Ok(json(StatusCode::ACCEPTED, to_json(&given).into()))
}

async fn ticket(
    extract::State(state): extract::State<State>,
    In((session, ticket)): In<(Digest, TicketId)>,
    Asked(TicketQuery { wait }): Asked<TicketQuery>,
) -> Answer {
    let wait = Duration::from_secs(wait).min(MAX_WAIT);
    let mut ending = state.ending.subscribe();
    let progress = tokio::select! {
        progress = state.queue.ticket(session, ticket, wait) => progress?,
        // The host is ending: what is known now.
        () = raised(&mut ending) => state.queue.ticket(session, ticket, Duration::ZERO).await?,
    };
    let told = match progress {
        Progress::Queued { position } => TicketState::Queued {
            position: position as u64,
        },
        Progress::Ended(Outcome::Answered(answer)) => TicketState::Answered {
            answer: Vec::from(answer).into(),
        },
        Progress::Ended(Outcome::Refused(why)) => return Ok(problem(&why)),
    };
    Ok(json(StatusCode::OK, to_json(&told).into()))
}
