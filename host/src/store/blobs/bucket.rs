//! A bucket: S3 or what speaks as it does, Azure, or Google Cloud Storage, through `object_store`.
//!
//! Writers call these functions where they may block. A name appears when all its bytes are there.

use std::{
    fs::File,
    io::{self, Read as _},
    str::FromStr as _,
    sync::Arc,
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderMap, StatusCode};
use object_store::{
    BackoffConfig, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig,
    WriteMultipart,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    path::Path,
};
use tokio::runtime::Handle;

use crate::{
    config::Storage,
    refusal::Refusal,
    transfer::outgoing::{Asked, head_of, unsatisfiable},
};

/// Bytes of one part of a file that is sent in several.
const PART: usize = 8 * 1024 * 1024;
/// Parts of one file on their way at once.
const AT_ONCE: usize = 4;
/// Seconds after which whoever found the bucket out of reach may ask again.
const AGAIN: u32 = 5;

/// A bucket, and where in it the host's files are; a clone is the same.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    tokio: Handle,
}

impl Bucket {
    /// Opens a bucket; nothing is asked of it yet. Must be called within a Tokio runtime.
    pub(super) fn open(storage: &Storage) -> Result<Self, BucketError> {
        let form = || BucketError::Url(storage.url.clone());
        let (scheme, rest) = storage.url.split_once("://").ok_or_else(form)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(form());
        }
        let url = format!("{scheme}://{bucket}");
        let store: Arc<dyn ObjectStore> = match scheme {
            "s3" => {
                let mut builder = AmazonS3Builder::from_env()
                    .with_url(url)
                    .with_retry(retry());
                for (name, value) in &storage.options {
                    builder = builder.with_config(AmazonS3ConfigKey::from_str(name)?, value);
                }
                Arc::new(builder.build()?)
            }
            "az" => {
                let builder = MicrosoftAzureBuilder::from_env();
                let mut builder = builder.with_url(url).with_retry(retry());
                for (name, value) in &storage.options {
                    builder = builder.with_config(AzureConfigKey::from_str(name)?, value);
                }
                Arc::new(builder.build()?)
            }
            "gs" => {
                let builder = GoogleCloudStorageBuilder::from_env();
                let mut builder = builder.with_url(url).with_retry(retry());
                for (name, value) in &storage.options {
                    builder = builder.with_config(GoogleConfigKey::from_str(name)?, value);
                }
                Arc::new(builder.build()?)
            }
            _ => return Err(form()),
        };
        Ok(Self {
            store,
            prefix: Path::parse(prefix).map_err(|_| form())?,
            tokio: Handle::current(),
        })
    }

    fn path(&self, name: &str) -> Path {
        // Names are made of digests, numbers and words.
        name.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// The file of this name, not asked for yet.
    pub(super) fn blob(&self, name: &str) -> BucketBlob {
        BucketBlob {
            store: Arc::clone(&self.store),
            path: self.path(name),
            tokio: self.tokio.clone(),
        }
    }

    /// How many bytes the file of this name has, if it is there.
    pub(super) fn length(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.tokio.block_on(self.store.head(&self.path(name))) {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// The names of what lies in a folder.
    pub(super) fn names(&self, folder: &str) -> Result<Vec<String>, Refusal> {
        let path = self.path(folder);
        let listed = self.store.list_with_delimiter(Some(&path));
        let listed = self.tokio.block_on(listed);
        let listed = listed.map_err(|error| unavailable(&error))?;
        let files = listed.objects.into_iter().map(|found| found.location);
        let all = listed.common_prefixes.into_iter().chain(files);
        Ok(all
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    /// All bytes of a small file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Bytes>, Refusal> {
        let path = self.path(name);
        let reading = async { self.store.get(&path).await?.bytes().await };
        match self.tokio.block_on(reading) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Stores a small file. May block.
    pub(crate) fn put(&self, name: &str, bytes: Bytes) -> Result<(), Refusal> {
        let path = self.path(name);
        let put = self.store.put(&path, bytes.into());
        let put = self.tokio.block_on(put);
        put.map_err(|error| unavailable(&error)).map(drop)
    }

    /// Stores all of a file that lies on this machine.
    pub(crate) fn put_file(&self, name: &str, file: &mut File) -> Result<(), Refusal> {
        if file.metadata()?.len() <= PART as u64 {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            return self.put(name, bytes.into());
        }
        let path = self.path(name);
        self.tokio.block_on(async {
            let begun = self.store.put_multipart(&path).await;
            let begun = begun.map_err(|error| unavailable(&error))?;
            let mut writing = WriteMultipart::new_with_chunk_size(begun, PART);
            match send_parts(&mut writing, file).await {
                Ok(()) => {
                    let finished = writing.finish().await;
                    finished.map_err(|error| unavailable(&error)).map(drop)
                }
                Err(refusal) => {
                    // Parts that stay behind are for the bucket's own rules to remove.
                    let _ = writing.abort().await;
                    Err(refusal)
                }
            }
        })
    }

    /// Removes every file whose name begins with `name` and a slash, and the file of that name.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Refusal> {
        let path = self.path(name);
        let removing = async {
            let below: Vec<_> = self.store.list(Some(&path)).try_collect().await?;
            for path in below.into_iter().map(|found| found.location).chain([path]) {
                match self.store.delete(&path).await {
                    Err(error) if !matches!(error, Error::NotFound { .. }) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        let removed: Result<(), Error> = self.tokio.block_on(removing);
        removed.map_err(|error| unavailable(&error))
    }
}

async fn send_parts(writing: &mut WriteMultipart, file: &mut File) -> Result<(), Refusal> {
    loop {
        let mut part = Vec::with_capacity(PART);
        file.take(PART as u64).read_to_end(&mut part)?;
        if part.is_empty() {
            return Ok(());
        }
        let capacity = writing.wait_for_capacity(AT_ONCE).await;
        capacity.map_err(|error| unavailable(&error))?;
        writing.put(part.into());
    }
}

/// A file in a bucket.
pub(crate) struct BucketBlob {
    store: Arc<dyn ObjectStore>,
    path: Path,
    tokio: Handle,
}

impl BucketBlob {
    /// Exactly these bytes of it. May block.
    ///
    /// # Errors
    /// 404, 416 where it has fewer, or the bucket is out of reach.
    pub(crate) fn read(&self, offset: u64, length: u32) -> Result<Bytes, Refusal> {
        let end = offset.saturating_add(length.into());
        let reading = self.store.get_range(&self.path, offset..end);
        match self.tokio.block_on(reading) {
            Ok(bytes) if bytes.len() == length as usize => Ok(bytes),
            Ok(_) => Err(short()),
            Err(Error::NotFound { .. }) => {
                let message = "no such object or part is stored here";
                Err(Refusal::not_found("not-found", message))
            }
            // Perhaps the range begins past the end, which buckets say in many ways.
            Err(error) => match self.tokio.block_on(self.store.head(&self.path)) {
                Ok(found) if found.size < end => Err(short()),
                _ => Err(unavailable(&error)),
            },
        }
    }

    /// The file as an answer, or the one range of it that was asked for; `None` where there is no
    /// such file.
    ///
    /// # Errors
    /// 416 as for files of this machine, or the bucket is out of reach.
    pub(crate) async fn send(
        self,
        headers: &HeaderMap,
        longest: u64,
    ) -> Result<Option<Response>, Refusal> {
        let asked = match Asked::parse(headers) {
            Ok(asked) => asked,
            Err(()) => return self.refuse_range(longest).await,
        };
        let range = match asked {
            Asked::All => None,
            Asked::From(first) => Some(GetRange::Offset(first)),
            Asked::Part { first, last } => Some(GetRange::Bounded(first..last.saturating_add(1))),
        };
        let options = GetOptions {
            range: range.clone(),
            ..GetOptions::default()
        };
        let found = match self.store.get_opts(&self.path, options).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            // Perhaps the range begins past the end, which buckets say in many ways.
            Err(error) if range.is_some() => {
                tracing::debug!(%error, "a bucket refused a range");
                return self.refuse_range(longest).await;
            }
            Err(error) => return Err(unavailable(&error)),
        };
        let (start, end) = (found.range.start, found.range.end);
        if range.is_some() && (end - start > longest || start >= end) {
            return Ok(Some(unsatisfiable(found.meta.size, longest)));
        }
        let length = found.meta.size;
        let body = Body::from_stream(found.into_stream());
        let mut response = Response::new(body);
        head_of(&mut response, start, end - start, length, range.is_some());
        Ok(Some(response))
    }

    async fn refuse_range(&self, longest: u64) -> Result<Option<Response>, Refusal> {
        match self.store.head(&self.path).await {
            Ok(found) => Ok(Some(unsatisfiable(found.size, longest))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// Requests are tried again for less time than whoever asked waits.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(20),
    }
}

fn short() -> Refusal {
    let message = "the part has fewer bytes than were asked for";
    Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", message)
}

fn unavailable(error: &Error) -> Refusal {
    // Paths in the bucket, and what it says of them, are not the client's business.
    tracing::error!(%error, "the bucket does not do what it was asked");
    let message = "the host's storage is out of reach; try again later";
    Refusal::busy("storage-unavailable", message).later(AGAIN)
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// Its address has another form.
    #[error(
        "expected s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX, found {0:?}"
    )]
    Url(String),
    /// An option is unknown or wrong, or one is missing.
    #[error(transparent)]
    Options(#[from] Error),
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}
