//! Trivial jobs over loopback, from a submission to the result, verified and opened in memory: one
//! after the other in an open session, and from 64 clients for five minutes. Host, runtime and clients
//! are processes of their own, the host as `mc2-host serve` starts it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mc2_client::session::{Running, Session};
use mc2_protocol::documents::job::Job;
use mc2_tests::{Apart, bench_row, draft_job, many_jobs, percentile, private_memory};

const ONE_BY_ONE: usize = 1_000;
const CLIENTS: usize = 64;
const LASTING: Duration = Duration::from_secs(300);
/// When memory is looked at first: what is kept for a while is there then.
const SETTLED: Duration = Duration::from_secs(100);
/// What the trivial job's guest prints.
const WORD: &str = "done";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime");
    runtime.block_on(one_by_one());
    runtime.block_on(crowd());
}

fn job(session: &Session<'_>) -> Job {
    draft_job(session, "run", &BTreeMap::new(), &[&["echo", WORD]])
}

async fn result(apart: &Apart, session: &Session<'_>, running: &Running<'_, '_>) {
    running.wait(&apart.me, |_| ()).await.expect("its end");
    let result = apart.output(session, running, "stdout").await;
    assert!(String::from_utf8_lossy(&result).contains(WORD));
}

async fn one_by_one() {
    let (apart, policy) = many_jobs("10s").await;
    let session = apart.open(policy).await;
    let mut times = Vec::new();
    for number in 0..ONE_BY_ONE + 20 {
        let job = job(&session);
        let start = Instant::now();
        let running = session.submit(&apart.me, &job).await.expect("a job");
        result(&apart, &session, &running).await;
        // The first ones make connections.
        if number >= 20 {
            times.push(start.elapsed());
        }
    }
    let name = |part: &str| format!("submit to result of a trivial job, {part}");
    for (part, label, target) in [(0.5, "p50", 5.0), (0.99, "p99", 20.0)] {
        let time = percentile(&mut times, part).as_secs_f64() * 1e3;
        bench_row(&name(label), "ms", time, Some(target), false);
    }
}

async fn crowd() {
    let (apart, policy) = many_jobs("10s").await;
    let (apart, done) = (Arc::new(apart), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (apart, policy, done) = (Arc::clone(&apart), policy.clone(), Arc::clone(&done));
        clients.spawn(async move {
            let session = apart.open(policy).await;
            while begun.elapsed() < LASTING {
                one(&apart, &session).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(SETTLED).await;
    let at_first = private_memory(&apart.pids());
    while let Some(ended) = clients.join_next().await {
        ended.expect("no error");
    }
    let seconds = begun.elapsed().as_secs_f64();
    let at_last = private_memory(&apart.pids());
    let rate = done.load(Ordering::Relaxed) as f64 / seconds;
    let name = |what: &str| format!("trivial jobs of {CLIENTS} clients for five minutes, {what}");
    bench_row(&name("rate"), "a second", rate, Some(500.0), true);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (first, last) = (
        "memory of host and runtime after 100 s",
        "the same at the end",
    );
    bench_row(&name(first), "MiB", mib(at_first), None, false);
    bench_row(
        &name(last),
        "MiB",
        mib(at_last),
        Some(mib(at_first) * 1.1),
        false,
    );
}

/// A job by the host's queue: the process runs fewer at once than there are clients.
async fn one(apart: &Apart, session: &Session<'_>) {
    let job = job(session);
    let (message, pending) = session.leaving(&apart.me, &job).expect("a message");
    let ticket = session.leave(&apart.me, &message, |_| ()).await;
    let ticket = ticket.expect("a place in the queue");
    let number = session.turn(&ticket, &pending, |_| ()).await;
    let running = session.running(&job, number.expect("a job"));
    result(apart, session, &running).await;
}
