//! Rows 3 and 16: what runs is what was hashed, and compiling it cannot bring the runtime down.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use mc2_client::{http::HttpError, remote::RemoteError};
use mc2_protocol::{Digest, encoding::Hex};
use mc2_tests::{Lie, RawRuntime, Run, RunFailed, Stack, component, identity, program};
use tempfile::TempDir;

fn refusal(refused: RunFailed) -> (String, String) {
    match refused {
        RunFailed::Remote(RemoteError::Http(HttpError::Refused { problem, .. })) => {
            (problem.code, problem.detail)
        }
        other => panic!("refused elsewhere: {other:?}"),
    }
}

fn of_component(asked: &mc2_tests::Asked) -> bool {
    asked.is("GET", "/v1/components/")
}

/// Row 3.
#[tokio::test]
async fn a_component_swapped_by_the_host_is_refused_by_both_digests() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    let run = Run::of("hostile", &["echo", "mine"]);
    let wanted = Digest::of(&fs::read(&run.component).expect("the component"));
    let other = fs::read(component("conformance")).expect("the component");
    let found = Digest::of(&other);
    for lie in [
        Lie::Bytes(other.into()),
        Lie::Flip(1000),
        Lie::Flip(-1),
        Lie::Cut(1),
        Lie::Grow(1),
    ] {
        let what = format!("{lie:?}");
        liar.lie(lie, of_component);
        let refused = stack.session(&run).await.err().expect("a refusal");
        let (code, message) = refusal(refused);
        assert_eq!(code, "component-refused", "{what}: {message}");
        assert!(
            message.contains(&format!("expected {wanted}")),
            "{what}: {message}"
        );
        if what.starts_with("Bytes") {
            assert!(message.contains(&found.to_string()), "{message}");
        }
    }
    liar.repent();
    let finished = stack.run(&run).await.expect("a run");
    assert_eq!(finished.stdout(), "mine\n");
}

/// Row 3.
#[tokio::test]
async fn a_component_swapped_after_it_was_measured_changes_nothing() {
    let (stack, liar) = Stack::lying_to_runtime().await;
    let run = Run::of("hostile", &["echo", "mine"]);
    let session = stack.session(&run).await.expect("a session");
    // From here on whoever asks gets another component.
    let other = fs::read(component("conformance")).expect("the component");
    liar.lie(Lie::Bytes(other.clone().into()), of_component);
    let stored = stack.host_folder().join("components");
    for entry in fs::read_dir(&stored).expect("the components") {
        fs::write(entry.expect("a file").path(), &other).expect("the host's own file");
    }
    let finished = stack.run_in(&session, &run).await.expect("a run");
    assert_eq!(finished.stdout(), "mine\n");
    let second = stack
        .open_session(&stack.remote, session.policy().clone())
        .await;
    let second = second.expect("a second session");
    let finished = stack.run_in(&second, &run).await.expect("a run");
    assert_eq!(finished.stdout(), "mine\n");
    assert_eq!(liar.lies(), 0, "the bytes were asked for again");
}

/// Rows 3 and 4.
#[tokio::test]
async fn what_is_no_component_is_refused_by_what_it_is() {
    let stack = Stack::start().await;
    let folder = TempDir::new().expect("a folder");
    let core = wat::parse_str("(module (func (export \"run\")))").expect("a module");
    let empty = wat::parse_str("(component)").expect("a component");
    let native = fs::read(program("mc2-runtime-sim")).expect("native code");
    let native = native[..native.len().min(1 << 20)].to_vec();
    for (name, bytes, reason) in [
        ("native code", native, "native code"),
        (
            "native code after a .cwasm's first bytes",
            b"\x7fELF\x02\x01\x01".to_vec(),
            ".cwasm",
        ),
        ("a core module", core, "core module"),
        ("a library", empty, "wasi:cli/run"),
        (
            "text",
            b"#!/bin/sh\necho\n".to_vec(),
            "not a WebAssembly component",
        ),
        ("nothing", Vec::new(), "empty"),
        (
            "half a component",
            component_bytes()[..5_000].to_vec(),
            "malformed",
        ),
    ] {
        let path = folder.path().join("component.wasm");
        fs::write(&path, &bytes).expect("a file");
        let run = Run {
            component: path,
            ..Run::of("hostile", &[])
        };
        let refused = match stack.session(&run).await {
            Ok(_) => panic!("{name} was taken"),
            Err(RunFailed::Remote(RemoteError::Http(HttpError::Refused { problem, .. }))) => {
                problem
            }
            Err(other) => panic!("{name}: {other:?}"),
        };
        assert!(
            refused.detail.contains(reason),
            "{name}: {}",
            refused.detail
        );
    }
}

/// Row 16.
#[tokio::test]
async fn a_compile_bomb_is_refused_before_the_compiler_sees_it_and_the_runtime_lives_on() {
    let runtime = RawRuntime::start().await;
    let me = identity("me");
    let folder = TempDir::new().expect("a folder");
    let nonce = Hex([1; 32]);
    let huge: Vec<u8> = [vec![0], b"\x41\x00\x1a".repeat(2_000_000), vec![0x0b]].concat();
    let mut deep = vec![0];
    deep.extend(b"\x02\x40".repeat(20_000));
    deep.extend([0x0b; 20_001]);
    let locals = [&[1][..], &leb(60_000), &[0x7f, 0x0b]].concat();
    let small = vec![0, 0x0b];
    let mut nested = bomb::component(&[]);
    for _ in 0..20 {
        nested = bomb::around(&nested);
    }
    let bombs = [
        ("a huge function", bomb::component(&[bomb::module(&[huge])])),
        ("deep nesting", bomb::component(&[bomb::module(&[deep])])),
        ("many locals", bomb::component(&[bomb::module(&[locals])])),
        (
            "a million functions",
            bomb::component(&[bomb::module(&vec![small; 1_000_000])]),
        ),
        (
            "many modules",
            bomb::component(&vec![bomb::module(&[]); 100]),
        ),
        ("components within components", nested),
    ];
    for (name, bytes) in bombs {
        let run = stored(&folder, &bytes);
        runtime.serve(Digest::of(&bytes), bytes);
        let policy = run.policy(&me);
        let (status, problem) = runtime
            .open(policy.bytes(), nonce, &me)
            .await
            .err()
            .unwrap_or_else(|| panic!("{name}"));
        assert_eq!(
            (status.as_u16(), &*problem.code),
            (422, "component-refused"),
            "{name}"
        );
        assert!(
            problem.detail.contains("more than the"),
            "{name}: {}",
            problem.detail
        );
    }
    let good = component_bytes();
    let run = stored(&folder, &good);
    runtime.serve(Digest::of(&good), good);
    runtime
        .open(run.policy(&me).bytes(), nonce, &me)
        .await
        .expect("an honest component");
}

/// Row 16.
#[test]
fn the_compiling_process_has_no_more_memory_than_it_was_given() {
    // Within every cap, and too much for 300 MiB: loads and stores that nothing optimises away.
    let piece = b"\x41\x08\x41\x00\x28\x02\x00\x41\x03\x6c\x36\x02\x00";
    let body = [vec![0], piece.repeat(150_000), vec![0x0b]].concat();
    let bytes = bomb::component(&[bomb::module(&[body.clone(), body])]);
    let memory = (300 << 20).to_string();
    let mut child = Command::new(program("mc2-compile"))
        .args(["compile-child", "vm", "plain", &memory, "60"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a compiling process");
    let mut stdin = child.stdin.take().expect("piped");
    // It may end before it has read everything.
    let _ = stdin.write_all(&bytes);
    drop(stdin);
    let output = child.wait_with_output().expect("its end");
    assert!(!output.status.success(), "it compiled");
    assert!(
        output.stdout.is_empty(),
        "it wrote {} bytes of code",
        output.stdout.len()
    );
}

fn component_bytes() -> Vec<u8> {
    fs::read(component("hostile")).expect("the component")
}

fn stored(folder: &TempDir, bytes: &[u8]) -> Run {
    let path: PathBuf = folder.path().join(format!("{}.wasm", Digest::of(bytes)));
    fs::write(&path, bytes).expect("a file");
    Run {
        component: path,
        ..Run::of("hostile", &[])
    }
}

fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// Modules and components, encoded by hand: no tool would write these.
mod bomb {
    use super::leb;

    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        [&[id][..], &leb(body.len() as u32), body].concat()
    }

    /// A core module of functions `[] -> []` with these bodies, and one page of memory.
    pub(crate) fn module(bodies: &[Vec<u8>]) -> Vec<u8> {
        let count = leb(bodies.len() as u32);
        let functions = [count.clone(), vec![0; bodies.len()]].concat();
        let mut code = count;
        for body in bodies {
            code.extend(leb(body.len() as u32));
            code.extend(body);
        }
        [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, &[1, 0x60, 0, 0]),
            section(3, &functions),
            section(5, &[1, 0, 1]),
            section(10, &code),
        ]
        .concat()
    }

    /// A component of these core modules.
    pub(crate) fn component(modules: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for module in modules {
            bytes.extend(section(1, module));
        }
        bytes
    }

    /// A component with a component in it.
    pub(crate) fn around(inner: &[u8]) -> Vec<u8> {
        let mut bytes = component(&[]);
        bytes.extend(section(4, inner));
        bytes
    }
}
