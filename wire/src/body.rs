//! Bodies: sent from memory, received up to a limit.

use std::{
    convert::Infallible,
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use mc2_protocol::{documents::control::Problem, encoding::to_json};

use crate::error::ExchangeError;

/// Bytes that are sent at once.
#[derive(Clone, Debug, Default)]
pub struct Body(pub Bytes);

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// An answer of exactly these bytes of JSON.
pub fn json<B>(status: StatusCode, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The answer that a problem is.
pub fn problem<B: From<Vec<u8>>>(problem: &Problem) -> Response<B> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, to_json(problem).into());
    let media_type = HeaderValue::from_static(Problem::MEDIA_TYPE);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}

/// Receives a body of at most `limit` bytes, refusing more before they are kept.
///
/// # Errors
/// It is longer, or breaks off.
pub async fn read(mut body: Incoming, limit: usize) -> Result<BytesMut, ExchangeError> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        let announced = Some(announced);
        return Err(ExchangeError::TooLong { limit, announced });
    }
    let mut bytes = BytesMut::with_capacity(announced as usize);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // Trailers mean nothing here.
        let Ok(data) = frame.map_err(ExchangeError::CutOff)?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            let announced = None;
            return Err(ExchangeError::TooLong { limit, announced });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
