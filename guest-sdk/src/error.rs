//! The error that becomes a job's failure message.

use std::fmt;

/// What a workload's functions return.
///
/// ```
/// fn parse(argument: &str) -> mc2_guest::Result<u32> {
///     Ok(argument.parse()?)
/// }
/// assert!(parse("ten").is_err());
/// ```
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// A failure: what was being done, and the chain of reasons, outermost first.
///
/// Any [`std::error::Error`] becomes one through `?`. What it says leaves the enclave only to
/// those whom the policy names for the output `error`.
///
/// ```
/// use mc2_guest::{Context, Error};
///
/// let error = "ten".parse::<u32>().context("the number of rounds").unwrap_err();
/// assert_eq!(error.to_string(), "the number of rounds: invalid digit found in string");
/// assert_eq!(Error::new("no rows").to_string(), "no rows");
/// ```
pub struct Error {
    chain: Vec<String>,
}

impl Error {
    /// An error that says `message`.
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            chain: vec![message.to_string()],
        }
    }

    /// The same error, with what was being done in front.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.chain.insert(0, doing.to_string());
        self
    }

    /// The reasons, outermost first.
    ///
    /// ```
    /// let error = mc2_guest::Error::new("no such column").context("joining orders");
    /// assert_eq!(error.chain().collect::<Vec<_>>(), ["joining orders", "no such column"]);
    /// ```
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        self.chain.iter().map(String::as_str)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain.join(": "))
    }
}

// `fn main() -> mc2_guest::Result` prints this form.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// `Error` itself is no `std::error::Error`, or this would overlap with `From<T> for T`.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut chain = vec![error.to_string()];
        let mut source = error.source();
        while let Some(error) = source {
            chain.push(error.to_string());
            source = error.source();
        }
        Self { chain }
    }
}

/// Says what was being done when a result or an option turned out badly.
///
/// ```
/// use mc2_guest::Context;
///
/// let columns = ["day", "amount"];
/// let found = columns.iter().position(|name| *name == "fraud");
/// let error = found.with_context(|| format!("no column `fraud` among {columns:?}")).unwrap_err();
/// assert_eq!(error.to_string(), r#"no column `fraud` among ["day", "amount"]"#);
/// ```
pub trait Context<T> {
    /// Puts `doing` in front of the error.
    ///
    /// # Errors
    /// The error there was, or, of an empty option, `doing` alone.
    fn context(self, doing: impl fmt::Display) -> Result<T>;

    /// As [`Context::context`], for words that cost something to make.
    ///
    /// # Errors
    /// The error there was, or, of an empty option, `doing` alone.
    fn with_context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(doing))
    }

    fn with_context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.into().context(doing()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::new(doing))
    }

    fn with_context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.ok_or_else(|| Error::new(doing()))
    }
}
