//! Plain Wasmtime with its own WASI: what the suite of file behaviour is held against. Nothing of
//! ours is between the guest and this machine's files.

use std::path::Path;

use wasmtime::{
    Engine, Store,
    component::{Component, Linker, ResourceTable},
};
use wasmtime_wasi::{
    FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    p2::{bindings::Command, pipe::MemoryOutputPipe},
};

/// What the guest is told of itself.
pub(crate) const JOB: &str = r#"{"version":1,"name":"conformance","component":"conformance",
    "arguments":[],"instance":0,"instances":1,
    "inputs":[{"name":"data","media_type":"application/octet-stream","length":300007,"folder":false}],
    "outputs":[{"name":"result","folder":false},{"name":"files","folder":true}],
    "limits":{"memory":1073741824,"time_ms":3600000,"output":1073741824,"scratch":1073741824}}"#;

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Runs a component over the folders `in`, `out`, `tmp` and `mc2` of `folder`; gives what it
/// printed. It must succeed.
pub(crate) async fn run(component: &Path, folder: &Path) -> String {
    let stdout = MemoryOutputPipe::new(1 << 20);
    let mut wasi = WasiCtxBuilder::new();
    wasi.allow_blocking_current_thread(true)
        .arg("workload")
        .stdout(stdout.clone())
        .inherit_stderr();
    for (name, guest, permissions) in [
        ("in", "/in", FsPerms::ReadOnly),
        ("out", "/out", FsPerms::ReadWrite),
        ("tmp", "/tmp", FsPerms::ReadWrite),
        ("mc2", "/run/mc2", FsPerms::ReadWrite),
    ] {
        wasi.preopened_dir(folder.join(name), guest, permissions)
            .expect("a folder");
    }
    let engine = Engine::default();
    let component = Component::from_file(&engine, component).expect("a component");
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("a linker");
    let state = State {
        wasi: wasi.build(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(&engine, state);
    let command = Command::instantiate_async(&mut store, &component, &linker)
        .await
        .expect("an instance");
    let result = command.wasi_cli_run().call_run(&mut store).await;
    let printed = String::from_utf8_lossy(&stdout.contents()).into_owned();
    assert!(matches!(result, Ok(Ok(()))), "{result:?}: {printed}");
    printed
}
