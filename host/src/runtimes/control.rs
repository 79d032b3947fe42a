//! The control interface: HTTP requests from the host to a runtime, over the connections that
//! the runtime dialed and turned round.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use mc2_protocol::{documents::control::Problem, encoding::parse_json};
use mc2_wire::{Connection, json, problem};
use tokio::sync::Notify;

use crate::{refusal::Refusal, waiting::lock};

/// Most control connections of one runtime; it offers at most half as many.
pub(crate) const MAX_CONNECTIONS: usize = 32;

/// Largest problem passed on, in bytes.
const MAX_PROBLEM_LEN: usize = 64 * 1024;

/// The connections of one runtime.
#[derive(Default)]
pub(crate) struct Control {
    idle: Mutex<Idle>,
    arrived: Notify,
    connections: AtomicUsize,
    pub(super) in_use: AtomicUsize,
}

impl Control {
    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Whether a request is being answered or waits for a connection.
    pub(crate) fn in_use(&self) -> bool {
        self.in_use.load(Ordering::SeqCst) > 0
    }

    /// Serves one upgraded connection until it closes.
    pub(crate) async fn serve(
        &self,
        upgraded: hyper::upgrade::Upgraded,
    ) -> Result<(), hyper::Error> {
        let (connection, driver) = Connection::open(upgraded).await?;
        let _open = Counted::new(&self.connections);
        self.offer(connection);
        driver.await
    }

    /// Takes no further request.
    pub(crate) fn close(&self) {
        let mut idle = lock(&self.idle);
        idle.closed = true;
        idle.connections.clear();
        drop(idle);
        self.arrived.notify_waiters();
    }

    pub(super) fn offer(&self, connection: Connection) {
        let mut idle = lock(&self.idle);
        if !idle.closed {
            idle.connections.push_back(connection);
            drop(idle);
            self.arrived.notify_one();
        }
    }

    /// An idle connection, the one used last first; waits for one.
    pub(super) async fn take(&self) -> Connection {
        loop {
            let taken = lock(&self.idle).connections.pop_back();
            match taken {
                None => self.arrived.notified().await,
                Some(mut connection) => {
                    if connection.ready().await {
                        return connection;
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Idle {
    connections: VecDeque<Connection>,
    closed: bool,
}

/// What a runtime answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    /// The number of the job that the request began.
    pub(crate) job: Option<u64>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Whether it is a problem of this code.
    pub(crate) fn is_problem(&self, code: &str) -> bool {
        !self.status.is_success() && self.problem().is_some_and(|problem| problem.code == code)
    }

    /// What it says that is not 2xx.
    pub(crate) fn into_problem(self) -> Problem {
        match self.problem() {
            Some(said) if self.status.is_client_error() || self.status.is_server_error() => {
                Problem::new(self.status.as_u16(), &said.code, said.detail)
            }
            _ => {
                let message = format!("the runtime answered {} without saying why", self.status);
                Refusal::new(StatusCode::BAD_GATEWAY, "runtime-answer", message).into_problem()
            }
        }
    }

    fn problem(&self) -> Option<Problem> {
        parse_json("the runtime's problem", &self.body, MAX_PROBLEM_LEN).ok()
    }
}

impl IntoResponse for Answer {
    /// The answer as it came; of one that is not 2xx, its problem.
    fn into_response(self) -> Response {
        if self.status.is_success() {
            return json(self.status, self.body.into());
        }
        let retry_after = self.retry_after;
        let mut response = problem(&self.into_problem());
        if let Some(seconds) = retry_after {
            let seconds = u32::try_from(seconds.as_secs()).unwrap_or(u32::MAX);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Counts a number while it lives.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
