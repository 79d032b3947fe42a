//! Files as one table: their rows one after the other, their columns matched by name.
//!
//! [`Table::open`] reads everything once for what is needed before any row can be binned: names
//! and types ([`layout`]), labels and the like ([`roles`]), categories ([`category`]). After that
//! the table is a [`Source`].

mod category;
mod format;
mod layout;
mod open;
mod roles;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub(crate) use self::category::MAX_CATEGORIES;
pub use self::format::Format;
use self::{category::Recoder, rows::Part};
use super::{Batch, DataError, Feature, Info, ReadAt, RowValue, Schema, Source, columns::Column};

/// One file of a table.
pub struct File {
    /// What errors call it.
    pub name: String,
    /// The input it belongs to. Groups of rows do not reach from one input into the next.
    pub input: String,
    /// Its format.
    pub format: Format,
    /// Its bytes.
    pub bytes: Box<dyn ReadAt>,
}

/// Columns that are no features, and features that are categories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// What is to be predicted.
    pub label: Option<String>,
    /// Lower bound of a censored label.
    pub lower: Option<String>,
    /// Upper bound of a censored label.
    pub upper: Option<String>,
    /// How much each row counts.
    pub weight: Option<String>,
    /// The query a row belongs to: whole numbers that never become smaller within an input.
    pub group: Option<String>,
    /// Margins to start from, one column an output.
    pub base_margin: Vec<String>,
    /// Columns that are not looked at; there must be such.
    pub ignored: Vec<String>,
    /// Columns that are not looked at, where there are such.
    pub passed_over: Vec<String>,
    /// Features that hold categories.
    pub categorical: Vec<String>,
}

impl Roles {
    /// Columns with a role, in the order in which they are read.
    fn columns(&self) -> impl Iterator<Item = &str> {
        [
            &self.label,
            &self.lower,
            &self.upper,
            &self.weight,
            &self.group,
        ]
        .into_iter()
        .flatten()
        .chain(&self.base_margin)
        .map(String::as_str)
    }

    /// Columns that are no features.
    fn excluded(&self) -> impl Iterator<Item = &str> {
        let ignored = self.ignored.iter().chain(&self.passed_over);
        self.columns().chain(ignored.map(String::as_str))
    }

    /// The column that holds `value`; what LibSVM calls it where columns have no names.
    fn column_of(&self, value: RowValue) -> &str {
        let (column, own) = match value {
            RowValue::Label => (&self.label, "label"),
            RowValue::Lower => (&self.lower, "lower bound"),
            RowValue::Upper => (&self.upper, "upper bound"),
            RowValue::Weight => (&self.weight, "weight"),
        };
        column.as_deref().unwrap_or(own)
    }
}

/// What features a table is to have.
#[derive(Clone, Copy, Debug)]
pub enum Expect<'a> {
    /// All of its columns without a role.
    Any,
    /// Those of a model or of the table it is trained on: by name, or by position where these
    /// have no names. Other columns are passed over. Categories are those given here.
    These(&'a [Feature]),
}

/// Which rows of a table are this instance's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// This instance, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
}

impl Share {
    /// All rows.
    pub const ALL: Self = Self { rank: 0, size: 1 };
}

/// A table of one or more files.
pub struct Table {
    parts: Vec<Part>,
    schema: Schema,
    info: Info,
    roles: Roles,
    /// Where readers put features' values; labels and the like come after, once.
    columns: Vec<Column>,
    /// Codes of the texts of each categorical feature; empty where rows are sparse.
    recoders: Vec<Option<Recoder>>,
    sparse: bool,
    /// Rows that are this instance's, out of all files'.
    range: Range<u64>,
    /// The next row, out of all files'.
    at: u64,
    /// The file it is in, and its place there.
    part: usize,
    part_row: u64,
    /// Whether a feature had a value anywhere.
    present: Vec<bool>,
    /// Whether columns without any value are refused. Of several instances none knows on its own.
    refuse_missing: bool,
    size: usize,
}

impl Source for Table {
    type Error = DataError;

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn info(&self) -> &Info {
        &self.info
    }

    fn present(&self) -> Option<&[bool]> {
        (self.refuse_missing && self.size > 1).then_some(&self.present)
    }

    fn place(&self, row: usize, value: RowValue) -> Option<String> {
        let row = self.range.start + row as u64;
        roles::place(&self.parts, row, self.roles.column_of(value))
    }

    fn rewind(&mut self) -> Result<(), DataError> {
        for part in &mut self.parts {
            part.rewind();
        }
        (self.at, self.part, self.part_row) = (0, 0, 0);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, DataError> {
        self.read_batch()
    }
}
