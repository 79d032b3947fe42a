//! A Parquet file's metadata: its columns, and where their chunks are.

use super::thrift::{BINARY, BYTE, FALSE, I32, I64, LIST, STRUCT, TRUE, Thrift};
use crate::data::{codec::Codec, columns::ColumnType, limits::MAX_COLUMNS};

/// How a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    Bool,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    Bytes,
    Fixed(usize),
}

impl Physical {
    /// Bytes of a plain value; `None` where it varies or is less than one.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            Self::Int32 | Self::Float => Some(4),
            Self::Int64 | Self::Double => Some(8),
            Self::Int96 => Some(12),
            Self::Fixed(width) => Some(width),
            Self::Bool | Self::Bytes => None,
        }
    }
}

/// What a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What it is.
    Plain,
    Unsigned,
    Text,
    /// A whole number of 10^-scale.
    Decimal(i32),
    Half,
    /// Nanoseconds within a day, and a Julian day.
    OldTimestamp,
}

/// A column that has no columns within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) physical: Physical,
    pub(super) meaning: Meaning,
    pub(super) optional: bool,
}

/// A column of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableColumn {
    pub(super) name: String,
    pub(super) kind: ColumnType,
    /// Its leaf and that one's number, where it is flat.
    pub(super) leaf: Option<(usize, Leaf)>,
}

/// A column's piece of a row group.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) codec: Result<Codec, &'static str>,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// Some consecutive rows.
#[derive(Clone, Debug)]
pub(super) struct RowGroup {
    pub(super) rows: u64,
    /// By leaf.
    pub(super) chunks: Vec<Chunk>,
}

/// The footer.
#[derive(Clone, Debug, Default)]
pub(super) struct Footer {
    pub(super) columns: Vec<TableColumn>,
    pub(super) groups: Vec<RowGroup>,
}

#[derive(Default)]
struct Element {
    physical: Option<i32>,
    length: i32,
    repetition: i32,
    name: String,
    children: usize,
    converted: Option<i32>,
    scale: i32,
    logical: Option<Meaning>,
}

/// Parses the footer; an error says which part is no good.
///
/// What Parquet requires is required, because a structure of a byte would become one of many.
pub(super) fn parse(bytes: &[u8]) -> Result<Footer, &'static str> {
    let mut elements = Vec::new();
    let mut too_many = false;
    let mut groups = Vec::new();
    let read = Thrift::new(bytes).structure(|thrift, id, kind| match (id, kind) {
        (2, LIST) => {
            thrift.list(STRUCT, |thrift| {
                elements.push(element(thrift)?);
                too_many = elements.len() > MAX_COLUMNS;
                (!too_many).then_some(())
            })?;
            Some(true)
        }
        (4, LIST) => {
            thrift.list(STRUCT, |thrift| {
                groups.push(row_group(thrift)?);
                Some(())
            })?;
            Some(true)
        }
        _ => Some(false),
    });
    if too_many {
        return Err("it has more than 2^20 columns, those within others included");
    }
    read.ok_or("the footer is no metadata")?;
    let (columns, leaves) = columns(&elements).ok_or("the footer's schema is no tree")?;
    if groups.iter().any(|group| group.chunks.len() != leaves) {
        return Err("a row group has not one chunk a column");
    }
    Ok(Footer { columns, groups })
}

fn element(thrift: &mut Thrift<'_>) -> Option<Element> {
    let mut element = Element::default();
    let mut named = false;
    thrift.structure(|thrift, id, kind| {
        match (id, kind) {
            (1, I32) => element.physical = Some(thrift.int32()?),
            (2, I32) => element.length = thrift.int32()?,
            (3, I32) => element.repetition = thrift.int32()?,
            (4, BINARY) => {
                element.name = String::from_utf8_lossy(thrift.binary()?).into_owned();
                named = true;
            }
            (5, I32) => element.children = thrift.int32()?.try_into().ok()?,
            (6, I32) => element.converted = Some(thrift.int32()?),
            (7, I32) => element.scale = thrift.int32()?,
            (10, STRUCT) => element.logical = logical(thrift)?,
            _ => return Some(false),
        }
        Some(true)
    })?;
    named.then_some(element)
}

/// The one of logical types that changes how a value is read.
fn logical(thrift: &mut Thrift<'_>) -> Option<Option<Meaning>> {
    let mut meaning = None;
    thrift.structure(|thrift, id, kind| {
        if kind != STRUCT {
            return Some(false);
        }
        match id {
            1 | 4 | 12 => meaning = Some(Meaning::Text),
            5 => {
                let mut scale = 0;
                thrift.structure(|thrift, id, kind| match (id, kind) {
                    (1, I32) => {
                        scale = thrift.int32()?;
                        Some(true)
                    }
                    _ => Some(false),
                })?;
                meaning = Some(Meaning::Decimal(scale));
                return Some(true);
            }
            10 => {
                thrift.structure(|thrift, id, kind| match (id, kind) {
                    (1, BYTE) => thrift.int8().map(|_| true),
                    (2, FALSE) => {
                        meaning = Some(Meaning::Unsigned);
                        Some(true)
                    }
                    _ => Some(false),
                })?;
                return Some(true);
            }
            15 => meaning = Some(Meaning::Half),
            _ => {}
        }
        Some(false)
    })?;
    Some(meaning)
}

/// The table's columns out of the flattened tree, and how many leaves it has.
fn columns(elements: &[Element]) -> Option<(Vec<TableColumn>, usize)> {
    let (root, mut rest) = elements.split_first()?;
    let mut columns = Vec::new();
    let mut leaves = 0;
    for _ in 0..root.children {
        let first = rest.first()?;
        let before = leaves;
        rest = tree(rest, &mut leaves)?;
        let (kind, leaf) = match (first.children, first.repetition) {
            (0, 0 | 1) => usable(first),
            _ => (ColumnType::Other("a list or a structure".to_owned()), None),
        };
        columns.push(TableColumn {
            name: first.name.clone(),
            kind,
            leaf: leaf.map(|leaf| (before, leaf)),
        });
    }
    rest.is_empty().then_some((columns, leaves))
}

/// Passes over one element and those within.
fn tree<'a>(elements: &'a [Element], leaves: &mut usize) -> Option<&'a [Element]> {
    let mut open = 1_usize;
    let mut rest = elements;
    while open > 0 {
        let (element, behind) = rest.split_first()?;
        rest = behind;
        open = (open - 1).checked_add(element.children)?;
        *leaves += usize::from(element.children == 0);
    }
    Some(rest)
}

fn usable(element: &Element) -> (ColumnType, Option<Leaf>) {
    let physical = match element.physical {
        Some(0) => Physical::Bool,
        Some(1) => Physical::Int32,
        Some(2) => Physical::Int64,
        Some(3) => Physical::Int96,
        Some(4) => Physical::Float,
        Some(5) => Physical::Double,
        Some(6) => Physical::Bytes,
        Some(7) if element.length > 0 => Physical::Fixed(element.length as usize),
        _ => return (ColumnType::Other("of an unknown type".to_owned()), None),
    };
    let converted = match element.converted {
        Some(0 | 4 | 19) => Some(Meaning::Text),
        Some(5) => Some(Meaning::Decimal(element.scale)),
        Some(11..=14) => Some(Meaning::Unsigned),
        _ => None,
    };
    let said = element.logical.or(converted);
    let (kind, meaning) = match (physical, said) {
        (Physical::Bool, _) => (ColumnType::Bool, Meaning::Plain),
        (Physical::Int96, _) => (ColumnType::Int, Meaning::OldTimestamp),
        (Physical::Float | Physical::Double, _) => (ColumnType::Float, Meaning::Plain),
        (Physical::Int32 | Physical::Int64, Some(Meaning::Decimal(scale))) => {
            (ColumnType::Float, Meaning::Decimal(scale))
        }
        (Physical::Int32 | Physical::Int64, Some(Meaning::Unsigned)) => {
            (ColumnType::Int, Meaning::Unsigned)
        }
        (Physical::Int32 | Physical::Int64, _) => (ColumnType::Int, Meaning::Plain),
        (Physical::Bytes | Physical::Fixed(_), Some(Meaning::Decimal(scale))) => {
            (ColumnType::Float, Meaning::Decimal(scale))
        }
        (Physical::Fixed(2), Some(Meaning::Half)) => (ColumnType::Float, Meaning::Half),
        // Old writers don't say that bytes are text; what is none is refused by its first value.
        (Physical::Bytes, _) => (ColumnType::Text, Meaning::Text),
        (Physical::Fixed(_), _) => return (ColumnType::Other("bytes".to_owned()), None),
    };
    let leaf = Leaf {
        physical,
        meaning,
        optional: element.repetition == 1,
    };
    (kind, Some(leaf))
}

fn row_group(thrift: &mut Thrift<'_>) -> Option<RowGroup> {
    let (mut rows, mut chunks) = (None, None);
    thrift.structure(|thrift, id, kind| {
        match (id, kind) {
            (1, LIST) => {
                let mut list = Vec::new();
                thrift.list(STRUCT, |thrift| {
                    list.push(chunk(thrift)?);
                    Some(())
                })?;
                chunks = Some(list);
            }
            (3, I64) => rows = Some(thrift.int()?.try_into().ok()?),
            _ => return Some(false),
        }
        Some(true)
    })?;
    Some(RowGroup {
        rows: rows?,
        chunks: chunks?,
    })
}

fn chunk(thrift: &mut Thrift<'_>) -> Option<Chunk> {
    let (mut metadata, mut encrypted) = (None, false);
    thrift.structure(|thrift, id, kind| match (id, kind) {
        (3, STRUCT) => {
            metadata = Some(column_metadata(thrift)?);
            Some(true)
        }
        (8, STRUCT) | (9, BINARY) => {
            encrypted = true;
            Some(false)
        }
        _ => Some(false),
    })?;
    metadata.or(encrypted.then_some(Chunk {
        codec: Err("encrypted"),
        start: 0,
        length: 0,
    }))
}

fn column_metadata(thrift: &mut Thrift<'_>) -> Option<Chunk> {
    let (mut codec, mut length, mut data, mut dictionary) = (None, None, None, 0_i64);
    thrift.structure(|thrift, id, kind| {
        match (id, kind) {
            (4, I32) => codec = Some(thrift.int32()?),
            (7, I64) => length = Some(thrift.int()?),
            (9, I64) => data = Some(thrift.int()?),
            (11, I64) => dictionary = thrift.int()?,
            _ => return Some(false),
        }
        Some(true)
    })?;
    // Some writers say 0 where there is no dictionary.
    let start = if dictionary > 0 {
        data?.min(dictionary)
    } else {
        data?
    };
    Some(Chunk {
        codec: match codec? {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Snappy),
            2 => Ok(Codec::Gzip),
            3 => Err("compressed with LZO"),
            4 => Err("compressed with Brotli"),
            5 => Err("compressed with Hadoop's LZ4"),
            6 => Ok(Codec::Zstd),
            7 => Ok(Codec::Lz4Block),
            _ => Err("compressed in an unknown way"),
        },
        start: start.try_into().ok()?,
        length: length?.try_into().ok()?,
    })
}

/// A page's header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageHeader {
    pub(super) kind: i32,
    pub(super) uncompressed: usize,
    pub(super) compressed: usize,
    pub(super) values: usize,
    pub(super) encoding: i32,
    /// Bytes of levels in front, of a page of version 2.
    pub(super) repetition: usize,
    pub(super) definition: usize,
    pub(super) is_compressed: bool,
    /// Bytes of the header itself.
    pub(super) length: usize,
}

/// Parses a page's header off the front of `bytes`.
pub(super) fn page_header(bytes: &[u8]) -> Option<PageHeader> {
    let mut header = PageHeader {
        is_compressed: true,
        ..PageHeader::default()
    };
    let mut thrift = Thrift::new(bytes);
    let size = |thrift: &mut Thrift<'_>| usize::try_from(thrift.int32()?).ok();
    thrift.structure(|thrift, id, kind| {
        match (id, kind) {
            (1, I32) => header.kind = thrift.int32()?,
            (2, I32) => header.uncompressed = size(thrift)?,
            (3, I32) => header.compressed = size(thrift)?,
            (5 | 7 | 8, STRUCT) => {
                let encoding = if id == 8 { 4 } else { 2 };
                thrift.structure(|thrift, field, kind| {
                    match (field, kind) {
                        (1, I32) => header.values = size(thrift)?,
                        (field, I32) if field == encoding => header.encoding = thrift.int32()?,
                        (5, I32) if id == 8 => header.definition = size(thrift)?,
                        (6, I32) if id == 8 => header.repetition = size(thrift)?,
                        (7, TRUE | FALSE) if id == 8 => header.is_compressed = kind == TRUE,
                        _ => return Some(false),
                    }
                    Some(true)
                })?;
            }
            _ => return Some(false),
        }
        Some(true)
    })?;
    header.length = bytes.len() - thrift.left();
    Some(header)
}
