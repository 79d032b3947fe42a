use std::convert::Infallible;

use bytes::Bytes;
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use mc2_protocol::{
    Name, SecretKey,
    encoding::Hex,
    sealed::{
        associated_data,
        manifest::{Content, MediaType, SealedStream},
        seal_bytes,
    },
};
use mc2_wire::{Address, Body};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;
use crate::random;

/// A sealed file on an honest host.
struct Stored {
    file: SealedFile,
    cache: Arc<BlockCache>,
    _folder: TempDir,
}

impl Stored {
    fn new(length: usize, cache: usize) -> Self {
        let secret = SecretKey::generate(&mut random::rng());
        let dataset: Name = "data".parse().unwrap();
        let ad = associated_data(&dataset);
        let (sealed, file) =
            seal_bytes(&secret, &ad, 64 << 10, &vec![7; length], &mut random::rng());
        let content = Content::File(SealedStream::new(&file));
        let media_type = MediaType::octet_stream();
        let manifest = Manifest::new(dataset.clone(), media_type, 64 << 10, content, None).unwrap();
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("host.sock");
        serve(
            UnixListener::bind(&socket).unwrap(),
            sealed.into(),
            file.digests.into(),
        );
        let storage = Storage::new(Address::Unix(socket), Hex([0; 16]));
        let (storage, cache) = (Arc::new(storage), Arc::new(BlockCache::new(cache)));
        let key = DataKey {
            dataset,
            object: Digest::of(&manifest.to_bytes()),
            secret,
        };
        let shared = Arc::clone(&cache);
        let file = SealedFile::new(storage, shared, &key, &manifest, 0).unwrap();
        Self {
            file,
            cache,
            _folder: folder,
        }
    }
}

fn serve(listener: UnixListener, file: Bytes, digests: Bytes) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (file, digests) = (file.clone(), digests.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let whole = match request.uri().path().contains("/digests/") {
                    true => &digests,
                    false => &file,
                };
                let answer = part(whole, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
}

fn part(whole: &Bytes, request: &Request<Incoming>) -> Response<Body> {
    let range = request.headers()[header::RANGE].to_str().unwrap();
    let (first, last) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let mut response = Response::new(Body(whole.slice(first..=last)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response
}

/// Of what was fetched together one segment may stay in the cache when the others have left it.
#[tokio::test]
async fn a_cached_segment_keeps_nothing_else_alive() {
    let stored = Stored::new(4 << 20, 20 << 20);
    let inner = &stored.file.inner;
    stored.file.check_end().await.unwrap();
    inner.random(1 << 20, 1 << 20).await.unwrap();
    let first = inner.parts.touched(1 << 20, 1 << 20).first;
    let segment = |index| stored.cache.get(&inner.segment_key(index)).unwrap();
    for index in first..first + 15 {
        let (this, next) = (segment(index), segment(index + 1));
        assert_ne!(
            this.as_ptr_range().end,
            next.as_ptr(),
            "segments {index} and {} are slices of one block",
            index + 1
        );
    }
}

/// Who has not fetched what came for it holds the room it took.
#[tokio::test]
async fn what_has_come_and_was_not_taken_is_still_counted() {
    let stored = Stored::new(16 << 20, 0);
    stored.file.check_end().await.unwrap();
    let mut waiting = Vec::new();
    for chunk in 0..8 {
        let fetch = stored.file.inner.chunk(chunk).await;
        fetch.clone().await.unwrap();
        waiting.push(fetch);
    }
    assert!(stored.cache.try_reserve(1 << 20).is_none());
    waiting.pop();
    assert!(stored.cache.try_reserve(1 << 20).is_some());
}
