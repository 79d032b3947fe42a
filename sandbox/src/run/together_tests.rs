//! Several instances together. What they say to each other is tested with real guests, in the
//! end-to-end suite.

use std::time::{Duration, Instant};

use super::super::tests::{LOOP, measured, plain, printing};
use super::*;
use crate::{Engine, EngineProfile, Limits, progress_channel};

fn specs(size: usize, limits: &Limits) -> Vec<RunSpec> {
    let spec = RunSpec {
        limits: limits.clone(),
        ..RunSpec::new()
    };
    let cancellation = spec.cancellation.clone();
    let mut specs = vec![spec];
    specs.resize_with(size, || RunSpec {
        limits: limits.clone(),
        cancellation: cancellation.clone(),
        ..RunSpec::new()
    });
    specs
}

async fn together(bytes: Vec<u8>, specs: Vec<RunSpec>) -> Result<TogetherOutcome, Failure> {
    let component = measured(&Engine::new(EngineProfile::Vm).unwrap(), bytes).await;
    run_together(&component, specs).await
}

/// Enough for names, functions and globals of two instances, and less than a page.
const BESIDE: u64 = 32 << 10;

fn limits(memory: u64) -> Limits {
    Limits {
        memory: memory + Peers::bytes(2) + BESIDE,
        time: Duration::from_secs(20),
        output: 8,
        ..Limits::default()
    }
}

#[tokio::test]
async fn all_succeed_or_the_step_has_failed() {
    let outcome = together(plain("", "i32.const 0"), specs(3, &Limits::default()))
        .await
        .unwrap();
    assert_eq!((outcome.result, outcome.failed), (Ok(()), None));
    assert_eq!(outcome.instances.len(), 3);

    let outcome = together(plain("", "unreachable"), specs(3, &Limits::default()))
        .await
        .unwrap();
    assert!(matches!(outcome.result, Err(Failure::Trap(_))));
    assert!(outcome.failed.is_some());
}

#[tokio::test]
async fn one_instance_is_a_step_like_any_other() {
    let outcome = together(plain("", "i32.const 1"), specs(1, &Limits::default()))
        .await
        .unwrap();
    assert_eq!(outcome.result, Err(Failure::Exit(1)));
    assert_eq!((outcome.failed, outcome.instances.len()), (Some(0), 1));
}

#[tokio::test]
async fn more_or_fewer_than_there_may_be_do_not_start() {
    for size in [0, PEERS + 1] {
        let ended = together(plain("", "i32.const 0"), specs(size, &Limits::default())).await;
        assert!(matches!(ended, Err(Failure::Internal(_))), "{size}");
    }
}

#[tokio::test]
async fn memory_is_counted_over_all_instances() {
    // Each has 40 pages to begin with and never lets go of them.
    let greedy = plain("(memory 40)", LOOP);
    let time = Duration::from_millis(300);
    let enough = Limits {
        time,
        ..limits(80 << 16)
    };
    let outcome = together(greedy.clone(), specs(2, &enough)).await.unwrap();
    assert!(matches!(outcome.result, Err(Failure::TimeLimit { .. })));
    let peaks = outcome.instances.iter().map(|one| one.usage.memory_peak);
    assert_eq!(peaks.collect::<Vec<_>>(), [40 << 16; 2]);

    let too_little = limits(79 << 16);
    let started = Instant::now();
    let outcome = together(greedy, specs(2, &too_little)).await.unwrap();
    let limit = too_little.memory;
    assert_eq!(outcome.result, Err(Failure::MemoryLimit { limit }));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "the other went on"
    );
}

#[tokio::test]
async fn streams_count_as_memory() {
    let outcome = together(plain("", "i32.const 0"), specs(2, &limits(0))).await;
    assert_eq!(outcome.unwrap().result, Ok(()));
    let less = Limits {
        memory: Peers::bytes(2) - 1,
        ..Limits::default()
    };
    let ended = together(plain("", "i32.const 0"), specs(2, &less)).await;
    assert!(matches!(ended, Err(Failure::MemoryLimit { .. })));
}

#[tokio::test]
async fn output_is_counted_over_all_instances_and_printed_by_the_first() {
    let outcome = together(printing(4), specs(2, &limits(10 << 20)))
        .await
        .unwrap();
    assert_eq!(outcome.result, Ok(()));
    let stdout = outcome.stdout().unwrap().read_all(100).await.unwrap();
    assert_eq!(stdout, b"hell");
    assert_eq!(outcome.stderr().count(), 2);

    let outcome = together(printing(5), specs(2, &limits(10 << 20)))
        .await
        .unwrap();
    assert_eq!(outcome.result, Err(Failure::OutputLimit { limit: 8 }));
}

#[tokio::test]
async fn cancelling_ends_all_of_them() {
    let specs = specs(2, &limits(10 << 20));
    let cancellation = specs[0].cancellation.clone();
    let started = Instant::now();
    let (outcome, ()) = tokio::join!(together(plain("", LOOP), specs), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancellation.cancel();
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.result, Err(Failure::Cancelled));
    assert_eq!(outcome.failed, None);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn dropping_the_step_ends_its_threads() {
    let (progress, mut events) = progress_channel();
    let mut specs = specs(2, &limits(10 << 20));
    for spec in &mut specs {
        spec.progress = Some(progress.clone());
    }
    drop(progress);
    let step = together(plain("", LOOP), specs);
    let timeout = tokio::time::timeout(Duration::from_millis(300), step).await;
    assert!(timeout.is_err());
    // The guests held the other ends of this.
    let ended = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
    assert_eq!(ended.unwrap(), None);
}
