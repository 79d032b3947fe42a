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
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{TrySendError, http1::SendRequest};
use mc2_protocol::{
    control::{MAX_LEN, Problem},
    encoding::{parse_json, to_json},
};
use tokio::sync::Notify;

use super::{Runtime, lock};
use crate::refusal::{Refusal, json};

/// Most control connections of one runtime; it offers at most half as many.
pub(crate) const MAX_CONNECTIONS: usize = 32;

/// Most requests that a runtime is answering or has waiting.
const MAX_REQUESTS: usize = 128;

/// Largest problem passed on, in bytes.
const MAX_PROBLEM_LEN: usize = 64 * 1024;

type Sender = SendRequest<Full<Bytes>>;

/// The connections of one runtime.
#[derive(Default)]
pub(crate) struct Control {
    idle: Mutex<Idle>,
    arrived: Notify,
    connections: AtomicUsize,
    in_use: AtomicUsize,
}

#[derive(Default)]
struct Idle {
    senders: VecDeque<Sender>,
    closed: bool,
}

/// What a runtime answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Counts a number while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
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
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .handshake::<_, Full<Bytes>>(upgraded)
            .await?;
        let _open = Counted::new(&self.connections);
        self.offer(sender);
        connection.await
    }

    /// Takes no further request.
    pub(crate) fn close(&self) {
        let mut idle = lock(&self.idle);
        idle.closed = true;
        idle.senders.clear();
        drop(idle);
        self.arrived.notify_waiters();
    }

    fn offer(&self, sender: Sender) {
        let mut idle = lock(&self.idle);
        if !idle.closed {
            idle.senders.push_back(sender);
            drop(idle);
            self.arrived.notify_one();
        }
    }

    /// An idle connection, the one used last first; waits for one.
    async fn take(&self) -> Sender {
        loop {
            let taken = lock(&self.idle).senders.pop_back();
            match taken {
                None => self.arrived.notified().await,
                Some(mut sender) => {
                    if sender.ready().await.is_ok() {
                        return sender;
                    }
                }
            }
        }
    }
}

impl Runtime {
    /// Asks the runtime; `wait` bounds the time for a connection, `patience` that for the answer.
    ///
    /// # Errors
    /// The runtime is gone, does not answer in time, or answers without end.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
        patience: Duration,
    ) -> Result<Answer, Refusal> {
        self.ask_for(MAX_LEN, method, path, body, wait, patience)
            .await
    }

    /// As [`ask`](Self::ask), for an answer of at most `limit` bytes.
    pub(crate) async fn ask_for(
        &self,
        limit: usize,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
        patience: Duration,
    ) -> Result<Answer, Refusal> {
        let _used = Counted::new(&self.control.in_use);
        if self.control.in_use.load(Ordering::SeqCst) > MAX_REQUESTS {
            let message = format!("{MAX_REQUESTS} requests wait for this runtime; try again later");
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                message,
            ));
        }
        self.touch();
        let asking = self.ask_once(limit, method, path, body, wait, patience);
        let answer = tokio::select! {
            biased;
            answer = asking => answer,
            () = self.until_gone() => Err(self.gone_refusal()),
        };
        self.touch();
        answer
    }

    async fn ask_once(
        &self,
        limit: usize,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
        patience: Duration,
    ) -> Result<Answer, Refusal> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse()
            // Every path is made by mc2-protocol.
            .unwrap_or_else(|error| unreachable!("a path of the protocol: {error}"));
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("mc2-runtime"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        loop {
            let mut sender = tokio::time::timeout(wait, self.control.take())
                .await
                .map_err(|_| self.silent_refusal("offered no connection", wait))?;
            let answering = async {
                let (parts, body) = sender.try_send_request(request).await?.into_parts();
                let body = Limited::new(body, limit).collect().await;
                Ok::<_, TrySendError<_>>((parts.status, body))
            };
            let answered = tokio::time::timeout(patience, answering)
                .await
                .map_err(|_| self.silent_refusal("did not answer", patience))?;
            match answered {
                Ok((status, Ok(body))) => {
                    self.control.offer(sender);
                    return Ok(Answer {
                        status,
                        body: body.to_bytes(),
                    });
                }
                Ok((_, Err(error))) => {
                    let message = format!("the runtime's answer did not end well: {error}");
                    return Err(Refusal::new(
                        StatusCode::BAD_GATEWAY,
                        "runtime-answer",
                        message,
                    ));
                }
                Err(mut unsent) => match unsent.take_message() {
                    // The connection had closed before anything was sent on it.
                    Some(message) => request = message,
                    None => return Err(self.gone_refusal()),
                },
            }
        }
    }

    fn silent_refusal(&self, what: &str, waited: Duration) -> Refusal {
        let message = format!("the runtime {what} within {waited:?}{}", self.last_words());
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, "runtime-silent", message)
    }

    fn gone_refusal(&self) -> Refusal {
        let message = format!(
            "the runtime went away; open a new session{}",
            self.last_words()
        );
        Refusal::new(StatusCode::BAD_GATEWAY, "runtime-gone", message)
    }
}

impl Answer {
    /// Whether it is a problem of this code.
    pub(crate) fn is_problem(&self, code: &str) -> bool {
        !self.status.is_success() && self.problem().is_some_and(|problem| problem.code == code)
    }

    fn problem(&self) -> Option<Problem> {
        parse_json("the runtime's problem", &self.body, MAX_PROBLEM_LEN).ok()
    }
}

impl IntoResponse for Answer {
    /// The answer as it came; of one that is not 2xx, its problem.
    fn into_response(self) -> Response {
        if self.status.is_success() {
            return json(self.status, self.body);
        }
        match self.problem() {
            Some(problem) if self.status.is_client_error() || self.status.is_server_error() => {
                json(self.status, to_json(&problem))
            }
            _ => {
                let message = format!("the runtime answered {} without saying why", self.status);
                Refusal::new(StatusCode::BAD_GATEWAY, "runtime-answer", message).into_response()
            }
        }
    }
}
