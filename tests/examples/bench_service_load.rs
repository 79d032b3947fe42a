//! How fast a host answers with a thousand open sessions of one tenant and ten thousand jobs in its
//! queue, and how soon it is ready again after it was killed with a thousand jobs recorded.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mc2_client::{
    http::Request,
    session::{Opened, Session},
};
use mc2_protocol::documents::job::Job;
use mc2_tests::{bench_row, draft_job, many_jobs, percentile};
use mc2_wire::routes;

const SESSIONS: usize = 1_000;
const QUEUED: usize = 10_000;
/// As many of one party as a session's queue holds.
const OF_ONE: usize = 500;
const RECORDED: usize = 1_000;
const ASKED: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime");
    runtime.block_on(load());
    runtime.block_on(restart());
}

fn job(session: &Session<'_>, words: &[&str]) -> Job {
    draft_job(session, "run", &BTreeMap::new(), &[words])
}

async fn load() {
    let (apart, policy) = many_jobs("10min").await;
    let mut sessions = vec![apart.open(policy.clone()).await];
    while sessions.len() < QUEUED / OF_ONE {
        sessions.push(apart.open(policy.clone()).await);
    }
    for _ in sessions.len()..SESSIONS {
        let opened = Opened::open(&apart.remote, policy.clone(), &apart.me).await;
        opened.expect("a session");
    }
    let mut ticket = None;
    for session in &sessions {
        for _ in 0..OF_ONE {
            // They run, or wait, for as long as this looks.
            let job = job(session, &["sleep", "600"]);
            let (message, _) = session.leaving(&apart.me, &job).expect("a message");
            let left = session.leave(&apart.me, &message, |_| ()).await;
            ticket = Some(left.expect("a place in the queue"));
        }
    }

    let last = sessions.last().expect("many");
    let digest = last.appraised().digest();
    let card = apart.me.card().digest();
    let ticket = ticket.expect("many");
    let http = apart.http();
    for (name, path) in [
        ("health", routes::HEALTH_PATH.to_owned()),
        ("metrics", routes::METRICS_PATH.to_owned()),
        ("a session", routes::session_path(digest)),
        (
            "the party's sessions",
            format!("{}?party={card}", routes::SESSIONS_PATH),
        ),
        ("a session's jobs", routes::jobs_path(digest)),
        ("a ticket", routes::ticket_path(digest, &ticket)),
    ] {
        let mut times = Vec::new();
        for _ in 0..ASKED {
            let start = Instant::now();
            let answer = http.send(&Request::get(path.clone(), 64 << 20)).await;
            times.push(start.elapsed());
            answer.expect("an answer");
        }
        let time = percentile(&mut times, 1.0).as_secs_f64() * 1e3;
        let name = format!(
            "the slowest of {ASKED} answers with {SESSIONS} sessions and {QUEUED} queued jobs: {name}"
        );
        bench_row(&name, "ms", time, Some(50.0), false);
    }
}

async fn restart() {
    let (apart, policy) = many_jobs("10min").await;
    let session = apart.open(policy).await;
    for _ in 0..RECORDED {
        let job = job(&session, &["echo", "done"]);
        let running = session.submit(&apart.me, &job).await.expect("a job");
        running.wait(&apart.me, |_| ()).await.expect("its end");
    }
    apart.kill_host();
    let start = Instant::now();
    apart.start_host();
    let http = apart.http();
    let ready = Request::get(routes::READY_PATH.to_owned(), 1 << 20);
    while http.send(&ready).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let name = format!("a killed host with {RECORDED} jobs recorded is ready");
    bench_row(&name, "s", start.elapsed().as_secs_f64(), Some(2.0), false);
}
