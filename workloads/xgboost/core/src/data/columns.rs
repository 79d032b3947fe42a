//! What readers of files with columns have in common: what a column holds, and where its values
//! go.

use std::collections::HashMap;

use super::DataError;

/// What the file says its column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text of which only the values tell (CSV).
    Untyped,
    /// Whole numbers; dates and times too.
    Int,
    /// Numbers.
    Float,
    /// Truth values.
    Bool,
    /// Text, or a dictionary of text.
    Text,
    /// A dictionary of whole numbers: categories that are called so.
    Coded,
    /// Something that is no feature; in words.
    Other(String),
}

impl ColumnType {
    /// In words.
    pub fn describe(&self) -> &str {
        match self {
            Self::Untyped => "untyped",
            Self::Int => "whole numbers",
            Self::Float => "numbers",
            Self::Bool => "truth values",
            Self::Text => "text",
            Self::Coded => "categories",
            Self::Other(what) => what,
        }
    }
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
}

/// Id of a missing text.
pub const NO_TEXT: u32 = u32::MAX;

/// Numbers for texts, given in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    ids: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

impl Interner {
    /// The number of `text`.
    pub fn id(&mut self, text: &str) -> u32 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        // XGBoost has no more than 2^24 categories; whoever reads the names refuses more.
        let id = u32::try_from(self.names.len()).unwrap_or(NO_TEXT);
        self.ids.insert(text.into(), id);
        self.names.push(text.into());
        id
    }

    /// The texts in the order of their numbers.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }
}

/// Where the values of one column go, and as what.
#[derive(Clone, Debug)]
pub enum Column {
    /// Single precision; NaN is missing.
    Number(Vec<f32>),
    /// Double precision, for what must not be rounded; NaN is missing.
    Exact(Vec<f64>),
    /// Numbers of texts; [`NO_TEXT`] is missing.
    Text(Vec<u32>, Interner),
}

impl Column {
    /// Forgets the values.
    pub fn clear(&mut self) {
        match self {
            Self::Number(values) => values.clear(),
            Self::Exact(values) => values.clear(),
            Self::Text(ids, _) => ids.clear(),
        }
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Number(values) => values.len(),
            Self::Exact(values) => values.len(),
            Self::Text(ids, _) => ids.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a missing value.
    pub fn push_missing(&mut self) {
        match self {
            Self::Number(values) => values.push(f32::NAN),
            Self::Exact(values) => values.push(f64::NAN),
            Self::Text(ids, _) => ids.push(NO_TEXT),
        }
    }

    /// Appends a number. Of a text column it is the category so written.
    pub fn push_number(&mut self, value: f64) {
        match self {
            Self::Number(values) => values.push(value as f32),
            Self::Exact(values) => values.push(value),
            Self::Text(ids, _) if value.is_nan() => ids.push(NO_TEXT),
            Self::Text(ids, names) => ids.push(names.id(&value.to_string())),
        }
    }
}

/// Reads the columns of one file, some rows at a time.
pub trait Reader {
    /// The columns, in the file's order.
    fn columns(&self) -> &[ColumnInfo];

    /// Goes back to the first row.
    fn rewind(&mut self);

    /// Appends up to `most` rows and says how many; 0 is the end. Column `i` goes to
    /// `out[targets[i]]`, or nowhere.
    ///
    /// # Errors
    /// The file cannot be read, or a value is not what its column is wanted as.
    fn read(
        &mut self,
        most: usize,
        targets: &[Option<usize>],
        out: &mut [Column],
    ) -> Result<usize, DataError>;
}
