//! The component's command line.

use crate::format::OutputFormat;

/// What `--help` prints.
pub const USAGE: &str = "\
sql [OPTIONS] QUERY
sql [OPTIONS] --file /in/NAME

Every input is a table of its name: Parquet, CSV with a header, Arrow IPC, or a
folder of files of one of them. QUERY is one or several statements, separated
by `;`. The results go to standard output.

  --file /in/NAME      read the statements from this input, which is then no table
  --output NAME        write the last result to /out/NAME
  --format FORMAT      parquet, csv, arrow, json (one object a line) or table; by
                       default what NAME ends in, else parquet, and on standard
                       output a table
  --memory SIZE        memory for sorting, joining and grouping, as 512MiB; what
                       does not fit goes to /tmp. By default most of what the job
                       may use
  --batch-size ROWS    rows handled at once (8192)
  --delimiter CHAR     between the fields of a CSV (,); `\\t` is a tab
  --null TEXT          what stands for NULL in a CSV beside an empty field
  --infer-rows ROWS    rows of a CSV that its types are told from (10000)
  --help               this text
";

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// Where the statements are.
    pub query: Query,
    /// The output the last result goes to; standard output where there is none.
    pub output: Option<String>,
    /// How results are written.
    pub format: OutputFormat,
    /// Bytes for operators that can spill, where stated.
    pub memory: Option<u64>,
    /// Rows in a batch.
    pub batch_size: usize,
    /// What separates the fields of a CSV, where stated.
    pub delimiter: Option<u8>,
    /// What stands for NULL in a CSV, where stated.
    pub null: Option<String>,
    /// How many rows of a CSV its types are told from.
    pub infer_rows: usize,
}

/// Where the statements are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// On the command line.
    Text(String),
    /// In the input of this name.
    File(String),
}

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print [`USAGE`].
    Help,
    /// Run statements.
    Run(Args),
}

/// A command line that asks for nothing this program does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; --help lists what there is")]
pub struct ArgsError(String);

impl Command {
    /// Parses the arguments after the program's name.
    ///
    /// # Errors
    ///
    /// Names the argument that is unknown, incomplete, contradictory or missing.
    pub fn parse<S: AsRef<str>>(arguments: &[S]) -> Result<Self, ArgsError> {
        let mut found = Found::default();
        let mut rest = arguments.iter().map(AsRef::as_ref);
        while let Some(argument) = rest.next() {
            if argument == "--" {
                rest.by_ref()
                    .for_each(|text| found.queries.push(text.to_owned()));
            } else if is_option(argument) {
                if argument == "--help" || argument == "-h" {
                    return Ok(Self::Help);
                }
                let (name, value) = match argument.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (argument, None),
                };
                found.set(
                    name,
                    value.or_else(|| known(name).then(|| rest.next()).flatten()),
                )?;
            } else {
                found.queries.push(argument.to_owned());
            }
        }
        found.finish().map(Self::Run)
    }
}

const OPTIONS: [&str; 8] = [
    "--file",
    "--output",
    "--format",
    "--memory",
    "--batch-size",
    "--delimiter",
    "--null",
    "--infer-rows",
];

fn known(name: &str) -> bool {
    OPTIONS.contains(&name)
}

/// A query may begin with a comment, which is two dashes and a space.
fn is_option(argument: &str) -> bool {
    argument.starts_with('-')
        && !argument
            .strip_prefix("--")
            .is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

#[derive(Default)]
struct Found {
    queries: Vec<String>,
    values: Vec<(&'static str, String)>,
}

impl Found {
    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), ArgsError> {
        let Some(name) = OPTIONS.into_iter().find(|known| *known == name) else {
            return Err(ArgsError(format!("there is no option {name}")));
        };
        let Some(value) = value else {
            return Err(ArgsError(format!("{name} needs a value")));
        };
        if self.value(name).is_some() {
            return Err(ArgsError(format!("{name} is given twice")));
        }
        self.values.push((name, value.to_owned()));
        Ok(())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(set, _)| *set == name)
            .map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, ArgsError> {
        let Some(value) = self.value(name) else {
            return Ok(default);
        };
        match value.parse() {
            Ok(number) if (1..=10_000_000).contains(&number) => Ok(number),
            _ => Err(ArgsError(format!(
                "{name} {value}: expected a number from 1 to 10000000"
            ))),
        }
    }

    fn finish(mut self) -> Result<Args, ArgsError> {
        let file = self
            .value("--file")
            .map(|path| path.strip_prefix("/in/").unwrap_or(path));
        let query = match (self.queries.len(), file) {
            (0, Some(name)) if !name.is_empty() && !name.starts_with('/') => {
                Query::File(name.to_owned())
            }
            (0, Some(name)) => {
                return Err(ArgsError(format!(
                    "--file {name}: expected an input, as /in/NAME"
                )));
            }
            (0, None) => return Err(ArgsError("there is no query".to_owned())),
            (1, None) => Query::Text(self.queries.remove(0)),
            (1, Some(_)) => {
                return Err(ArgsError(
                    "--file and a query exclude each other".to_owned(),
                ));
            }
            (_, _) => {
                let second = &self.queries[1];
                return Err(ArgsError(format!(
                    "unexpected argument {second:?}: put the query in quotes, so that it is one \
                     argument"
                )));
            }
        };
        let output = self.value("--output");
        let output = output.map(|path| path.strip_prefix("/out/").unwrap_or(path).to_owned());
        if output
            .as_deref()
            .is_some_and(|name| name.is_empty() || name.contains('/'))
        {
            return Err(ArgsError(
                "--output: expected the name of an output".to_owned(),
            ));
        }
        let format = match (self.value("--format"), &output) {
            (Some(name), _) => OutputFormat::named(name).ok_or_else(|| {
                ArgsError(format!(
                    "--format {name}: expected parquet, csv, arrow, json or table"
                ))
            })?,
            (None, Some(output)) => {
                OutputFormat::of_file_name(output).unwrap_or(OutputFormat::Parquet)
            }
            (None, None) => OutputFormat::Table,
        };
        let memory = match self.value("--memory") {
            Some(text) => Some(size(text).ok_or_else(|| {
                ArgsError(format!(
                    "--memory {text}: expected a size as 512MiB or 2GiB"
                ))
            })?),
            None => None,
        };
        let delimiter = match self.value("--delimiter") {
            None => None,
            Some("\\t") => Some(b'\t'),
            Some(text) => match text.as_bytes() {
                [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Some(*byte),
                _ => {
                    return Err(ArgsError(format!(
                        "--delimiter {text:?}: expected one ASCII character, or \\t"
                    )));
                }
            },
        };
        Ok(Args {
            query,
            output,
            format,
            memory,
            batch_size: self.number("--batch-size", 8192)?,
            delimiter,
            null: self.value("--null").map(str::to_owned),
            infer_rows: self.number("--infer-rows", 10_000)?,
        })
    }
}

/// Bytes in a size as `512MiB`, `2GiB`, `1GB` or `65536`.
fn size(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let factor = match &text[digits..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    text[..digits]
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
        .filter(|&size| size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Args {
        match Command::parse(arguments) {
            Ok(Command::Run(args)) => args,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    fn refused(arguments: &[&str]) -> String {
        Command::parse(arguments).unwrap_err().to_string()
    }

    #[test]
    fn a_query_alone_prints_a_table() {
        let args = run(&["select 1"]);
        assert_eq!(args.query, Query::Text("select 1".into()));
        assert_eq!((args.output, args.format), (None, OutputFormat::Table));
    }

    #[test]
    fn an_output_takes_its_format_from_the_option_or_its_name() {
        assert_eq!(run(&["--output", "r.csv", "q"]).format, OutputFormat::Csv);
        assert_eq!(run(&["--output", "r", "q"]).format, OutputFormat::Parquet);
        let args = run(&["--output=/out/r.csv", "--format=arrow", "q"]);
        assert_eq!(
            (args.output.as_deref(), args.format),
            (Some("r.csv"), OutputFormat::Arrow)
        );
    }

    #[test]
    fn a_query_may_start_with_a_comment_or_follow_two_dashes() {
        assert_eq!(
            run(&["-- note\nselect 1"]).query,
            Query::Text("-- note\nselect 1".into())
        );
        assert_eq!(run(&["--", "--file"]).query, Query::Text("--file".into()));
    }

    #[test]
    fn the_query_can_be_in_an_input() {
        assert_eq!(run(&["--file", "/in/q"]).query, Query::File("q".into()));
        assert_eq!(run(&["--file", "q"]).query, Query::File("q".into()));
    }

    #[test]
    fn sizes_and_separators_are_read() {
        let args = run(&[
            "--memory",
            "512MiB",
            "--delimiter",
            "\\t",
            "--null",
            "NA",
            "q",
        ]);
        assert_eq!(args.memory, Some(512 << 20));
        assert_eq!(args.delimiter, Some(b'\t'));
        assert_eq!(args.null.as_deref(), Some("NA"));
    }

    #[test]
    fn help_is_asked_for_anywhere() {
        assert_eq!(Command::parse(&["q", "--help"]), Ok(Command::Help));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, named) in [
            (&[][..], "no query"),
            (&["select", "1"][..], "in quotes"),
            (&["--fil", "q"], "--fil"),
            (&["q", "--output"], "--output needs a value"),
            (&["q", "--memory", "lots"], "--memory lots"),
            (&["q", "--memory", "0"], "--memory 0"),
            (
                &["q", "--memory", "99999999999GiB"],
                "--memory 99999999999GiB",
            ),
            (&["q", "--file", "x"], "exclude"),
            (&["--file", "/etc/passwd"], "/etc/passwd"),
            (&["q", "--output", "a/b"], "--output"),
            (&["q", "--format", "xls"], "xls"),
            (&["q", "--null", "a", "--null", "b"], "twice"),
            (&["q", "--batch-size", "0"], "--batch-size 0"),
            (&["q", "--delimiter", "ab"], "one ASCII character"),
        ] {
            let message = refused(arguments);
            assert!(message.contains(named), "{arguments:?}: {message}");
        }
    }
}
