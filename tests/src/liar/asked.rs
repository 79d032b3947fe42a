//! What passes a host.

use axum::extract::Request;
use bytes::Bytes;
use http::{Method, StatusCode, Uri, header};

/// What somebody asked the host.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path without its query.
    pub path: String,
    /// The query.
    pub query: Option<String>,
    /// The first and last byte of the range that was asked for.
    pub range: Option<(u64, u64)>,
}

impl Asked {
    /// Whether this is a request of that method below that path.
    pub fn is(&self, method: &str, start: &str) -> bool {
        self.method == method && self.path.starts_with(start)
    }

    /// Whether it asks for a sealed file.
    pub fn is_file(&self) -> bool {
        self.method == Method::GET && self.path.contains("/files/")
    }

    /// Whether it asks for a list of segment digests.
    pub fn is_digests(&self) -> bool {
        self.method == Method::GET && self.path.contains("/digests/")
    }

    /// Whether it asks how far a job is.
    pub fn is_status(&self) -> bool {
        let last = self.path.rsplit_once('/').map(|(_, last)| last);
        let number = last.is_some_and(|last| last.parse::<u64>().is_ok());
        self.method == Method::GET && number && self.path.contains("/jobs/")
    }

    /// Whether it asks for a manifest.
    pub fn is_manifest(&self) -> bool {
        self.method == Method::GET && self.path.ends_with("/manifest")
    }

    pub(super) fn uri(&self) -> Uri {
        let Self { path, query, .. } = self;
        let text = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        };
        text.parse().expect("it was one")
    }

    pub(super) fn of(request: &Request) -> Self {
        let range = request.headers().get(header::RANGE);
        let range = range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
        let range = range.and_then(|range| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            range,
        }
    }
}

/// What was asked and what was answered, as the host saw it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request.
    pub asked: Asked,
    /// Its body.
    pub request: Bytes,
    /// The status of the answer.
    pub status: StatusCode,
    /// Its body.
    pub response: Bytes,
}
