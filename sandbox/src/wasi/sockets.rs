//! `wasi:sockets`: there are none.
//!
//! Programs that merely mention `std::net` import these interfaces, so they link.
//! Making a socket or looking up a name is refused with `access-denied`; whatever
//! else there is can only be called on a socket, of which none can exist, and
//! traps. No code here could open one.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType};

use super::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily};
use super::guest::{Guest, Network};

/// Resources of which no value is ever made.
enum TcpSocket {}
enum UdpSocket {}
enum Incoming {}
enum Outgoing {}
enum Addresses {}

const VERSION: &str = "0.2.12";

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut network = interface(linker, "network")?;
    network.resource(
        "network",
        ResourceType::host::<Network>(),
        |mut store, rep| {
            store
                .data_mut()
                .table
                .delete(Resource::<Network>::new_own(rep))?;
            Ok(())
        },
    )?;
    refuse(&mut network, "", &["network-error-code"])?;

    interface(linker, "instance-network")?.func_wrap(
        "instance-network",
        |mut store: StoreContextMut<'_, Guest>, (): ()| {
            Ok::<(Resource<Network>,), _>((store.data_mut().table.push(Network)?,))
        },
    )?;

    let mut lookup = interface(linker, "ip-name-lookup")?;
    none::<Addresses>(&mut lookup, "resolve-address-stream")?;
    refuse(
        &mut lookup,
        "[method]resolve-address-stream.",
        &["resolve-next-address", "subscribe"],
    )?;
    lookup.func_wrap(
        "resolve-addresses",
        |_: StoreContextMut<'_, Guest>, (_, _): (Resource<Network>, String)| {
            Ok::<(Result<Resource<Addresses>, ErrorCode>,), _>((Err(ErrorCode::AccessDenied),))
        },
    )?;

    let mut tcp = interface(linker, "tcp")?;
    none::<TcpSocket>(&mut tcp, "tcp-socket")?;
    refuse(&mut tcp, "[method]tcp-socket.", &TCP)?;
    interface(linker, "tcp-create-socket")?.func_wrap(
        "create-tcp-socket",
        |_: StoreContextMut<'_, Guest>, (_,): (IpAddressFamily,)| {
            Ok::<(Result<Resource<TcpSocket>, ErrorCode>,), _>((Err(ErrorCode::AccessDenied),))
        },
    )?;

    let mut udp = interface(linker, "udp")?;
    none::<UdpSocket>(&mut udp, "udp-socket")?;
    none::<Incoming>(&mut udp, "incoming-datagram-stream")?;
    none::<Outgoing>(&mut udp, "outgoing-datagram-stream")?;
    refuse(&mut udp, "[method]udp-socket.", &UDP)?;
    refuse(
        &mut udp,
        "[method]incoming-datagram-stream.",
        &["receive", "subscribe"],
    )?;
    refuse(
        &mut udp,
        "[method]outgoing-datagram-stream.",
        &["check-send", "send", "subscribe"],
    )?;
    interface(linker, "udp-create-socket")?.func_wrap(
        "create-udp-socket",
        |_: StoreContextMut<'_, Guest>, (_,): (IpAddressFamily,)| {
            Ok::<(Result<Resource<UdpSocket>, ErrorCode>,), _>((Err(ErrorCode::AccessDenied),))
        },
    )
}

const TCP: [&str; 28] = [
    "start-bind",
    "finish-bind",
    "start-connect",
    "finish-connect",
    "start-listen",
    "finish-listen",
    "accept",
    "local-address",
    "remote-address",
    "is-listening",
    "address-family",
    "set-listen-backlog-size",
    "keep-alive-enabled",
    "set-keep-alive-enabled",
    "keep-alive-idle-time",
    "set-keep-alive-idle-time",
    "keep-alive-interval",
    "set-keep-alive-interval",
    "keep-alive-count",
    "set-keep-alive-count",
    "hop-limit",
    "set-hop-limit",
    "receive-buffer-size",
    "set-receive-buffer-size",
    "send-buffer-size",
    "set-send-buffer-size",
    "subscribe",
    "shutdown",
];

const UDP: [&str; 13] = [
    "start-bind",
    "finish-bind",
    "stream",
    "local-address",
    "remote-address",
    "address-family",
    "unicast-hop-limit",
    "set-unicast-hop-limit",
    "receive-buffer-size",
    "set-receive-buffer-size",
    "send-buffer-size",
    "set-send-buffer-size",
    "subscribe",
];

fn interface<'l>(
    linker: &'l mut Linker<Guest>,
    name: &str,
) -> wasmtime::Result<LinkerInstance<'l, Guest>> {
    linker.instance(&format!("wasi:sockets/{name}@{VERSION}"))
}

fn none<T: 'static>(instance: &mut LinkerInstance<'_, Guest>, name: &str) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |_, _| {
        wasmtime::bail!("there are no sockets in the sandbox")
    })
}

fn refuse(
    instance: &mut LinkerInstance<'_, Guest>,
    prefix: &str,
    names: &[&str],
) -> wasmtime::Result<()> {
    for name in names {
        instance.func_new(&format!("{prefix}{name}"), |_, _, _, _| {
            wasmtime::bail!("there are no sockets in the sandbox")
        })?;
    }
    Ok(())
}
