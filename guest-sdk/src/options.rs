//! The command line, in the forms a workload needs.

use std::fmt::Display;
use std::str::FromStr;

use crate::{Context, Error, Result};

/// The arguments not taken yet: take the options by name, then the rest in order, then
/// [`finish`](Self::finish).
///
/// What begins with two dashes is an option, but for two dashes and a space, with which a comment
/// may begin. A value that begins like an option is given as `--name=VALUE`, and behind a lone `--`
/// nothing is an option.
///
/// ```
/// # let job = mc2_guest::Job::open_at("/nonexistent")?;
/// let job = job.with_arguments(["train", "--rounds", "50", "--eta=0.3", "--quiet"]);
/// let mut options = job.options();
/// let rounds: Option<u32> = options.value("--rounds")?;
/// let eta: f64 = options.value("--eta")?.unwrap_or(0.1);
/// let quiet = options.flag("--quiet")?;
/// let command: Option<String> = options.next("COMMAND")?;
/// options.finish()?;
/// assert_eq!((rounds, eta, quiet), (Some(50), 0.3, true));
/// assert_eq!(command.as_deref(), Some("train"));
/// # Ok::<(), mc2_guest::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// Up to a lone `--`.
    arguments: Vec<String>,
    /// What is behind it.
    behind: Vec<String>,
}

impl Options {
    /// These arguments; [`Job::options`](crate::Job::options) are the job's.
    pub fn new<S: AsRef<str>>(arguments: &[S]) -> Self {
        let mut all = arguments
            .iter()
            .map(|argument| argument.as_ref().to_owned());
        Self {
            arguments: all
                .by_ref()
                .take_while(|argument| argument != "--")
                .collect(),
            behind: all.collect(),
        }
    }

    /// Takes the option `name` and its value: `--name VALUE` or `--name=VALUE`.
    ///
    /// # Errors
    /// Where it has no value, is given twice, or the value is no `T`.
    pub fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>> {
        let mut values = self.values(name)?;
        if values.len() > 1 {
            return Err(Error::new(format!("{name} is given twice")));
        }
        Ok(values.pop())
    }

    /// Takes the option `name` as often as it is given, with its values in their order.
    ///
    /// ```
    /// let mut options = mc2_guest::Options::new(&["--ignore", "id", "--ignore=day"]);
    /// assert_eq!(options.values::<String>("--ignore")?, ["id", "day"]);
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where one has no value, or a value is no `T`.
    pub fn values<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Vec<T>> {
        let mut values = Vec::new();
        for (_, value) in self.take(|option| option == name)? {
            values.push(parse(name, &value)?);
        }
        Ok(values)
    }

    /// Takes the option `name`, which has no value, and says whether it was there.
    ///
    /// # Errors
    /// Where it has a value.
    pub fn flag(&mut self, name: &str) -> Result<bool> {
        let joined = |argument: &String| split(argument).1.is_some() && split(argument).0 == name;
        if self.arguments.iter().any(joined) {
            return Err(Error::new(format!("{name} has no value")));
        }
        let before = self.arguments.len();
        self.arguments.retain(|argument| argument != name);
        Ok(self.arguments.len() < before)
    }

    /// The names of the options that are left, dashes included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arguments
            .iter()
            .filter(|argument| is_option(argument))
            .map(|argument| split(argument).0)
    }

    /// Takes all options that are left, each with its value: for a program that hands them on.
    ///
    /// ```
    /// let mut options = mc2_guest::Options::new(&["--eta", "0.3", "--max-depth=6"]);
    /// let all = options.remaining()?;
    /// assert_eq!(all[1], ("--max-depth".to_owned(), "6".to_owned()));
    /// # Ok::<(), mc2_guest::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where one has no value.
    pub fn remaining(&mut self) -> Result<Vec<(String, String)>> {
        self.take(is_option)
    }

    /// Takes the next argument that is left; `what` is its name in errors.
    ///
    /// # Errors
    /// Where it is no `T`, or an option nobody asked for.
    pub fn next<T: FromStr<Err: Display>>(&mut self, what: &str) -> Result<Option<T>> {
        let from = match self.arguments.first() {
            Some(argument) if is_option(argument) => return Err(unexpected(argument)),
            Some(_) => &mut self.arguments,
            None if self.behind.is_empty() => return Ok(None),
            None => &mut self.behind,
        };
        parse(what, &from.remove(0)).map(Some)
    }

    /// Makes sure that nothing is left.
    ///
    /// # Errors
    /// Where something is.
    pub fn finish(self) -> Result {
        self.arguments
            .first()
            .or(self.behind.first())
            .map_or(Ok(()), |argument| Err(unexpected(argument)))
    }

    /// Takes the options whose names are `wanted`, with their values.
    fn take(&mut self, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, String)>> {
        let mut taken = Vec::new();
        let mut left = Vec::new();
        let mut all = std::mem::take(&mut self.arguments).into_iter().peekable();
        while let Some(argument) = all.next() {
            let (name, value) = split(&argument);
            if !wanted(name) {
                left.push(argument);
                continue;
            }
            let value = match value {
                Some(value) => value.to_owned(),
                None => all
                    .next_if(|next| !is_option(next))
                    .with_context(|| format!("{name} wants a value"))?,
            };
            taken.push((name.to_owned(), value));
        }
        self.arguments = left;
        Ok(taken)
    }
}

/// A query may begin with a comment, which is two dashes and a space.
fn is_option(argument: &str) -> bool {
    argument
        .strip_prefix("--")
        .is_some_and(|name| !name.starts_with(char::is_whitespace))
}

/// An option's name, and the value that is joined to it.
fn split(option: &str) -> (&str, Option<&str>) {
    match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T>) -> String {
        result
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn a_value_that_begins_like_an_option_is_joined_to_its_name() {
        let mut options = Options::new(&["--out", "--top", "3"]);
        assert_eq!(
            message(options.value::<String>("--out")),
            "--out wants a value"
        );
        let mut options = Options::new(&["--out=--top", "--note", "-- a comment", "--low", "-1"]);
        let value = |options: &mut Options, name| options.value::<String>(name).unwrap().unwrap();
        assert_eq!(value(&mut options, "--out"), "--top");
        assert_eq!(value(&mut options, "--note"), "-- a comment");
        assert_eq!(value(&mut options, "--low"), "-1");
    }

    #[test]
    fn behind_two_dashes_nothing_is_an_option() {
        let mut options = Options::new(&["a", "--", "--top", "--", "b"]);
        assert_eq!(options.value::<String>("--top").unwrap(), None);
        let rest: Vec<String> = std::iter::from_fn(|| options.next("ARGUMENT").unwrap()).collect();
        assert_eq!(rest, ["a", "--top", "--", "b"]);
        assert_eq!(
            message(Options::new(&["--", "x"]).finish()),
            "the argument `x` is not expected here"
        );
    }

    #[test]
    fn an_option_of_one_dash_is_taken_by_its_name() {
        let mut options = Options::new(&["-n", "3", "rest"]);
        assert_eq!(options.value::<u32>("-n").unwrap(), Some(3));
        assert_eq!(options.next::<String>("REST").unwrap().unwrap(), "rest");
    }

    #[test]
    fn a_flag_has_no_value() {
        let mut options = Options::new(&["--quiet=1"]);
        assert_eq!(message(options.flag("--quiet")), "--quiet has no value");
    }

    #[test]
    fn options_that_are_handed_on_leave_arguments_where_they_are() {
        let mut options = Options::new(&["a", "--eta", "0.3", "b", "--depth=6"]);
        assert_eq!(options.names().collect::<Vec<_>>(), ["--eta", "--depth"]);
        assert_eq!(options.remaining().unwrap().len(), 2);
        assert_eq!(options.next::<String>("A").unwrap().as_deref(), Some("a"));
        assert_eq!(options.next::<String>("B").unwrap().as_deref(), Some("b"));
        options.finish().unwrap();
    }
}
