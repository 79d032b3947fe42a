//! Sealing and opening, memory to memory, on one core, manifest and its BLAKE3 included, as a
//! share of OpenSSL's AES-256-GCM. Both sides are timed by the processor time they take, as
//! `openssl speed` does by itself.

use std::{env, hint::black_box};

use mc2_client::{open::open_bytes, seal::seal_bytes};
use mc2_protocol::{
    Manifest, Name, SecretKey,
    sealed::{
        SEGMENT_SIZE, SealedFile, SegmentSealer, associated_data,
        manifest::{Content, MediaType, SealedStream},
    },
};
use mc2_tests::{bench_row, cpu_time, median, rng};

/// Bytes sealed in one run: more than any cache holds.
const LENGTH: usize = 512 << 20;
const RUNS: usize = 5;

fn main() {
    let openssl: f64 = env::var("MC2_OPENSSL")
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("MC2_OPENSSL: run this by `cargo xtask bench`");
    let plaintext: Vec<u8> = (0..LENGTH)
        .map(|i| ((i as u64 * 0x9e37_79b9) >> 13) as u8)
        .collect();
    let name: Name = "bench".parse().expect("a good name");
    let key = SecretKey::generate(&mut rng());
    let mut sealed = Vec::new();
    let mut last: Option<SealedFile> = None;
    let sealing = median(RUNS, || {
        sealed.clear();
        let start = cpu_time();
        let file = seal_bytes(&plaintext, &key, &associated_data(&name), &mut sealed);
        let file = file.expect("sealing");
        black_box(manifest(&name, &file).to_bytes());
        let time = cpu_time() - start;
        last = Some(file);
        time
    });
    let file = last.expect("at least one run");
    let manifest = manifest(&name, &file);

    let mut opened = Vec::new();
    let opening = median(RUNS, || {
        opened.clear();
        let start = cpu_time();
        assert_eq!(file.digest_list_digest(), manifest.stream(0).segments.0);
        let opener = manifest.opener(0, &key).expect("the right key");
        open_bytes(&opener, &file.digests, &sealed, &mut opened).expect("own file");
        cpu_time() - start
    });
    assert_eq!(sealed.len() as u64, manifest.layout(0).sealed_length());
    assert!(opened == plaintext, "what was opened is what was sealed");

    // What no way of moving bytes can exceed: cipher and digest alone, on one segment in the cache.
    let mut segment = vec![0; SEGMENT_SIZE as usize];
    let primitives = median(RUNS, || {
        let mut segments = SegmentSealer::new(&key, &associated_data(&name), &mut rng());
        let start = cpu_time();
        for _ in 0..LENGTH / SEGMENT_SIZE as usize {
            segments.seal(&mut segment, false).expect("few segments");
        }
        black_box(segments.finish());
        cpu_time() - start
    });

    let share = |time: std::time::Duration| LENGTH as f64 / time.as_secs_f64() / openssl;
    bench_row(
        "cipher and digest alone, one segment in the cache, one core",
        "of openssl",
        share(primitives),
        None,
        true,
    );
    bench_row(
        "seal, memory to memory, one core",
        "of openssl",
        share(sealing),
        Some(0.8),
        true,
    );
    bench_row(
        "open, memory to memory, one core",
        "of openssl",
        share(opening),
        Some(0.8),
        true,
    );
}

fn manifest(name: &Name, file: &SealedFile) -> Manifest {
    let content = Content::File(SealedStream::new(file));
    let media_type = MediaType::octet_stream();
    Manifest::new(name.clone(), media_type, SEGMENT_SIZE, content, None).expect("a good manifest")
}
