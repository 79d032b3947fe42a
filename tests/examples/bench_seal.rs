//! Sealing and opening, memory to memory, on one core, manifest and its BLAKE3 included, as a
//! share of OpenSSL's AES-256-GCM. Both sides are timed by the processor time they take, as
//! `openssl speed` does by itself.

use std::{
    env,
    hint::black_box,
    io::{Read as _, Write as _},
};

use mc2_protocol::{
    Manifest, Name, SecretKey,
    sealed::{
        SEGMENT_SIZE, SealedFile, Sealer, Writer, associated_data,
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
        let start = cpu_time();
        // Sealed where it is to stand, in memory that is there already.
        let writer = Writer::new(sealer(&key, &name), usize::MAX, Vec::new());
        let mut writer = writer.in_buffer(std::mem::take(&mut sealed));
        writer.write_all(&plaintext).expect("sealing");
        let (file, bytes) = writer.finish().expect("sealing");
        sealed = bytes;
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
        let reader = manifest.reader(0, &key, file.digests.clone(), sealed.as_slice());
        let mut reader = reader.expect("the right key");
        reader.read_to_end(&mut opened).expect("own file");
        cpu_time() - start
    });
    assert_eq!(sealed.len() as u64, manifest.layout(0).sealed_length());
    assert!(opened == plaintext, "what was opened is what was sealed");

    // What no way of moving bytes can exceed: cipher and digest alone, on one segment in the cache.
    let mut segment = vec![0; SEGMENT_SIZE as usize];
    let primitives = median(RUNS, || {
        let mut segments = sealer(&key, &name);
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

fn sealer(key: &SecretKey, name: &Name) -> Sealer {
    Sealer::new(key, &associated_data(name), SEGMENT_SIZE, &mut rng())
}

fn manifest(name: &Name, file: &SealedFile) -> Manifest {
    let content = Content::File(SealedStream::new(file));
    let media_type = MediaType::octet_stream();
    Manifest::new(name.clone(), media_type, SEGMENT_SIZE, content, None).expect("a good manifest")
}
