//! A guest reading a sealed gibibyte from start to end, and 64 KiB at random places, under both
//! engine profiles and over both links to the host; and the runtime's own memory meanwhile.

use std::{collections::BTreeMap, env, fs, io::Write as _};

use mc2_host::Link;
use mc2_tests::{Run, Stack, StackOptions, bench_row, release, runtime_memory};
use std::time::SystemTime;

const GIB: u64 = 1 << 30;
const RUNS: usize = 5;

fn main() {
    let openssl: f64 = env::var("MC2_OPENSSL")
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("MC2_OPENSSL: run this by `cargo xtask bench`");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime");
    for (profile, link) in [
        ("vm", Link::Unix),
        ("sgx", Link::Unix),
        ("vm", Link::Loopback),
    ] {
        runtime.block_on(measure(profile, link, openssl));
    }
}

async fn measure(profile: &str, link: Link, openssl: f64) {
    let options = StackOptions {
        engine_profile: profile.into(),
        link,
        ..StackOptions::default()
    };
    let stack = Stack::with(options).await;
    let profile = match link {
        Link::Unix => profile.to_owned(),
        Link::Loopback => format!("{profile}, over TCP"),
    };
    let path = stack.client_folder().join("gibibyte");
    let mut file = fs::File::create(&path).expect("a file");
    let block: Vec<u8> = (0..1 << 20)
        .map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 11) as u8)
        .collect();
    for _ in 0..GIB >> 20 {
        file.write_all(&block).expect("disk space");
    }
    drop(file);
    let uploaded = stack.seal_path("data", &path).await;
    fs::remove_file(&path).expect("own file");
    let objects = BTreeMap::from([("data".parse().expect("a name"), uploaded.object)]);

    let sum = Run::of("hostile", &["sum", "data", "--touch"]).input("data", []);
    let random = Run::of("hostile", &["random-read", "data", "2000"]).input("data", []);
    let session = stack.session(&sum).await.expect("a session");
    let runs = 2 * RUNS as u32 + 2;
    session
        .release(
            &stack.me,
            &stack.ledger,
            vec![release("data", &uploaded, runs)],
            SystemTime::now(),
        )
        .await
        .expect("a release");

    let mut rates = Vec::new();
    let mut peak = 0;
    for _ in 0..=RUNS {
        let finished = stack.submit(&session, &sum, &objects).await.expect("a run");
        let text = finished.stdout();
        let mut words = text.split_whitespace();
        assert_eq!(
            words.next(),
            Some(GIB.to_string().as_str()),
            "every byte was read"
        );
        let nanoseconds: f64 = words
            .nth(1)
            .and_then(|word| word.parse().ok())
            .expect("a time in nanoseconds");
        rates.push(GIB as f64 / nanoseconds * 1e9);
        let guest = finished.usage(0)[0].memory_peak;
        peak = peak.max(runtime_memory().saturating_sub(guest));
    }
    // The first run warmed the page cache.
    rates.remove(0);
    rates.sort_by(f64::total_cmp);
    bench_row(
        &format!("a guest reads a sealed GiB ({profile})"),
        "of openssl",
        rates[RUNS / 2] / openssl,
        Some(0.5),
        true,
    );

    let mut first = Vec::new();
    let mut again = Vec::new();
    for _ in 0..RUNS {
        let finished = stack
            .submit(&session, &random, &objects)
            .await
            .expect("a run");
        let text = finished.stdout();
        let numbers: Vec<f64> = text
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let [.., fresh, known] = numbers.as_slice() else {
            panic!("two times, found {text:?}")
        };
        first.push(fresh / 1e3);
        again.push(known / 1e3);
    }
    first.sort_by(f64::total_cmp);
    again.sort_by(f64::total_cmp);
    let name = |what: &str| format!("a random 64 KiB read, {what} ({profile})");
    bench_row(
        &name("first touch"),
        "µs",
        first[RUNS / 2],
        Some(1000.0),
        false,
    );
    bench_row(
        &name("segment already decrypted"),
        "µs",
        again[RUNS / 2],
        Some(20.0),
        false,
    );
    bench_row(
        &format!("the runtime's peak memory beyond the guest's, 1 GiB input ({profile})"),
        "MiB",
        peak as f64 / f64::from(1 << 20),
        Some(64.0),
        false,
    );
    stack.host.shutdown().await;
}
