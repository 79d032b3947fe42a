//! Row 40: what a guest makes the enclave keep for it is counted, and there is an end to it.

use async_trait::async_trait;
use wasmtime_wasi_io::poll::Pollable as _;
use wasmtime_wasi_io::streams::{InputStream as _, OutputStream as _};

use super::super::file_streams::{Reader, Writer};
use super::*;
use crate::files::{Input, PAGE, PageStore, PageStoreError, PageTag, Place};
use crate::limits::{CALL_BYTES, NODE_BYTES, PAGE_RECORD_BYTES, PENDING_BYTES, READY_BYTES};
use crate::{InputError, InputFile};

/// An input of which a block is fetched whenever something is asked for, and nothing is kept.
struct Blocks(Bytes);

#[async_trait]
impl InputFile for Blocks {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn try_read_at(&self, _: u64, _: usize) -> Option<Bytes> {
        None
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, InputError> {
        let from = offset as usize;
        Ok(self.0.slice(from..(from + len).min(self.0.len())))
    }
}

fn input(block: &Bytes) -> Arc<dyn File> {
    let file = Arc::new(Blocks(block.clone()));
    Arc::new(Input::new("a", file, &Arc::default()))
}

#[test]
fn a_stream_that_was_waited_for_keeps_a_little_and_no_block_alive() {
    let block = Bytes::from(vec![7; 1 << 20]);
    let mut reader = Reader::new(input(&block), 0);
    block_on(reader.ready());
    let bytes = reader.read(CALL_BYTES).unwrap();
    assert_eq!(bytes.len(), READY_BYTES);
    assert!(!block.as_ptr_range().contains(&bytes.as_ptr()), "a slice");
    // The next bytes are the next.
    block_on(reader.ready());
    assert_eq!(reader.read(10).unwrap().len(), 10);
    let next = block_on(reader.blocking_read(CALL_BYTES)).unwrap();
    assert_eq!(next.len(), CALL_BYTES - READY_BYTES - 10);
}

/// A store that takes no page: whatever does not fit stays with its writer.
struct Full;

#[async_trait]
impl PageStore for Full {
    fn seal(&self, _: u64, _: &mut [u8]) -> PageTag {
        [0; 16]
    }

    fn open(&self, _: u64, _: &PageTag, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    async fn put(&self, _: u64, _: Bytes) -> Result<(), PageStoreError> {
        std::future::pending().await
    }

    async fn get(&self, _: u64) -> Result<Bytes, PageStoreError> {
        Err(PageStoreError("nothing".to_owned()))
    }

    async fn discard(&self, _: &[u64]) {}
}

#[test]
fn streams_together_accept_so_much_before_it_is_in_files() {
    let budgets = Budgets::new(&Limits::default());
    let space = Space::new(&budgets, 0, Some(Arc::new(Full)));
    let pending = Guest::pending();
    let mut accepted = 0;
    let mut streams = Vec::new();
    let refused = loop {
        let file = Arc::new(space.create(Account::Scratch));
        let mut writer = Writer::new(file, Place::At(0), Notes::default(), pending.clone());
        if let Err(error) = writer.write(Bytes::from(vec![1; CALL_BYTES])) {
            break error;
        }
        accepted += CALL_BYTES as u64;
        streams.push(writer);
        assert!(accepted <= 4 * PENDING_BYTES, "no end");
    };
    assert!(matches!(refused, StreamError::Trap(_)), "{refused:?}");
    assert!(pending.used() <= PENDING_BYTES);
    // What went into files in between is not counted here.
    assert!(accepted <= PENDING_BYTES + 32 * PAGE as u64, "{accepted}");
    drop(streams);
    assert_eq!(pending.used(), 0);
}

#[test]
fn names_and_pages_count_as_memory_where_none_leaves_the_enclave() {
    let empty = World::new().space.memory().used();
    let limits = |memory| Limits {
        memory,
        ..Limits::default()
    };
    let mut world = World::with(limits(
        empty + 2 * NODE_BYTES + PAGE_RECORD_BYTES + PAGE as u64,
    ));
    world.put("/tmp", "one", "1").unwrap();
    assert_eq!(
        world.put("/tmp", "two", "2"),
        Err(ErrorCode::InsufficientSpace)
    );
    assert_eq!(
        world.mkdir("/tmp", "three"),
        Err(ErrorCode::InsufficientMemory)
    );
    world.rm("/tmp", "two").unwrap();
    world.mkdir("/tmp", "three").unwrap();
    world.rm("/tmp", "one").unwrap();
    world.rmdir("/tmp", "three").unwrap();
    let memory = world.space.memory().clone();
    world.guest.table = Guest::table();
    assert_eq!(memory.used(), empty);
    drop(world.guest);
    assert_eq!(memory.used(), 0);
}

#[test]
fn an_input_folder_with_more_names_than_the_memory_holds_is_no_tree() {
    let mut inputs = InputTree::new();
    let file: Arc<dyn InputFile> = Arc::new(Blocks(Bytes::new()));
    let deep = |number: u32| (format!("{number}{}", "/a".repeat(500)), file.clone());
    inputs.add_folder("set", (0..1000).map(deep));
    assert_eq!(inputs.weight(), 1000 * crate::limits::INPUT_FILE_BYTES);
    let memory = crate::limits::Budget::new(16 << 20);
    let built = inputs.build(&Arc::default(), memory.clone());
    assert!(matches!(built, Err(crate::BadName::NoMemory)));
    assert_eq!(memory.used(), 0);
}
