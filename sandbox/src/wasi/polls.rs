//! The calls that wait for several things, or only look whether there is something.
//!
//! An instance that waits for a stream from a peer can be woken by that peer alone, and when all
//! of them wait so, none ever is. That does not hold for one that also waits for the time, or
//! that will not wait at all: while these two calls run, it says so.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_io::bindings::wasi::io::poll::{Host, HostPollable};
use wasmtime_wasi_io::poll::DynPollable;

use super::guest::Guest;
use crate::peers::Polls;

const POLL: &str = "wasi:io/poll@0.2.12";

pub(super) fn replace_calls(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut poll = linker.instance(POLL)?;
    poll.func_wrap_async(
        "poll",
        |mut store: StoreContextMut<'_, Guest>, (list,): (Vec<Resource<DynPollable>>,)| {
            Box::new(async move {
                let guest = store.data_mut();
                let polls = guest.polls.as_ref().filter(|_| list.len() > 1);
                let _several = polls.map(Polls::several);
                Ok((Host::poll(&mut guest.table, list).await?,))
            })
        },
    )?;
    poll.func_wrap_async(
        "[method]pollable.ready",
        |mut store: StoreContextMut<'_, Guest>, (pollable,): (Resource<DynPollable>,)| {
            Box::new(async move {
                let guest = store.data_mut();
                let _several = guest.polls.as_ref().map(Polls::several);
                Ok((HostPollable::ready(&mut guest.table, pollable).await?,))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
