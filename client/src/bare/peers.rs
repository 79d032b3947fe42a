//! Streams between the instances of a bare run.
//!
//! Plain Wasmtime reads and writes files of this machine at offsets, which a named pipe has none
//! of. So `/run/mc2/peers/N/in` and `out` are empty files that stand for pipes in memory: who asks
//! for a stream of one of them is given the pipe's instead.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;
use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi::{
    async_trait,
    filesystem::{Descriptor, WasiFilesystemView as _},
    p2::{
        DynInputStream, DynOutputStream, FsResult, InputStream, OutputStream, Pollable,
        StreamError, StreamResult,
        bindings::filesystem::types::{ErrorCode, Host as _, HostDescriptor as _},
    },
};

use super::{BareError, engine::State, io_error};

/// What a stream holds before its writer waits, as in an enclave.
const CAPACITY: usize = 256 * 1024;
const FILES: &str = "wasi:filesystem/types@0.2.12";

/// The pipes between all instances of a run, by the files that stand for them.
#[derive(Default)]
pub(super) struct Streams {
    pipes: Vec<Pipe>,
    /// File system and number of a file.
    files: HashMap<(u64, u64), (usize, Side)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Reads,
    Writes,
}

/// One pipe, and whose it is.
struct Pipe {
    from: u32,
    to: u32,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    writers: usize,
    /// Nothing more comes.
    closed: bool,
    /// Nobody reads any more.
    gone: bool,
}

impl Streams {
    /// Makes the files of `instances` instances, each in the folder that `control` names.
    pub(super) fn make(
        instances: u32,
        control: impl Fn(u32) -> std::path::PathBuf,
    ) -> Result<Self, BareError> {
        let mut streams = Self::default();
        for from in 0..instances {
            for to in (0..instances).filter(|to| *to != from) {
                let pipe = streams.pipes.len();
                let out = control(from).join(format!("peers/{to}/out"));
                let into = control(to).join(format!("peers/{from}/in"));
                for (path, side) in [(out, Side::Writes), (into, Side::Reads)] {
                    let file = empty_file(&path).map_err(io_error("cannot make", &path))?;
                    streams.files.insert(id(&file), (pipe, side));
                }
                streams.pipes.push(Pipe {
                    from,
                    to,
                    inner: Mutex::default(),
                    changed: Notify::new(),
                });
            }
        }
        Ok(streams)
    }

    /// An instance has succeeded: its streams end, and nobody reads those to it.
    pub(super) fn ended(&self, instance: u32) {
        for pipe in &self.pipes {
            if pipe.from == instance {
                pipe.change(|inner| inner.closed = true);
            }
            if pipe.to == instance {
                pipe.change(|inner| inner.gone = true);
            }
        }
    }

    /// The pipe this file stands for.
    fn find(self: &Arc<Self>, descriptor: &Descriptor, side: Side) -> Option<End> {
        let Descriptor::File(file) = descriptor else {
            return None;
        };
        let (pipe, which) = self.files.get(&id(&file.file.metadata().ok()?))?;
        (*which == side).then(|| End {
            streams: Arc::clone(self),
            pipe: *pipe,
        })
    }
}

/// Hands out pipes for the files that stand for them.
pub(super) fn replace_calls(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Answer<T> = (Result<Resource<T>, ErrorCode>,);
    type Store<'a> = StoreContextMut<'a, State>;
    type File = Resource<Descriptor>;

    linker.allow_shadowing(true);
    let mut files = linker.instance(FILES)?;
    files.func_wrap(
        "[method]descriptor.read-via-stream",
        |mut store: Store<'_>, (file, offset): (File, u64)| {
            let state = store.data_mut();
            let stream = match state.peer(&file, Side::Reads)? {
                Some(end) => Ok(state.table.push(Box::new(Reader(end)) as DynInputStream)?),
                None => state.filesystem().read_via_stream(file, offset),
            };
            Ok::<Answer<DynInputStream>, _>((state.answer(stream)?,))
        },
    )?;
    files.func_wrap(
        "[method]descriptor.write-via-stream",
        |mut store: Store<'_>, (file, offset): (File, u64)| {
            let state = store.data_mut();
            let stream = match state.writer(&file)? {
                Some(stream) => stream,
                None => state.filesystem().write_via_stream(file, offset),
            };
            Ok::<Answer<DynOutputStream>, _>((state.answer(stream)?,))
        },
    )?;
    files.func_wrap(
        "[method]descriptor.append-via-stream",
        |mut store: Store<'_>, (file,): (File,)| {
            let state = store.data_mut();
            let stream = match state.writer(&file)? {
                Some(stream) => stream,
                None => state.filesystem().append_via_stream(file),
            };
            Ok::<Answer<DynOutputStream>, _>((state.answer(stream)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

impl State {
    fn peer(&self, file: &Resource<Descriptor>, side: Side) -> wasmtime::Result<Option<End>> {
        Ok(self.streams.find(self.table.get(file)?, side))
    }

    fn writer(
        &mut self,
        file: &Resource<Descriptor>,
    ) -> wasmtime::Result<Option<FsResult<Resource<DynOutputStream>>>> {
        let Some(end) = self.peer(file, Side::Writes)? else {
            return Ok(None);
        };
        Ok(Some(match Writer::open(end) {
            Some(writer) => Ok(self.table.push(Box::new(writer) as DynOutputStream)?),
            None => Err(ErrorCode::Pipe.into()),
        }))
    }

    fn answer<T>(&mut self, result: FsResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(error) => Ok(Err(self.filesystem().convert_error_code(error)?)),
        }
    }
}

/// One end of a pipe.
struct End {
    streams: Arc<Streams>,
    pipe: usize,
}

impl End {
    fn pipe(&self) -> &Pipe {
        &self.streams.pipes[self.pipe]
    }
}

struct Reader(End);

#[async_trait]
impl InputStream for Reader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0
            .pipe()
            .change(|inner| match inner.chunks.front_mut() {
                _ if size == 0 => Ok(Bytes::new()),
                Some(first) => {
                    let bytes = first.split_to(size.min(first.len()));
                    if first.is_empty() {
                        inner.chunks.pop_front();
                    }
                    inner.bytes -= bytes.len();
                    Ok(bytes)
                }
                None if inner.closed => Err(StreamError::Closed),
                None => Ok(Bytes::new()),
            })
    }
}

#[async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        let ready = |inner: &Inner| inner.bytes > 0 || inner.closed;
        self.0.pipe().wait(ready).await;
    }
}

struct Writer(End);

impl Writer {
    /// One more that writes, unless the stream has ended.
    fn open(end: End) -> Option<Self> {
        let open = end.pipe().change(|inner| {
            inner.writers += 1;
            !inner.closed
        });
        open.then_some(Self(end))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.pipe().change(|inner| {
            inner.writers -= 1;
            inner.closed |= inner.writers == 0;
        });
    }
}

#[async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.pipe().change(|inner| {
            if inner.gone {
                return Err(StreamError::Closed);
            }
            if bytes.len() > inner.room() {
                return Err(StreamError::trap("a write larger than check-write allows"));
            }
            inner.bytes += bytes.len();
            if !bytes.is_empty() {
                inner.chunks.push_back(bytes);
            }
            Ok(())
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    /// Asked after a write as well, when its reader may have got all it wanted and ended: a stream
    /// nobody reads takes a write, which is then refused.
    fn check_write(&mut self) -> StreamResult<usize> {
        let inner = self.0.pipe().lock();
        Ok(if inner.gone { 1 } else { inner.room() })
    }
}

#[async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        let ready = |inner: &Inner| inner.room() > 0 || inner.gone;
        self.0.pipe().wait(ready).await;
    }
}

impl Inner {
    /// One more than the capacity leaves, because a write counts as flushed once there is room for
    /// the next byte.
    fn room(&self) -> usize {
        CAPACITY + 1 - self.bytes
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change under this lock is complete before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    async fn wait(&self, ready: impl Fn(&Inner) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if ready(&self.lock()) {
                return;
            }
            changed.await;
        }
    }
}

fn empty_file(path: &Path) -> io::Result<Metadata> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create_new(path)?.metadata()
}

fn id(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
