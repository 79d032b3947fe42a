mod components;

use super::*;
use crate::{
    BytesInput, CompileLimits, CompileMode, ComponentStore, Engine, EngineProfile, MeasureError,
    Refusal,
};

/// A command whose core module's `run` has this body; `imports` and `before` are
/// the component's and the module's own.
fn command(imports: &str, module: &str, args: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            {imports}
            (core module $m
                {module}
                (func (export "run") (result i32) {body}))
            (core instance $i (instantiate $m {args}))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    );
    wat::parse_str(text).unwrap()
}

pub(crate) fn plain(module: &str, body: &str) -> Vec<u8> {
    command("", module, "", body)
}

fn exit(body: &str) -> Vec<u8> {
    command(
        r#"(import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
           (core func $exit (canon lower (func $exit "exit")))
           (core instance $host (export "exit" (func $exit)))"#,
        r#"(import "host" "exit" (func $exit (param i32)))"#,
        r#"(with "host" (instance $host))"#,
        body,
    )
}

/// Writes `len` bytes of its memory to standard output, in pieces of 4 KiB.
pub(crate) fn printing(len: u32) -> Vec<u8> {
    command(
        r#"(import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
           (alias export $errors "error" (type $error))
           (import "wasi:io/streams@0.2.0" (instance $streams
               (alias outer 1 $error (type $e))
               (export "output-stream" (type $out (sub resource)))
               (export "error" (type $err (eq $e)))
               (type $stream-error (variant (case "last-operation-failed" (own $err)) (case "closed")))
               (export "stream-error" (type $se (eq $stream-error)))
               (export "[method]output-stream.blocking-write-and-flush"
                   (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $se)))))))
           (alias export $streams "output-stream" (type $output))
           (import "wasi:cli/stdout@0.2.0" (instance $stdout
               (alias outer 1 $output (type $o))
               (export "output-stream" (type $out (eq $o)))
               (export "get-stdout" (func (result (own $out))))))
           (core module $mem (memory (export "memory") 2))
           (core instance $mem (instantiate $mem))
           (core func $get (canon lower (func $stdout "get-stdout")))
           (core func $write (canon lower
               (func $streams "[method]output-stream.blocking-write-and-flush") (memory (core memory $mem "memory"))))
           (core instance $host (export "get" (func $get)) (export "write" (func $write)))"#,
        r#"(import "host" "get" (func $get (result i32)))
           (import "host" "write" (func $write (param i32 i32 i32 i32)))
           (import "mem" "memory" (memory 2))
           (data (i32.const 0) "hello")"#,
        r#"(with "host" (instance $host)) (with "mem" (instance $mem))"#,
        &format!(
            r#"(local $out i32) (local $left i32) (local $piece i32)
               (local.set $out (call $get)) (local.set $left (i32.const {len}))
               (block $done (loop $again
                   (br_if $done (i32.eqz (local.get $left)))
                   (local.set $piece (select (i32.const 4096) (local.get $left)
                       (i32.gt_u (local.get $left) (i32.const 4096))))
                   (call $write (local.get $out) (i32.const 0) (local.get $piece) (i32.const 70000))
                   (local.set $left (i32.sub (local.get $left) (local.get $piece)))
                   (br $again)))
               i32.const 0"#
        ),
    )
}

pub(crate) const LOOP: &str = "(loop $l (br $l)) unreachable";

fn store(engine: &Engine) -> ComponentStore {
    ComponentStore::new(
        engine.clone(),
        CompileMode::InProcess,
        CompileLimits::default(),
        None,
    )
    .unwrap()
}

pub(crate) async fn measured(engine: &Engine, bytes: Vec<u8>) -> Arc<MeasuredComponent> {
    store(engine)
        .measure(bytes, None, &Cancellation::new())
        .await
        .unwrap()
}

async fn outcome(bytes: Vec<u8>, spec: RunSpec) -> RunOutcome {
    let component = measured(&Engine::new(EngineProfile::Vm).unwrap(), bytes).await;
    run(&component, spec).await.unwrap()
}

/// The same under both profiles, which must agree.
async fn result(bytes: Vec<u8>, limits: Limits) -> Result<(), Failure> {
    let mut results = Vec::new();
    for profile in [EngineProfile::Vm, EngineProfile::Sgx] {
        let component = measured(&Engine::new(profile).unwrap(), bytes.clone()).await;
        let spec = RunSpec {
            limits: limits.clone(),
            ..RunSpec::new()
        };
        results.push(run(&component, spec).await.unwrap().result);
    }
    assert_eq!(results[0], results[1]);
    results.remove(0)
}

fn small() -> Limits {
    Limits {
        memory: 4 << 20,
        time: Duration::from_millis(300),
        output: 10_000,
        ..Limits::default()
    }
}

#[tokio::test]
async fn success_and_every_kind_of_exit() {
    assert_eq!(result(plain("", "i32.const 0"), small()).await, Ok(()));
    assert_eq!(
        result(plain("", "i32.const 1"), small()).await,
        Err(Failure::Exit(1))
    );
    assert_eq!(
        result(exit("(call $exit (i32.const 0)) unreachable"), small()).await,
        Ok(())
    );
    assert_eq!(
        result(exit("(call $exit (i32.const 1)) i32.const 0"), small()).await,
        Err(Failure::Exit(1))
    );
}

#[tokio::test]
async fn a_trap_is_a_trap_and_no_exit() {
    let Err(Failure::Trap(text)) = result(plain("", "unreachable"), small()).await else {
        panic!("not a trap");
    };
    assert!(text.contains("unreachable"), "{text}");
    let out_of_bounds = plain("(memory 1)", "(i32.load (i32.const 70000))");
    assert!(matches!(
        result(out_of_bounds, small()).await,
        Err(Failure::Trap(_))
    ));
}

#[tokio::test]
async fn endless_recursion_is_a_stack_overflow() {
    let body = "(call $f) i32.const 0";
    let bytes = plain("(func $f (call $f))", body);
    assert_eq!(result(bytes, small()).await, Err(Failure::StackOverflow));
}

#[tokio::test]
async fn others_go_on_beside_a_loop() {
    let engine = Engine::new(EngineProfile::Vm).unwrap();
    let looping = measured(&engine, plain("", LOOP)).await;
    let quick = measured(&engine, plain("", "i32.const 0")).await;
    let cancellation = Cancellation::new();
    let stuck = async {
        let spec = RunSpec {
            cancellation: cancellation.clone(),
            ..RunSpec::new()
        };
        run(&looping, spec).await.unwrap().result
    };
    let others = async {
        for _ in 0..5 {
            assert_eq!(run(&quick, RunSpec::new()).await.unwrap().result, Ok(()));
        }
        cancellation.cancel();
    };
    // One thread runs both, so the others run, and the loop ends, only because it yields.
    let (stuck, ()) = tokio::join!(stuck, others);
    assert_eq!(stuck, Err(Failure::Cancelled));
}

#[tokio::test]
async fn a_loop_is_stopped_when_its_time_is_up() {
    assert_eq!(
        result(plain("", LOOP), small()).await,
        Err(Failure::TimeLimit { milliseconds: 300 })
    );
}

#[tokio::test]
async fn a_cancelled_loop_ends_at_once() {
    let spec = RunSpec::new();
    let cancellation = spec.cancellation.clone();
    let (outcome, ()) = tokio::join!(outcome(plain("", LOOP), spec), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancellation.cancel();
    });
    assert_eq!(outcome.result, Err(Failure::Cancelled));
    assert!(outcome.usage.untrusted_wall_time < Duration::from_secs(5));
}

#[tokio::test]
async fn memory_past_the_limit_is_named_even_where_the_guest_aborts() {
    let limit = Err(Failure::MemoryLimit { limit: 4 << 20 });
    let abort =
        "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)) i32.const 0";
    assert_eq!(result(plain("(memory 1)", abort), small()).await, limit);
    assert_eq!(
        result(plain("(memory 100)", "i32.const 0"), small()).await,
        limit
    );
    let table = "(if (i32.eq (table.grow (ref.null func) (i32.const 10000000)) (i32.const -1)) (then unreachable)) i32.const 0";
    assert_eq!(
        result(plain("(table 1 funcref)", table), small()).await,
        limit
    );
}

#[tokio::test]
async fn a_guest_that_copes_with_a_denied_growth_succeeds() {
    let body = "(drop (memory.grow (i32.const 100))) i32.const 0";
    let outcome = outcome(
        plain("(memory 2)", body),
        RunSpec {
            limits: small(),
            ..RunSpec::new()
        },
    )
    .await;
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.usage.memory_peak, 2 * 65536);
}

#[tokio::test]
async fn memory_grows_to_what_is_allowed_and_reads_zero() {
    let body = "(if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable))
                (i32.store (i32.const 65000000) (i32.const 0))
                (i32.load (i32.const 60000000))";
    let limits = Limits {
        memory: 80 << 20,
        ..small()
    };
    assert_eq!(result(plain("(memory 1)", body), limits).await, Ok(()));
}

#[tokio::test]
async fn standard_output_is_kept_and_counted() {
    let outcome = outcome(printing(5), RunSpec::new()).await;
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.stdout.read_all(100).await.unwrap(), b"hello");
    assert_eq!(outcome.stderr.size(), 0);
    assert_eq!(outcome.usage.output_bytes, 5);
}

#[tokio::test]
async fn a_flood_of_output_ends_the_run() {
    let limit = Err(Failure::OutputLimit { limit: 10_000 });
    assert_eq!(result(printing(10_001), small()).await, limit);
    assert_eq!(result(printing(10_000), small()).await, Ok(()));
}

#[tokio::test]
async fn fuel_is_counted_and_runs_out() {
    let engine = Engine::metered(EngineProfile::Vm).unwrap();
    let component = measured(&engine, plain("", "i32.const 0")).await;
    let usage = run(&component, RunSpec::new()).await.unwrap().usage;
    assert!(
        usage.fuel.is_some_and(|fuel| fuel > 0 && fuel < 1000),
        "{usage:?}"
    );
    let component = measured(&engine, plain("", LOOP)).await;
    let limits = Limits {
        fuel: Some(1_000_000),
        ..Limits::default()
    };
    let outcome = run(
        &component,
        RunSpec {
            limits,
            ..RunSpec::new()
        },
    )
    .await
    .unwrap();
    assert_eq!(outcome.result, Err(Failure::FuelLimit));
    assert_eq!(outcome.usage.fuel, Some(1_000_000));
}

#[tokio::test]
async fn names_that_cannot_be_files_are_an_error_before_anything_runs() {
    let component = measured(
        &Engine::new(EngineProfile::Vm).unwrap(),
        plain("", "i32.const 0"),
    )
    .await;
    for name in ["a/b", "..", "", "a\u{7}"] {
        let outputs = vec![name.to_owned()];
        assert!(
            run(
                &component,
                RunSpec {
                    outputs,
                    ..RunSpec::new()
                }
            )
            .await
            .is_err(),
            "{name:?}"
        );
        let mut inputs = InputTree::new();
        inputs.add_file(name, Arc::new(BytesInput(Bytes::new())));
        inputs.add_file(name, Arc::new(BytesInput(Bytes::new())));
        assert!(
            run(
                &component,
                RunSpec {
                    inputs,
                    ..RunSpec::new()
                }
            )
            .await
            .is_err(),
            "{name:?}"
        );
    }
}

/// Row 40: what Wasmtime allocates for instances beside their memories and tables is the run's.
#[tokio::test]
async fn functions_and_globals_of_instances_count_as_memory() {
    let globals = "(global (mut i32) (i32.const 0))".repeat(10_000);
    let text = plain(&globals, "i32.const 0");
    let limits = |memory| Limits {
        memory,
        ..Limits::default()
    };
    assert_eq!(result(text.clone(), limits(1 << 20)).await, Ok(()));
    let component = measured(&Engine::new(EngineProfile::Vm).unwrap(), text).await;
    assert!(component.footprint() > 160_000);
    let spec = RunSpec {
        limits: limits(100_000),
        ..RunSpec::new()
    };
    let refused = run(&component, spec).await.unwrap_err();
    assert_eq!(refused, Failure::MemoryLimit { limit: 100_000 });
}
