//! The command line, in the few forms a workload needs.

use std::fmt::Display;
use std::str::FromStr;

use crate::{Context, Error, Result};

/// The arguments not taken yet: take the options by name, then the rest in order, then
/// [`finish`](Self::finish).
///
/// ```
/// # let job = mc2_guest::Job::open_at("/nonexistent")?;
/// let job = job.with_arguments(["train", "--rounds", "50", "--eta=0.3", "--quiet"]);
/// let mut options = job.options();
/// let rounds: Option<u32> = options.value("--rounds")?;
/// let eta: f64 = options.value("--eta")?.unwrap_or(0.1);
/// let quiet = options.flag("--quiet");
/// let command: Option<String> = options.next("COMMAND")?;
/// options.finish()?;
/// assert_eq!((rounds, eta, quiet), (Some(50), 0.3, true));
/// assert_eq!(command.as_deref(), Some("train"));
/// # Ok::<(), mc2_guest::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    arguments: Vec<String>,
}

impl Options {
    /// These arguments; [`Job::options`](crate::Job::options) are the job's.
    pub fn new(arguments: &[String]) -> Self {
        Self {
            arguments: arguments.to_vec(),
        }
    }

    /// Takes the option `name` and its value: `--name VALUE` or `--name=VALUE`.
    ///
    /// # Errors
    /// Where it has no value, is given twice, or the value is no `T`.
    pub fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.take(name)? else {
            return Ok(None);
        };
        if self.take(name)?.is_some() {
            return Err(Error::new(format!("{name} is given twice")));
        }
        parse(name, &value).map(Some)
    }

    /// Takes the option `name`, which has no value, and says whether it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.arguments.len();
        self.arguments.retain(|argument| argument != name);
        self.arguments.len() < before
    }

    /// Takes the next argument that is left; `what` is its name in errors.
    ///
    /// # Errors
    /// Where it is no `T`, or an option nobody asked for.
    pub fn next<T: FromStr<Err: Display>>(&mut self, what: &str) -> Result<Option<T>> {
        let Some(argument) = self.arguments.first() else {
            return Ok(None);
        };
        if argument.starts_with("--") {
            return Err(unexpected(argument));
        }
        parse(what, &self.arguments.remove(0)).map(Some)
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    /// Where something is.
    pub fn finish(self) -> Result {
        self.arguments
            .first()
            .map_or(Ok(()), |argument| Err(unexpected(argument)))
    }

    fn take(&mut self, name: &str) -> Result<Option<String>> {
        for (at, argument) in self.arguments.iter().enumerate() {
            if argument == name {
                self.arguments.remove(at);
                if at == self.arguments.len() {
                    return Err(Error::new(format!("{name} wants a value")));
                }
                return Ok(Some(self.arguments.remove(at)));
            }
            let value = argument
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='));
            if let Some(value) = value.map(str::to_owned) {
                self.arguments.remove(at);
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

fn parse<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T> {
    text.parse()
        .map_err(Error::new)
        .with_context(|| format!("{what} is `{text}`"))
}

fn unexpected(argument: &str) -> Error {
    Error::new(format!("the argument `{argument}` is not expected here"))
}
