//! Bulk reads: a runtime's connection is turned over to a thread that sends it sealed bytes.

use std::{sync::Arc, thread, time::Duration};

use axum::{body::Body, extract};
use bytes::Bytes;
use http::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use mc2_wire::{Stream, bulk::Ask, routes::BULK_PROTOCOL};
use tokio::sync::oneshot;

use super::{
    Answer,
    extract::From,
    upgrade::{require, switched},
};
use crate::{
    refusal::Refusal,
    runtimes::MAX_BULK,
    state::State,
    store::blobs::Blob,
    transfer::bulk::{Found, Opened, Socket},
    waiting::raised,
};

/// How long a connection may be asked nothing: runtimes keep a few ready.
const IDLE: Duration = Duration::from_secs(600);
/// What a thread that answers needs of a stack.
const STACK: usize = 256 * 1024;

/// Exactly the bytes that are asked for.
fn part_of(bytes: &Bytes, ask: &Ask) -> Result<Bytes, Refusal> {
    let end = ask.offset.checked_add(u64::from(ask.length));
    match end.filter(|end| *end <= bytes.len() as u64) {
        // Both are within `bytes`.
        Some(end) => Ok(bytes.slice(ask.offset as usize..end as usize)),
        None => {
            let message = format!("the part has {} bytes", bytes.len());
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            Err(Refusal::new(status, "range", message))
        }
    }
}

/// Turns a connection over to bulk reads.
pub(super) async fn bulk(
    extract::State(state): extract::State<State>,
    From(runtime): From,
    mut request: Request<Body>,
) -> Answer {
    require(request.headers(), BULK_PROTOCOL)?;
    let Some(socket) = request.extensions().get::<Socket>().cloned() else {
        let message = "bulk reads need a connection without TLS";
        return Err(Refusal::bad("upgrade", message));
    };
    let Ok(place) = Arc::clone(&runtime.bulk).try_acquire_owned() else {
        let message = format!("{MAX_BULK} connections for bulk reads are open already");
        return Err(Refusal::busy("busy", message));
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else {
            return;
        };
        // Held until the end: with it the connection is closed. Nothing may have come before its time.
        let Ok(parts) = upgraded.downcast::<TokioIo<Box<dyn Stream>>>() else {
            return;
        };
        if !parts.read_buf.is_empty() {
            return;
        }
        let (done, ended) = oneshot::channel::<()>();
        let (answering, objects) = (socket.clone(), state.store.objects.clone());
        let (idle, stall) = (IDLE, state.config.timeouts.stall);
        let thread = thread::Builder::new()
            .name("bulk".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let ended = answering.answer(idle, stall, |ask| {
                    let found = objects.part(&ask.object, ask.part, ask.index as usize);
                    let found = found.and_then(|blob| match blob {
                        Blob::File(file) => {
                            let length = file.metadata()?.len();
                            Ok(Found::File(Opened { file, length }))
                        }
                        Blob::Bucket(blob) => blob.read(ask.offset, ask.length).map(Found::Bytes),
                        Blob::Bytes(bytes) => part_of(&bytes, ask).map(Found::Bytes),
                    });
                    found.map_err(|refusal| refusal.status.as_u16().into())
                });
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection for bulk reads ended early");
                }
                drop(done);
            });
        if let Err(error) = thread {
            tracing::warn!(%error, "no thread for bulk reads");
            return;
        }
        let mut ending = state.ending.subscribe();
        tokio::select! {
            _ = ended => {}
            () = raised(&mut ending) => socket.end(),
        }
        drop((parts, place));
    });
    Ok(switched(BULK_PROTOCOL))
}
