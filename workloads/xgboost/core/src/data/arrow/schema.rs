//! An Arrow schema: what columns hold, and how many buffers each brings along.

use super::flat::Table;
use crate::data::{columns::ColumnType, limits::MAX_COLUMNS};

/// Lists within lists; a schema deeper than this is refused.
const MAX_DEPTH: u8 = 32;

/// How a column's values lie in buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    /// Bytes of a whole number, and whether it has a sign.
    Int(usize, bool),
    /// Bytes of a floating-point number.
    Float(usize),
    Bool,
    /// Bytes of a decimal, and the power of ten below which it does not go.
    Decimal(usize, i32),
    /// Text by offsets, of 8 bytes where it is large.
    Text {
        large: bool,
    },
    /// Text by views.
    View,
    /// What is passed over: its own buffers, whether those of views follow, and what is within.
    Other {
        what: &'static str,
        buffers: usize,
        views: bool,
    },
}

/// A column, or one within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    /// What values are, those of the dictionary where there is one.
    pub(super) kind: Kind,
    /// The dictionary's number, and what refers to it.
    pub(super) dictionary: Option<(i64, Kind)>,
    pub(super) children: Vec<Field>,
}

impl Field {
    /// What the column holds, as a table's.
    pub(super) fn column_type(&self) -> ColumnType {
        match &self.kind {
            Kind::Text { .. } | Kind::View => ColumnType::Text,
            Kind::Int(..) if self.dictionary.is_some() => ColumnType::Coded,
            Kind::Int(..) => ColumnType::Int,
            Kind::Bool => ColumnType::Bool,
            Kind::Null | Kind::Float(_) | Kind::Decimal(..) => ColumnType::Float,
            Kind::Other { what, .. } => ColumnType::Other((*what).to_owned()),
        }
    }

    /// What lies in a record batch.
    pub(super) fn stored(&self) -> &Kind {
        self.dictionary
            .as_ref()
            .map_or(&self.kind, |(_, index)| index)
    }
}

const BROKEN: &str = "its schema is none";

/// Parses the columns of a schema; an error says what is wrong with it.
pub(super) fn fields(schema: Table<'_>) -> Result<Vec<Field>, &'static str> {
    let mut room = Room {
        fields: MAX_COLUMNS,
        bytes: schema.buffer_len(),
    };
    room.children(schema, 1, 0)
}

/// How many fields a schema may still have. Tables may be referred to any number of times, so that
/// its length says nothing of them.
struct Room {
    fields: usize,
    /// Bytes of the schema that no field has had.
    bytes: usize,
}

impl Room {
    /// Bytes a field has at least, without its name: a reference to it, and a table that refers to
    /// its type.
    const FIELD: usize = 16;

    fn take(&mut self, name: &str) -> Result<(), &'static str> {
        self.fields = self
            .fields
            .checked_sub(1)
            .ok_or("it has more than 2^20 columns, those within others included")?;
        self.bytes = self
            .bytes
            .checked_sub(Self::FIELD)
            .and_then(|bytes| bytes.checked_sub(name.len()))
            .ok_or("its schema refers to the same columns again and again")?;
        Ok(())
    }

    fn children(
        &mut self,
        parent: Table<'_>,
        index: usize,
        depth: u8,
    ) -> Result<Vec<Field>, &'static str> {
        let Some(vector) = parent.vector(index, 4) else {
            return Ok(Vec::new());
        };
        if depth == MAX_DEPTH {
            return Err("its columns lie deeper in each other than 32 levels");
        }
        (0..vector.len())
            .map(|index| self.field(vector.table(index).ok_or(BROKEN)?, depth))
            .collect()
    }

    fn field(&mut self, table: Table<'_>, depth: u8) -> Result<Field, &'static str> {
        let name = table.text(0).unwrap_or_default();
        self.take(&name)?;
        let dictionary = match table.table(4) {
            Some(encoding) => {
                let index = encoding.table(1).map_or(Some(Kind::Int(4, true)), int);
                Some((encoding.i64(0).unwrap_or(0), index.ok_or(BROKEN)?))
            }
            None => None,
        };
        let kind = table
            .u8(2)
            .zip(table.table(3))
            .and_then(|(number, table)| kind(number, table));
        Ok(Field {
            name,
            kind: kind.ok_or(BROKEN)?,
            dictionary,
            children: self.children(table, 5, depth + 1)?,
        })
    }
}

fn int(table: Table<'_>) -> Option<Kind> {
    let bits = table.i32(0).unwrap_or(0);
    let width = match bits {
        8 | 16 | 32 | 64 => bits as usize / 8,
        _ => return None,
    };
    Some(Kind::Int(width, table.u8(1).unwrap_or(0) != 0))
}

fn kind(number: u8, table: Table<'_>) -> Option<Kind> {
    let other = |what, buffers, views| Kind::Other {
        what,
        buffers,
        views,
    };
    Some(match number {
        1 => Kind::Null,
        2 => int(table)?,
        3 => match table.i16(0).unwrap_or(0) {
            0 => Kind::Float(2),
            1 => Kind::Float(4),
            2 => Kind::Float(8),
            _ => return None,
        },
        4 => other("bytes", 3, false),
        5 => Kind::Text { large: false },
        6 => Kind::Bool,
        7 => {
            let bits = table.i32(2).unwrap_or(128);
            let scale = table.i32(1).unwrap_or(0);
            match bits {
                32 | 64 | 128 | 256 => Kind::Decimal(bits as usize / 8, scale),
                _ => return None,
            }
        }
        // Days, or milliseconds, which is the default.
        8 => Kind::Int(if table.i16(0) == Some(0) { 4 } else { 8 }, true),
        9 => Kind::Int(
            if table.i32(1).unwrap_or(32) == 64 {
                8
            } else {
                4
            },
            true,
        ),
        10 | 18 => Kind::Int(8, true),
        11 => other("an interval", 2, false),
        12 | 21 => other("a list", 2, false),
        13 => other("a structure", 1, false),
        14 => other(
            "a union",
            if table.i16(0) == Some(1) { 2 } else { 1 },
            false,
        ),
        15 => other("bytes", 2, false),
        16 => other("a list", 1, false),
        17 => other("a map", 2, false),
        19 => other("bytes", 3, false),
        20 => Kind::Text { large: true },
        22 => other("run-end encoded", 0, false),
        23 => other("bytes", 2, true),
        24 => Kind::View,
        25 | 26 => other("a list", 3, false),
        _ => return None,
    })
}

/// How many nodes, buffers and counts of views a column takes up in a record batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) nodes: usize,
    pub(super) buffers: usize,
    pub(super) views: usize,
}

/// Moves `extent` behind `field`; `views` says how many buffers the views at a place have.
pub(super) fn pass(
    field: &Field,
    extent: &mut Extent,
    views: &impl Fn(usize) -> Option<usize>,
) -> Option<()> {
    extent.nodes += 1;
    let (buffers, of_views) = match field.stored() {
        Kind::Null => (0, false),
        Kind::Int(..) | Kind::Float(_) | Kind::Bool | Kind::Decimal(..) => (2, false),
        Kind::Text { .. } => (3, false),
        Kind::View => (2, true),
        Kind::Other { buffers, views, .. } => (*buffers, *views),
    };
    extent.buffers += buffers;
    if of_views {
        extent.buffers = extent.buffers.checked_add(views(extent.views)?)?;
        extent.views += 1;
    }
    if field.dictionary.is_some() {
        return Some(());
    }
    field
        .children
        .iter()
        .try_for_each(|child| pass(child, extent, views))
}
