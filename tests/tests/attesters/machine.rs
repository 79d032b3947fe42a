//! An emulated machine: a FUSE file system whose files answer as a kernel's would, mounted in a
//! folder of its own.
//!
//! A file is a [`Device`], which hears of each opening, read, write, close and ioctl. A folder may
//! make entries for whoever asks, as configfs does.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

pub(crate) use fuser::Errno;
use fuser::{
    BackgroundSession, Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, IoctlFlags, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use mc2_runtime::Devices;
use tempfile::TempDir;

/// Requests that are answered at once: a device that stalls one stalls no other.
const THREADS: usize = 24;
/// What is known of a file is asked anew each time.
const NOW: Duration = Duration::ZERO;
/// Permissions of folders and files.
const FOLDER: u16 = 0o755;
const FILE: u16 = 0o600;

/// What a file does. Each opening has a number of its own.
pub(crate) trait Device: Send + Sync {
    /// It was opened.
    fn open(&self, _opening: u64) -> Result<(), Errno> {
        Ok(())
    }

    /// What is read from `offset` on, all of it.
    fn read(&self, opening: u64, offset: u64) -> Result<Vec<u8>, Errno>;

    /// Takes what is written in one call.
    fn write(&self, _opening: u64, _offset: u64, _bytes: &[u8]) -> Result<(), Errno> {
        Err(Errno::EACCES)
    }

    /// It is being closed: the last that whoever opened it waits for. What it returns, some kernels'
    /// interfaces do not tell.
    fn close(&self, _opening: u64) {}

    /// An ioctl of `caller`, with what its argument points at; what that then holds.
    fn ioctl(&self, _caller: &Caller, _request: u32, _argument: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOTTY)
    }
}

/// A file that holds a text.
pub(crate) struct Text(pub &'static str);

impl Device for Text {
    fn read(&self, _opening: u64, offset: u64) -> Result<Vec<u8>, Errno> {
        Ok(rest(self.0.as_bytes(), offset))
    }
}

/// A file that holds bytes.
pub(crate) struct Bytes(pub(crate) &'static [u8]);

impl Device for Bytes {
    fn read(&self, _opening: u64, offset: u64) -> Result<Vec<u8>, Errno> {
        Ok(rest(self.0, offset))
    }
}

/// What follows `offset`.
pub(crate) fn rest(bytes: &[u8], offset: u64) -> Vec<u8> {
    let offset = usize::try_from(offset).expect("a small offset");
    bytes.get(offset..).unwrap_or_default().to_vec()
}

/// Files of a folder that is made.
pub(crate) type Files = Vec<(&'static str, Arc<dyn Device>)>;

/// Makes an entry's files.
pub(crate) type Maker = Arc<dyn Fn() -> Result<Files, Errno> + Send + Sync>;

/// A thread that asks a device for something, whose memory the device may use, as a kernel may.
pub(crate) struct Caller(File);

impl Caller {
    fn of(request: &Request) -> Result<Self, Errno> {
        let memory = format!("/proc/{}/mem", request.pid());
        let memory = File::options().read(true).write(true).open(memory);
        memory.map(Self).map_err(|_| Errno::EFAULT)
    }

    /// Bytes at an address.
    pub(crate) fn read(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; length];
        let read = self.0.read_exact_at(&mut bytes, address);
        read.map(|()| bytes).map_err(|_| Errno::EFAULT)
    }

    /// Puts bytes at an address.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let written = self.0.write_all_at(bytes, address);
        written.map_err(|_| Errno::EFAULT)
    }
}

/// What a machine has, from paths without the first slash.
#[derive(Default)]
pub(crate) struct Parts(Tree);

impl Parts {
    /// A file.
    #[must_use]
    pub(crate) fn file(mut self, path: &str, device: Arc<dyn Device>) -> Self {
        let (folder, name) = path.rsplit_once('/').expect("a folder");
        let folder = self.0.folder(folder);
        self.0.add(folder, name, Kind::File(device));
        self
    }

    /// A folder, which makes entries if `maker` does.
    #[must_use]
    pub(crate) fn folder(mut self, path: &str, maker: Option<Maker>) -> Self {
        let number = self.0.folder(path);
        let node = self.0.nodes.get_mut(&number).expect("just made");
        node.kind = Kind::Folder { maker };
        self
    }
}

/// A mounted machine, gone when dropped.
pub(crate) struct Machine {
    // Unmounted before its folder goes.
    _session: BackgroundSession,
    folder: TempDir,
    tree: Arc<Mutex<Tree>>,
}

impl Machine {
    /// Mounts it.
    ///
    /// # Panics
    /// Where this system does not mount FUSE file systems.
    pub(crate) fn mount(parts: Parts) -> Self {
        let folder = TempDir::with_prefix("mc2-machine-").expect("a temporary folder");
        let mut config = Config::default();
        config.n_threads = Some(THREADS);
        let tree = Arc::new(Mutex::new(parts.0));
        let system = System {
            tree: Arc::clone(&tree),
            openings: Mutex::new(0),
        };
        let session = fuser::spawn_mount(system, folder.path(), &config);
        let session = session.unwrap_or_else(|error: io::Error| {
            panic!("FUSE must be there (/dev/fuse, and root or the package fuse3): {error}")
        });
        Self {
            _session: session,
            folder,
            tree,
        }
    }

    /// Where its devices are.
    pub(crate) fn devices(&self) -> Devices {
        Devices::below(self.folder.path())
    }

    /// The folder it is mounted on.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// How many entries a folder has.
    pub(crate) fn entries(&self, path: &str) -> usize {
        let mut tree = self.tree.lock().expect("never poisoned");
        let folder = tree.folder(path);
        tree.nodes[&folder].children.len()
    }

    /// One of its files.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }
}

struct Node {
    kind: Kind,
    children: BTreeMap<String, u64>,
}

enum Kind {
    File(Arc<dyn Device>),
    Folder { maker: Option<Maker> },
}

struct Tree {
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node {
            kind: Kind::Folder { maker: None },
            children: BTreeMap::new(),
        };
        Self {
            nodes: BTreeMap::from([(INodeNo::ROOT.0, root)]),
            next: INodeNo::ROOT.0 + 1,
        }
    }
}

impl Tree {
    /// The folder at a path, made where it is not there.
    fn folder(&mut self, path: &str) -> u64 {
        path.split('/').fold(INodeNo::ROOT.0, |folder, name| {
            let there = self.child(folder, name);
            there.unwrap_or_else(|| self.add(folder, name, Kind::Folder { maker: None }))
        })
    }

    fn child(&self, folder: u64, name: &str) -> Option<u64> {
        self.nodes.get(&folder)?.children.get(name).copied()
    }

    fn add(&mut self, folder: u64, name: &str, kind: Kind) -> u64 {
        let number = self.next;
        self.next += 1;
        let children = BTreeMap::new();
        self.nodes.insert(number, Node { kind, children });
        let parent = self.nodes.get_mut(&folder).expect("a folder");
        parent.children.insert(name.to_owned(), number);
        number
    }

    fn attributes(&self, number: u64) -> Option<FileAttr> {
        let (kind, perm) = match self.nodes.get(&number)?.kind {
            Kind::File(_) => (FileType::RegularFile, FILE),
            Kind::Folder { .. } => (FileType::Directory, FOLDER),
        };
        Some(FileAttr {
            ino: INodeNo(number),
            // As those of a kernel's own files say nothing.
            size: 0,
            blocks: 0,
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

struct System {
    tree: Arc<Mutex<Tree>>,
    openings: Mutex<u64>,
}

impl System {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().expect("never poisoned")
    }

    /// A device, to be used without the tree's lock.
    fn device(&self, number: INodeNo) -> Result<Arc<dyn Device>, Errno> {
        match self.tree().nodes.get(&number.0) {
            Some(Node {
                kind: Kind::File(device),
                ..
            }) => Ok(Arc::clone(device)),
            Some(_) => Err(Errno::EISDIR),
            None => Err(Errno::ENOENT),
        }
    }

    fn enter(&self, folder: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let tree = self.tree();
        let name = name.to_str().ok_or(Errno::ENOENT)?;
        let number = tree.child(folder.0, name).ok_or(Errno::ENOENT)?;
        tree.attributes(number).ok_or(Errno::ENOENT)
    }

    fn make(&self, folder: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let name = name.to_str().ok_or(Errno::EINVAL)?;
        let mut tree = self.tree();
        let maker = match &tree.nodes.get(&folder.0).ok_or(Errno::ENOENT)?.kind {
            Kind::Folder { maker: Some(maker) } => Arc::clone(maker),
            _ => return Err(Errno::EPERM),
        };
        if tree.child(folder.0, name).is_some() {
            return Err(Errno::EEXIST);
        }
        let files = maker()?;
        let entry = tree.add(folder.0, name, Kind::Folder { maker: None });
        for (name, device) in files {
            tree.add(entry, name, Kind::File(device));
        }
        tree.attributes(entry).ok_or(Errno::ENOENT)
    }

    fn remove(&self, folder: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let mut tree = self.tree();
        let name = name.to_str().ok_or(Errno::ENOENT)?;
        let parent = tree.nodes.get_mut(&folder.0).ok_or(Errno::ENOENT)?;
        let number = parent.children.remove(name).ok_or(Errno::ENOENT)?;
        let entry = tree.nodes.remove(&number).ok_or(Errno::ENOENT)?;
        for child in entry.children.values() {
            tree.nodes.remove(child);
        }
        Ok(())
    }
}

/// Tells FUSE how something went.
macro_rules! answer {
    ($reply:ident, $result:expr, $good:expr) => {
        match $result {
            Ok(value) => $good(value),
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for System {
    fn lookup(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.enter(folder, name);
        answer!(reply, found, |found| reply.entry(
            &NOW,
            &found,
            Generation(0)
        ));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.tree().attributes(number.0).ok_or(Errno::ENOENT);
        answer!(reply, found, |found| reply.attr(&NOW, &found));
    }

    fn mkdir(
        &self,
        _: &Request,
        folder: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.make(folder, name);
        answer!(reply, made, |made| reply.entry(&NOW, &made, Generation(0)));
    }

    fn rmdir(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.remove(folder, name);
        answer!(reply, removed, |()| reply.ok());
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opening = {
            let mut openings = self.openings.lock().expect("never poisoned");
            *openings += 1;
            *openings
        };
        let opened = self.device(number).and_then(|device| device.open(opening));
        answer!(reply, opened, |()| reply
            .opened(FileHandle(opening), FopenFlags::FOPEN_DIRECT_IO));
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        opening: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self
            .device(number)
            .and_then(|device| device.read(opening.0, offset));
        answer!(reply, read, |bytes: Vec<u8>| reply
            .data(&bytes[..bytes.len().min(size as usize)]));
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        opening: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self
            .device(number)
            .and_then(|device| device.write(opening.0, offset, data));
        answer!(reply, written, |()| reply.written(data.len() as u32));
    }

    fn flush(
        &self,
        _: &Request,
        number: INodeNo,
        opening: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        if let Ok(device) = self.device(number) {
            device.close(opening.0);
        }
        reply.ok();
    }

    fn ioctl(
        &self,
        request: &Request,
        number: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        command: u32,
        argument: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        let done = self
            .device(number)
            .and_then(|device| device.ioctl(&Caller::of(request)?, command, argument));
        answer!(reply, done, |bytes: Vec<u8>| reply.ioctl(0, &bytes));
    }
}
