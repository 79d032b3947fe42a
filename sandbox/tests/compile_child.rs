//! The compiling child, as a real process. This program is its own child, so it
//! has no test harness: one that printed anything would print it into the code.

use std::process::ExitCode;
use std::time::Duration;

use mc2_sandbox::{
    COMPILE_CHILD, Cancellation, CompileError, CompileLimits, CompileMode, ComponentStore, Engine,
    EngineProfile, MeasureError, RunSpec, compile_child_main, run,
};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(COMPILE_CHILD) {
        return compile_child_main();
    }
    // What `cargo test -- --list` and filters ask for; there is one test.
    if std::env::args().any(|argument| argument == "--list") {
        println!("compile_child: test");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        a_component_compiled_in_the_child_runs().await;
        println!("a_component_compiled_in_the_child_runs ... ok");
        what_does_not_compile_says_why().await;
        println!("what_does_not_compile_says_why ... ok");
        a_child_out_of_memory_is_the_childs_problem().await;
        println!("a_child_out_of_memory_is_the_childs_problem ... ok");
        a_child_out_of_time_is_killed().await;
        println!("a_child_out_of_time_is_killed ... ok");
        the_child_has_three_pipes_and_no_way_to_more().await;
        println!("the_child_has_three_pipes_and_no_way_to_more ... ok");
        a_cancelled_child_is_killed().await;
        println!("a_cancelled_child_is_killed ... ok");
    });
    ExitCode::SUCCESS
}

fn command(module: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (core module $m {module} (func (export "run") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    ))
    .expect("a component")
}

/// Takes the compiler seconds.
fn slow() -> Vec<u8> {
    let body = "(local.set $x (i64.xor (i64.mul (local.get $x) (i64.const 7)) (i64.rotl (local.get $x) (i64.const 3))))";
    command(&format!("(func (param $x i64) {})", body.repeat(20_000)).repeat(50))
}

fn store(limits: CompileLimits) -> ComponentStore {
    let engine = Engine::new(EngineProfile::Vm).expect("an engine");
    ComponentStore::new(
        engine,
        CompileMode::Child {
            program: "/proc/self/exe".into(),
        },
        limits,
        None,
    )
    .expect("a store")
}

async fn a_component_compiled_in_the_child_runs() {
    let store = store(CompileLimits::default());
    let component = store
        .measure(command(""), None, &Cancellation::new())
        .await
        .expect("it compiles");
    let outcome = run(&component, RunSpec::new()).await.expect("it starts");
    assert_eq!(outcome.result, Ok(()));
}

async fn what_does_not_compile_says_why() {
    let error = failure(
        CompileLimits::default(),
        command("(memory 1 1 shared)"),
        &Cancellation::new(),
    )
    .await;
    let CompileError::Invalid(reason) = error else {
        panic!("{error}")
    };
    assert!(reason.contains("threads"), "{reason}");
}

async fn a_child_out_of_memory_is_the_childs_problem() {
    let limits = CompileLimits {
        memory: 64 << 20,
        ..CompileLimits::default()
    };
    let error = failure(limits, slow(), &Cancellation::new()).await;
    assert!(
        matches!(error, CompileError::Died { .. } | CompileError::Invalid(_)),
        "{error}"
    );
}

async fn a_child_out_of_time_is_killed() {
    let limits = CompileLimits {
        time: Duration::from_millis(300),
        ..CompileLimits::default()
    };
    let error = failure(limits, slow(), &Cancellation::new()).await;
    assert!(matches!(error, CompileError::TimeLimit(_)), "{error}");
    no_child_is_left().await;
}

async fn a_cancelled_child_is_killed() {
    let cancellation = Cancellation::new();
    let (error, ()) = tokio::join!(
        failure(CompileLimits::default(), slow(), &cancellation),
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            cancellation.cancel();
        }
    );
    assert!(matches!(error, CompileError::Cancelled), "{error}");
    no_child_is_left().await;
}

/// As the kernel shows it while it compiles; what the filter denies is tested beside it.
async fn the_child_has_three_pipes_and_no_way_to_more() {
    let cancellation = Cancellation::new();
    let (error, ()) = tokio::join!(
        failure(CompileLimits::default(), slow(), &cancellation),
        async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let child = children().pop().expect("a child that compiles");
            let of = |file: &str| std::fs::read_to_string(format!("/proc/{child}/{file}"));
            let status = of("status").expect("its status");
            assert!(status.contains("Seccomp:\t2\n"), "{status}");
            assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
            let limits = of("limits").expect("its limits");
            let limit = |name: &str| {
                let line = limits.lines().find(|line| line.starts_with(name));
                let words = line.expect("a limit")[name.len()..].split_whitespace();
                words.take(2).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(limit("Max open files"), ["3", "3"]);
            assert_eq!(limit("Max file size"), ["0", "0"]);
            assert_eq!(limit("Max core file size"), ["0", "0"]);
            let open = std::fs::read_dir(format!("/proc/{child}/fd")).expect("its descriptors");
            let open: Vec<String> = open
                .flatten()
                .filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .map(|target| target.display().to_string())
                .collect();
            assert!(
                open.iter()
                    .all(|target| target.starts_with("pipe:") || target.starts_with("socket:")),
                "{open:?}"
            );
            assert!(open.len() <= 3, "{open:?}");
            assert_eq!(of("environ").expect("its environment"), "");
            cancellation.cancel();
        }
    );
    assert!(matches!(error, CompileError::Cancelled), "{error}");
    no_child_is_left().await;
}

async fn failure(
    limits: CompileLimits,
    component: Vec<u8>,
    cancellation: &Cancellation,
) -> CompileError {
    match store(limits)
        .measure(component, None, cancellation)
        .await
        .expect_err("it compiled")
    {
        MeasureError::Compile(error) => error,
        other => panic!("{other}"),
    }
}

/// Reads the kernel's own list of this process's children.
async fn no_child_is_left() {
    for _ in 0..50 {
        if children().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a compiling child was left behind");
}

fn children() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|children| {
            let children = children.split_whitespace();
            children.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}
