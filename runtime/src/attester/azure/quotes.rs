//! Where a TD of Azure's gets its quote: from the VM's own metadata service, at an address that only
//! the host beneath it answers (`POST /acc/tdquote`). The paravisor gives no other way to Intel's
//! quoting enclave.
//!
//! The service is the host's, and nothing it says is believed: it is shown a report that says nothing
//! secret, its answer is capped in size and time and held against the report, and whether Intel signed
//! it is for the verifier to say.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use hyper::header::{HOST, HeaderMap, HeaderValue};
use mc2_protocol::{documents::receipt::MAX_EVIDENCE_LEN, encoding::Base64Url};
use mc2_wire::{Address, Answer, Client, Failure, Request};
use serde::{Deserialize, Serialize};

use super::super::tsm::quoted_data;

/// TDREPORT_STRUCT, at the beginning of what the paravisor has as the hardware's report.
const REPORT_LEN: usize = 1024;
/// Its report data.
const REPORT_DATA: usize = 128;
const PATH: &str = "/acc/tdquote";
/// An answer's bytes: a quote in base64, and what JSON adds.
const MAX_ANSWER: usize = 2 * MAX_EVIDENCE_LEN;
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a quote is used before a new one is asked for: Intel's quoting enclave may have got another
/// TCB or key meanwhile.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long a service that gave no new quote is not asked for one again.
const PAUSE: Duration = Duration::from_secs(5 * 60);

/// The metadata service, and the last quote it gave: the report beneath a vTPM is made when the VM
/// starts, and so an old quote says the same as a new one.
pub(super) struct Quotes {
    service: Address,
    last: Mutex<Option<Quoted>>,
}

/// A report with its quote.
#[derive(Clone)]
struct Quoted {
    report: Vec<u8>,
    quote: Vec<u8>,
    /// When a new one is asked for.
    renew: Instant,
}

#[derive(Serialize)]
struct Asked {
    report: Base64Url,
}

#[derive(Deserialize)]
struct Answered {
    quote: Base64Url,
}

impl Quotes {
    pub(super) const fn of(service: Address) -> Self {
        Self {
            service,
            last: Mutex::new(None),
        }
    }

    /// The quote of what the paravisor has as the hardware's report. No lock is held while the service
    /// is asked.
    pub(super) fn of_report(&self, bytes: &[u8]) -> Result<Vec<u8>, QuoteError> {
        let report = bytes.get(..REPORT_LEN).ok_or(QuoteError::Report)?;
        self.at(Instant::now(), report, || self.ask(report))
    }

    /// The quote of a report: the last one for as long as it is fresh, or nobody answers who is asked
    /// for another.
    fn at(
        &self,
        now: Instant,
        report: &[u8],
        ask: impl FnOnce() -> Result<Vec<u8>, QuoteError>,
    ) -> Result<Vec<u8>, QuoteError> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last().clone().filter(|last| last.report == report);
        let (quote, renew) = match known {
            Some(known) if now < known.renew => return Ok(known.quote),
            Some(known) => match ask() {
                Ok(quote) => (quote, FRESH),
                Err(_) => (known.quote, PAUSE),
            },
            None => (ask()?, FRESH),
        };
        *last() = Some(Quoted {
            report: report.to_vec(),
            quote: quote.clone(),
            renew: now + renew,
        });
        Ok(quote)
    }

    fn ask(&self, report: &[u8]) -> Result<Vec<u8>, QuoteError> {
        let failed = |reason: String| QuoteError::Service {
            service: self.service.to_string(),
            reason,
        };
        let asked = Asked {
            report: Base64Url(report.to_vec()),
        };
        let asked = serde_json::to_vec(&asked).map_err(|_| QuoteError::Report)?;
        let request = Request::post(PATH.to_owned(), asked, MAX_ANSWER).within(TIMEOUT);
        let host = HeaderValue::from_static("169.254.169.254");
        let client = Client::new(self.service.clone(), HeaderMap::from_iter([(HOST, host)]));
        // A thread of its own, which may wait, whatever drives the one that asks for evidence.
        let answer = thread::scope(|scope| scope.spawn(|| exchange(&client, &request)).join());
        let answer = answer
            .unwrap_or_else(|_| Err("the runtime failed, ask again".to_owned()))
            .map_err(failed)?;
        if !answer.status.is_success() {
            return Err(failed(format!(
                "it answered with status {}",
                answer.status.as_u16()
            )));
        }
        let answer: Answered =
            serde_json::from_slice(&answer.body).map_err(|error| failed(error.to_string()))?;
        let Base64Url(quote) = answer.quote;
        if quote.len() > MAX_EVIDENCE_LEN {
            return Err(failed("its quote is too long".to_owned()));
        }
        let asked = &report[REPORT_DATA..REPORT_DATA + 64];
        if quoted_data(&quote).is_none_or(|data| data != asked) {
            return Err(failed("its quote is of another report".to_owned()));
        }
        Ok(quote)
    }
}

/// The answer, or in words why there is none.
fn exchange(client: &Client<Address>, request: &Request) -> Result<Answer, String> {
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    waiting
        .block_on(client.send(request))
        .map_err(|failure| match failure {
            Failure::Connect(error) => error.to_string(),
            Failure::TimedOut => format!("no answer within {} s", TIMEOUT.as_secs()),
            Failure::Exchange(error) => error.to_string(),
        })
}

/// Why there is no quote.
#[derive(Debug, thiserror::Error)]
pub(in crate::attester) enum QuoteError {
    /// The paravisor's report.
    #[error("the paravisor's report has no TD's report in it")]
    Report,
    /// The service.
    #[error(
        "asking Azure's metadata service ({service}) for the TD's quote: {reason}; the VM must reach \
         that address over its network, without a proxy"
    )]
    Service {
        /// Where it is.
        service: String,
        /// What was wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_renewed_after_an_hour_and_kept_where_nobody_gives_another() {
        let quotes = Quotes::of("tcp:127.0.0.1:1".parse().unwrap());
        let start = Instant::now();
        let at = |seconds: u64, report: &[u8], answer: Option<&[u8]>| {
            let mut asked = false;
            let quote = quotes.at(start + Duration::from_secs(seconds), report, || {
                asked = true;
                answer.map(<[u8]>::to_vec).ok_or(QuoteError::Report)
            });
            (quote.ok(), asked)
        };
        let given = |quote: &[u8], asked| (Some(quote.to_vec()), asked);
        assert_eq!(at(0, b"report", None), (None, true));
        assert_eq!(at(0, b"report", Some(b"first")), given(b"first", true));
        assert_eq!(at(3599, b"report", Some(b"new")), given(b"first", false));
        assert_eq!(at(3600, b"report", None), given(b"first", true));
        assert_eq!(at(3601, b"report", Some(b"new")), given(b"first", false));
        assert_eq!(at(3900, b"report", Some(b"new")), given(b"new", true));
        assert_eq!(at(7499, b"report", None), given(b"new", false));
        // Another report has no old quote.
        assert_eq!(at(7499, b"other", None), (None, true));
    }
}
