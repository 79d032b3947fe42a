//! What the host says of itself.

use std::sync::{Arc, OnceLock};

use axum::{extract, response::IntoResponse};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use mc2_protocol::encoding::to_json;
use mc2_wire::{
    json,
    routes::{HEALTH_PATH, METRICS_PATH, OPENAPI_PATH, READY_PATH, ROOT_PATH, VERSION_PATH},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, api::Route};
use crate::{config::Launcher, metrics, refusal::Refusal, state::State};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const WHAT: &str = "An MC² host: it keeps sealed data, starts enclave runtimes and passes sealed \
                    messages on. It can open nothing, and nothing it says is to be believed \
                    without a check: that is what mc2 and mc2-run do.";

/// The routes; `document` is their description, written once they all are known.
pub(super) fn routes(document: &Arc<OnceLock<Bytes>>) -> Vec<Route> {
    let document = Arc::clone(document);
    let openapi = move || {
        let document = document.get().cloned().unwrap_or_default();
        async move { json(StatusCode::OK, axum::body::Body::from(document)) }
    };
    vec![
        Route::get(ROOT_PATH, root)
            .does("What this is, and where to go on")
            .answers::<Root>(
                StatusCode::OK,
                "As JSON, or as a page where HTML is accepted.",
            )
            .answers_text("text/html", "As a page."),
        Route::get(OPENAPI_PATH, openapi)
            .does("This document")
            .answers::<Document>(StatusCode::OK, "OpenAPI 3.1."),
        Route::get(HEALTH_PATH, health)
            .does("Whether the host answers at all")
            .answers::<Health>(StatusCode::OK, "It does."),
        Route::get(READY_PATH, ready)
            .does("Whether the host can take work")
            .answers::<Ready>(StatusCode::OK, "It can.")
            .refuses(503, &["not-ready", "ending"])
            .refuses(507, &["disk-full"]),
        Route::get(VERSION_PATH, version)
            .does("Which release the host is of")
            .answers::<Version>(StatusCode::OK, "Its version."),
        Route::get(METRICS_PATH, metrics)
            .does("What the host counts, for Prometheus")
            .explained("How many and how long, never who or what: no label is a digest or a name.")
            .answers_text("text/plain", "Prometheus text, version 0.0.4."),
    ]
}

/// What this is, and where to go on.
#[derive(Serialize, ToSchema)]
struct Root {
    name: &'static str,
    version: &'static str,
    what: &'static str,
    /// The description of all routes.
    openapi: &'static str,
    health: &'static str,
    ready: &'static str,
    metrics: &'static str,
    /// What to type next.
    next: [&'static str; 2],
}

const ROOT: Root = Root {
    name: "mc2-host",
    version: VERSION,
    what: WHAT,
    openapi: OPENAPI_PATH,
    health: HEALTH_PATH,
    ready: READY_PATH,
    metrics: METRICS_PATH,
    next: ["mc2-run --help", "mc2 session --help"],
};

async fn root(headers: HeaderMap) -> Answer {
    let accepted = headers.get(header::ACCEPT);
    let html = accepted
        .and_then(|accepted| accepted.to_str().ok())
        .is_some_and(|accepted| accepted.contains("text/html"));
    if !html {
        return Ok(json(StatusCode::OK, to_json(&ROOT).into()));
    }
    let links = [
        OPENAPI_PATH,
        HEALTH_PATH,
        READY_PATH,
        VERSION_PATH,
        METRICS_PATH,
    ];
    let links: String = links
        .iter()
        .map(|path| format!("<li><a href=\"{path}\">{path}</a></li>\n"))
        .collect();
    let [one, other] = ROOT.next;
    // Nothing in it comes from a request.
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>MC² host</title>\n\
         <h1>mc2-host {VERSION}</h1>\n<p>{WHAT}</p>\n<ul>\n{links}</ul>\n\
         <p>On the command line: <code>{one}</code>, <code>{other}</code>.</p>\n</html>\n"
    );
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    Ok((html, page).into_response())
}

/// An OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document is text by then; this is its shape")]
struct Document {
    openapi: String,
    #[schema(value_type = Object)]
    info: (),
    #[schema(value_type = Object)]
    paths: (),
    #[schema(value_type = Object)]
    components: (),
}

/// How the host is.
#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
    version: &'static str,
    /// Runtime processes.
    runtimes: usize,
    /// Open sessions.
    sessions: usize,
}

async fn health(extract::State(state): extract::State<State>) -> Answer {
    let (runtimes, sessions) = state.runtimes.registry().count();
    let health = Health {
        status: "ok",
        version: VERSION,
        runtimes,
        sessions,
    };
    Ok(json(StatusCode::OK, to_json(&health).into()))
}

/// That the host can take work.
#[derive(Serialize, ToSchema)]
struct Ready {
    status: &'static str,
}

async fn ready(extract::State(state): extract::State<State>) -> Answer {
    if *state.ending.borrow() {
        return Err(Refusal::busy("ending", "the host is ending"));
    }
    let (runtimes, _) = state.runtimes.registry().count();
    if runtimes == 0 && matches!(state.config.launcher, Launcher::Connect) {
        let message = "no runtime has dialed in yet, and this host starts none";
        return Err(Refusal::busy("not-ready", message));
    }
    state.store.probe().await?;
    let ready = Ready { status: "ready" };
    Ok(json(StatusCode::OK, to_json(&ready).into()))
}

/// Which release this is.
#[derive(Serialize, ToSchema)]
struct Version {
    name: &'static str,
    version: &'static str,
    /// Version of all formats (docs/protocol.md).
    protocol: u32,
}

async fn version() -> Answer {
    let version = Version {
        name: "mc2-host",
        version: VERSION,
        protocol: mc2_protocol::VERSION,
    };
    Ok(json(StatusCode::OK, to_json(&version).into()))
}

async fn metrics(extract::State(state): extract::State<State>) -> Answer {
    let (runtimes, sessions) = state.runtimes.registry().count();
    let (object_bytes, component_bytes) = state.store.stored_bytes();
    let now = metrics::Now {
        runtimes,
        sessions,
        connections: state.clients.count(),
        uploads: state.store.uploads.count(),
        streams: state.streams.in_use(),
        queued: state.queue.len(),
        object_bytes,
        component_bytes,
    };
    let text = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    Ok((text, state.metrics.text(&now)).into_response())
}
