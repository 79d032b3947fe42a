//! However a sealed file is read, it reads as the plain one does.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use mc2_client::remote::Uploaded;
use mc2_protocol::encoding::Hex;
use mc2_runtime::{
    inputs::{BlockCache, SealedFile},
    storage::Storage,
    transport::HostAddress,
};
use mc2_tests::Stack;
use proptest::prelude::*;
use tokio::runtime::Runtime;

/// What the first and every other segment hold.
const FIRST: usize = 65_480;
const SEGMENT: usize = 65_520;

/// A plain file and what the host has of it.
type Both = Arc<(Vec<u8>, Uploaded)>;

struct World {
    stack: Stack,
    sealed: Mutex<BTreeMap<usize, Both>>,
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
        let stack = tokio.block_on(Stack::start());
        Self {
            stack,
            sealed: Mutex::default(),
            tokio,
        }
    }

    fn sealed(&self, length: usize) -> Both {
        let mut sealed = self
            .sealed
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        let entry = sealed.entry(length).or_insert_with(|| {
            let plain: Vec<u8> = (0..length)
                .map(|index| (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0])
                .collect();
            let uploaded = self.tokio.block_on(self.stack.seal("data", &plain));
            Arc::new((plain, uploaded))
        });
        Arc::clone(entry)
    }

    fn file(&self, uploaded: &Uploaded, cache: usize) -> SealedFile {
        let storage = Storage::new(HostAddress::Unix(self.stack.socket()), Hex([1; 16]));
        let cache = Arc::new(BlockCache::new(cache));
        let (object, manifest, key) = (uploaded.object, &uploaded.manifest, &uploaded.key);
        SealedFile::new(Arc::new(storage), cache, object, manifest, 0, key).expect("the right key")
    }
}

fn check(world: &World, length: usize, cache: usize, reads: &[(u64, usize)]) {
    let sealed = world.sealed(length);
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
fn whole(world: &World, length: usize, piece: usize, cache: usize) {
    let sealed = world.sealed(length);
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
    assert!(found == *plain, "{length} bytes in pieces of {piece}");
}

/// Lengths at and around the borders of segments and of what is fetched at once.
const LENGTHS: [usize; 14] = [
    0,
    1,
    100,
    FIRST - 1,
    FIRST,
    FIRST + 1,
    FIRST + SEGMENT - 1,
    FIRST + SEGMENT,
    FIRST + SEGMENT + 1,
    FIRST + 15 * SEGMENT,
    FIRST + 15 * SEGMENT + 1,
    FIRST + 16 * SEGMENT + 7,
    3_000_000,
    5 * 1024 * 1024 + 13,
];

#[test]
fn every_length_reads_from_start_to_end() {
    let world = World::new();
    for length in LENGTHS {
        for piece in [4_096, 65_536, 1 << 20] {
            whole(&world, length, piece, 20 << 20);
        }
        whole(&world, length, 100_000, 64 << 10);
    }
}

#[test]
fn every_border_reads_on_both_sides() {
    let world = World::new();
    for length in LENGTHS {
        let borders = (0..=length).step_by(SEGMENT).map(|at| at + FIRST);
        let around = borders.chain([0, length]).flat_map(|at| {
            [at.saturating_sub(2), at.saturating_sub(1), at, at + 1]
                .into_iter()
                .flat_map(|at| [(at as u64, 1), (at as u64, 3), (at as u64, 70_000)])
        });
        let reads: Vec<_> = around.collect();
        check(&world, length, 20 << 20, &reads);
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
        length in prop::sample::select(LENGTHS.to_vec()),
        cache in prop::sample::select(vec![0_usize, 64 << 10, 2 << 20, 20 << 20]),
        reads in prop::collection::vec((0_u64..6 << 20, 0_usize..2 << 20), 1..30),
    )| {
        let reads: Vec<_> = reads
            .into_iter()
            .map(|(offset, wanted)| (offset % (length as u64 + 20), wanted))
            .collect();
        check(&world, length, cache, &reads);
    });
}

#[test]
fn many_readers_of_one_file_do_not_disturb_each_other() {
    let world = World::new();
    let length = 5 * 1024 * 1024 + 13;
    let sealed = world.sealed(length);
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
