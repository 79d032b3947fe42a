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
    let range = match asked.get(header::RANGE) {
        None => Some((0, length)),
        Some(range) => parse_range(range, length).filter(|(_, count)| *count <= longest),
    };
    let Some((start, count)) = range else {
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
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, count.into());
    if asked.contains_key(header::RANGE) {
        let content_range = format!("bytes {start}-{}/{length}", start + count - 1);
        headers.insert(header::CONTENT_RANGE, ascii(&content_range));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
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

/// First byte and number of bytes of `bytes=A-B` or `bytes=A-`, cut at the file's end.
fn parse_range(value: &HeaderValue, length: u64) -> Option<(u64, u64)> {
    let (first, last) = value
        .to_str()
        .ok()?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if first > last || first >= length {
        return None;
    }
    let last = last.min(length - 1);
    Some((first, last - first + 1))
}

fn unsatisfiable(length: u64, longest: u64) -> Response {
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
        let range = |text: &str| parse_range(&HeaderValue::from_str(text).unwrap(), 10);
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
        assert_eq!(parse_range(&HeaderValue::from_static("bytes=0-0"), 0), None);
    }
}
