//! One runtime process, and what it is asked.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use mc2_wire::{ExchangeError, Request, routes::JOB_NUMBER};
use tokio::sync::{Semaphore, watch};

use super::{
    control::{Answer, Control, Counted},
    launch::Child,
};
use crate::{
    refusal::Refusal,
    runtime_id::RuntimeId,
    waiting::{lock, raised},
};

/// Most requests that a runtime is answering or has waiting.
const MAX_REQUESTS: usize = 128;

/// Most connections of one runtime that read in bulk.
pub(crate) const MAX_BULK: usize = 16;

/// The number of a job, by the header of an answer.
fn job_number(headers: &HeaderMap) -> Option<u64> {
    headers.get(JOB_NUMBER)?.to_str().ok()?.parse().ok()
}

/// One runtime process.
pub(crate) struct Runtime {
    pub(crate) id: RuntimeId,
    /// The connections it offers.
    pub(crate) control: Control,
    /// Places for its connections that read in bulk, a thread each.
    pub(crate) bulk: Arc<Semaphore>,
    /// The process, where the host started it.
    pub(crate) child: Option<Child>,
    /// Set for good once it is gone.
    pub(super) gone: watch::Sender<bool>,
    used: Mutex<Instant>,
    watched: AtomicBool,
    dialed: AtomicBool,
}

impl Runtime {
    pub(super) fn new(id: RuntimeId, child: Option<Child>) -> Arc<Self> {
        Arc::new(Self {
            id,
            control: Control::default(),
            bulk: Arc::new(Semaphore::new(MAX_BULK)),
            child,
            gone: watch::Sender::new(false),
            used: Mutex::new(Instant::now()),
            watched: AtomicBool::new(false),
            dialed: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }

    /// Notes that it was heard of or used.
    pub(crate) fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }

    /// When it was heard of or used last.
    pub(super) fn used(&self) -> Instant {
        *lock(&self.used)
    }

    /// Whether this is the first who asks, and so the one who waits for its end for the queue.
    pub(crate) fn begin_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::SeqCst)
    }

    /// Notes that it dialed in; whether for the first time.
    pub(super) fn dial(&self) -> bool {
        !self.dialed.swap(true, Ordering::SeqCst)
    }

    /// Whether it ever dialed in.
    pub(super) fn has_dialed(&self) -> bool {
        self.dialed.load(Ordering::SeqCst)
    }

    /// Comes back once it is gone.
    pub(crate) async fn until_gone(&self) {
        // The sender is `self`'s, so it cannot be dropped before.
        raised(&mut self.gone.subscribe()).await;
    }

    /// Why requests to it fail, for people.
    pub(crate) fn last_words(&self) -> String {
        match self.child.as_ref().map(Child::last_words) {
            Some(words) if !words.is_empty() => format!("; its last words: {words}"),
            _ => String::new(),
        }
    }

    /// Asks the runtime; `wait` bounds the time for a connection, and what the request says that
    /// for the answer.
    ///
    /// # Errors
    /// The runtime is gone, does not answer in time, or answers without end.
    pub(crate) async fn ask(&self, request: &Request, wait: Duration) -> Result<Answer, Refusal> {
        let _used = Counted::new(&self.control.in_use);
        if self.control.in_use.load(Ordering::SeqCst) > MAX_REQUESTS {
            let message = format!("{MAX_REQUESTS} requests wait for this runtime; try again later");
            return Err(Refusal::busy("busy", message));
        }
        self.touch();
        let answer = tokio::select! {
            biased;
            answer = self.ask_once(request, wait) => answer,
            () = self.until_gone() => Err(self.gone_refusal()),
        };
        self.touch();
        answer
    }

    async fn ask_once(&self, request: &Request, wait: Duration) -> Result<Answer, Refusal> {
        let name = HeaderValue::from_static("mc2-runtime");
        let headers = HeaderMap::from_iter([(header::HOST, name)]);
        loop {
            let mut connection = tokio::time::timeout(wait, self.control.take())
                .await
                .map_err(|_| self.silent_refusal("offered no connection", wait))?;
            let patience = request.timeout;
            let answer = tokio::time::timeout(patience, connection.send(request, &headers))
                .await
                .map_err(|_| self.silent_refusal("did not answer", patience))?;
            match answer {
                Ok(answer) => {
                    self.control.offer(connection);
                    return Ok(Answer {
                        status: answer.status,
                        retry_after: answer.retry_after,
                        job: job_number(&answer.headers),
                        body: answer.body.freeze(),
                    });
                }
                // The connection had closed before anything was sent on it.
                Err(ExchangeError::Broken(error)) if error.is_canceled() => {}
                Err(ExchangeError::Broken(_)) => return Err(self.gone_refusal()),
                Err(error) => {
                    let message = format!("the runtime's answer is not acceptable: {error}");
                    return Err(Refusal::new(
                        StatusCode::BAD_GATEWAY,
                        "runtime-answer",
                        message,
                    ));
                }
            }
        }
    }

    fn silent_refusal(&self, what: &str, waited: Duration) -> Refusal {
        let message = format!("the runtime {what} within {waited:?}{}", self.last_words());
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, "runtime-silent", message)
    }

    pub(super) fn gone_refusal(&self) -> Refusal {
        let message = format!(
            "the runtime went away; open a new session{}",
            self.last_words()
        );
        Refusal::new(StatusCode::BAD_GATEWAY, "runtime-gone", message)
    }
}
