//! What the benchmarks share: rows as `cargo xtask bench` reads them, medians, and the size of a
//! process.

use std::{fs, time::Duration};

use mc2_protocol::{Digest, policy::Policy};

use crate::{Apart, component, policy_of};

/// Prints one row of the table as JSON.
pub fn bench_row(name: &str, unit: &str, measured: f64, target: Option<f64>, more_is_better: bool) {
    let target = target.map_or("null".to_owned(), |target| target.to_string());
    println!(
        "{{\"name\": \"{name}\", \"unit\": \"{unit}\", \"measured\": {measured}, \
         \"target\": {target}, \"more_is_better\": {more_is_better}}}"
    );
}

/// A host and a runtime over loopback, and a policy of one party under which the test guest prints to it
/// as often as anybody measures, within `time` each.
pub async fn many_jobs(time: &str) -> (Apart, Policy) {
    let job = format!(
        "submit = [\"me\"]\nruns = 1000000\nerrors = \"full\"\nlimits = {{ memory = \"64MiB\", \
         time = \"{time}\", output = \"1MiB\" }}\n[[job.step]]\ncomponent = \"workload\"\n\
         args = \"any\"\npadding = \"exact\"\noutputs = {{ stdout = [\"me\"] }}\n"
    );
    let apart = Apart::over_loopback();
    let wasm = fs::read(component("hostile")).expect("the component");
    let digest = Digest::of(&wasm);
    let stored = apart.remote.put_component(&digest, wasm.into());
    stored.await.expect("a component");
    let policy = policy_of(&[&apart.me], &digest, &[], &job);
    (apart, policy)
}

/// The median of `runs` timed by `once`, after one that does not count.
pub fn median(runs: usize, mut once: impl FnMut() -> Duration) -> Duration {
    once();
    let mut times: Vec<Duration> = (0..runs).map(|_| once()).collect();
    times.sort();
    times[runs / 2]
}

/// The time that this part of `times` did not exceed, of which there is one at least.
pub fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort();
    let index = (times.len() as f64 * part) as usize;
    times[index.min(times.len() - 1)]
}

/// Bytes of private memory that these processes have now.
///
/// # Panics
/// When one is gone, or this is not Linux.
pub fn private_memory(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kib.expect("its memory") * 1024
    };
    pids.iter().map(of).sum()
}

/// Most bytes of private, resident memory the runtimes that this process started have had at once: the
/// kernel's high-water mark less the pages of files (the executable) that are mapped now.
///
/// # Panics
/// When there is none, or this is not Linux.
pub fn runtime_memory() -> u64 {
    let mut peak = 0;
    for entry in fs::read_dir("/proc").expect("Linux") {
        let path = entry.expect("a folder").path();
        let arguments = fs::read(path.join("cmdline")).unwrap_or_default();
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        let own = number("PPid:") == u64::from(std::process::id());
        if own && String::from_utf8_lossy(&arguments).contains("mc2-runtime-sim") {
            let kib = number("VmHWM:").saturating_sub(number("RssFile:"));
            peak = peak.max(kib * 1024);
        }
    }
    assert!(peak > 0, "the runtime's process was not found");
    peak
}

/// Processor time this thread has taken.
///
/// # Panics
/// When this is not Linux.
pub fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    Duration::from_nanos(nanoseconds.expect("nanoseconds on the processor"))
}
