//! Jobs as the host sees them: how far each is, and its sealed receipt.

use std::time::Duration;

use axum::{extract, response::IntoResponse};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mc2_protocol::{
    Digest,
    documents::{
        hosting::{JobEntry, JobList},
        receipt,
        storage::JobStatus,
    },
    encoding::to_json,
};
use mc2_wire::{
    Request, json,
    routes::{receipt_path, template},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Answer,
    api::{Route, shapes},
    extract::{Asked, In, whole},
    objects::send,
};
use crate::{refusal::Refusal, state::State, store::jobs::Receipt, waiting::raised};

/// Longest wait for news of a job.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(30);

/// Entries of a list in one answer, unless stated.
const PAGE: usize = 100;
/// Most of them.
const MAX_PAGE: usize = 1000;

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(template::JOBS, list)
            .does("The jobs of a session, in the order of their numbers")
            .query::<ListQuery>()
            .answers::<shapes::JobList>(StatusCode::OK, "Some of them.")
            .refuses(404, &["unknown-session"]),
        Route::get(template::JOB, job_status)
            .does("How far a job is, by the host")
            .query::<StatusQuery>()
            .answers::<shapes::JobStatus>(StatusCode::OK, "At once where there is news.")
            .refuses(404, &["unknown-session", "unknown-job"])
            .refuses(410, &["session-over"]),
        Route::get(template::START, start_question)
            .does("What a job waits for before it starts")
            .explained(
                "For those who answer: the brokers and owners of the datasets, who look at their \
                 clocks and send the challenge back to the session, sealed.",
            )
            .answers::<shapes::StartQuestion>(StatusCode::OK, "The question.")
            .refuses(404, &["unknown-session", "unknown-job", "not-waiting"])
            .refuses(410, &["session-over"]),
        Route::get(template::RECEIPT, read_receipt)
            .does("A job's sealed receipt")
            .explained("From its runtime where the host has not stored it.")
            .ranges()
            .asks_runtime()
            .refuses(404, &["unknown-session", "unknown-job", "running", "lost"])
            .refuses(410, &["session-over"]),
    ]
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// The number to go on after.
    #[serde(default, deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
    after: u64,
    /// How many at most: 100 unless stated, and never more than 1,000.
    most: Option<usize>,
}

async fn list(
    extract::State(state): extract::State<State>,
    In(session): In<Digest>,
    Asked(ListQuery { after, most }): Asked<ListQuery>,
) -> Answer {
    let most = page(most);
    let jobs = state.store.jobs.list(session, after, most).await?;
    let jobs: Vec<JobEntry> = jobs
        .into_iter()
        .map(|(number, state)| JobEntry { number, state })
        .collect();
    let next = jobs.last().filter(|_| jobs.len() == most);
    let list = JobList {
        next: next.map(|job| job.number),
        jobs,
    };
    Ok(json(StatusCode::OK, to_json(&list).into()))
}

/// How many entries a page has.
pub(super) fn page(most: Option<usize>) -> usize {
    most.unwrap_or(PAGE).clamp(1, MAX_PAGE)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct StatusQuery {
    /// How many of its events were seen.
    #[serde(default, deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
    after: u64,
    /// Seconds to wait for news; 30 at most.
    #[serde(default, deserialize_with = "whole")]
    #[param(maximum = 9007199254740991_u64)]
    wait: u64,
    /// Whether the sealed receipt of a job that has ended is to come with the answer, where it is stored
    /// and has at most 256 KiB.
    #[serde(default)]
    receipt: bool,
}

async fn job_status(
    extract::State(state): extract::State<State>,
    In((session, number)): In<(Digest, u64)>,
    Asked(StatusQuery {
        after,
        wait,
        receipt,
    }): Asked<StatusQuery>,
) -> Answer {
    let wait = Duration::from_secs(wait).min(MAX_WAIT);
    let mut ending = state.ending.subscribe();
    let jobs = &state.store.jobs;
    let status = async |wait| match receipt {
        true => jobs.status_with_receipt(session, number, after, wait).await,
        false => Ok((jobs.status(session, number, after, wait).await?, None)),
    };
    let (status, receipt) = tokio::select! {
        status = status(wait) => status?,
        // The host is ending: what is known now.
        () = raised(&mut ending) => status(Duration::ZERO).await?,
    };
    Ok(json(StatusCode::OK, told(&status, receipt).into()))
}

/// A status with the receipt, which is JSON and goes as it is stored.
fn told(status: &JobStatus, receipt: Option<Bytes>) -> Vec<u8> {
    let mut body = to_json(status);
    if let Some(receipt) = receipt {
        // A status is an object with members.
        body.pop();
        body.extend_from_slice(b",\"receipt\":");
        body.extend_from_slice(&receipt);
        body.push(b'}');
    }
    body
}

async fn start_question(
    extract::State(state): extract::State<State>,
    In((session, number)): In<(Digest, u64)>,
) -> Answer {
    let question = state.store.jobs.start_question(session, number).await?;
    Ok(json(StatusCode::OK, question.to_bytes().into()))
}

async fn read_receipt(
    extract::State(state): extract::State<State>,
    In((session, number)): In<(Digest, u64)>,
    headers: HeaderMap,
) -> Answer {
    if let Receipt::Stored(file) = state.store.jobs.receipt(session, number).await? {
        return send(file, &headers, &state).await;
    }
    let running = || {
        let message = format!("job {number} has not ended yet");
        Refusal::not_found("running", message)
    };
    // It may have ended and its receipt not be stored yet.
    let Some(runtime) = state.runtimes.registry().of_session(&session) else {
        return Err(running());
    };
    let relay = state.config.timeouts.relay;
    let request = Request::get(receipt_path(&session, number), 2 * receipt::MAX_LEN);
    let answer = runtime.ask(&request.within(relay), relay).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return match state.store.jobs.receipt(session, number).await? {
            // Stored in the meantime.
            Receipt::Stored(file) => send(file, &headers, &state).await,
            Receipt::WithRuntime => Err(running()),
        };
    }
    Ok(answer.into_response())
}
