//! Row 4: compiled code kept outside the enclave is only a help. Whatever is wrong with it, the
//! component is compiled again and does what it always did.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mc2_tests::{Run, Stack, StackOptions};
use tempfile::TempDir;

async fn run(cache: &Path, component: &str, argument: &str) -> String {
    let options = StackOptions {
        compilation_cache: Some(cache.to_owned()),
        ..Default::default()
    };
    let stack = Stack::with(options).await;
    let arguments: &[&str] = match component {
        "hostile" => &["echo", argument],
        _ => &["--only", argument],
    };
    let mut run = Run::of(component, arguments);
    if component == "conformance" {
        run = run.input("data", vec![1; 100]);
    }
    let finished = stack.run(&run).await.expect("a run");
    finished.stdout()
}

/// The entries, with what is in them.
fn entries(cache: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut entries: Vec<_> = fs::read_dir(cache)
        .expect("the cache")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name != "key"))
        .map(|path| (path.clone(), fs::read(&path).expect("an entry")))
        .collect();
    entries.sort();
    entries
}

/// Row 4.
#[tokio::test]
async fn an_altered_entry_is_compiled_again() {
    let folder = TempDir::new().expect("a folder");
    let cache = folder.path().join("cache");
    assert_eq!(run(&cache, "hostile", "first").await, "first\n");
    let [(path, good)] = entries(&cache).try_into().expect("one entry");
    assert!(good.len() > 100_000, "native code");
    assert!(
        !good.windows(4).any(|four| four == b"\x7fELF"),
        "native code in the clear"
    );

    // A good entry is used: it stays as it is.
    assert_eq!(run(&cache, "hostile", "again").await, "again\n");
    assert_eq!(entries(&cache), [(path.clone(), good.clone())]);

    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (what, bad) in [
        ("a flipped magic", flipped(0)),
        ("a flipped salt", flipped(20)),
        ("a flipped first byte of code", flipped(40)),
        ("a flipped byte in the middle", flipped(good.len() / 2)),
        ("a flipped tag", flipped(good.len() - 1)),
        ("a cut end", good[..good.len() - 1].to_vec()),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("nothing", Vec::new()),
        ("more of it", [&good[..], &[0]].concat()),
        ("native code", [b"\x7fELF".as_slice(), &good].concat()),
    ] {
        fs::write(&path, &bad).expect("an entry");
        assert_eq!(run(&cache, "hostile", what).await, format!("{what}\n"));
        let [(_, new)] = entries(&cache).try_into().expect("one entry");
        assert!(new != bad && new != good, "{what}: not compiled again");
        fs::write(&path, &good).expect("an entry");
    }
}

/// Row 4.
#[tokio::test]
async fn another_component_s_entry_and_another_key_s_are_compiled_again() {
    let folder = TempDir::new().expect("a folder");
    let cache = folder.path().join("cache");
    run(&cache, "hostile", "first").await;
    let [(hostile, good)] = entries(&cache).try_into().expect("one entry");
    let claims = run(&cache, "conformance", "name_").await;
    assert!(claims.contains("ok name_case_counts"), "{claims}");
    let both = entries(&cache);
    let (_, other) = both
        .iter()
        .find(|(path, _)| *path != hostile)
        .expect("a second entry");

    // The one's code under the other's name.
    fs::write(&hostile, other).expect("an entry");
    assert_eq!(run(&cache, "hostile", "mine").await, "mine\n");
    assert_ne!(
        fs::read(&hostile).expect("an entry"),
        *other,
        "not compiled again"
    );

    // An entry sealed under a key of somebody else's.
    fs::write(&hostile, &good).expect("an entry");
    fs::write(cache.join("key"), [9; 32]).expect("a key");
    assert_eq!(run(&cache, "hostile", "mine").await, "mine\n");
    assert_ne!(
        fs::read(&hostile).expect("an entry"),
        good,
        "not compiled again"
    );
}

/// Row 4: another engine configuration is another entry.
#[tokio::test]
async fn a_profile_s_code_is_not_another_profile_s() {
    let folder = TempDir::new().expect("a folder");
    let cache = folder.path().join("cache");
    run(&cache, "hostile", "vm").await;
    let [(vm, good)] = entries(&cache).try_into().expect("one entry");
    let options = StackOptions {
        engine_profile: "sgx".to_owned(),
        compilation_cache: Some(cache.clone()),
        ..Default::default()
    };
    let stack = Stack::with(options).await;
    let finished = stack
        .run(&Run::of("hostile", &["echo", "sgx"]))
        .await
        .expect("a run");
    assert_eq!(finished.stdout(), "sgx\n");
    let both = entries(&cache);
    assert_eq!(both.len(), 2);
    assert!(both.contains(&(vm.clone(), good)));
    let (sgx, code) = both
        .into_iter()
        .find(|(path, _)| *path != vm)
        .expect("its own entry");
    drop(stack);

    fs::write(&vm, &code).expect("an entry");
    assert_eq!(run(&cache, "hostile", "vm").await, "vm\n");
    assert_ne!(fs::read(&vm).expect("an entry"), code, "not compiled again");
    assert_eq!(fs::read(&sgx).expect("an entry"), code);
}
