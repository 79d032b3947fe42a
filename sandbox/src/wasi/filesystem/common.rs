//! What the calls have in common: names, kinds of descriptors, opening.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi_io::streams::DynOutputStream;

use super::super::bindings::wasi::clocks::wall_clock::Datetime;
use super::super::bindings::wasi::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, MetadataHashValue, OpenFlags,
};
use super::super::file_streams::Writer;
use super::super::guest::{ErrorCode, Guest};
use super::super::peer_streams::StreamWriter;
use super::FsResult;
use crate::failure::Failure;
use crate::files::{
    Descriptor, File, Folder, NameError, Node, NodeId, OpenFile, Place, Resolved, TreeId,
    WriteError,
};
use crate::limits::{CALL_BYTES, OPEN_FILES, TREE_NODES};

/// `descriptor.read`: up to `len` bytes, and whether the end was reached.
pub(in crate::wasi) async fn read(
    guest: &mut Guest,
    descriptor: &Resource<Descriptor>,
    len: u64,
    offset: u64,
) -> FsResult<(Bytes, bool)> {
    let open = guest.file(descriptor)?;
    if !open.read {
        return Err(ErrorCode::BadDescriptor.into());
    }
    let file = &open.file;
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(CALL_BYTES);
    let bytes = match file.try_read(offset, len) {
        Some(bytes) => bytes,
        None => file.read(offset, len).await?,
    };
    let end = if file.stream().is_some() {
        bytes.is_empty() && len > 0
    } else {
        offset.saturating_add(bytes.len() as u64) >= file.size()
    };
    Ok((bytes, end))
}

/// `descriptor.write`: all of `data`.
pub(in crate::wasi) async fn write(
    guest: &mut Guest,
    descriptor: &Resource<Descriptor>,
    data: Bytes,
    offset: u64,
) -> FsResult<u64> {
    let open = guest.file(descriptor)?;
    if !open.write {
        return Err(ErrorCode::BadDescriptor.into());
    }
    let file = Arc::clone(&open.file);
    let result = file.write(Place::At(offset), &data).await;
    guest.written(result)?;
    Ok(data.len() as u64)
}

impl Guest {
    pub(super) fn descriptor(&self, descriptor: &Resource<Descriptor>) -> FsResult<&Descriptor> {
        Ok(self.table.get(descriptor)?)
    }

    pub(super) fn file(&self, descriptor: &Resource<Descriptor>) -> FsResult<&OpenFile> {
        match self.descriptor(descriptor)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Folder(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    pub(super) fn folder(&self, descriptor: &Resource<Descriptor>) -> FsResult<Folder> {
        match self.descriptor(descriptor)? {
            Descriptor::Folder(folder) => Ok(*folder),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    pub(super) fn resolve(&self, folder: Folder, path: &str) -> FsResult<Resolved> {
        self.named(self.vfs.tree(folder.tree).resolve(folder.node, path))
    }

    pub(super) fn node(&self, tree: TreeId, node: NodeId) -> FsResult<&Node> {
        self.named(self.vfs.tree(tree).node(node))
    }

    /// The node an existing path leads to.
    pub(super) fn existing(&self, folder: Folder, path: &str) -> FsResult<NodeId> {
        Ok(self.resolve(folder, path)?.node.ok_or(ErrorCode::NoEntry)?)
    }

    pub(super) fn to_change(&self, descriptor: &Resource<Descriptor>) -> FsResult<Folder> {
        let folder = self.folder(descriptor)?;
        if folder.mutate {
            Ok(folder)
        } else {
            Err(ErrorCode::NotPermitted.into())
        }
    }

    /// Notes what a refused name means for the run, and says what the guest is told.
    pub(super) fn named<T>(&self, result: Result<T, NameError>) -> FsResult<T> {
        result.map_err(|error| match error {
            NameError::Busy => ErrorCode::Busy.into(),
            NameError::Exist => ErrorCode::Exist.into(),
            NameError::Invalid => ErrorCode::Invalid.into(),
            NameError::IsDirectory => ErrorCode::IsDirectory.into(),
            NameError::NameTooLong => ErrorCode::NameTooLong.into(),
            NameError::NoEntry => ErrorCode::NoEntry.into(),
            NameError::NotDirectory => ErrorCode::NotDirectory.into(),
            NameError::NotEmpty => ErrorCode::NotEmpty.into(),
            NameError::NotPermitted => ErrorCode::NotPermitted.into(),
            NameError::Undeclared(name) => {
                let shown = name.chars().filter(|c| !c.is_control()).take(64).collect();
                self.notes.hard(Failure::UndeclaredOutput(shown));
                ErrorCode::NotPermitted.into()
            }
            NameError::Full => {
                let what = "files and folders";
                self.notes.soft(Failure::HandleLimit {
                    what,
                    limit: TREE_NODES as u64,
                });
                ErrorCode::InsufficientSpace.into()
            }
            NameError::NoMemory => {
                let limit = self.limiter.limit();
                self.notes.soft(Failure::MemoryLimit { limit });
                ErrorCode::InsufficientMemory.into()
            }
        })
    }

    pub(super) fn written(&self, result: Result<(), WriteError>) -> FsResult<()> {
        result.map_err(|error| match error {
            WriteError::Fatal(failure) => failure.into(),
            WriteError::Limit(failure) if failure.is_soft() => {
                self.notes.soft(failure);
                ErrorCode::InsufficientSpace.into()
            }
            WriteError::Limit(failure) => failure.into(),
            WriteError::TooLarge => ErrorCode::FileTooLarge.into(),
            WriteError::Gone => ErrorCode::Pipe.into(),
        })
    }

    pub(super) fn may_open(&self) -> FsResult<()> {
        if self.vfs.open >= OPEN_FILES {
            let what = "open files";
            self.notes.soft(Failure::HandleLimit {
                what,
                limit: OPEN_FILES as u64,
            });
            return Err(ErrorCode::InsufficientMemory.into());
        }
        Ok(())
    }

    pub(super) fn stat_of(&self, ty: DescriptorType, size: u64) -> DescriptorStat {
        let time = Some(Datetime {
            seconds: self.start_seconds,
            nanoseconds: 0,
        });
        DescriptorStat {
            type_: ty,
            link_count: 1,
            size,
            data_access_timestamp: time,
            data_modification_timestamp: time,
            status_change_timestamp: time,
        }
    }
}

pub(super) fn type_of(file: &dyn File) -> DescriptorType {
    if file.stream().is_some() {
        DescriptorType::Fifo
    } else {
        DescriptorType::RegularFile
    }
}

pub(super) fn identity(tree: TreeId, node: NodeId) -> MetadataHashValue {
    MetadataHashValue {
        lower: node + 1,
        upper: tree as u64 + 1,
    }
}

impl Guest {
    pub(super) fn writer(
        &mut self,
        descriptor: &Resource<Descriptor>,
        place: Place,
    ) -> FsResult<Resource<DynOutputStream>> {
        let open = self.file(descriptor)?;
        if !open.write {
            return Err(ErrorCode::BadDescriptor.into());
        }
        let file = Arc::clone(&open.file);
        let stream: DynOutputStream = match file.stream() {
            Some(_) => Box::new(StreamWriter(file)),
            None => {
                let (notes, pending) = (self.notes.clone(), self.pending.clone());
                Box::new(Writer::new(file, place, notes, pending))
            }
        };
        Ok(self.table.push(stream)?)
    }

    /// `open-at` after its path is resolved.
    pub(super) fn open(
        &mut self,
        folder: Folder,
        found: Resolved,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Descriptor> {
        let tree = folder.tree;
        let create = open.contains(OpenFlags::CREATE);
        let only_folder = open.contains(OpenFlags::DIRECTORY) || found.folder;
        let truncate = open.contains(OpenFlags::TRUNCATE);
        let write = flags.contains(DescriptorFlags::WRITE);
        if create && open.contains(OpenFlags::DIRECTORY) {
            return Err(ErrorCode::Invalid.into());
        }
        let Some(node) = found.node else {
            if !create {
                return Err(ErrorCode::NoEntry.into());
            }
            if found.folder {
                return Err(ErrorCode::IsDirectory.into());
            }
            if !folder.mutate {
                return Err(ErrorCode::NotPermitted.into());
            }
            let place = found.place.ok_or(ErrorCode::NoEntry)?;
            let result = self.vfs.create_file(tree, place);
            let (node, file) = self.named(result)?;
            let read = flags.contains(DescriptorFlags::READ);
            return Ok(Descriptor::File(OpenFile {
                tree,
                node,
                file,
                read,
                write,
            }));
        };
        if create && open.contains(OpenFlags::EXCLUSIVE) {
            return Err(ErrorCode::Exist.into());
        }
        match self.node(tree, node)? {
            Node::Folder { .. } => {
                if write || create || truncate {
                    return Err(ErrorCode::IsDirectory.into());
                }
                // wasi-libc asks for `mutate-directory` only together with O_WRONLY,
                // which no folder can be opened with, and still removes files
                // through what it got: the right is the parent's.
                let mutate = folder.mutate;
                Ok(Descriptor::Folder(Folder { tree, node, mutate }))
            }
            Node::File(_) if only_folder => Err(ErrorCode::NotDirectory.into()),
            Node::File(file) => {
                let mut file = Arc::clone(file);
                if (write || truncate) && !file.is_writable() {
                    return Err(ErrorCode::NotPermitted.into());
                }
                let read = flags.contains(DescriptorFlags::READ) && file.is_readable();
                if flags.contains(DescriptorFlags::READ) && !read && !write {
                    return Err(ErrorCode::NotPermitted.into());
                }
                if truncate {
                    let result = file.set_len(0);
                    self.written(result)?;
                }
                if write && let Some(open) = file.open_to_write().map_err(|_| ErrorCode::Pipe)? {
                    file = open;
                }
                Ok(Descriptor::File(OpenFile {
                    tree,
                    node,
                    file,
                    read,
                    write,
                }))
            }
        }
    }
}
