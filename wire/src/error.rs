//! Why there is no answer.

use http::StatusCode;

/// Why a client has no answer.
#[derive(Debug)]
pub enum Failure<E> {
    /// No connection.
    Connect(E),
    /// It took too long.
    TimedOut,
    /// None came, or one that cannot be taken.
    Exchange(ExchangeError),
}

/// Why a connection gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It broke; where [`hyper::Error::is_canceled`], before anything was sent.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The answer broke off after it had begun.
    #[error("it broke off: {0}")]
    CutOff(hyper::Error),
    /// Its status is a success, but none of what was asked.
    #[error("its status is {found}, expected {expected}")]
    Status {
        /// What it should have been.
        expected: StatusCode,
        /// What it was.
        found: StatusCode,
    },
    /// What came is longer than what was accepted.
    #[error("it has more than {limit} bytes")]
    TooLong {
        /// Most bytes that were accepted.
        limit: usize,
        /// The length it announced, if it did.
        announced: Option<u64>,
    },
    /// It is another part than was asked for.
    #[error("it has {found} bytes, {expected} were asked for")]
    Length {
        /// How many bytes were asked for.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// It is not the bytes as they are.
    #[error("it is encoded as {0}")]
    Encoded(String),
}
