//! Rows as they come: a schema, and batches of feature values with their labels and the rest.
//!
//! A [`Source`] can be read more than once, because cut points need one pass and binning another;
//! so no more than one batch of raw values need be in memory.
//!
//! [`table::Table`] is the source made of files: [`csv`], [`libsvm`], [`parquet`] and [`arrow`]
//! read one file each, and the table puts them together by the names of their columns.
//! [`mod@write`] is the way back. Files are hostile bytes.

pub mod arrow;
pub mod bytes;
mod codec;
pub mod columns;
pub mod csv;
pub mod error;
mod le;
pub mod libsvm;
mod limits;
mod number;
pub mod parquet;
pub mod table;
pub mod write;

pub use self::{
    bytes::ReadAt,
    error::DataError,
    table::{Expect, File, Format, Roles, Table},
};

/// What one feature holds, by XGBoost's names for feature types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeatureKind {
    /// `float`: a number.
    #[default]
    Float,
    /// `int`: a whole number.
    Int,
    /// `i`: 0 or 1.
    Indicator,
    /// `c`: the code of a category, a whole number from 0.
    Categorical,
}

/// The categories of one feature in the order of their codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Categories {
    /// Names.
    Text(Vec<String>),
    /// Whole numbers.
    Int(Vec<i64>),
}

/// One column of features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name; unique in a schema, but empty in one of a table without names (LibSVM).
    pub name: String,
    /// What it holds.
    pub kind: FeatureKind,
    /// What its codes stand for, where they stand for something; XGBoost keeps this in the model
    /// as `cats`.
    pub categories: Option<Categories>,
}

/// The features of a table, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// In the order of their indices.
    pub features: Vec<Feature>,
}

/// What is known of rows besides their features. Each vector is empty or has one entry a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// Number of rows.
    pub rows: usize,
    /// What is to be predicted.
    pub labels: Vec<f32>,
    /// Lower bound of a censored label (`survival:aft`).
    pub lower: Vec<f32>,
    /// Upper bound of a censored label; infinity where there is none.
    pub upper: Vec<f32>,
    /// How much each row counts; one entry a *group* for ranking.
    pub weights: Vec<f32>,
    /// Margins to start from: rows × outputs, row by row.
    pub base_margin: Vec<f32>,
    /// Where each group of rows starts, and the end: `[0, …, rows]`; empty without groups.
    pub group_starts: Vec<usize>,
}

impl Info {
    /// Whether groups, where there are some, are all rows one after the other.
    pub fn groups_cover_rows(&self) -> bool {
        let starts = &self.group_starts;
        let whole = starts.first() == Some(&0) && starts.last() == Some(&self.rows);
        starts.is_empty() || whole && starts.is_sorted()
    }

    /// The weight of row `row`, 1 where there are none. Not for ranking.
    pub fn weight(&self, row: usize) -> f32 {
        self.weights.get(row).copied().unwrap_or(1.0)
    }
}

/// A number that a row has besides its features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowValue {
    /// What is to be predicted.
    Label,
    /// Lower bound of a censored label.
    Lower,
    /// Upper bound of a censored label.
    Upper,
    /// How much the row counts.
    Weight,
}

/// A row that cannot be used for what it is wanted for. Who knows the table says by
/// [`Source::place`] where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {}: {reason}", self.row + 1)]
pub struct RowError {
    /// The row, from 0, of those a source gives.
    pub row: usize,
    /// Which of its numbers is to blame.
    pub value: RowValue,
    /// What was expected and found.
    pub reason: String,
}

/// Feature values of some rows; NaN is missing.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Row by row, one value a feature.
    Dense(Vec<f32>),
    /// Only what is there, row by row, ascending by feature within a row.
    Sparse {
        /// Where each row starts in the others, and the end: rows + 1 entries.
        starts: Vec<usize>,
        /// Feature of each value.
        features: Vec<u32>,
        /// The values; none is NaN.
        values: Vec<f32>,
    },
}

/// Some consecutive rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number of rows, at least 1.
    pub rows: usize,
    /// Their features.
    pub values: Values,
}

/// A table that can be read from its start any number of times.
pub trait Source {
    /// Why reading failed; a person reads it.
    type Error: std::fmt::Display;

    /// The features.
    fn schema(&self) -> &Schema;

    /// Labels, weights and the rest, of all rows. They are read once and kept.
    fn info(&self) -> &Info;

    /// Whether each feature had a value in some row, once all rows are read, where a feature
    /// without any is a mistake that only all instances together can see.
    fn present(&self) -> Option<&[bool]> {
        None
    }

    /// Where a person finds a number of row `row`, counted from 0: the file, its row and its column,
    /// in words; `None` where the rows come from no file.
    fn place(&self, _row: usize, _value: RowValue) -> Option<String> {
        None
    }

    /// Goes back to the first row.
    ///
    /// # Errors
    /// The table cannot be read.
    fn rewind(&mut self) -> Result<(), Self::Error>;

    /// The next rows, of at most a few mebibytes; `None` at the end.
    ///
    /// # Errors
    /// The table cannot be read, or is not what it was the last time.
    fn next_batch(&mut self) -> Result<Option<Batch>, Self::Error>;
}
