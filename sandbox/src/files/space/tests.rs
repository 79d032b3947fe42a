use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use getrandom::SysRng;
use mc2_protocol::sealed::PageCipher;
use proptest::prelude::*;
use rand_core::UnwrapErr;

use super::super::file::{File, Place, WriteError};
use super::*;
use crate::limits::Limits;

/// A store in memory, honest unless told otherwise, with the cipher that runtimes use.
pub(crate) struct MemoryStore {
    cipher: PageCipher,
    pages: Mutex<HashMap<u64, Bytes>>,
    numbers: Mutex<Vec<u64>>,
    tamper: Mutex<Option<Tamper>>,
}

#[derive(Clone, Copy)]
enum Tamper {
    Flip,
    Short,
    Swap,
    Rollback,
    Lose,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            cipher: PageCipher::generate(&mut UnwrapErr(SysRng)),
            pages: Mutex::default(),
            numbers: Mutex::default(),
            tamper: Mutex::default(),
        }
    }
}

#[async_trait]
impl PageStore for MemoryStore {
    fn seal(&self, number: u64, page: &mut [u8]) -> PageTag {
        self.cipher.seal(number, page)
    }

    fn open(&self, number: u64, tag: &PageTag, page: &[u8]) -> Option<Vec<u8>> {
        self.cipher.open(number, tag, page).ok()
    }

    async fn put(&self, number: u64, page: Bytes) -> Result<(), PageStoreError> {
        tokio::task::yield_now().await;
        self.numbers.lock().unwrap().push(number);
        self.pages.lock().unwrap().insert(number, page);
        Ok(())
    }

    async fn get(&self, number: u64) -> Result<Bytes, PageStoreError> {
        tokio::task::yield_now().await;
        let pages = self.pages.lock().unwrap();
        let honest = pages.get(&number).cloned();
        let other = |wanted: &dyn Fn(u64) -> bool| {
            pages
                .iter()
                .find(|(number, _)| wanted(**number))
                .map(|(_, page)| page.clone())
        };
        match *self.tamper.lock().unwrap() {
            None => honest,
            Some(Tamper::Flip) => honest.map(|page| {
                let mut page = page.to_vec();
                page[77] ^= 1;
                page.into()
            }),
            Some(Tamper::Short) => honest.map(|page| page.slice(..PAGE - 1)),
            Some(Tamper::Swap) => other(&|candidate| candidate > number),
            Some(Tamper::Rollback) => other(&|candidate| candidate < number),
            Some(Tamper::Lose) => None,
        }
        .ok_or(PageStoreError("no such page".to_owned()))
    }

    async fn discard(&self, numbers: &[u64]) {
        // A hostile store keeps what it should forget.
        let _ = numbers;
    }
}

fn space(scratch: u64, output: u64, store: Option<Arc<dyn PageStore>>) -> Arc<Space> {
    let budgets = Budgets::new(&Limits {
        scratch,
        output,
        ..Limits::default()
    });
    Space::new(&budgets, 0, store)
}

fn spilling() -> (Arc<Space>, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    let space = space(1 << 30, 1 << 30, Some(store.clone()));
    (space, store)
}

async fn read_all(file: &ScratchFile) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = file.read(all.len() as u64, 100_000).await.unwrap();
        if bytes.is_empty() {
            return all;
        }
        all.extend_from_slice(&bytes);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Write {
        file: usize,
        offset: u64,
        len: usize,
        byte: u8,
    },
    Read {
        file: usize,
        offset: u64,
        len: usize,
    },
    SetLen {
        file: usize,
        len: u64,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let offset = 0..900_000u64;
    let len = prop_oneof![
        1..200usize,
        60_000..70_000usize,
        Just(PAGE),
        100_000..300_000usize
    ];
    let op = prop_oneof![
        4 => (0..2usize, offset.clone(), len.clone(), any::<u8>())
            .prop_map(|(file, offset, len, byte)| Op::Write { file, offset, len, byte }),
        3 => (0..2usize, offset.clone(), len)
            .prop_map(|(file, offset, len)| Op::Read { file, offset, len }),
        1 => (0..2usize, offset).prop_map(|(file, len)| Op::SetLen { file, len }),
    ];
    prop::collection::vec(op, 1..60)
}

fn pattern(len: usize, byte: u8) -> Vec<u8> {
    (0..len).map(|index| byte ^ (index % 253) as u8).collect()
}

async fn agrees_with_a_vec(ops: Vec<Op>) {
    let (space, store) = spilling();
    let files = [
        space.create(Account::Scratch),
        space.create(Account::Output),
    ];
    let mut models = [Vec::new(), Vec::new()];
    for op in ops {
        match op {
            Op::Write {
                file,
                offset,
                len,
                byte,
            } => {
                let data = pattern(len, byte);
                files[file].write(Place::At(offset), &data).await.unwrap();
                let model: &mut Vec<u8> = &mut models[file];
                let offset = offset as usize;
                if model.len() < offset + len {
                    model.resize(offset + len, 0);
                }
                model[offset..offset + len].copy_from_slice(&data);
            }
            Op::Read { file, offset, len } => {
                let bytes = files[file].read(offset, len).await.unwrap();
                let model = &models[file];
                let from = (offset as usize).min(model.len());
                let to = (from + len).min(model.len());
                assert_eq!(bytes, model[from..from + bytes.len()]);
                assert_eq!(bytes.is_empty(), from == to);
            }
            Op::SetLen { file, len } => {
                files[file].set_len(len).unwrap();
                models[file].resize(len as usize, 0);
            }
        }
        for (file, model) in files.iter().zip(&models) {
            assert_eq!(file.size(), model.len() as u64);
        }
        assert_eq!(space.usage().output_bytes, models[1].len() as u64);
    }
    for (file, model) in files.iter().zip(&models) {
        assert!(read_all(file).await == *model);
    }
    let mut numbers = store.numbers.lock().unwrap().clone();
    let puts = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        puts,
        "a page number, and so a nonce, was used twice"
    );
    drop(files);
    let state = space.state();
    assert_eq!(
        (
            state.resident,
            state.scratch_pages,
            state.usage.output_bytes
        ),
        (0, 0, 0)
    );
    assert!(state.recency.is_empty() && state.files.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_reads_as_a_plain_vec(ops in ops()) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(agrees_with_a_vec(ops));
    }
}

/// Twelve pages in a cache of four, all of which have left the enclave once.
async fn spilled_file(space: &Arc<Space>) -> ScratchFile {
    let file = space.create(Account::Scratch);
    for round in 0..2u8 {
        for page in 0..12 {
            file.write(
                Place::At(page * PAGE as u64),
                &vec![round * 100 + page as u8; PAGE],
            )
            .await
            .unwrap();
        }
    }
    space.drain().await.unwrap();
    file
}

async fn reading_page_2_after(tamper: Tamper) -> Failure {
    let (space, store) = spilling();
    let file = spilled_file(&space).await;
    assert_eq!(file.read(2 * PAGE as u64, 10).await.unwrap()[..], [102; 10]);
    for page in 5..10 {
        file.read(page * PAGE as u64, 10).await.unwrap();
    }
    *store.tamper.lock().unwrap() = Some(tamper);
    file.read(2 * PAGE as u64, 10).await.unwrap_err()
}

#[tokio::test]
async fn an_altered_moved_or_older_page_is_refused() {
    for tamper in [Tamper::Flip, Tamper::Short, Tamper::Swap, Tamper::Rollback] {
        assert_eq!(reading_page_2_after(tamper).await, Failure::SpillCorrupt);
    }
}

#[tokio::test]
async fn a_lost_page_is_unavailable() {
    assert!(matches!(
        reading_page_2_after(Tamper::Lose).await,
        Failure::SpillUnavailable(_)
    ));
}

#[tokio::test]
async fn no_plaintext_reaches_the_store() {
    let (space, store) = spilling();
    let file = space.create(Account::Scratch);
    for page in 0..20 {
        file.write(Place::At(page * PAGE as u64), &vec![b'A'; PAGE])
            .await
            .unwrap();
    }
    space.drain().await.unwrap();
    let pages = store.pages.lock().unwrap();
    assert!(pages.len() > 10);
    for page in pages.values() {
        assert_eq!(page.len(), PAGE);
        assert!(!page.windows(8).any(|window| window == b"AAAAAAAA"));
    }
}

#[tokio::test]
async fn a_put_dropped_half_way_loses_nothing() {
    let (space, _store) = spilling();
    let file = space.create(Account::Scratch);
    for page in 0..9 {
        file.write(Place::At(page * PAGE as u64), &vec![page as u8 + 1; PAGE])
            .await
            .unwrap();
    }
    {
        let mut draining = pin!(space.drain());
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(
            draining.as_mut().poll(&mut context),
            Poll::Pending
        ));
    }
    for page in 0..9u64 {
        assert_eq!(
            file.read(page * PAGE as u64, 1).await.unwrap()[..],
            [page as u8 + 1]
        );
    }
}

#[tokio::test]
async fn scratch_counts_pages_and_gives_them_back() {
    let space = space(2 * PAGE as u64, 0, None);
    let file = space.create(Account::Scratch);
    file.write(Place::At(0), b"a").await.unwrap();
    file.write(Place::At(10 * PAGE as u64), b"b").await.unwrap();
    let error = file
        .write(Place::At(5 * PAGE as u64), b"c")
        .await
        .unwrap_err();
    assert_eq!(
        error,
        WriteError::Limit(Failure::ScratchLimit {
            limit: 2 * PAGE as u64
        })
    );
    file.set_len(1).unwrap();
    file.write(Place::At(5 * PAGE as u64), b"c").await.unwrap();
    drop(file);
    space
        .create(Account::Scratch)
        .write(Place::At(0), &[0; 2 * PAGE])
        .await
        .unwrap();
}

#[tokio::test]
async fn output_counts_lengths_and_gives_them_back() {
    let space = space(0, 100, None);
    let file = space.create(Account::Output);
    file.write(Place::At(0), &[1; 60]).await.unwrap();
    file.write(Place::At(0), &[2; 60]).await.unwrap();
    space.charge_output(30).unwrap();
    assert!(matches!(
        file.write(Place::At(60), &[3; 11]).await,
        Err(WriteError::Limit(_))
    ));
    assert!(matches!(file.set_len(71), Err(WriteError::Limit(_))));
    file.set_len(10).unwrap();
    file.write(Place::At(10), &[4; 60]).await.unwrap();
    assert_eq!(space.usage().output_bytes, 100);
}

#[tokio::test]
async fn spaces_of_several_instances_share_their_budgets() {
    let budgets = Budgets::new(&Limits {
        scratch: 2 * PAGE as u64,
        output: 100,
        ..Limits::default()
    });
    let [one, two] = [(); 2].map(|()| Space::new(&budgets, 0, None));
    let scratch = one.create(Account::Scratch);
    scratch.write(Place::At(0), &[1; 2 * PAGE]).await.unwrap();
    let other = two.create(Account::Scratch);
    assert!(matches!(
        other.write(Place::At(0), b"a").await,
        Err(WriteError::Limit(Failure::ScratchLimit { .. }))
    ));
    drop(scratch);
    other.write(Place::At(0), b"a").await.unwrap();

    let output = one.create(Account::Output);
    output.write(Place::At(0), &[1; 60]).await.unwrap();
    let other = two.create(Account::Output);
    assert!(matches!(
        other.write(Place::At(0), &[2; 41]).await,
        Err(WriteError::Limit(Failure::OutputLimit { limit: 100 }))
    ));
    other.write(Place::At(0), &[2; 40]).await.unwrap();
    let used = [&one, &two].map(|space| space.usage().output_bytes);
    assert_eq!(used, [60, 40]);
}

#[tokio::test]
async fn a_file_too_long_for_any_disk_is_refused() {
    let space = space(1 << 30, 1 << 30, None);
    let file = space.create(Account::Scratch);
    assert_eq!(
        file.write(Place::At(u64::MAX - 2), b"abc").await,
        Err(WriteError::TooLarge)
    );
    assert_eq!(file.set_len(FILE_BYTES + 1), Err(WriteError::TooLarge));
}

/// Row 40: a page that is rewritten before it has left costs nothing afterwards.
#[tokio::test]
async fn pages_that_were_sealed_and_never_left_are_forgotten() {
    let (space, store) = spilling();
    let (a, b) = (
        space.create(Account::Scratch),
        space.create(Account::Scratch),
    );
    let page = vec![1; PAGE];
    for round in 0..2_000_u64 {
        // Six pages: more than the four that stay, fewer than make the store catch up.
        for index in 0..6 {
            let at = (round * 6 + index) % 6 * PAGE as u64;
            a.write(Place::At(at), &page).await.unwrap();
        }
        a.set_len(0).unwrap();
    }
    let discards = space.state().discards.len();
    assert!(discards <= DISCARDS, "{discards} numbers of pages");
    // Those that did leave are told of.
    b.write(Place::At(0), &vec![2; 64 * PAGE]).await.unwrap();
    let left = store.numbers.lock().unwrap().len();
    assert!(left > 0);
    b.set_len(0).unwrap();
    let discards = space.state().discards.len();
    assert!(discards > 0 && discards <= left, "{discards} of {left}");
}

/// Row 40: however many files a guest waits for, few pages are on their way.
#[tokio::test]
async fn few_pages_are_fetched_at_once() {
    let (space, _) = spilling();
    let files: Vec<_> = (0..100).map(|_| space.create(Account::Scratch)).collect();
    for file in &files {
        file.write(Place::At(0), &vec![3; PAGE]).await.unwrap();
    }
    let permits: Vec<_> = std::iter::from_fn(|| space.loading.try_acquire().ok()).collect();
    assert_eq!(permits.len(), LOADS);
    // Nobody fetches while all others do.
    let mut read = pin!(files[0].read(0, 10));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        assert!(read.as_mut().poll(&mut context).is_pending());
    }
    drop(permits);
    assert_eq!(read.await.unwrap()[..], [3; 10]);
}
