//! Processes, as the operating system shows them to everybody.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

/// The processes that have this path in an argument.
pub fn with_argument(path: &Path) -> Vec<u32> {
    let wanted = path.as_os_str().as_bytes();
    let entries = fs::read_dir("/proc").expect("the processes");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.windows(wanted.len()).any(|window| window == wanted)
        })
        .filter(|pid| *pid != std::process::id())
        .collect()
}

/// Waits until a host that was started says that it listens, and reads on from then: its next word
/// would end it otherwise.
///
/// # Panics
/// When it ends first, or its standard output is not piped.
pub fn listening(host: &mut Child) {
    let stdout = BufReader::new(host.stdout.take().expect("piped"));
    let mut lines = stdout.lines();
    let listens = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("listens")));
    assert!(listens.is_some(), "the host ended");
    std::thread::spawn(move || lines.for_each(drop));
}

/// Kills a process at once.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process id"), rustix::process::Signal::KILL)
        .expect("own process");
}

/// Comes back once `done` says so, which is asked again and again.
///
/// # Panics
/// When that takes longer than `patience`.
pub async fn until(patience: Duration, what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(patience, waiting).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Comes back once the process is gone, though its parent may not have noticed.
///
/// # Panics
/// When it lives on for half a minute.
pub async fn until_gone(pid: u32) {
    let start = Instant::now();
    while lives(pid) {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "process {pid} lives on"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn lives(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The state is the first field after the name, which may hold anything.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
