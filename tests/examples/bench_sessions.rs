//! Opening a session on a component already measured and compiled, and an instance of it.

use std::time::{Duration, Instant};

use mc2_client::session::Opened;
use mc2_tests::{Run, Stack, StackOptions, bench_row, median};

const RUNS: usize = 31;
/// What the guest is told of its job.
const JOB: &str = r#"{"version":1,"name":"bench","component":"hostile","arguments":["exit","0"],
    "instance":0,"instances":1,"inputs":[],"outputs":[],"limits":null}"#;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime");
    for profile in ["vm", "sgx"] {
        runtime.block_on(sessions(profile));
    }
    for profile in ["vm", "sgx"] {
        instances(&runtime, profile);
    }
}

async fn sessions(profile: &str) {
    let options = StackOptions {
        engine_profile: profile.into(),
        ..StackOptions::default()
    };
    let stack = Stack::with(options).await;
    let run = Run::of("hostile", &["exit", "0"]);
    // Measures and compiles.
    stack.session(&run).await.expect("a session");
    let policy = run.policy(&stack.me);
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let opened = Opened::open(&stack.remote, policy.clone(), &stack.me).await;
        times.push(start.elapsed());
        opened.expect("a session");
    }
    times.sort();
    bench_row(
        &format!("a new session on a compiled component, evidence included ({profile})"),
        "ms",
        times[RUNS / 2].as_secs_f64() * 1e3,
        Some(10.0),
        false,
    );
    stack.host.shutdown().await;
}

/// The sandbox alone: a fresh store and instance, a `main` that returns at once, and the end.
fn instances(runtime: &tokio::runtime::Runtime, profile: &str) {
    use mc2_sandbox::{
        Cancellation, CompileLimits, CompileMode, ComponentStore, Engine, RunSpec, run,
    };
    let engine = Engine::new(profile.parse().expect("a profile")).expect("an engine");
    let store = ComponentStore::new(
        engine,
        CompileMode::InProcess,
        CompileLimits::default(),
        None,
    )
    .expect("a store");
    let wasm = std::fs::read(mc2_tests::component("hostile")).expect("the component");
    let component = runtime
        .block_on(store.measure(wasm, None, &Cancellation::new()))
        .expect("a measured component");
    let time = median(RUNS, || {
        let spec = RunSpec {
            arguments: vec!["exit".into(), "0".into()],
            job: JOB.into(),
            ..RunSpec::new()
        };
        let start = Instant::now();
        let outcome = runtime.block_on(run(&component, spec)).expect("a run");
        let time: Duration = start.elapsed();
        outcome.result.expect("success");
        time
    });
    bench_row(
        &format!("an instance of it, from nothing to its end ({profile})"),
        "ms",
        time.as_secs_f64() * 1e3,
        Some(1.0),
        false,
    );
}
