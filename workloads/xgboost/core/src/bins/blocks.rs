//! Where bins are: in memory all together, or in blocks of rows outside of it.
//!
//! Whoever reads bins takes the blocks one by one, in the order of rows, so that sums come out the
//! same to the bit wherever the bins are.

use std::{cell::RefCell, fmt, ops::Range};

use super::{
    BinsError,
    codes::{Codes, GROUP},
};

/// A place outside of memory for bins, for instance a scratch file.
pub trait BinStore: Send {
    /// Writes `bytes` behind what was written before.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn append(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// Reads as many bytes as `bytes` is long, from byte `at` on.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), String>;
}

/// When bins go to a [`BinStore`].
pub struct Spilling<'a> {
    /// So many bytes of bins may be in memory.
    pub memory: usize,
    /// Bytes of a block, about; one is in memory at a time.
    pub block: usize,
    /// Makes the place for what is more.
    pub open: &'a dyn Fn() -> Result<Box<dyn BinStore>, String>,
}

/// Some consecutive rows' bins.
#[derive(Clone, Copy)]
pub(crate) struct Block<'m> {
    /// The first row.
    pub(crate) first: u32,
    /// The row after the last.
    pub(crate) end: u32,
    /// Their bins; the first row's come first.
    pub(crate) codes: &'m Codes,
}

/// All rows' bins.
pub(super) enum Blocks {
    Memory(Codes),
    Stored(RefCell<Stored>),
}

/// Blocks in a store.
pub(super) struct Stored {
    store: Box<dyn BinStore>,
    blocks: Vec<Place>,
    end: u64,
    /// The block that was read last, and its number.
    read: Codes,
    number: Option<usize>,
    bytes: Vec<u8>,
}

/// A block in a store.
struct Place {
    rows: Range<u32>,
    at: u64,
    kind: Kind,
    /// Groups of codes, or slots.
    len: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Narrow,
    Wide,
    Sparse,
}

impl Blocks {
    /// Calls `each` with the blocks in the order of rows, but for those that are not `wanted`.
    pub(super) fn each(
        &self,
        rows: u32,
        wanted: impl Fn(&Range<u32>) -> bool,
        mut each: impl FnMut(Block<'_>),
    ) -> Result<(), BinsError> {
        match self {
            Self::Memory(codes) => {
                each(Block {
                    first: 0,
                    end: rows,
                    codes,
                });
                Ok(())
            }
            Self::Stored(stored) => {
                let mut stored = stored.borrow_mut();
                for number in 0..stored.blocks.len() {
                    let rows = stored.blocks[number].rows.clone();
                    if wanted(&rows) {
                        stored.fetch(number)?;
                        each(Block {
                            first: rows.start,
                            end: rows.end,
                            codes: &stored.read,
                        });
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(codes) => codes.fmt(out),
            Self::Stored(stored) => write!(out, "{} blocks", stored.borrow().blocks.len()),
        }
    }
}

impl Stored {
    /// Nothing yet.
    pub(super) fn new(store: Box<dyn BinStore>) -> Self {
        Self {
            store,
            blocks: Vec::new(),
            end: 0,
            read: Codes::Narrow(Vec::new()),
            number: None,
            bytes: Vec::new(),
        }
    }

    /// Writes the bins of the rows that follow, and empties `codes`.
    pub(super) fn push(&mut self, codes: &mut Codes, rows: Range<u32>) -> Result<(), BinsError> {
        self.bytes.clear();
        let (kind, len) = match codes {
            Codes::Narrow(codes) => {
                self.bytes.extend_from_slice(codes.as_flattened());
                (Kind::Narrow, codes.len())
            }
            Codes::Wide(codes) => {
                let flat = codes.as_flattened().iter();
                self.bytes.extend(flat.flat_map(|code| code.to_le_bytes()));
                (Kind::Wide, codes.len())
            }
            Codes::Sparse { starts, slots } => {
                let starts = starts
                    .iter()
                    .flat_map(|start| (*start as u64).to_le_bytes());
                self.bytes.extend(starts);
                self.bytes
                    .extend(slots.iter().flat_map(|slot| slot.to_le_bytes()));
                (Kind::Sparse, slots.len())
            }
        };
        codes.clear();
        self.store.append(&self.bytes).map_err(BinsError::Store)?;
        self.blocks.push(Place {
            rows,
            at: self.end,
            kind,
            len,
        });
        self.end += self.bytes.len() as u64;
        Ok(())
    }

    /// Reads block `number`, unless it was read last.
    fn fetch(&mut self, number: usize) -> Result<(), BinsError> {
        if self.number == Some(number) {
            return Ok(());
        }
        self.number = None;
        let place = &self.blocks[number];
        // What a block holds was in memory when it was written.
        let (at, len, rows) = (place.at, place.len, place.rows.len());
        let bytes = match place.kind {
            Kind::Narrow => len * GROUP,
            Kind::Wide => 2 * len * GROUP,
            Kind::Sparse => 8 * (rows + 1) + 4 * len,
        };
        if let (Kind::Narrow, Codes::Narrow(codes)) = (place.kind, &mut self.read) {
            codes.resize(len, [0; GROUP]);
            self.store
                .read(at, codes.as_flattened_mut())
                .map_err(BinsError::Store)?;
            self.number = Some(number);
            return Ok(());
        }
        self.bytes.resize(bytes, 0);
        self.store
            .read(at, &mut self.bytes)
            .map_err(BinsError::Store)?;
        self.read = match place.kind {
            Kind::Narrow => Codes::Narrow(self.bytes.as_chunks().0.to_vec()),
            Kind::Wide => {
                let groups = self.bytes.as_chunks::<{ 2 * GROUP }>().0.iter();
                let group = |bytes: &[u8; 2 * GROUP]| {
                    std::array::from_fn(|at| u16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]))
                };
                Codes::Wide(groups.map(group).collect())
            }
            Kind::Sparse => {
                let (starts, slots) = self.bytes.split_at(8 * (rows + 1));
                let start = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes) as usize;
                let slot = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
                Codes::Sparse {
                    starts: starts.as_chunks().0.iter().map(start).collect(),
                    slots: slots.as_chunks().0.iter().map(slot).collect(),
                }
            }
        };
        self.number = Some(number);
        Ok(())
    }
}
