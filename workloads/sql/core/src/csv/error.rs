//! What is wrong with a CSV, in words for who can mend it.

use super::Type;

/// A file that is no table, with the line that shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct CsvError {
    /// Counted from 1, as an editor does.
    pub line: u64,
    /// What is wrong there.
    pub fault: Fault,
}

impl CsvError {
    pub(super) fn at(line: u64, fault: Fault) -> Self {
        Self { line, fault }
    }
}

/// What is wrong in a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no line with anything in it.
    #[error("expected a header with the columns' names, found nothing")]
    NoHeader,
    /// A column without a name.
    #[error(
        "column {number} of the header has no name; write one, or take the column away where the \
         header ends in a delimiter"
    )]
    NoName {
        /// Counted from 1.
        number: usize,
    },
    /// Two columns of one name.
    #[error("columns {first} and {second} of the header are both called {name:?}; rename one")]
    SameName {
        /// Their name.
        name: String,
        /// Counted from 1.
        first: usize,
        /// Counted from 1.
        second: usize,
    },
    /// A row with more or fewer fields than the header.
    #[error(
        "expected {expected} fields as in the header, found {found}: {row}\n  = a value with \
         {delimiter:?}, a quote or a line break in it stands in double quotes; --delimiter says \
         what separates fields"
    )]
    Fields {
        /// Fields in the header.
        expected: usize,
        /// Fields in the row.
        found: usize,
        /// The row's beginning.
        row: String,
        /// What separates them.
        delimiter: char,
    },
    /// An empty line where it may or may not be a row.
    #[error(
        "an empty line; with one column it may be a row without a value or nothing at all: write \
         \"\" for NULL, or take the line away"
    )]
    Blank,
    /// The file ends within quotes.
    #[error("the quote that a value here starts with is not closed before the file ends")]
    OpenQuote,
    /// A row of unreasonable length.
    #[error("the row that starts here does not end within 64 MiB; is a quote left open?")]
    TooLong,
    /// Text in another encoding.
    #[error(
        "{}byte 0x{byte:02x} is no UTF-8; the text may be Latin-1 or Windows-1252: write it as \
         UTF-8, as `iconv -f WINDOWS-1252 -t UTF-8` does",
        column.as_ref().map(|name| format!("column {name:?}: ")).unwrap_or_default()
    )]
    NotUtf8 {
        /// The column; none where it is the header itself.
        column: Option<String>,
        /// The first byte that is not.
        byte: u8,
    },
    /// A value that is not of the type told from earlier rows.
    #[error(
        "column {column:?}: expected {common}, as the first rows have, found \"{value}\"\n  = look \
         at more rows with a larger --infer-rows, or at all of them without it, or say what stands \
         for NULL with --null"
    )]
    Value {
        /// The column's name.
        column: String,
        /// The value's beginning.
        value: String,
        /// What the column is.
        common: Type,
    },
    /// The file cannot be read.
    #[error("{0}")]
    Read(String),
}

/// Files that are no table together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// Each of two files has a column that the other lacks.
    #[error(
        "files {file:?} and {other:?} do not have the same columns: only the first has {column:?}, \
         only the second {missing:?}; rename one of them, or give the first line the columns' names"
    )]
    Columns {
        /// The one file.
        file: String,
        /// The other.
        other: String,
        /// What only the one has.
        column: String,
        /// What only the other has.
        missing: String,
    },
}
