//! HTTP/1.1 to one place, over few connections, with nothing taken on trust.
//!
//! Every answer has a size it may not exceed, told before it is read, and a time it must come
//! within, which a slow drip does not stretch. Codings are refused. Whether an answer is good, and
//! whether asking again would help, is for whoever asked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use hyper_util::rt::TokioIo;

use crate::{
    address::Connect,
    connection::{Answer, Connection, Request},
    error::{ExchangeError, Failure},
};

/// Idle connections that are kept.
const MAX_IDLE: usize = 8;

/// A connection, or several, to one place.
pub struct Client<C> {
    connector: C,
    headers: HeaderMap,
    idle: Mutex<Vec<Connection>>,
}

impl<C: Connect> Client<C> {
    /// A client over `connector` that sends `headers`, `Host` among them, with each request;
    /// nothing is connected yet.
    pub const fn new(connector: C, headers: HeaderMap) -> Self {
        Self {
            connector,
            headers,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// What it connects with.
    pub const fn connector(&self) -> &C {
        &self.connector
    }

    /// Sends a request once and reads its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn send(&self, request: &Request) -> Result<Answer, Failure<C::Error>> {
        tokio::time::timeout(request.timeout, self.exchange(request))
            .await
            .unwrap_or(Err(Failure::TimedOut))
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, Failure<C::Error>> {
        while let Some(mut connection) = self.kept() {
            if !connection.ready().await {
                continue;
            }
            match connection.send(request, &self.headers).await {
                // Closed meanwhile: nothing was sent.
                Err(ExchangeError::Broken(error)) if error.is_canceled() => {}
                answer => return self.keep(connection, answer),
            }
        }
        let stream = self.connector.connect().await.map_err(Failure::Connect)?;
        let opened = Connection::open(TokioIo::new(stream)).await;
        let (mut connection, driver) = opened.map_err(|error| Failure::Exchange(error.into()))?;
        // It ends when the connection is dropped or the peer closes; an error reaches the request
        // that suffers from it.
        tokio::spawn(driver);
        let answer = connection.send(request, &self.headers).await;
        self.keep(connection, answer)
    }

    fn kept(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn keep(
        &self,
        connection: Connection,
        answer: Result<Answer, ExchangeError>,
    ) -> Result<Answer, Failure<C::Error>> {
        let mut idle = self.idle();
        if answer.is_ok() && idle.len() < MAX_IDLE && !connection.is_closed() {
            idle.push(connection);
        }
        answer.map_err(Failure::Exchange)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
