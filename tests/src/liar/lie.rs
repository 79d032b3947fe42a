//! The ways to lie about one request and its answer.

use std::{convert::Infallible, fmt, io, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};

use super::asked::{Asked, Exchange};

/// Changes a body.
pub type Change = Arc<dyn Fn(&Asked, Vec<u8>) -> Vec<u8> + Send + Sync>;

/// One way to lie.
#[derive(Clone)]
pub enum Lie {
    /// Flips the lowest bit of this byte of the answer; from the end where it is negative.
    Flip(i64),
    /// Leaves away the last bytes, and says so.
    Cut(usize),
    /// Adds zeros, and says so.
    Grow(usize),
    /// Announces the whole answer and breaks off half way.
    Break,
    /// Announces this many bytes, and then sends none.
    Announce(u64),
    /// Sends bytes for ever.
    Endless,
    /// Sends a byte every fifth of a second, for ever.
    Drip,
    /// Never answers.
    Silent,
    /// Answers with this status and nothing useful.
    Status(u16),
    /// Sends the asker elsewhere.
    Redirect(String),
    /// Says that the answer is compressed.
    Gzip,
    /// Answers with these bytes, as if all were well.
    Bytes(Bytes),
    /// Changes the answer.
    Change(Change),
    /// Changes the request before the honest host sees it.
    Request(Change),
    /// Answers another question than was asked: the one of this path.
    Instead(String),
    /// Says that it was done, and does nothing.
    Swallow,
    /// Makes the answer of the request's body, and does nothing else.
    Answer(Change),
    /// Hangs up, and the honest host hears of nothing.
    Drop,
    /// Hangs up once the honest host has answered.
    Hangup,
    /// Passes it on, and never answers.
    Withhold,
    /// Passes it on after so long.
    Late(Duration),
    /// Passes it on after one that came later, if one comes soon.
    Overtaken,
    /// Passes it on twice, and the second answer with it.
    Twice,
    /// Passes on one that came before, and then this one.
    Replay(Box<Exchange>),
    /// Is honest, but looks at what passes, and loses it where this says no: a request before the
    /// honest host sees it, and its answer before the asker does.
    Watch(Watch),
}

/// Whether a request of this body, or its answer, may go on its way.
pub type Watch = Arc<dyn Fn(&Asked, &[u8], Moment) -> bool + Send + Sync>;

/// When something passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// On its way to the honest host.
    Before,
    /// On its way back.
    After,
}

impl Lie {
    /// A lie that changes the answer.
    pub fn change(change: impl Fn(&Asked, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Change(Arc::new(change))
    }

    /// Leaves the receipt out of a job's status, so that it is asked for by itself.
    pub fn without_receipt() -> Self {
        Self::change(|_, body| match serde_json::from_slice(&body) {
            Ok(serde_json::Value::Object(mut status)) => {
                status.remove("receipt");
                serde_json::Value::Object(status).to_string().into_bytes()
            }
            _ => body,
        })
    }

    /// A lie to the honest host.
    pub fn request(change: impl Fn(&Asked, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Request(Arc::new(change))
    }

    /// A lie made of the request's body.
    pub fn answer(make: impl Fn(&Asked, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Answer(Arc::new(make))
    }

    pub(super) fn tell(self, asked: &Asked, honest: Bytes, response: &mut Response) {
        let mut bytes = Vec::from(honest);
        let length = bytes.len();
        let half = Bytes::copy_from_slice(&bytes[..length / 2]);
        let mut announced = None;
        let body = match self {
            Self::Flip(at) if length > 0 => {
                let at = at.rem_euclid(length as i64) as usize;
                bytes[at] ^= 1;
                Body::from(bytes)
            }
            Self::Cut(cut) => {
                bytes.truncate(length.saturating_sub(cut));
                Body::from(bytes)
            }
            Self::Grow(more) => {
                bytes.resize(length + more, 0);
                Body::from(bytes)
            }
            Self::Break => {
                announced = Some(length as u64);
                let broken = Err(io::Error::other("the host breaks off"));
                Body::from_stream(stream::iter([Ok(half), broken]))
            }
            Self::Announce(length) => {
                announced = Some(length);
                Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
            }
            Self::Endless => {
                let zeros = Bytes::from_static(&[0; 64 * 1024]);
                Body::from_stream(stream::repeat_with(move || {
                    Ok::<_, Infallible>(zeros.clone())
                }))
            }
            Self::Drip => {
                announced = Some(length as u64);
                Body::from_stream(stream::unfold(Bytes::from(bytes), |mut rest| async move {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    let drop = rest.split_to(1.min(rest.len()));
                    Some((Ok::<_, Infallible>(drop), rest))
                }))
            }
            Self::Gzip => {
                let gzip = HeaderValue::from_static("gzip");
                response
                    .headers_mut()
                    .insert(header::CONTENT_ENCODING, gzip);
                Body::from(bytes)
            }
            Self::Bytes(other) => {
                if !response.status().is_success() {
                    *response.status_mut() = StatusCode::OK;
                }
                Body::from(other)
            }
            Self::Change(change) => Body::from(change(asked, bytes)),
            Self::Hangup => {
                announced = Some(length as u64 + 1);
                Body::from_stream(stream::iter([Err::<Bytes, _>(io::Error::other("gone"))]))
            }
            _ => Body::from(bytes),
        };
        response.headers_mut().remove(header::CONTENT_LENGTH);
        if let Some(announced) = announced {
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, announced.into());
        }
        *response.body_mut() = body;
    }
}

impl fmt::Debug for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flip(at) => write!(f, "Flip({at})"),
            Self::Cut(cut) => write!(f, "Cut({cut})"),
            Self::Grow(more) => write!(f, "Grow({more})"),
            Self::Break => f.write_str("Break"),
            Self::Announce(length) => write!(f, "Announce({length})"),
            Self::Endless => f.write_str("Endless"),
            Self::Drip => f.write_str("Drip"),
            Self::Silent => f.write_str("Silent"),
            Self::Status(status) => write!(f, "Status({status})"),
            Self::Redirect(to) => write!(f, "Redirect({to})"),
            Self::Gzip => f.write_str("Gzip"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Change(_) => f.write_str("Change"),
            Self::Request(_) => f.write_str("Request"),
            Self::Instead(path) => write!(f, "Instead({path})"),
            Self::Swallow => f.write_str("Swallow"),
            Self::Answer(_) => f.write_str("Answer"),
            Self::Drop => f.write_str("Drop"),
            Self::Hangup => f.write_str("Hangup"),
            Self::Withhold => f.write_str("Withhold"),
            Self::Late(time) => write!(f, "Late({time:?})"),
            Self::Overtaken => f.write_str("Overtaken"),
            Self::Twice => f.write_str("Twice"),
            Self::Replay(one) => write!(f, "Replay({} {})", one.asked.method, one.asked.path),
            Self::Watch(_) => f.write_str("Watch"),
        }
    }
}
