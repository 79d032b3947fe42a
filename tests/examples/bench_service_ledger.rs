//! A further release of a key with a million releases in the ledger, an owner's and a broker's, and
//! what the disk alone takes to store a line. A broker looks at its ledger for the newest version and
//! for the runs that are left before it writes.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use mc2_client::state::ledger::{Ledger, Release};
use mc2_protocol::Digest;
use mc2_tests::bench_row;

const RELEASES: u64 = 1_000_000;
const AT_ONCE: u64 = 10_000;
/// Enough that the index is added to many times.
const FURTHER: u64 = 1_000;

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
    for block in 0..RELEASES / AT_ONCE {
        let numbers = block * AT_ONCE..(block + 1) * AT_ONCE;
        let releases: Vec<_> = numbers.map(|number| (release(number), 1)).collect();
        ledger
            .record(&releases, SystemTime::now())
            .expect("room for all");
    }

    let mut disk = timed(|number| store(folder.path(), number));
    let mut further = timed(|number| {
        let one = [(release(RELEASES + number), 1)];
        ledger.record(&one, SystemTime::now()).expect("a release");
    });
    let mut brokers = timed(|number| {
        let one = release(RELEASES + FURTHER + number);
        let newest = ledger.newest(&one.owner, &one.dataset);
        newest.expect("the newest version");
        let spent = ledger.spent(&one.policy, &one.owner, &one.dataset);
        spent.expect("the runs so far");
        let released = ledger.record(&[(one, 1)], SystemTime::now());
        released.expect("a release");
    });
    disk.sort();
    further.sort();
    brokers.sort();
    let of = |times: &[Duration], part: f64| {
        times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e3
    };
    for (whose, times) in [("an owner's", &further), ("a broker's", &brokers)] {
        let name = format!("{whose} release with {RELEASES} in the ledger");
        bench_row(&name, "ms", of(times, 0.5), Some(5.0), false);
        bench_row(&format!("{name}, p99"), "ms", of(times, 0.99), None, false);
    }
    let disk = of(&disk, 0.5);
    bench_row("storing one line, the disk alone", "ms", disk, None, false);

    let begun = Instant::now();
    let head = ledger.verify().expect("a chain that holds");
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(head.lines, RELEASES + 2 * FURTHER);
    let whole = format!("the whole chain of {RELEASES} verified");
    bench_row(&whole, "s", seconds, None, false);
}

fn timed(mut one: impl FnMut(u64)) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..FURTHER {
        let begun = Instant::now();
        one(number);
        times.push(begun.elapsed());
    }
    times
}

/// Every release of another policy, which is the most sums a ledger can have.
fn release(number: u64) -> Release {
    Release {
        session: Digest::of(b"session"),
        policy: Digest::of(&number.to_be_bytes()),
        owner: Digest::of(b"owner"),
        dataset: "data".parse().expect("a name"),
        object: Digest::of(b"object"),
        runs: 1,
    }
}

/// Adds as many bytes as a line has to a file, stored.
fn store(folder: &Path, number: u64) {
    let path = folder.join("disk");
    let file = File::options().create(true).append(true).open(path);
    let mut file = file.expect("a file");
    let line = format!("{number:0>480}\n");
    file.write_all(line.as_bytes()).expect("room");
    file.sync_data().expect("a disk");
}
