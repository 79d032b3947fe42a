//! The inputs as the engine's object store: a fixed list of files, read only.
//!
//! Reads are exact ranges. A sealed file is decrypted in segments of 64 KiB, so ranges that lie
//! closer to one another than a segment are read as one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use mc2_guest::{InputFile, RandomReader};
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, path::Path,
};

use crate::progress::Progress;

/// Ranges with less than this between them are read together.
const GAP: u64 = 64 * 1024;
/// The longest read that ranges are put together to.
const LONGEST: u64 = 4 << 20;
/// How much of a file read from start to end is read at once.
const BLOCK: u64 = 512 * 1024;
/// Files held open.
const OPEN: usize = 16;

/// All files of all tables.
pub(crate) struct InputStore {
    files: Mutex<BTreeMap<Path, Arc<Entry>>>,
    open: Mutex<VecDeque<(Path, Arc<RandomReader>)>>,
    progress: Arc<Progress>,
}

struct Entry {
    table: String,
    /// What errors call it.
    name: String,
    file: InputFile,
    /// How far the file has been read.
    read: AtomicU64,
}

impl InputStore {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        Self {
            files: Mutex::default(),
            open: Mutex::default(),
            progress,
        }
    }

    /// Adds a file of a table under a path.
    pub(crate) fn add(&self, path: Path, table: &str, file: InputFile) -> ObjectMeta {
        let entry = Entry {
            table: table.to_owned(),
            name: file.path().display().to_string(),
            file,
            read: AtomicU64::new(0),
        };
        let meta = meta(&path, &entry);
        lock(&self.files).insert(path, Arc::new(entry));
        meta
    }

    /// Takes a file out again, which nothing reads yet.
    pub(crate) fn remove(&self, path: &Path) {
        lock(&self.files).remove(path);
    }

    /// The bytes in all files of these tables; they count as not yet read.
    pub(crate) fn start_reading(&self, tables: &BTreeSet<String>) -> u64 {
        let files = lock(&self.files);
        let files = files.values().filter(|entry| tables.contains(&entry.table));
        files
            .map(|entry| {
                entry.read.store(0, Ordering::Relaxed);
                entry.file.len()
            })
            .sum()
    }

    fn entry(&self, path: &Path) -> Result<Arc<Entry>> {
        lock(&self.files)
            .get(path)
            .cloned()
            .ok_or_else(|| Error::NotFound {
                path: path.to_string(),
                source: "no input has this file".into(),
            })
    }

    fn reader(&self, path: &Path, entry: &Entry) -> Result<Arc<RandomReader>> {
        let mut open = lock(&self.open);
        if let Some(found) = open.iter().position(|(opened, _)| opened == path) {
            return Ok(Arc::clone(&open[found].1));
        }
        let reader = entry
            .file
            .random()
            .map_err(|error| failed(&entry.name, error.to_string()))?;
        let reader = Arc::new(reader);
        if open.len() == OPEN {
            open.pop_front();
        }
        open.push_back((path.clone(), Arc::clone(&reader)));
        Ok(reader)
    }

    fn read(&self, path: &Path, entry: &Entry, range: Range<u64>) -> Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start))
            .map_err(|_| failed(&entry.name, "a read larger than memory".to_owned()))?;
        let mut buffer = vec![0; length];
        self.reader(path, entry)?
            .read_exact_at(&mut buffer, range.start)
            .map_err(|error| failed(&entry.name, error.to_string()))?;
        self.note(entry, &range);
        Ok(Bytes::from(buffer))
    }

    /// Moves the progress on. What is at a file's very end is an index of what is before it.
    fn note(&self, entry: &Entry, range: &Range<u64>) {
        let length = entry.file.len();
        let index = length - (length / 16).min(512 * 1024);
        let end = if range.start >= index && range.start > 0 {
            0
        } else {
            range.end
        };
        let before = entry.read.fetch_max(end, Ordering::Relaxed);
        self.progress
            .advance(&entry.table, end.saturating_sub(before));
    }
}

#[async_trait]
impl ObjectStore for InputStore {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let entry = self.entry(path)?;
        let meta = meta(path, &entry);
        let range = match &options.range {
            Some(range) => range
                .as_range(meta.size)
                .map_err(|error| failed(&entry.name, error.to_string()))?,
            None => 0..meta.size,
        };
        let payload = if options.head {
            stream::empty().boxed()
        } else if range.end - range.start <= BLOCK {
            let bytes = self.read(path, &entry, range.clone());
            stream::once(async move { bytes }).boxed()
        } else {
            let reader = self.reader(path, &entry)?;
            let progress = Arc::clone(&self.progress);
            let state = (range.clone(), reader, entry, progress);
            stream::try_unfold(state, |(rest, reader, entry, progress)| async move {
                if rest.is_empty() {
                    return Ok(None);
                }
                let block = rest.start..rest.end.min(rest.start + BLOCK);
                // At most `BLOCK`, which is a `usize`.
                let mut buffer = vec![0; (block.end - block.start) as usize];
                reader
                    .read_exact_at(&mut buffer, block.start)
                    .map_err(|error| failed(&entry.name, error.to_string()))?;
                let before = entry.read.fetch_max(block.end, Ordering::Relaxed);
                progress.advance(&entry.table, block.end.saturating_sub(before));
                let rest = block.end..rest.end;
                Ok(Some((Bytes::from(buffer), (rest, reader, entry, progress))))
            })
            .boxed()
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range,
            attributes: Attributes::new(),
        })
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let entry = self.entry(path)?;
        if let Some(past) = ranges.iter().find(|range| range.end > entry.file.len()) {
            return Err(failed(
                &entry.name,
                format!(
                    "a read of bytes {} to {} of a file of {}",
                    past.start,
                    past.end,
                    entry.file.len()
                ),
            ));
        }
        let mut parts = Vec::new();
        for range in merged(ranges) {
            parts.push((range.start, self.read(path, &entry, range)?));
        }
        Ok(ranges
            .iter()
            .map(|range| {
                // Every range lies in the part that starts last at or before its start.
                let part = parts.partition_point(|(start, _)| *start <= range.start) - 1;
                let (start, bytes) = &parts[part];
                let from = (range.start - start) as usize;
                bytes.slice(from..from + range.end.saturating_sub(range.start) as usize)
            })
            .collect())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let files = lock(&self.files);
        let listed: Vec<_> = files
            .iter()
            .filter(|(path, _)| {
                path.prefix_match(&prefix)
                    .is_some_and(|rest| rest.count() > 0)
            })
            .map(|(path, entry)| Ok(meta(path, entry)))
            .collect();
        stream::iter(listed).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let mut folders = BTreeSet::new();
        let mut objects = Vec::new();
        for (path, entry) in lock(&self.files).iter() {
            let Some(mut rest) = path.prefix_match(&prefix) else {
                continue;
            };
            let Some(first) = rest.next() else { continue };
            if rest.next().is_some() {
                folders.insert(prefix.clone().join(first));
            } else {
                objects.push(meta(path, entry));
            }
        }
        Ok(ListResult {
            common_prefixes: folders.into_iter().collect(),
            objects,
        })
    }

    async fn put_opts(&self, path: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only(path))
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only(path))
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        paths.map(|path| Err(read_only(&path?))).boxed()
    }

    async fn copy_opts(&self, _: &Path, to: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only(to))
    }
}

impl fmt::Display for InputStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/in")
    }
}

impl fmt::Debug for InputStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InputStore")
    }
}

fn meta(path: &Path, entry: &Entry) -> ObjectMeta {
    ObjectMeta {
        location: path.clone(),
        // Inputs do not change, and their times are nobody's business.
        last_modified: Default::default(),
        size: entry.file.len(),
        e_tag: None,
        version: None,
    }
}

/// The reads that cover all of `ranges`, in order.
fn merged(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<_> = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last)
                if range.end <= last.end
                    || range.start < last.end
                    || (range.start - last.end < GAP && range.end - last.start <= LONGEST) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    merged
}

fn failed(name: &str, what: String) -> Error {
    Error::Generic {
        store: "/in",
        source: format!("reading {name}: {what}").into(),
    }
}

fn read_only(path: &Path) -> Error {
    Error::NotSupported {
        source: format!("{path}: inputs cannot be written").into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
