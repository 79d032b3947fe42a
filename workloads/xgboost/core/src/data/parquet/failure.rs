//! Why a column of a file cannot be read.

/// Why a column cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    Read(std::io::Error),
    Malformed(&'static str),
    Piece(String),
    Unsupported(&'static str),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

pub(super) const MUCH_TEXT: Failure =
    Failure::Malformed("far more text than a file of this size has");
