//! Bringing an object to a host, part by part. What breaks off goes on where it was: within one
//! process while the host is started again, and, for what was sealed before, in a later one.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use mc2_protocol::{
    Card, Digest, Manifest, Name, SecretKey,
    documents::storage::{self, Committed, UploadId, UploadProgress},
    encoding::{Hex, parse_json},
    sealed::DIGEST_LEN,
};
use mc2_wire::{Answer, routes};
use tokio::sync::mpsc;

use super::{Remote, RemoteError, TRANSFER_TIMEOUT};
use crate::{
    http::{HttpError, Request},
    seal::{
        PART_LEN, Sealed, Sink,
        object::{LocalObject, ObjectError},
        seal,
        source::Source,
    },
};

/// Parts that are sealed and not yet sent.
const PARTS_AHEAD: usize = 2;
/// How long a host that took parts before may be away.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause before a part is sent again, and the longest that a host is granted.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];
/// How often an upload is gone on with whose parts the host has not as they were sent.
const TRIES: u32 = 3;
const MAX_COMMITTED: usize = 64 * 1024;

/// A dataset on a host, and its key.
pub struct Uploaded {
    /// SHA-256 of the manifest.
    pub object: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The data key.
    pub key: SecretKey,
}

/// An upload on its way.
struct Sending<'r> {
    remote: &'r Remote,
    id: UploadId,
    /// Whether the host took something of it: from then on it is waited for where it is away.
    heard: AtomicBool,
}

impl Remote {
    /// Seals `source` as a version of `dataset` for `owner` and stores it while it is sealed.
    ///
    /// # Errors
    /// [`RemoteError`]; the host is then told to forget what it got.
    pub async fn upload(
        &self,
        source: Arc<Source>,
        dataset: &Name,
        owner: &Card,
        progress: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Uploaded, RemoteError> {
        let sending = Sending::new(self, upload_id());
        let (sender, pieces) = mpsc::channel(PARTS_AHEAD);
        let (dataset, owner) = (dataset.clone(), owner.clone());
        let sealing = tokio::task::spawn_blocking(move || {
            let mut sink = ChannelSink(sender);
            seal(&source, &dataset, &owner, &mut sink, &mut |done| {
                progress(done)
            })
        });
        let stored = sending.store(pieces).await;
        // Where storing failed, sealing fails for that reason alone.
        let sealed = sealing.await.map_err(|_| RemoteError::Ended)?;
        let result = match (stored, sealed) {
            (Err(error), _) => Err(error.into()),
            (Ok(()), Err(error)) => Err(error.into()),
            (Ok(()), Ok(sealed)) => sending.commit_sealed(sealed).await,
        };
        if result.is_err() {
            // The host forgets it by itself sooner or later.
            sending.forget().await;
        }
        result
    }

    /// Stores an object that was sealed before.
    ///
    /// # Errors
    /// [`RemoteError`]; the host is then told to forget what it got.
    pub async fn upload_sealed(
        &self,
        object: &LocalObject,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RemoteError> {
        let sending = Sending::new(self, upload_id());
        let result = sending.send(object, &BTreeMap::new(), progress).await;
        if result.is_err() {
            sending.forget().await;
        }
        result
    }

    /// Stores an object that was sealed before, under an id by which
    /// [`resume_sealed`](Self::resume_sealed) goes on, should it break off.
    ///
    /// # Errors
    /// [`RemoteError`]; what the host got stays there.
    pub async fn begin_sealed(
        &self,
        upload: UploadId,
        object: &LocalObject,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RemoteError> {
        let sending = Sending::new(self, upload);
        match sending.send(object, &BTreeMap::new(), progress).await {
            // The host lost what it had.
            Err(RemoteError::Http(error)) if error.code() == Some("offset") => {
                self.resume_sealed(upload, object, progress).await
            }
            other => other,
        }
    }

    /// Goes on with the upload of an object that was sealed before, wherever it broke off; by a later
    /// process, too.
    ///
    /// # Errors
    /// [`RemoteError`]; what the host got stays there for the next call.
    pub async fn resume_sealed(
        &self,
        upload: UploadId,
        object: &LocalObject,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RemoteError> {
        let sending = Sending::new(self, upload);
        let mut left = TRIES;
        loop {
            left -= 1;
            let Some(begun) = sending.progress().await? else {
                // Dropped, or committed by a call whose answer was lost.
                match sending.commit(object.id(), object.manifest_bytes()).await {
                    Err(RemoteError::Http(error)) if error.code() == Some("unknown-upload") => {}
                    committed => return committed,
                }
                return sending.send(object, &BTreeMap::new(), progress).await;
            };
            match sending.send(object, &begun, progress).await {
                Err(RemoteError::Http(error)) if left > 0 && error.code() == Some("offset") => {}
                other => return other,
            }
        }
    }
}

impl<'r> Sending<'r> {
    const fn new(remote: &'r Remote, id: UploadId) -> Self {
        Self {
            remote,
            id,
            heard: AtomicBool::new(false),
        }
    }

    /// How many bytes the host has of each stream that was begun, and of its digests; `None` where it
    /// knows no such upload.
    async fn progress(&self) -> Result<Option<BTreeMap<usize, [u64; 2]>>, RemoteError> {
        let path = routes::upload_path(&self.id);
        let call = Request::get(path, storage::MAX_PROGRESS_LEN).within(TRANSFER_TIMEOUT);
        let answer = match self.take(&call).await {
            Err(error) if error.code() == Some("unknown-upload") => return Ok(None),
            answer => answer?,
        };
        let begun = UploadProgress::parse(&answer.body)?.streams;
        let begun = begun.into_iter();
        Ok(Some(
            begun
                .map(|stream| (stream.index, [stream.file, stream.digests]))
                .collect(),
        ))
    }

    /// Sends what the host has not, and commits.
    async fn send(
        &self,
        object: &LocalObject,
        begun: &BTreeMap<usize, [u64; 2]>,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RemoteError> {
        let manifest = object.manifest();
        let mut done = 0;
        for index in 0..manifest.stream_count() {
            let [sent, digests_sent] = begun.get(&index).copied().unwrap_or_default();
            let file = object.file(index).map_err(ObjectError::from)?;
            let length = file.length().map_err(ObjectError::from)?;
            let segments = manifest.layout(index).segments() as usize;
            let digests = object.digests(index, segments * DIGEST_LEN);
            let digests = Bytes::from(digests.map_err(ObjectError::from)?);
            for (length, found) in [(length, sent), (digests.len() as u64, digests_sent)] {
                if found > length {
                    return Err(RemoteError::Progress {
                        index,
                        length,
                        found,
                    });
                }
            }
            done += sent;
            for offset in (sent..length).step_by(PART_LEN) {
                let mut part = vec![0; PART_LEN.min((length - offset) as usize)];
                file.read_at(offset, &mut part).map_err(ObjectError::from)?;
                done += part.len() as u64;
                let path = routes::upload_file_path(&self.id, index, offset);
                self.put(path, part.into()).await?;
                progress(done.min(manifest.length()));
            }
            self.put_digests(index, &digests, digests_sent as usize)
                .await?;
        }
        self.commit(object.id(), object.manifest_bytes()).await
    }

    async fn store(&self, mut pieces: mpsc::Receiver<Piece>) -> Result<(), HttpError> {
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Part(index, offset, bytes) => {
                    let path = routes::upload_file_path(&self.id, index, offset);
                    self.put(path, bytes.into()).await?;
                }
                Piece::Digests(index, digests) => {
                    self.put_digests(index, &Bytes::from(digests), 0).await?;
                }
            }
        }
        Ok(())
    }

    async fn commit_sealed(&self, sealed: Sealed) -> Result<Uploaded, RemoteError> {
        let Sealed {
            object,
            manifest,
            manifest_bytes,
            key,
        } = sealed;
        self.commit(&object, &manifest_bytes).await?;
        Ok(Uploaded {
            object,
            manifest,
            key,
        })
    }

    async fn commit(&self, object: &Digest, manifest: &[u8]) -> Result<(), RemoteError> {
        let path = routes::upload_commit_path(&self.id);
        let call = Request::post(path, manifest.to_vec(), MAX_COMMITTED).repeatable();
        let answer = self.take(&call.within(TRANSFER_TIMEOUT)).await?;
        let committed: Committed = parse_json("the commit", &answer.body, MAX_COMMITTED)?;
        if committed.object != *object {
            return Err(RemoteError::Committed {
                expected: *object,
                found: committed.object,
            });
        }
        Ok(())
    }

    /// Sends a list of digests from its byte `from` on.
    async fn put_digests(
        &self,
        index: usize,
        digests: &Bytes,
        from: usize,
    ) -> Result<(), HttpError> {
        for offset in (from..digests.len()).step_by(storage::MAX_PART_LEN) {
            let end = digests.len().min(offset + storage::MAX_PART_LEN);
            let path = routes::upload_digests_path(&self.id, index, offset as u64);
            self.put(path, digests.slice(offset..end)).await?;
        }
        Ok(())
    }

    async fn put(&self, path: String, bytes: Bytes) -> Result<(), HttpError> {
        let call = Request::put(path, bytes).within(TRANSFER_TIMEOUT);
        self.take(&call).await?;
        Ok(())
    }

    /// Sends a request until it is answered: a host that was there may be started again, or have
    /// enough to do. The same bytes at the same place again are no error.
    async fn take(&self, call: &Request) -> Result<Answer, HttpError> {
        let begun = Instant::now();
        loop {
            let error = match self.remote.client.send(call).await {
                Ok(answer) => {
                    self.heard.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let pause = match pause_for(&error) {
                Some(pause) if self.heard.load(Ordering::Relaxed) => pause,
                _ => return Err(error),
            };
            if begun.elapsed() + pause > PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Tells the host to forget what it got.
    async fn forget(&self) {
        let call = Request::delete(routes::upload_path(&self.id));
        let call = call.within(Duration::from_secs(2));
        let _ = self.remote.client.send(&call).await;
    }
}

/// How long to wait before a part is sent again that the host did not take; `None` where that would
/// not help.
fn pause_for(error: &HttpError) -> Option<Duration> {
    let [least, most] = PAUSES;
    match error {
        HttpError::Refused {
            status,
            retry_after,
            problem,
            ..
        } => {
            // The part that broke off is still being written.
            let writing = problem.code == "writing";
            let passing = writing || matches!(status, 429 | 502..=504);
            passing.then(|| retry_after.unwrap_or_default().clamp(least, most))
        }
        error => error.may_pass().then_some(least),
    }
}

enum Piece {
    Part(usize, u64, Vec<u8>),
    Digests(usize, Vec<u8>),
}

/// Hands what was sealed to the task that sends it.
struct ChannelSink(mpsc::Sender<Piece>);

impl Sink for ChannelSink {
    fn part(&mut self, index: usize, offset: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        let bytes = std::mem::take(bytes);
        self.0
            .blocking_send(Piece::Part(index, offset, bytes))
            .map_err(io::Error::other)
    }

    fn digests(&mut self, index: usize, digests: Vec<u8>) -> io::Result<()> {
        self.0
            .blocking_send(Piece::Digests(index, digests))
            .map_err(io::Error::other)
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Piece")
    }
}

/// A fresh id of an upload.
pub fn upload_id() -> UploadId {
    use rand_core::Rng as _;

    let mut id = [0; 16];
    crate::random().fill_bytes(&mut id);
    Hex(id)
}
