//! The calls a guest reads its data with, without the copies and allocations of
//! the generated ones.
//!
//! `wasmtime-wasi-io` turns every read into a `Vec`, which copies bytes that are
//! already in memory, and reads through two boxed futures. These four calls lower
//! [`Bytes`] into the guest's memory directly, and a call whose data is at hand
//! finishes on its first poll, without leaving the guest's fiber.

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList};
use wasmtime_wasi_io::bindings::wasi::io::streams::StreamError as GuestError;
use wasmtime_wasi_io::streams::{DynInputStream, StreamError};

use super::filesystem;
use super::guest::{ErrorCode, FsError, Guest};
use crate::files::Descriptor;
use crate::limits::CALL_BYTES;

type StreamAnswer = (Result<Bytes, GuestError>,);
type ReadAnswer = (Result<(Bytes, bool), ErrorCode>,);
type WriteAnswer = (Result<u64, ErrorCode>,);

const STREAMS: &str = "wasi:io/streams@0.2.12";
const FILES: &str = "wasi:filesystem/types@0.2.12";

pub(super) fn replace_hot_calls(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut streams = linker.instance(STREAMS)?;
    streams.func_wrap(
        "[method]input-stream.read",
        |mut store: StoreContextMut<'_, Guest>, (stream, len): (Resource<DynInputStream>, u64)| {
            let guest = store.data_mut();
            let result = guest.table.get_mut(&stream)?.read(size(len));
            Ok::<StreamAnswer, _>((answer(guest, result)?,))
        },
    )?;
    streams.func_wrap_async(
        "[method]input-stream.blocking-read",
        |mut store: StoreContextMut<'_, Guest>, (stream, len): (Resource<DynInputStream>, u64)| {
            Box::new(async move {
                let guest = store.data_mut();
                let stream = guest.table.get_mut(&stream)?;
                let mut result = stream.read(size(len));
                if len > 0 && matches!(&result, Ok(bytes) if bytes.is_empty()) {
                    result = stream.blocking_read(size(len)).await;
                }
                Ok::<StreamAnswer, _>((answer(guest, result)?,))
            })
        },
    )?;
    let mut files = linker.instance(FILES)?;
    files.func_wrap_async(
        "[method]descriptor.read",
        |mut store: StoreContextMut<'_, Guest>,
         (file, len, offset): (Resource<Descriptor>, u64, u64)| {
            Box::new(async move {
                let result = filesystem::read(store.data_mut(), &file, len, offset).await;
                Ok::<ReadAnswer, _>((code(result)?,))
            })
        },
    )?;
    files.func_wrap_async(
        "[method]descriptor.write",
        |mut store: StoreContextMut<'_, Guest>,
         (file, data, offset): (Resource<Descriptor>, WasmList<u8>, u64)| {
            Box::new(async move {
                // The guest's memory cannot be lent across an await, and a copy of
                // at most this much is what may be in flight.
                let data = data.as_le_slice(&store);
                let data = Bytes::copy_from_slice(&data[..data.len().min(CALL_BYTES)]);
                let result = filesystem::write(store.data_mut(), &file, data, offset).await;
                Ok::<WriteAnswer, _>((code(result)?,))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn size(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX).min(CALL_BYTES)
}

fn answer(
    guest: &mut Guest,
    result: Result<Bytes, StreamError>,
) -> wasmtime::Result<Result<Bytes, GuestError>> {
    match result {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(StreamError::Closed) => Ok(Err(GuestError::Closed)),
        Err(StreamError::LastOperationFailed(error)) => Ok(Err(GuestError::LastOperationFailed(
            guest.table.push(error)?,
        ))),
        Err(StreamError::Trap(error)) => Err(error),
    }
}

fn code<T>(result: Result<T, FsError>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(FsError::Code(code)) => Ok(Err(code)),
        Err(FsError::Trap(error)) => Err(error),
    }
}
