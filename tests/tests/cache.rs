//! Row 4: compiled code kept outside the enclave is only a help. Whatever is wrong with it, the
//! component is compiled again and does what it always did.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mc2_tests::{Run, Stack, StackOptions};
use tempfile::TempDir;

/// A folder with the cache and two components, which compile in no time.
struct Bench {
    folder: TempDir,
}

/// A command that says it succeeded (0) or failed (1).
fn command(says: u32) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $module (func (export "run") (result i32) i32.const {says}))
            (core instance $core (instantiate $module))
            (func $run (result (result)) (canon lift (core func $core "run")))
            (instance $instance (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $instance)))"#
    );
    wat::parse_str(text).expect("a component")
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("good.wasm"), command(0)).expect("a file");
        fs::write(folder.path().join("bad.wasm"), command(1)).expect("a file");
        Self { folder }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// How a run of this component ends in a runtime process of its own.
    async fn run(&self, component: &str, profile: &str) -> String {
        let options = StackOptions {
            engine_profile: profile.to_owned(),
            compilation_cache: Some(self.cache()),
            ..Default::default()
        };
        let stack = Stack::with(options).await;
        let component = self.folder.path().join(format!("{component}.wasm"));
        let run = Run {
            component,
            ..Run::of("hostile", &[])
        };
        let finished = stack.run(&run).await.expect("a receipt");
        finished.reason().to_owned()
    }
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
    let bench = Bench::new();
    assert_eq!(bench.run("good", "vm").await, "succeeded");
    let [(path, good)] = entries(&bench.cache()).try_into().expect("one entry");
    assert!(good.len() > 1_000, "native code");
    let elf = |bytes: &[u8]| bytes.windows(4).any(|four| four == b"\x7fELF");
    assert!(!elf(&good), "native code in the clear");

    // A good entry is used: it stays as it is.
    assert_eq!(bench.run("good", "vm").await, "succeeded");
    assert_eq!(entries(&bench.cache()), [(path.clone(), good.clone())]);

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
        assert_eq!(bench.run("good", "vm").await, "succeeded", "{what}");
        let [(_, new)] = entries(&bench.cache()).try_into().expect("one entry");
        assert!(new != bad && new != good, "{what}: not compiled again");
        fs::write(&path, &good).expect("an entry");
    }
}

/// Row 4.
#[tokio::test]
async fn another_component_s_entry_and_another_key_s_are_compiled_again() {
    let bench = Bench::new();
    assert_eq!(bench.run("good", "vm").await, "succeeded");
    let [(path, good)] = entries(&bench.cache()).try_into().expect("one entry");
    assert_eq!(bench.run("bad", "vm").await, "exit");
    let both = entries(&bench.cache());
    let (_, other) = both
        .iter()
        .find(|entry| entry.0 != path)
        .expect("a second entry");

    // The one's code under the other's name.
    fs::write(&path, other).expect("an entry");
    assert_eq!(bench.run("good", "vm").await, "succeeded");
    assert_ne!(
        fs::read(&path).expect("an entry"),
        *other,
        "not compiled again"
    );

    // An entry sealed under a key of somebody else's.
    fs::write(&path, &good).expect("an entry");
    fs::write(bench.cache().join("key"), [9; 32]).expect("a key");
    assert_eq!(bench.run("good", "vm").await, "succeeded");
    assert_ne!(
        fs::read(&path).expect("an entry"),
        good,
        "not compiled again"
    );
}

/// Row 4: another engine configuration is another entry.
#[tokio::test]
async fn a_profile_s_code_is_not_another_profile_s() {
    let bench = Bench::new();
    assert_eq!(bench.run("good", "vm").await, "succeeded");
    let [(vm, good)] = entries(&bench.cache()).try_into().expect("one entry");
    assert_eq!(bench.run("good", "sgx").await, "succeeded");
    let both = entries(&bench.cache());
    assert_eq!(both.len(), 2);
    assert!(both.contains(&(vm.clone(), good)));
    let (sgx, code) = both
        .into_iter()
        .find(|entry| entry.0 != vm)
        .expect("its own entry");

    fs::write(&vm, &code).expect("an entry");
    assert_eq!(bench.run("good", "vm").await, "succeeded");
    assert_ne!(fs::read(&vm).expect("an entry"), code, "not compiled again");
    assert_eq!(fs::read(&sgx).expect("an entry"), code);
}
