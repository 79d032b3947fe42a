//! Bindings of WASI 0.2, generated from `sandbox/wit`.
//!
//! `wasi:io` is `wasmtime-wasi-io`'s; everything else is the sandbox's own, so
//! that no code exists here which opens a host's file, socket or terminal.

wasmtime::component::bindgen!({
    path: "wit",
    world: "mc2:sandbox/guest",
    imports: {
        "wasi:filesystem/types.[method]descriptor.read": async | trappable,
        "wasi:filesystem/types.[method]descriptor.write": async | trappable,
        default: trappable,
    },
    trappable_error_type: {
        "wasi:filesystem/types.error-code" => crate::wasi::guest::FsError,
    },
    with: {
        "wasi:io/error": wasmtime_wasi_io::bindings::wasi::io::error,
        "wasi:io/poll": wasmtime_wasi_io::bindings::wasi::io::poll,
        "wasi:io/streams": wasmtime_wasi_io::bindings::wasi::io::streams,
        "wasi:filesystem/types.descriptor": crate::files::Descriptor,
        "wasi:filesystem/types.directory-entry-stream": crate::files::Listing,
        "wasi:sockets/network.network": crate::wasi::guest::Network,
        "wasi:cli/terminal-input.terminal-input": crate::wasi::guest::NoTerminal,
        "wasi:cli/terminal-output.terminal-output": crate::wasi::guest::NoTerminal,
    },
});
