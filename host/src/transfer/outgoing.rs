//! Bodies going out: files, fast.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::{refusal::Refusal, waiting::lock};

/// Bytes read from a file at once: small enough to stay in the second-level cache between the
/// copy out of the page cache and the copy into the socket.
const CHUNK: usize = 128 * 1024;
/// Buffers kept for the next answers.
const POOLED: usize = 32;

/// A stored file as an answer, or the one range of it that was asked for.
///
/// # Errors
/// 416 for a range that begins past the end, is empty, or is longer than `longest`; or the file
/// cannot be read.
pub(crate) fn send_file(
    file: File,
    asked: &HeaderMap,
    buffers: &Buffers,
    longest: u64,
) -> Result<Response, Refusal> {
    let length = file.metadata()?.len();
    let ranged = asked.contains_key(header::RANGE);
    let Some((start, count)) = range_of(asked, length, longest) else {
        return Ok(unsatisfiable(length, longest));
    };
    let body = FileBody {
        file: Arc::new(file),
        buffers: buffers.clone(),
        offset: start,
        remaining: count,
        reading: None,
    };
    let mut response = Response::new(Body::new(body));
    head_of(&mut response, start, count, length, ranged);
    Ok(response)
}

/// Bytes in memory as an answer, as [`send_file`] sends those of a file.
pub(crate) fn send_bytes(bytes: &Bytes, asked: &HeaderMap, longest: u64) -> Response {
    let length = bytes.len() as u64;
    let Some((start, count)) = range_of(asked, length, longest) else {
        return unsatisfiable(length, longest);
    };
    // Both are within `bytes`.
    let part = bytes.slice(start as usize..(start + count) as usize);
    let mut response = Response::new(Body::from(part));
    let ranged = asked.contains_key(header::RANGE);
    head_of(&mut response, start, count, length, ranged);
    response
}

/// The first byte and the number of bytes that are asked for of `length`; `None` where they are not
/// there, or are a range of more than `longest`.
fn range_of(asked: &HeaderMap, length: u64, longest: u64) -> Option<(u64, u64)> {
    let ranged = asked.contains_key(header::RANGE);
    let range = Asked::parse(asked).ok().and_then(|it| it.within(length));
    range.filter(|(_, count)| !ranged || *count <= longest)
}

/// Says in an answer's head which bytes of a file of `length` bytes its body has.
pub(crate) fn head_of(response: &mut Response, start: u64, count: u64, length: u64, ranged: bool) {
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, count.into());
    if ranged {
        let content_range = format!("bytes {start}-{}/{length}", start + count - 1);
        headers.insert(header::CONTENT_RANGE, ascii(&content_range));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
}

/// Which bytes of a file are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of them.
    All,
    /// `bytes=A-`
    From(u64),
    /// `bytes=A-B`
    Part {
        /// The first byte.
        first: u64,
        /// The last byte, which may be past the end.
        last: u64,
    },
}

impl Asked {
    /// What a request's headers ask for.
    ///
    /// # Errors
    /// A range of another form.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, ()> {
        let Some(range) = headers.get(header::RANGE) else {
            return Ok(Self::All);
        };
        let range = range.to_str().ok().and_then(|it| it.strip_prefix("bytes="));
        let (first, last) = range.and_then(|it| it.split_once('-')).ok_or(())?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten().ok_or(())
        };
        let first = number(first)?;
        if last.is_empty() {
            return Ok(Self::From(first));
        }
        let last = number(last)?;
        if first > last {
            return Err(());
        }
        Ok(Self::Part { first, last })
    }

    /// The first byte and the number of bytes of a file of `length` bytes; `None` where a range
    /// begins past its end.
    pub(crate) fn within(self, length: u64) -> Option<(u64, u64)> {
        let (first, last) = match self {
            Self::All => return Some((0, length)),
            Self::From(first) => (first, u64::MAX),
            Self::Part { first, last } => (first, last),
        };
        let end = last.saturating_add(1).min(length);
        (first < end).then(|| (first, end - first))
    }
}

/// Buffers that were touched before: a fresh one costs a page fault every 4 KiB.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Box<[u8]>>>>);

impl Buffers {
    fn take(&self) -> Buffer {
        let pooled = lock(&self.0).pop();
        Buffer {
            bytes: pooled.unwrap_or_else(|| vec![0; CHUNK].into()),
            filled: 0,
            home: self.clone(),
        }
    }
}

struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
    home: Buffers,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = lock(&self.home.0);
        if pool.len() < POOLED {
            pool.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Reads the bytes `offset..offset + length` of a file as an HTTP body.
///
/// What the page cache holds is read at once; only what it does not hold costs a change of
/// thread.
struct FileBody {
    file: Arc<File>,
    buffers: Buffers,
    offset: u64,
    remaining: u64,
    reading: Option<JoinHandle<io::Result<Buffer>>>,
}

impl FileBody {
    fn read_now(&mut self, mut buffer: Buffer, wanted: usize) -> Result<Buffer, Buffer> {
        let mut slices = [IoSliceMut::new(&mut buffer.bytes[..wanted])];
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        match rustix::io::preadv2(&self.file, &mut slices, self.offset, flags) {
            Ok(read) if read > 0 => {
                buffer.filled = read;
                Ok(buffer)
            }
            // Not cached, at the end, or a file system that cannot say: the slow path decides.
            _ => Err(buffer),
        }
    }

    fn read_later(&self, mut buffer: Buffer, wanted: usize) -> JoinHandle<io::Result<Buffer>> {
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        tokio::task::spawn_blocking(move || {
            file.read_exact_at(&mut buffer.bytes[..wanted], offset)?;
            buffer.filled = wanted;
            Ok(buffer)
        })
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let buffer = if let Some(reading) = &mut self.reading {
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            read.map_err(io::Error::other)??
        } else {
            let buffer = self.buffers.take();
            let wanted = usize::try_from(self.remaining).map_or(CHUNK, |n| n.min(CHUNK));
            match self.read_now(buffer, wanted) {
                Ok(buffer) => buffer,
                Err(buffer) => {
                    self.reading = Some(self.read_later(buffer, wanted));
                    return self.poll_frame(context);
                }
            }
        };
        self.offset += buffer.filled as u64;
        self.remaining -= buffer.filled as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(buffer)))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// 416, for a file of `length` bytes.
pub(crate) fn unsatisfiable(length: u64, longest: u64) -> Response {
    let message = format!(
        "expected one range bytes=A-B of at most {longest} bytes that begins before byte {length}"
    );
    let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", message);
    let mut response = refusal.into_response();
    let content_range = format!("bytes */{length}");
    response
        .headers_mut()
        .insert(header::CONTENT_RANGE, ascii(&content_range));
    response
}

fn ascii(text: &str) -> HeaderValue {
    // Digits, letters, spaces and slashes alone.
    HeaderValue::from_str(text).unwrap_or_else(|_| unreachable!("ASCII text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_range_within_the_file_is_taken() {
        let asked = |text: &str, length| {
            let range = HeaderValue::from_str(text).unwrap();
            let headers = HeaderMap::from_iter([(header::RANGE, range)]);
            Asked::parse(&headers).ok()?.within(length)
        };
        let range = |text: &str| asked(text, 10);
        assert_eq!(range("bytes=0-9"), Some((0, 10)));
        assert_eq!(range("bytes=9-9"), Some((9, 1)));
        assert_eq!(range("bytes=4-100"), Some((4, 6)));
        assert_eq!(range("bytes=4-"), Some((4, 6)));
        for text in [
            "bytes=10-10",
            "bytes=5-4",
            "bytes=-3",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=+1-2",
            "bytes=0-99999999999999999999",
            "bytes=",
            "bytes=-",
        ] {
            assert_eq!(range(text), None, "{text}");
        }
        assert_eq!(asked("bytes=0-0", 0), None);
        let everything = Asked::parse(&HeaderMap::new()).unwrap();
        assert_eq!(everything.within(0), Some((0, 0)));
    }
}
