//! The sealed cache over a folder of the user's, before engines and components.

use std::path::PathBuf;

use mc2_protocol::SecretKey;
use mc2_runtime::cache::SealedCache;
use mc2_sandbox::{
    Cancellation, CodeOrigin, CompileLimits, CompileMode, ComponentStore, Engine, EngineProfile,
    RunSpec, run,
};

use crate::folder::Folder;

fn command(module: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (core module $m {module} (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    ))
    .unwrap()
}

#[tokio::test]
async fn a_cached_component_is_not_compiled_and_a_bad_entry_costs_only_time() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = |key| {
        let (entries, _) = Folder::open(folder.path()).unwrap();
        SealedCache::new(SecretKey::from_bytes([key; 32]), entries)
    };
    let engine = Engine::new(EngineProfile::Vm).unwrap();
    let origin = async |engine: &Engine, key: u8, bytes: Vec<u8>| {
        let store = ComponentStore::new(
            engine.clone(),
            CompileMode::InProcess,
            CompileLimits::default(),
            Some(Box::new(sealed(key))),
        )
        .unwrap();
        let component = store
            .measure(bytes, None, &Cancellation::new())
            .await
            .unwrap();
        assert!(
            run(&component, RunSpec::new())
                .await
                .unwrap()
                .result
                .is_ok()
        );
        component.origin()
    };
    let compiled = |origin| matches!(origin, CodeOrigin::Compiled(_));
    let bytes = || command("");
    let other = || command("(func (drop (i32.const 5)))");

    assert!(compiled(origin(&engine, 1, bytes()).await));
    assert_eq!(origin(&engine, 1, bytes()).await, CodeOrigin::Cache);
    assert!(compiled(origin(&engine, 2, bytes()).await), "another key");
    assert!(
        compiled(origin(&engine, 1, bytes()).await),
        "the entry is now the other key's"
    );

    let sgx = Engine::new(EngineProfile::Sgx).unwrap();
    assert!(
        compiled(origin(&sgx, 1, bytes()).await),
        "another configuration"
    );
    assert!(
        compiled(origin(&engine, 1, other()).await),
        "another component"
    );

    // All entries are swapped round: each is authentic, none is the one asked for.
    let entries = || -> Vec<PathBuf> {
        let paths = std::fs::read_dir(folder.path()).unwrap();
        paths
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap() != "key")
            .collect()
    };
    let paths = entries();
    let kept: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    for (path, other) in paths.iter().zip(kept.iter().cycle().skip(1)) {
        std::fs::write(path, other).unwrap();
    }
    assert!(
        compiled(origin(&engine, 1, bytes()).await),
        "another component's entry"
    );
    assert_eq!(origin(&engine, 1, bytes()).await, CodeOrigin::Cache);

    for path in entries() {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(compiled(origin(&engine, 1, bytes()).await), "a flipped bit");
}
