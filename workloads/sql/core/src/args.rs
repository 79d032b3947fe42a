//! The component's command line.

use mc2_guest::Options;

use crate::{
    format::OutputFormat,
    params::{ParamError, Params},
};

/// What `--help` prints.
pub const USAGE: &str = "\
sql [OPTIONS] QUERY
sql [OPTIONS] --file /in/NAME

Every input is a table of its name: Parquet, CSV with a header, Arrow IPC, or a
folder of files of one of them. QUERY is one or several statements, separated
by `;`. The results go to standard output.

  --file /in/NAME      read the statements from this input, which is then no table
  --param NAME=VALUE   the value of $NAME in the statements; as often as there are
                       such names
  --output NAME        write the last result to /out/NAME
  --format FORMAT      parquet, csv, tsv, arrow, json (one object a line) or table;
                       by default what the job wants in NAME, else what NAME ends
                       in, else parquet, and on standard output a table
  --results ndjson     instead of these two: every statement's result and how it
                       ended, as lines of JSON on standard output
  --keep-going         with --results: a statement that fails does not end the run
  --memory SIZE        memory for sorting, joining and grouping, as 512MiB; what
                       does not fit goes to /tmp. By default most of what the job
                       may use
  --alone-below SIZE   of several instances the first runs a statement alone whose
                       tables have fewer bytes (2MiB)
  --batch-size ROWS    rows handled at once (8192)
  --delimiter CHAR     between the fields of a CSV (,); `\\t` is a tab
  --null TEXT          what stands for NULL in a CSV beside an empty field
  --infer-rows ROWS    rows of a CSV that its types are told from (all of them)
  --help               this text
";

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// Where the statements are.
    pub query: Query,
    /// The values of the statements' parameters.
    pub params: Params,
    /// The output the last result goes to; standard output where there is none.
    pub output: Option<String>,
    /// How results are written.
    pub format: OutputFormat,
    /// Whether the command line says how.
    pub format_said: bool,
    /// Whether what follows a statement that fails runs.
    pub keep_going: bool,
    /// Bytes for operators that can spill, where stated.
    pub memory: Option<u64>,
    /// Bytes of a statement's tables from which several instances share it.
    pub alone_below: u64,
    /// Rows in a batch.
    pub batch_size: usize,
    /// What separates the fields of a CSV, where stated.
    pub delimiter: Option<u8>,
    /// What stands for NULL in a CSV, where stated.
    pub null: Option<String>,
    /// How many rows of a CSV its types are told from, where not from all.
    pub infer_rows: Option<usize>,
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

impl From<mc2_guest::Error> for ArgsError {
    fn from(error: mc2_guest::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<ParamError> for ArgsError {
    fn from(error: ParamError) -> Self {
        Self(error.to_string())
    }
}

impl Command {
    /// Parses the arguments after the program's name.
    ///
    /// # Errors
    ///
    /// Names the argument that is unknown, incomplete, contradictory or missing.
    pub fn parse<S: AsRef<str>>(arguments: &[S]) -> Result<Self, ArgsError> {
        let mut options = Options::new(arguments);
        if options.flag("--help")? {
            return Ok(Self::Help);
        }
        let file = options.value("--file")?;
        let params = Params::parse(&options.values::<String>("--param")?)?;
        let output = output(options.value("--output")?)?;
        let said: Option<String> = options.value("--format")?;
        let format_said = said.is_some();
        let format = match options.value::<String>("--results")? {
            None => format(said, output.as_deref())?,
            Some(results) => self::results(&results, format_said || output.is_some())?,
        };
        let keep_going = options.flag("--keep-going")?;
        if keep_going && format != OutputFormat::Results {
            return Err(ArgsError(
                "--keep-going: only with --results, which say what failed".to_owned(),
            ));
        }
        let memory = bytes(&mut options, "--memory")?;
        let alone_below = bytes(&mut options, "--alone-below")?.unwrap_or(2 << 20);
        let batch_size = number(&mut options, "--batch-size")?.unwrap_or(8192);
        let delimiter = options.value("--delimiter")?.map(delimiter).transpose()?;
        let null = options.value("--null")?;
        let infer_rows = number(&mut options, "--infer-rows")?;
        // Not before: it may be an option's value.
        if options.flag("-h")? {
            return Ok(Self::Help);
        }
        Ok(Self::Run(Args {
            query: query(options, file)?,
            params,
            output,
            format,
            format_said,
            keep_going,
            memory,
            alone_below,
            batch_size,
            delimiter,
            null,
            infer_rows,
        }))
    }
}

impl Args {
    /// These arguments, where the job wants data of a media type in the output of a name.
    ///
    /// # Errors
    ///
    /// Where that is nothing this program writes, or something else than the arguments say.
    pub fn wanted<'j>(
        mut self,
        media_type: impl FnOnce(&str) -> Option<&'j str>,
    ) -> Result<Self, ArgsError> {
        let Some(output) = self.output.as_deref() else {
            return Ok(self);
        };
        let Some(media_type) = media_type(output) else {
            return Ok(self);
        };
        let Some(format) = OutputFormat::of_media_type(media_type) else {
            return Err(ArgsError(format!(
                "--output {output}: the job wants {media_type} there, by its policy or the ending of \
                 the file it goes to; this program writes parquet, csv, tsv, arrow, json and txt"
            )));
        };
        if self.format_said && self.format != format {
            return Err(ArgsError(format!(
                "--format: the job wants {media_type} in the output {output}, by its policy or the \
                 ending of the file it goes to; leave --format out"
            )));
        }
        self.format = format;
        Ok(self)
    }
}

/// Where the statements are, by what is left when all options are taken.
fn query(mut options: Options, file: Option<String>) -> Result<Query, ArgsError> {
    if let Some(name) = options.names().next() {
        return Err(ArgsError(format!("there is no option {name}")));
    }
    let file = file.map(|path| path.strip_prefix("/in/").unwrap_or(&path).to_owned());
    match (options.next::<String>("QUERY")?, file) {
        (None, Some(name)) if !name.is_empty() && !name.starts_with('/') => Ok(Query::File(name)),
        (None, Some(name)) => Err(ArgsError(format!(
            "--file {name}: expected an input, as /in/NAME"
        ))),
        (None, None) => Err(ArgsError("there is no query".to_owned())),
        (Some(_), Some(_)) => Err(ArgsError(
            "--file and a query exclude each other".to_owned(),
        )),
        // A statement begins with a word, or with a comment.
        (Some(text), None) if text.starts_with('-') && !text.starts_with("--") => {
            Err(ArgsError(format!(
                "there is no option {}",
                text.split([' ', '=']).next().unwrap_or_default()
            )))
        }
        (Some(text), None) => match options.next::<String>("QUERY")? {
            None => Ok(Query::Text(text)),
            Some(second) => Err(ArgsError(format!(
                "unexpected argument {second:?}: put the query in quotes, so that it is one \
                 argument"
            ))),
        },
    }
}

fn output(path: Option<String>) -> Result<Option<String>, ArgsError> {
    let Some(path) = path else { return Ok(None) };
    let name = path.strip_prefix("/out/").unwrap_or(&path);
    if name.is_empty() || name.contains('/') {
        return Err(ArgsError(
            "--output: expected the name of an output".to_owned(),
        ));
    }
    Ok(Some(name.to_owned()))
}

fn format(name: Option<String>, output: Option<&str>) -> Result<OutputFormat, ArgsError> {
    match (name, output) {
        (Some(name), _) => OutputFormat::named(&name).ok_or_else(|| {
            ArgsError(format!(
                "--format {name}: expected parquet, csv, tsv, arrow, json or table"
            ))
        }),
        (None, Some(output)) => {
            Ok(OutputFormat::of_file_name(output).unwrap_or(OutputFormat::Parquet))
        }
        (None, None) => Ok(OutputFormat::Table),
    }
}

fn results(form: &str, otherwise: bool) -> Result<OutputFormat, ArgsError> {
    if form != "ndjson" {
        return Err(ArgsError(format!("--results {form}: expected ndjson")));
    }
    if otherwise {
        return Err(ArgsError(
            "--results excludes --output and --format".to_owned(),
        ));
    }
    Ok(OutputFormat::Results)
}

fn bytes(options: &mut Options, name: &str) -> Result<Option<u64>, ArgsError> {
    let Some(text) = options.value::<String>(name)? else {
        return Ok(None);
    };
    match size(&text) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(ArgsError(format!(
            "{name} {text}: expected a size as 512MiB or 2GiB"
        ))),
    }
}

fn delimiter(text: String) -> Result<u8, ArgsError> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err(ArgsError(format!(
            "--delimiter {text:?}: expected one ASCII character, or \\t"
        ))),
    }
}

fn number(options: &mut Options, name: &str) -> Result<Option<usize>, ArgsError> {
    let Some(value) = options.value::<String>(name)? else {
        return Ok(None);
    };
    match value.parse() {
        Ok(number) if (1..=10_000_000).contains(&number) => Ok(Some(number)),
        _ => Err(ArgsError(format!(
            "{name} {value}: expected a number from 1 to 10000000"
        ))),
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
    fn an_output_is_written_as_the_job_wants_it_or_not_at_all() {
        let wanted = |arguments: &[&str], media_type| {
            let args = run(arguments).wanted(|name| {
                assert_eq!(name, "r.arrow");
                media_type
            });
            args.map(|args| args.format)
                .map_err(|error| error.to_string())
        };
        let to = ["--output", "r.arrow", "q"];
        assert_eq!(wanted(&to, None), Ok(OutputFormat::Arrow));
        assert_eq!(wanted(&to, Some("text/csv")), Ok(OutputFormat::Csv));
        let said = ["--format", "json", "--output", "r.arrow", "q"];
        assert_eq!(
            wanted(&said, Some("application/json")),
            Ok(OutputFormat::Json)
        );
        let error = wanted(&said, Some("text/csv")).unwrap_err();
        assert!(error.contains("leave --format out"), "{error}");
        let error = wanted(&to, Some("text/markdown")).unwrap_err();
        assert!(error.contains("text/markdown there"), "{error}");
        // Nothing goes to an output.
        let args = run(&["q"]).wanted(|_| Some("text/csv")).unwrap();
        assert_eq!(args.format, OutputFormat::Table);
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
    fn help_is_asked_for_by_an_argument_and_not_by_a_value() {
        assert_eq!(Command::parse(&["-h"]), Ok(Command::Help));
        assert_eq!(Command::parse(&["--help"]), Ok(Command::Help));
        assert_eq!(run(&["--null", "-h", "q"]).null.as_deref(), Some("-h"));
    }

    #[test]
    fn the_query_can_be_in_an_input() {
        assert_eq!(run(&["--file", "/in/q"]).query, Query::File("q".into()));
        assert_eq!(run(&["--file", "q"]).query, Query::File("q".into()));
    }

    #[test]
    fn parameters_are_taken_wherever_they_stand_and_keep_their_values_whole() {
        let args = run(&["--param", "a=--output", "q", "--param=b=x=y z"]);
        assert_eq!(args.query, Query::Text("q".into()));
        assert_eq!(args.params.value("$a"), Some("--output"));
        assert_eq!(args.params.value("$b"), Some("x=y z"));
        assert_eq!(args.output, None);
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
    fn results_for_programs_are_a_format_of_their_own() {
        let args = run(&["--results", "ndjson", "--keep-going", "q"]);
        assert_eq!(
            (args.format, args.keep_going),
            (OutputFormat::Results, true)
        );
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
            (&["--fil", "q"], "there is no option --fil"),
            (&["-o", "r.csv", "q"], "there is no option -o"),
            (&["q", "--output"], "--output wants a value"),
            (&["q", "--memory", "lots"], "--memory lots"),
            (&["q", "--memory", "0"], "--memory 0"),
            (
                &["q", "--memory", "99999999999GiB"],
                "--memory 99999999999GiB",
            ),
            (&["q", "--file", "x"], "exclude"),
            (&["--file", "/etc/passwd"], "/etc/passwd"),
            (&["q", "--output", "a/b"], "--output"),
            (&["q", "--param", "day"], "--param day"),
            (&["q", "--param"], "--param wants a value"),
            (&["q", "--format", "xls"], "xls"),
            (&["q", "--null", "a", "--null", "b"], "twice"),
            (&["q", "--batch-size", "0"], "--batch-size 0"),
            (&["q", "--delimiter", "ab"], "one ASCII character"),
            (&["q", "--results", "csv"], "--results csv"),
            (
                &["q", "--results", "ndjson", "--output", "o"],
                "--results excludes",
            ),
            (
                &["q", "--results", "ndjson", "--format", "csv"],
                "--results excludes",
            ),
            (&["q", "--keep-going"], "only with --results"),
        ] {
            let message = refused(arguments);
            assert!(message.contains(named), "{arguments:?}: {message}");
        }
    }
}
