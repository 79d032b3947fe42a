//! The fixed caps: the same for every job, and part of the measured configuration.

/// Core instances, tables and memories of one run.
pub(super) const INSTANCES: usize = 256;
pub(super) const TABLES: usize = 64;
pub(super) const MEMORIES: usize = 16;

/// Live entries of the host's resource table: files, streams, pollables.
pub(crate) const HANDLES: usize = 8192;

/// Files and folders open at once.
pub(crate) const OPEN_FILES: usize = 1024;

/// The most bytes one host call reads or writes.
pub(crate) const CALL_BYTES: usize = 1 << 20;

/// The most bytes one host call may copy out of the guest: a write, and room for
/// a path or a list beside it.
pub(crate) const CALL_FUEL: usize = CALL_BYTES + (64 << 10);

/// The most random bytes one call returns.
pub(crate) const RANDOM_BYTES: u64 = 1 << 20;

/// Bytes of a path and of one name in it.
pub(crate) const PATH_BYTES: usize = 4096;
pub(crate) const NAME_BYTES: usize = 255;

/// Files and folders in each writable tree.
pub(crate) const TREE_NODES: usize = 32_768;

/// Folders within folders.
pub(crate) const TREE_DEPTH: usize = 64;

/// What a name in a tree is taken to cost, with what stands for it.
pub(crate) const NODE_BYTES: u64 = 512;

/// What a file below `/in` is taken to cost beside its names: its key, its place, its readers.
pub(crate) const INPUT_FILE_BYTES: u64 = 2048;

/// What the enclave keeps of a page of a file, wherever the page itself is.
pub(crate) const PAGE_RECORD_BYTES: u64 = 128;

/// Bytes a reading stream keeps from being waited for to being read.
pub(crate) const READY_BYTES: usize = 1 << 10;

/// Bytes all writing streams of a guest may have accepted that are in no file yet.
pub(crate) const PENDING_BYTES: u64 = 16 << 20;

/// Bytes of the text in `/run/mc2/error`.
pub(crate) const ERROR_BYTES: usize = 64 << 10;

/// Bytes of one progress line's text, and events kept for a reader that is slow.
pub(crate) const PROGRESS_TEXT_BYTES: usize = 256;
pub(crate) const PROGRESS_EVENTS: usize = 64;

/// Bytes on their way from one instance to another before the writer has to wait. As many again
/// may be in the block that is being read.
pub(crate) const PEER_BYTES: usize = 256 << 10;

/// The most instances that run together.
pub const PEERS: usize = 16;

/// What a table's element is taken to cost.
pub(super) const ELEMENT_BYTES: u64 = 16;

pub(crate) fn description() -> String {
    format!(
        "limits = instances:{INSTANCES} tables:{TABLES} memories:{MEMORIES} handles:{HANDLES} \
         open-files:{OPEN_FILES} call-bytes:{CALL_BYTES} call-fuel:{CALL_FUEL} \
         random-bytes:{RANDOM_BYTES} path:{PATH_BYTES} name:{NAME_BYTES} \
         tree-nodes:{TREE_NODES} tree-depth:{TREE_DEPTH} error:{ERROR_BYTES} progress-text:{PROGRESS_TEXT_BYTES} \
         progress-events:{PROGRESS_EVENTS} node:{NODE_BYTES} input-file:{INPUT_FILE_BYTES} \
         page-record:{PAGE_RECORD_BYTES} ready:{READY_BYTES} pending:{PENDING_BYTES} peers:{PEERS} peer-bytes:{PEER_BYTES} element:{ELEMENT_BYTES}\n"
    )
}
