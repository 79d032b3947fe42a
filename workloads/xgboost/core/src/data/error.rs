//! What can be wrong with a table.

use std::io;

/// Why a table was refused. Rows are counted from 1, a header not counted.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Bytes could not be read.
    #[error("reading `{file}`: {error}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not what its format says.
    #[error("`{file}` is no good {format}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// The format's name.
        format: &'static str,
        /// What was expected and found, and where.
        reason: String,
    },
    /// The file uses a part of its format that is not read here.
    #[error("`{file}`: {reason}")]
    Unsupported {
        /// The file.
        file: String,
        /// What it uses, and what to do.
        reason: String,
    },
    /// One value cannot be used.
    #[error("`{file}`, row {row}, column `{column}`: {reason}")]
    Value {
        /// The file.
        file: String,
        /// Its row.
        row: u64,
        /// Name of the column.
        column: String,
        /// What was expected and found.
        reason: String,
    },
    /// A column cannot be used as it was asked for.
    #[error("column `{column}`: {reason}")]
    Column {
        /// Name of the column.
        column: String,
        /// What was expected and found.
        reason: String,
    },
    /// A file does not fit the ones before it, or the model.
    #[error("`{file}` differs from {other}: {difference}")]
    Differs {
        /// The file.
        file: String,
        /// What it was compared with.
        other: String,
        /// The difference.
        difference: String,
    },
    /// No rows, or no columns, where some are needed.
    #[error("{0}")]
    Empty(String),
    /// The second reading gave something else than the first.
    #[error("`{0}` changed while it was being read")]
    Changed(String),
}
