//! `wasi:filesystem` over the virtual files.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use super::wit::clocks::wall_clock::Datetime;
use super::wit::filesystem::preopens;
use super::wit::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, Host, HostDescriptor,
    HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use super::{ErrorCode, FileFault, FsError, Guest};
use crate::sandbox::failure::Failure;
use crate::sandbox::limits::{CALL_BYTES, OPEN_FILES, TREE_NODES};
use crate::sandbox::vfs::{
    Descriptor, File, Folder, Listing, NameError, Node, NodeId, OpenFile, PeerReader, PeerWriter,
    Place, Reader, Resolved, TreeId, WriteError, Writer,
};

type FsResult<T> = Result<T, FsError>;

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let folders: Vec<(Folder, &str)> = self.vfs.preopens().collect();
        folders
            .into_iter()
            .map(|(folder, path)| {
                self.vfs.open += 1;
                Ok((
                    self.table.push(Descriptor::Folder(folder))?,
                    path.to_owned(),
                ))
            })
            .collect()
    }
}

impl Host for Guest {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        match error {
            FsError::Code(code) => Ok(code),
            FsError::Trap(error) => Err(error),
        }
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<FileFault>().map(|fault| fault.0))
    }
}

/// `descriptor.read`: up to `len` bytes, and whether the end was reached.
pub(super) async fn read(
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
    let end = if file.is_stream() {
        bytes.is_empty() && len > 0
    } else {
        offset.saturating_add(bytes.len() as u64) >= file.size()
    };
    Ok((bytes, end))
}

/// `descriptor.write`: all of `data`.
pub(super) async fn write(
    guest: &mut Guest,
    descriptor: &Resource<Descriptor>,
    data: Bytes,
    offset: u64,
) -> FsResult<u64> {
    let open = guest.file(descriptor)?;
    if !open.write {
        return Err(ErrorCode::BadDescriptor.into());
    }
    let file = open.file.clone();
    let result = file.write(Place::At(offset), &data).await;
    guest.written(result)?;
    Ok(data.len() as u64)
}

impl Guest {
    fn descriptor(&self, descriptor: &Resource<Descriptor>) -> FsResult<&Descriptor> {
        Ok(self.table.get(descriptor)?)
    }

    fn file(&self, descriptor: &Resource<Descriptor>) -> FsResult<&OpenFile> {
        match self.descriptor(descriptor)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Folder(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    fn folder(&self, descriptor: &Resource<Descriptor>) -> FsResult<Folder> {
        match self.descriptor(descriptor)? {
            Descriptor::Folder(folder) => Ok(*folder),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    fn resolve(&self, folder: Folder, path: &str) -> FsResult<Resolved> {
        Ok(self.vfs.tree(folder.tree).resolve(folder.node, path)?)
    }

    /// The node an existing path leads to.
    fn existing(&self, folder: Folder, path: &str) -> FsResult<NodeId> {
        Ok(self.resolve(folder, path)?.node.ok_or(ErrorCode::NoEntry)?)
    }

    fn to_change(&self, descriptor: &Resource<Descriptor>) -> FsResult<Folder> {
        let folder = self.folder(descriptor)?;
        if folder.mutate {
            Ok(folder)
        } else {
            Err(ErrorCode::NotPermitted.into())
        }
    }

    /// Notes what a refused name means for the run, and says what the guest is told.
    fn named<T>(&self, result: Result<T, NameError>) -> FsResult<T> {
        result.map_err(|error| match error {
            NameError::Code(code) => code.into(),
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
        })
    }

    fn written(&self, result: Result<(), WriteError>) -> FsResult<()> {
        result.map_err(|error| match error {
            WriteError::Fatal(failure) => failure.into(),
            WriteError::Limit(failure @ Failure::ScratchLimit { .. }) => {
                self.notes.soft(failure);
                ErrorCode::InsufficientSpace.into()
            }
            WriteError::Limit(failure) => failure.into(),
            WriteError::TooLarge => ErrorCode::FileTooLarge.into(),
            WriteError::Gone => ErrorCode::Pipe.into(),
        })
    }

    fn may_open(&self) -> FsResult<()> {
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

    fn stat_of(&self, ty: DescriptorType, size: u64) -> DescriptorStat {
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

fn type_of(file: &File) -> DescriptorType {
    if file.is_stream() {
        DescriptorType::Fifo
    } else {
        DescriptorType::RegularFile
    }
}

fn identity(tree: TreeId, node: NodeId) -> MetadataHashValue {
    MetadataHashValue {
        lower: node + 1,
        upper: tree as u64 + 1,
    }
}

impl HostDescriptor for Guest {
    fn read_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        let open = self.file(&descriptor)?;
        if !open.read {
            return Err(ErrorCode::BadDescriptor.into());
        }
        let stream: DynInputStream = match &open.file {
            File::PeerIn(stream) => Box::new(PeerReader(stream.clone())),
            file => Box::new(Reader::new(file.clone(), offset)),
        };
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&descriptor, Place::At(offset))
    }

    fn append_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&descriptor, Place::End)
    }

    fn advise(
        &mut self,
        descriptor: Resource<Descriptor>,
        _offset: u64,
        _len: u64,
        _advice: Advice,
    ) -> FsResult<()> {
        self.file(&descriptor).map(|_| ())
    }

    fn sync_data(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        self.descriptor(&descriptor).map(|_| ())
    }

    fn get_flags(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        let when = |holds: bool, flag: DescriptorFlags| {
            if holds {
                flag
            } else {
                DescriptorFlags::empty()
            }
        };
        Ok(match self.descriptor(&descriptor)? {
            Descriptor::Folder(folder) => {
                DescriptorFlags::READ | when(folder.mutate, DescriptorFlags::MUTATE_DIRECTORY)
            }
            Descriptor::File(open) => {
                when(open.read, DescriptorFlags::READ) | when(open.write, DescriptorFlags::WRITE)
            }
        })
    }

    fn get_type(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorType> {
        Ok(match self.descriptor(&descriptor)? {
            Descriptor::Folder(_) => DescriptorType::Directory,
            Descriptor::File(open) => type_of(&open.file),
        })
    }

    fn set_size(&mut self, descriptor: Resource<Descriptor>, size: u64) -> FsResult<()> {
        let open = self.file(&descriptor)?;
        if !open.write {
            return Err(ErrorCode::BadDescriptor.into());
        }
        let result = open.file.set_len(size);
        self.written(result)
    }

    fn set_times(
        &mut self,
        descriptor: Resource<Descriptor>,
        _access: NewTimestamp,
        _modification: NewTimestamp,
    ) -> FsResult<()> {
        self.descriptor(&descriptor)?;
        Err(ErrorCode::Unsupported.into())
    }

    async fn read(
        &mut self,
        descriptor: Resource<Descriptor>,
        len: u64,
        offset: u64,
    ) -> FsResult<(Vec<u8>, bool)> {
        let (bytes, end) = read(self, &descriptor, len, offset).await?;
        Ok((bytes.into(), end))
    }

    async fn write(
        &mut self,
        descriptor: Resource<Descriptor>,
        data: Vec<u8>,
        offset: u64,
    ) -> FsResult<u64> {
        write(self, &descriptor, data.into(), offset).await
    }

    fn read_directory(&mut self, descriptor: Resource<Descriptor>) -> FsResult<Resource<Listing>> {
        let folder = self.folder(&descriptor)?;
        self.vfs.tree(folder.tree).node(folder.node)?;
        Ok(self.table.push(Listing {
            folder,
            after: None,
        })?)
    }

    fn sync(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        self.descriptor(&descriptor).map(|_| ())
    }

    fn create_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let folder = self.folder(&descriptor)?;
        let found = self.resolve(folder, &path)?;
        if found.node.is_some() {
            return Err(ErrorCode::Exist.into());
        }
        let folder = self.to_change(&descriptor)?;
        let place = found.place.ok_or(ErrorCode::Exist)?;
        let result = self
            .vfs
            .tree_mut(folder.tree)
            .create_folder(place)
            .map(|_| ());
        self.named(result)
    }

    fn stat(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        match self.descriptor(&descriptor)? {
            Descriptor::Folder(_) => Ok(self.stat_of(DescriptorType::Directory, 0)),
            Descriptor::File(open) => Ok(self.stat_of(type_of(&open.file), open.file.size())),
        }
    }

    fn stat_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        _flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        let folder = self.folder(&descriptor)?;
        let node = self.existing(folder, &path)?;
        match self.vfs.tree(folder.tree).node(node)? {
            Node::Folder { .. } => Ok(self.stat_of(DescriptorType::Directory, 0)),
            Node::File(file) => Ok(self.stat_of(type_of(file), file.size())),
        }
    }

    fn set_times_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        _flags: PathFlags,
        path: String,
        _access: NewTimestamp,
        _modification: NewTimestamp,
    ) -> FsResult<()> {
        let folder = self.folder(&descriptor)?;
        self.existing(folder, &path)?;
        Err(ErrorCode::Unsupported.into())
    }

    fn link_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        _flags: PathFlags,
        _path: String,
        _new_descriptor: Resource<Descriptor>,
        _new_path: String,
    ) -> FsResult<()> {
        self.folder(&descriptor)?;
        Err(ErrorCode::NotPermitted.into())
    }

    fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        _path_flags: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let folder = self.folder(&descriptor)?;
        let found = self.resolve(folder, &path)?;
        // Before it is open: a stream to a peer ends when what was opened is dropped.
        self.may_open()?;
        let opened = self.open(folder, found, open, flags)?;
        let resource = self.table.push(opened)?;
        self.vfs.open += 1;
        Ok(resource)
    }

    fn readlink_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<String> {
        let folder = self.folder(&descriptor)?;
        self.existing(folder, &path)?;
        Err(ErrorCode::Invalid.into())
    }

    fn remove_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        let folder = self.to_change(&descriptor)?;
        let found = self.resolve(folder, &path)?;
        let result = self.vfs.tree_mut(folder.tree).remove_folder(found);
        self.named(result)
    }

    fn rename_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let (from, to) = (self.folder(&descriptor)?, self.folder(&new_descriptor)?);
        if from.tree != to.tree {
            return Err(ErrorCode::CrossDevice.into());
        }
        self.to_change(&descriptor)?;
        self.to_change(&new_descriptor)?;
        let from_found = self.resolve(from, &path)?;
        let to_found = self.resolve(to, &new_path)?;
        let result = self.vfs.tree_mut(from.tree).rename(from_found, to_found);
        self.named(result)
    }

    fn symlink_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        _old_path: String,
        _new_path: String,
    ) -> FsResult<()> {
        self.folder(&descriptor)?;
        Err(ErrorCode::NotPermitted.into())
    }

    fn unlink_file_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<()> {
        let folder = self.to_change(&descriptor)?;
        let found = self.resolve(folder, &path)?;
        let result = self.vfs.tree_mut(folder.tree).unlink(found);
        self.named(result)
    }

    fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let place = |descriptor: &Descriptor| match descriptor {
            Descriptor::Folder(folder) => (folder.tree, folder.node),
            Descriptor::File(open) => (open.tree, open.node),
        };
        Ok(place(self.table.get(&a)?) == place(self.table.get(&b)?))
    }

    fn metadata_hash(&mut self, descriptor: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        Ok(match self.descriptor(&descriptor)? {
            Descriptor::Folder(folder) => identity(folder.tree, folder.node),
            Descriptor::File(open) => identity(open.tree, open.node),
        })
    }

    fn metadata_hash_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        _flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let folder = self.folder(&descriptor)?;
        Ok(identity(folder.tree, self.existing(folder, &path)?))
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(descriptor)?;
        self.vfs.open -= 1;
        Ok(())
    }
}

impl Guest {
    fn writer(
        &mut self,
        descriptor: &Resource<Descriptor>,
        place: Place,
    ) -> FsResult<Resource<DynOutputStream>> {
        let open = self.file(descriptor)?;
        if !open.write {
            return Err(ErrorCode::BadDescriptor.into());
        }
        let stream: DynOutputStream = match &open.file {
            File::PeerOut(stream) => Box::new(PeerWriter(stream.clone())),
            file => Box::new(Writer::new(file.clone(), place, self.notes.clone())),
        };
        Ok(self.table.push(stream)?)
    }

    /// `open-at` after its path is resolved.
    fn open(
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
        match self.vfs.tree(tree).node(node)? {
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
                let file = file.clone();
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
                let file = if write {
                    file.open_to_write().map_err(|_| ErrorCode::Pipe)?
                } else {
                    file
                };
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

impl HostDirectoryEntryStream for Guest {
    fn read_directory_entry(
        &mut self,
        stream: Resource<Listing>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing = self.table.get_mut(&stream)?;
        let folder = listing.folder;
        let tree = self.vfs.tree(folder.tree);
        let Some((name, node)) = tree.next_entry(folder.node, listing.after.as_deref()) else {
            return Ok(None);
        };
        let type_ = match node {
            Node::Folder { .. } => DescriptorType::Directory,
            Node::File(file) => type_of(file),
        };
        listing.after = Some(name.to_owned());
        Ok(Some(DirectoryEntry {
            type_,
            name: name.to_owned(),
        }))
    }

    fn drop(&mut self, stream: Resource<Listing>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}
