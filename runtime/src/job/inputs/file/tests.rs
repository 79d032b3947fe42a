use std::io;

use bytes::Bytes;
use mc2_protocol::{
    Name, SecretKey,
    encoding::Hex,
    sealed::{
        associated_data,
        manifest::{Content, MediaType, SealedStream},
        seal_bytes,
    },
};
use mc2_wire::{
    Address,
    bulk::{ASK_LEN, BYTES_FOLLOW, reply},
    routes::BULK_PROTOCOL,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

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
            tokio::spawn(answer(stream, file.clone(), digests.clone()));
        }
    });
}

async fn answer(mut stream: UnixStream, file: Bytes, digests: Bytes) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let switched = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {BULK_PROTOCOL}\r\n\r\n"
    );
    stream.write_all(switched.as_bytes()).await?;
    loop {
        let mut ask = [0; ASK_LEN];
        stream.read_exact(&mut ask).await?;
        let ask = Ask::parse(&ask).unwrap();
        let whole = match ask.part {
            Part::File => &file,
            Part::Digests => &digests,
        };
        stream.write_all(&reply(BYTES_FOLLOW, ask.length)).await?;
        let part = &whole[ask.offset as usize..][..ask.length as usize];
        stream.write_all(part).await?;
    }
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
