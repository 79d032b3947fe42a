//! A job's events as they come: server-sent events, as the HTML standard has them.
//!
//! Each sealed event has as its `id` how many there were with it, so that a client which comes back
//! with `Last-Event-ID` goes on where it was. The state is told whenever it changes; how a job ended
//! comes after all of its events, and ends the stream.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, extract, response::IntoResponse};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, header};
use mc2_protocol::{
    Digest,
    documents::{control::JobState, storage::JobStatus},
    encoding::to_json,
};
use mc2_wire::routes::template;
use serde::{Deserialize, Serialize};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use utoipa::IntoParams;

use super::{
    Answer,
    api::{Route, shapes},
    extract::{Asked, In, MOST, whole},
};
use crate::{refusal::Refusal, state::State, waiting::raised};

/// A word that the connection lives comes at least this often.
const SILENCE: Duration = Duration::from_secs(15);
/// Where too many wait for news of a job, it is looked for this often.
const PAUSE: Duration = Duration::from_secs(1);
/// A stream ends after this long; its client comes back where it was.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// By which a client says where it was.
const LAST_EVENT_ID: &str = "last-event-id";

/// The route.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(template::EVENTS, events)
            .does("A job's events as they come, as server-sent events")
            .explained(
                "`event: state` with `{\"state\": …}` whenever it changes, and `event: event` with \
                 a sealed event, whose `id` is how many there were with it. Ends with the job, \
                 or after an hour.",
            )
            .query::<EventsQuery>()
            .header(
                LAST_EVENT_ID,
                false,
                shapes::count(),
                "The `id` of the last event that was seen; outweighs `after`.",
            )
            .answers_events::<shapes::Told>("Events without end until the job's.")
            .refuses(400, &[LAST_EVENT_ID])
            .refuses(404, &["unknown-session", "unknown-job"])
            .refuses(410, &["session-over"])
            .refuses(503, &["busy"]),
    ]
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// How many of its events were seen.
    #[serde(default, deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
    after: u64,
}

async fn events(
    extract::State(state): extract::State<State>,
    In((session, number)): In<(Digest, u64)>,
    Asked(EventsQuery { after }): Asked<EventsQuery>,
    headers: HeaderMap,
) -> Answer {
    let after = last_event(&headers)?.unwrap_or(after);
    let first = state
        .store
        .jobs
        .status(session, number, after, Duration::ZERO)
        .await?;
    let Some(place) = state.streams.take() else {
        return Err(Refusal::busy(
            "busy",
            "too many streams of events are open; try again later, or ask for the job's status",
        ));
    };
    let told = Told {
        state,
        session,
        number,
        after,
        looked: Some(first),
        said: None,
        ended: false,
        until: Instant::now() + LONGEST,
        _place: place,
    };
    let body = Body::from_stream(stream::unfold(told, |mut told| async move {
        let text = told.more().await?;
        Some((Ok::<_, Infallible>(text), told))
    }));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

/// What a client says it has seen.
fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(stated) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let number = stated.to_str().ok().and_then(|text| text.parse().ok());
    let number = number.filter(|number| *number <= MOST);
    number.map(Some).ok_or_else(|| {
        let message = format!("expected a number as {LAST_EVENT_ID}, found {stated:?}");
        Refusal::bad(LAST_EVENT_ID, message)
    })
}

/// A stream of events on its way.
struct Told {
    state: State,
    session: Digest,
    number: u64,
    /// How many events were told.
    after: u64,
    /// What was found and is not told yet.
    looked: Option<JobStatus>,
    /// The state that was told last.
    said: Option<JobState>,
    ended: bool,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Told {
    /// What comes next, as soon as there is something; `None` at the end.
    async fn more(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let status = match self.looked.take() {
            Some(status) => status,
            None => self.look().await?,
        };
        let text = self.text(&status);
        self.after = status.next;
        let over = is_over(status.state) && status.events.is_empty();
        self.ended = over || Instant::now() >= self.until;
        // A comment keeps the connection where there is nothing new.
        Some(if text.is_empty() {
            ":\n\n".into()
        } else {
            text.into()
        })
    }

    /// How the job is once there is news, or after a while; `None` where nobody knows any more.
    async fn look(&self) -> Option<JobStatus> {
        let asked = Instant::now();
        let jobs = &self.state.store.jobs;
        let mut ending = self.state.ending.subscribe();
        let status = tokio::select! {
            status = jobs.status(self.session, self.number, self.after, SILENCE) => status.ok()?,
            () = raised(&mut ending) => return None,
        };
        let news = !status.events.is_empty() || self.said != Some(status.state);
        if !news {
            // Where many wait for it, the answer came at once.
            tokio::time::sleep(PAUSE.saturating_sub(asked.elapsed())).await;
        }
        Some(status)
    }

    fn text(&mut self, status: &JobStatus) -> String {
        let mut text = String::new();
        let before = status.next.saturating_sub(status.events.len() as u64);
        for (number, event) in (before + 1..).zip(&status.events) {
            message(&mut text, Some(number), "event", &to_json(event));
        }
        // How a job ended is the last word of it.
        let due = !is_over(status.state) || status.events.is_empty();
        if due && self.said != Some(status.state) {
            self.said = Some(status.state);
            let state = status.state;
            message(&mut text, None, "state", &to_json(&News { state }));
        }
        text
    }
}

const fn is_over(state: JobState) -> bool {
    matches!(state, JobState::Done | JobState::Failed | JobState::Lost)
}

#[derive(Serialize)]
struct News {
    state: JobState,
}

/// Appends one message; `data` is JSON, which has no line's end.
fn message(text: &mut String, id: Option<u64>, event: &str, data: &[u8]) {
    if let Some(id) = id {
        text.push_str(&format!("id: {id}\n"));
    }
    let data = String::from_utf8_lossy(data);
    text.push_str(&format!("event: {event}\ndata: {data}\n\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_the_standard_has_it() {
        let mut text = String::new();
        message(&mut text, None, "state", br#"{"state":"running"}"#);
        message(&mut text, Some(7), "event", br#"{"card":"x"}"#);
        let expected = "event: state\ndata: {\"state\":\"running\"}\n\n\
                        id: 7\nevent: event\ndata: {\"card\":\"x\"}\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn only_a_number_says_where_a_client_was() {
        let stated = |value: &str| {
            let value = http::HeaderValue::from_str(value).unwrap();
            last_event(&HeaderMap::from_iter([(
                http::HeaderName::from_static(LAST_EVENT_ID),
                value,
            )]))
        };
        assert_eq!(last_event(&HeaderMap::new()).unwrap(), None);
        assert_eq!(stated("12").unwrap(), Some(12));
        for text in [
            "",
            "-1",
            "1 2",
            "x",
            "9007199254740992",
            "99999999999999999999",
        ] {
            assert_eq!(stated(text).unwrap_err().code, LAST_EVENT_ID, "{text}");
        }
    }
}
