//! How much a file may make of its bytes.
//!
//! Compression, runs, differences and references let a few bytes stand for any amount of rows,
//! values and text, and honest files make use of it. So what a file may bring is tied to its
//! length, and some is free, so that small files may be as regular as they like.

use super::columns::{Column, Interner};

/// The most columns of a file, columns within columns included.
pub(crate) const MAX_COLUMNS: usize = 1 << 20;

/// The most values of a dictionary, or of a page that must be decoded at once. XGBoost has no more
/// categories.
pub(crate) const MAX_VALUES: usize = 1 << 24;

/// Refuses more rows than a file of `size` bytes may have: labels and the like are kept for each.
pub(crate) fn check_rows(rows: u64, size: u64) -> Result<(), String> {
    let most = size.saturating_mul(64).saturating_add(1 << 22);
    match rows <= most {
        true => Ok(()),
        false => Err(format!(
            "it claims {rows} rows; of a file of {size} bytes at most {most} are read"
        )),
    }
}

/// The most bytes that are decompressed at one time out of a file of `size` bytes; never more than
/// half of what 32 bits address.
pub(crate) fn most_held(size: u64) -> u64 {
    (256 << 20) + size.saturating_mul(16).min(1792 << 20)
}

/// How much text of categories a file may still bring.
#[derive(Debug, Default)]
pub(crate) struct TextRoom(u64);

impl TextRoom {
    /// What a text needs beside its bytes, about.
    const ENTRY: u64 = 32;

    /// What a file of `size` bytes may bring.
    pub(crate) fn of(size: u64) -> Self {
        Self((64 << 20) + size.saturating_mul(16).min(960 << 20))
    }

    /// The number of `text` among `names`; `None` where it is one text too many.
    pub(crate) fn id(&mut self, names: &mut Interner, text: &str) -> Option<u32> {
        let before = names.names().len();
        let id = names.id(text);
        if names.names().len() > before {
            self.0 = self.0.checked_sub(text.len() as u64)?;
        }
        Some(id)
    }

    /// Takes note that `column` has texts it had not when they were `before`, numbers among them;
    /// `None` where they are too many.
    pub(crate) fn entries(&mut self, column: &Column, before: usize) -> Option<()> {
        let more = texts(column) - before;
        self.0 = self.0.checked_sub(more as u64 * Self::ENTRY)?;
        Some(())
    }
}

/// How many different texts a column has.
pub(crate) fn texts(column: &Column) -> usize {
    match column {
        Column::Text(_, names) => names.names().len(),
        Column::Number(_) | Column::Exact(_) => 0,
    }
}
