//! However a sealed file is read, and in segments of whatever size it was sealed, it reads as the
//! plain one does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use mc2_client::{http::Request, remote::Uploaded};
use mc2_protocol::{
    DataKey, Digest, Manifest, SecretKey,
    documents::storage,
    encoding::Hex,
    sealed::{
        MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE, associated_data,
        manifest::{Content, MediaType, SealedStream},
        seal_bytes,
    },
};
use mc2_runtime::{
    inputs::{BlockCache, SealedFile},
    storage::Storage,
};
use mc2_tests::{Asked, Liar, Lie, Stack, parse, process, rng};
use mc2_wire::Address;
use mc2_wire::routes;
use proptest::prelude::*;
use tokio::runtime::Runtime;

/// The segment sizes that Tink has templates for, and the one this release writes.
const SIZES: [u32; 3] = [MIN_SEGMENT_SIZE, 64 << 10, MAX_SEGMENT_SIZE];

/// A plain file and what the host has of it.
type Both = Arc<(Vec<u8>, Uploaded)>;

struct World {
    stack: Stack,
    liar: Liar,
    /// By segment size and length.
    sealed: Mutex<BTreeMap<(u32, usize), Both>>,
    /// Outlives the rest.
    tokio: Runtime,
}

impl World {
    fn new() -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (stack, liar) = tokio.block_on(Stack::lying_to_client());
        Self {
            stack,
            liar,
            sealed: Mutex::default(),
            tokio,
        }
    }

    fn sealed(&self, size: u32, length: usize) -> Both {
        let mut sealed = self
            .sealed
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        let entry = sealed.entry((size, length)).or_insert_with(|| {
            let plain: Vec<u8> = (0..length)
                .map(|index| (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0])
                .collect();
            let uploaded = self.tokio.block_on(self.store(size, &plain));
            Arc::new((plain, uploaded))
        });
        Arc::clone(entry)
    }

    /// Seals bytes in segments of `size` bytes and stores them, as another client might.
    async fn store(&self, size: u32, plain: &[u8]) -> Uploaded {
        let (key, dataset) = (SecretKey::generate(&mut rng()), parse("data"));
        let ad = associated_data(&dataset);
        let (sealed, file) = seal_bytes(&key, &ad, size, plain, &mut rng());
        let content = Content::File(SealedStream::new(&file));
        let media_type = MediaType::octet_stream();
        let manifest = Manifest::new(dataset, media_type, size, content, None);
        let manifest = manifest.expect("a good manifest");
        let digest = Digest::of(key.expose());
        let (id, _) = digest.as_bytes().split_first_chunk().expect("32 bytes");
        let (http, upload) = (self.stack.http(), Hex(*id));
        for (part, bytes) in sealed.chunks(storage::MAX_PART_LEN).enumerate() {
            let offset = (part * storage::MAX_PART_LEN) as u64;
            let path = routes::upload_file_path(&upload, 0, offset);
            let put = Request::put(path, bytes.to_vec());
            http.send(&put).await.expect("stored");
        }
        let path = routes::upload_digests_path(&upload, 0, 0);
        let put = Request::put(path, file.digests);
        http.send(&put).await.expect("stored");
        let bytes = manifest.to_bytes();
        let object = Digest::of(&bytes);
        let commit = Request::post(routes::upload_commit_path(&upload), bytes, 1 << 16);
        http.send(&commit).await.expect("committed");
        Uploaded {
            object,
            manifest,
            key,
        }
    }

    fn file(&self, uploaded: &Uploaded, cache: usize) -> SealedFile {
        let storage = Storage::new(Address::Unix(self.stack.socket()), Hex([1; 16]));
        let cache = Arc::new(BlockCache::new(cache));
        let key = DataKey {
            dataset: uploaded.manifest.dataset().clone(),
            object: uploaded.object,
            secret: uploaded.key.clone(),
        };
        SealedFile::new(Arc::new(storage), cache, &key, &uploaded.manifest, 0)
            .expect("the right key")
    }
}

fn check(world: &World, size: u32, length: usize, cache: usize, reads: &[(u64, usize)]) {
    let sealed = world.sealed(size, length);
    let (plain, uploaded) = &*sealed;
    let file = world.file(uploaded, cache);
    assert_eq!(file.len(), length as u64);
    world.tokio.block_on(async {
        for &(offset, wanted) in reads {
            let found = file.read_at(offset, wanted).await.expect("bytes");
            let rest = plain.get(offset as usize..).unwrap_or(&[]);
            assert!(found.len() <= wanted, "more than was asked for at {offset}");
            assert!(
                !found.is_empty() || rest.is_empty() || wanted == 0,
                "nothing at {offset} of {length}"
            );
            assert!(
                rest.starts_with(&found),
                "other bytes at {offset} of {length}"
            );
        }
    });
}

/// Reads a file from start to end in pieces.
fn whole(world: &World, size: u32, length: usize, piece: usize, cache: usize) {
    let sealed = world.sealed(size, length);
    let (plain, uploaded) = &*sealed;
    let file = world.file(uploaded, cache);
    let mut found = Vec::with_capacity(length);
    world.tokio.block_on(async {
        loop {
            let bytes = file
                .read_at(found.len() as u64, piece)
                .await
                .expect("bytes");
            if bytes.is_empty() {
                break;
            }
            found.extend_from_slice(&bytes);
        }
    });
    assert!(
        found == *plain,
        "{length} bytes in segments of {size}, read in pieces of {piece}"
    );
}

/// What the first and every other segment hold.
fn held(size: u32) -> (usize, usize) {
    (size as usize - 56, size as usize - 16)
}

/// Lengths at and around the borders of segments and of what is fetched at once.
fn lengths(size: u32) -> Vec<usize> {
    let (first, segment) = held(size);
    let at_once = (1 << 20) / size as usize;
    vec![
        0,
        1,
        100,
        first - 1,
        first,
        first + 1,
        first + segment - 1,
        first + segment,
        first + segment + 1,
        first + (at_once - 1) * segment,
        first + (at_once - 1) * segment + 1,
        first + 16 * segment + 7,
        3_000_000,
        5 * 1024 * 1024 + 13,
    ]
}

#[test]
fn every_length_in_every_segment_size_reads_from_start_to_end() {
    let world = World::new();
    for size in SIZES {
        for length in lengths(size) {
            for piece in [4_096, 65_536, 1 << 20] {
                whole(&world, size, length, piece, 20 << 20);
            }
            whole(&world, size, length, 100_000, 64 << 10);
        }
    }
}

#[test]
fn every_border_reads_on_both_sides() {
    let world = World::new();
    for size in SIZES {
        let (first, segment) = held(size);
        // Every border of a long file of small segments would be thousands.
        let few = (1 << 20) / size as usize / 4 + 1;
        for length in lengths(size) {
            let borders = (0..=length).step_by(segment).map(|at| at + first);
            let around = borders
                .step_by(few)
                .chain([0, length])
                .flat_map(|at| [at.saturating_sub(2), at.saturating_sub(1), at, at + 1])
                .flat_map(|at| [(at as u64, 1), (at as u64, 3), (at as u64, 70_000)]);
            let reads: Vec<_> = around.collect();
            check(&world, size, length, 20 << 20, &reads);
        }
    }
}

#[test]
fn any_pattern_of_reads_equals_the_plain_file() {
    let world = World::new();
    let config = ProptestConfig {
        cases: 64,
        ..ProptestConfig::default()
    };
    proptest!(config, |(
        (size, length) in prop::sample::select(SIZES.to_vec())
            .prop_flat_map(|size| (Just(size), prop::sample::select(lengths(size)))),
        cache in prop::sample::select(vec![0_usize, 64 << 10, 2 << 20, 20 << 20]),
        reads in prop::collection::vec((0_u64..6 << 20, 0_usize..2 << 20), 1..30),
    )| {
        let reads: Vec<_> = reads
            .into_iter()
            .map(|(offset, wanted)| (offset % (length as u64 + 20), wanted))
            .collect();
        check(&world, size, length, cache, &reads);
    });
}

/// Row 21: whoever writes a manifest chooses both.
#[test]
fn any_segment_size_and_length_reads_as_the_plain_file() {
    let world = World::new();
    let config = ProptestConfig {
        cases: 32,
        ..ProptestConfig::default()
    };
    proptest!(config, |(
        size in MIN_SEGMENT_SIZE..=MAX_SEGMENT_SIZE,
        length in 0_usize..4 << 20,
        piece in 1_usize..2 << 20,
        reads in prop::collection::vec((any::<u64>(), 0_usize..2 << 20), 1..10),
    )| {
        whole(&world, size, length, piece.max(4096), 20 << 20);
        let reads: Vec<_> = reads
            .into_iter()
            .map(|(offset, wanted)| (offset % (length as u64 + 20), wanted))
            .collect();
        check(&world, size, length, 2 << 20, &reads);
    });
}

/// Row 40: a guest may wait for thousands of reads at once, and the host decides when they come.
#[test]
fn no_more_is_on_its_way_than_fits_the_cache() {
    let world = World::new();
    let sealed = world.sealed(64 << 10, 64 << 20);
    let file = Arc::new(world.file(&sealed.1, 20 << 20));
    world.tokio.block_on(async {
        file.check_end().await.expect("its end");
        world.liar.lie(Lie::Silent, Asked::is_file);
        let reads: Vec<_> = (1..500_u64)
            .map(|read| {
                let file = Arc::clone(&file);
                tokio::spawn(async move { file.read_at(read * 131_072, 1 << 20).await })
            })
            .collect();
        let (patience, what) = (Duration::from_secs(60), "ten mebibytes are asked for");
        process::until(patience, what, async || world.liar.lies() >= 10).await;
        // What more would be asked for.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let asked = world.liar.lies();
        assert!(asked <= 20, "{asked} mebibytes at once");
        reads.iter().for_each(|read| read.abort());
    });
}

#[test]
fn many_readers_of_one_file_do_not_disturb_each_other() {
    let world = World::new();
    let length = 5 * 1024 * 1024 + 13;
    let sealed = world.sealed(64 << 10, length);
    let file = Arc::new(world.file(&sealed.1, 1 << 20));
    world.tokio.block_on(async {
        let readers = (0..8_usize).map(|reader| {
            let (file, sealed) = (Arc::clone(&file), Arc::clone(&sealed));
            tokio::spawn(async move {
                let plain = &sealed.0;
                let mut at = reader * 600_000;
                for step in 0..60 {
                    let found = file.read_at(at as u64, 50_000).await.expect("bytes");
                    assert!(plain[at..].starts_with(&found), "reader {reader} at {at}");
                    at = if step % 7 == reader {
                        (at * 31 + 17) % length
                    } else {
                        at + found.len()
                    };
                    at %= length;
                }
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            reader.await.expect("a reader");
        }
    });
}
