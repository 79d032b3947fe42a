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
    code: Option<String>,
}

/// The failure that says a code and nothing else: what leaves the enclave of it under a policy whose
/// `errors` lists codes.
///
/// There a failure passes only as `CODE`, then the name of one of the step's inputs, then one or two
/// numbers, all but the code left out at will. [`Error::with_code`] says it beside other words, for
/// those who may see them under another policy.
///
/// ```
/// use mc2_guest::{Result, fail_with_code};
///
/// fn check(row: u32, amount: &str) -> Result<f64> {
///     let bad = || fail_with_code("bad-amount", Some("transactions"), Some(row), None);
///     amount.parse().map_err(|_| bad())
/// }
/// let error = check(17, "-").unwrap_err();
/// assert_eq!(error.to_string(), "bad-amount transactions 17");
/// assert_eq!(error.code(), Some("bad-amount transactions 17"));
/// ```
pub fn fail_with_code(code: &str, input: Option<&str>, a: Option<u32>, b: Option<u32>) -> Error {
    let code = coded(code, input, a, b);
    Error {
        chain: vec![code.clone()],
        code: Some(code),
    }
}

impl Error {
    /// An error that says `message`.
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            chain: vec![message.to_string()],
            code: None,
        }
    }

    /// The same error with a code, which is all that passes under a policy whose `errors` lists
    /// codes; see [`fail_with_code`].
    ///
    /// ```
    /// let error = mc2_guest::Error::new("line 17: `-` is no amount");
    /// let error = error.with_code("bad-amount", None, Some(17), None);
    /// assert_eq!(error.code(), Some("bad-amount 17"));
    /// assert_eq!(error.to_string(), "line 17: `-` is no amount");
    /// ```
    #[must_use]
    pub fn with_code(
        mut self,
        code: &str,
        input: Option<&str>,
        a: Option<u32>,
        b: Option<u32>,
    ) -> Self {
        self.code = Some(coded(code, input, a, b));
        self
    }

    /// The line with its code, where it has one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
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
        Self { chain, code: None }
    }
}

/// `CODE`, `CODE INPUT`, `CODE INPUT A B` and so on: what is there, with a space between.
fn coded(code: &str, input: Option<&str>, a: Option<u32>, b: Option<u32>) -> String {
    let numbers = [a, b]
        .into_iter()
        .flatten()
        .map(|number| number.to_string());
    let mut line = code.to_owned();
    for part in input.map(str::to_owned).into_iter().chain(numbers) {
        line.push(' ');
        line.push_str(&part);
    }
    line
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
