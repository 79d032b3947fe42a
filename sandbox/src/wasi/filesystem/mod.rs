//! `wasi:filesystem` over the virtual files.

mod common;

use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use self::common::{identity, type_of};
pub(super) use self::common::{read, write};
use super::bindings::wasi::filesystem::preopens;
use super::bindings::wasi::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, Host, HostDescriptor,
    HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use super::file_streams::Reader;
use super::guest::{ErrorCode, FileFault, FsError, Guest};
use super::peer_streams::StreamReader;
use crate::files::{Descriptor, Folder, Listing, Node, Place};

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
        let file = Arc::clone(&open.file);
        let stream: DynInputStream = match file.stream() {
            Some(_) => Box::new(StreamReader(file)),
            None => Box::new(Reader::new(file, offset)),
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
            Descriptor::File(open) => type_of(&*open.file),
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
        self.node(folder.tree, folder.node)?;
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
            Descriptor::File(open) => Ok(self.stat_of(type_of(&*open.file), open.file.size())),
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
        match self.node(folder.tree, node)? {
            Node::Folder { .. } => Ok(self.stat_of(DescriptorType::Directory, 0)),
            Node::File(file) => Ok(self.stat_of(type_of(&**file), file.size())),
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
            Node::File(file) => type_of(&**file),
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
