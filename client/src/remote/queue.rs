//! Leaving a submission with a host, and hearing what came of it (protocol.md §9).

use http::{HeaderName, HeaderValue};
use mc2_protocol::{
    Digest,
    documents::{
        hosting::{PARTY, TicketGiven, TicketId, TicketState},
        message,
    },
    encoding::parse_json,
};
use mc2_wire::routes;

use super::{Remote, RemoteError, TRANSFER_TIMEOUT};
use crate::http::Request;

/// An answer's base64, and what stands beside it.
const MAX_TICKET: usize = message::MAX_LEN * 4 / 3 + 4096;

impl Remote {
    /// Leaves a sealed submission of `party` with the host, which passes it on when it is its turn.
    ///
    /// # Errors
    /// [`RemoteError`]; 429 where the queue is full.
    pub async fn leave(
        &self,
        session: &Digest,
        party: &Digest,
        sealed: Vec<u8>,
    ) -> Result<TicketId, RemoteError> {
        let value = HeaderValue::from_str(&party.to_string())
            // Hexadecimal digits.
            .unwrap_or_else(|_| unreachable!("ASCII text"));
        let call = Request::post(routes::jobs_path(session), sealed, 4096)
            .with_header(HeaderName::from_static(PARTY), value)
            .within(TRANSFER_TIMEOUT);
        let answer = self.client.send(&call).await?;
        let given: TicketGiven = parse_json("the ticket", &answer.body, 4096)?;
        Ok(given.ticket)
    }

    /// What came of a submission that was left with the host, which waits for up to `wait` seconds
    /// for its turn.
    ///
    /// # Errors
    /// [`RemoteError`]; 404 `unknown-ticket` where the host keeps its answer no more.
    pub async fn ticket(
        &self,
        session: &Digest,
        ticket: &TicketId,
        wait: u64,
    ) -> Result<TicketState, RemoteError> {
        let path = routes::ticket_path(session, ticket);
        let call = Request::get(format!("{path}?wait={wait}"), MAX_TICKET);
        let answer = self.client.send(&call).await?;
        Ok(parse_json("the ticket's state", &answer.body, MAX_TICKET)?)
    }
}
