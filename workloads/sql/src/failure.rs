//! What went wrong, in words for the person who wrote the SQL or owns the data.

use std::fmt::Write as _;

use crate::ranks::Reported;
use datafusion::{
    common::SchemaError, error::DataFusionError, sql::sqlparser::parser::ParserError,
};
use sql_core::{
    place::Place,
    suggest::{closest, listed},
};

use crate::exhausted;

/// An error and what is known of its circumstances.
pub(crate) struct Failure<'a> {
    pub(crate) error: &'a DataFusionError,
    pub(crate) sql: &'a str,
    /// Where the statement that failed starts.
    pub(crate) statement: Place,
    pub(crate) tables: &'a [String],
    /// The table that was read last.
    pub(crate) last: Option<String>,
    /// Bytes that operators may use.
    pub(crate) memory: u64,
    /// Which are each one's of so many.
    pub(crate) instances: usize,
}

/// An error of the SDK as the engine's.
pub(crate) fn external(error: &mc2_guest::Error) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

/// Whether the engine ran out of the memory it may use.
pub(crate) fn is_exhausted(error: &DataFusionError) -> bool {
    match Reported::of(error) {
        Some(failed) => failed.exhausted,
        None => matches!(root(error), DataFusionError::ResourcesExhausted(_)),
    }
}

/// The error's own words, without the engine's names for its kinds.
pub(crate) fn text(error: &DataFusionError) -> String {
    let root = root(error);
    let text = match root {
        DataFusionError::SQL(error, _) => match &**error {
            ParserError::RecursionLimitExceeded => {
                "the query is nested too deep: too many parentheses or subqueries in one another"
                    .to_owned()
            }
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
                without_place(text).to_owned()
            }
        },
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::ParquetError(error) => error.to_string(),
        DataFusionError::ObjectStore(error) => error.to_string(),
        DataFusionError::External(error) => error.to_string(),
        DataFusionError::Plan(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::Execution(text) => text.clone(),
        DataFusionError::ResourcesExhausted(text) => exhausted::words(text),
        DataFusionError::NotImplemented(text) => format!("not supported: {text}"),
        DataFusionError::SchemaError(error, _) => error.to_string(),
        other => other.strip_backtrace(),
    };
    let text = plain(&text);
    // The engine's names for where our tables are.
    text.replace("datafusion.public.", "")
        .replace("in:///", "/in/")
}

/// The words without what the engine says of its own insides.
fn plain(text: &str) -> String {
    const OF_OURS: &str = "user-defined coercion failed with: Error during planning: ";
    const NO_MATCH: &str = "No function matches the given name and argument types '";

    if text.contains("does not support logical expression OuterReferenceColumn") {
        return "not supported: a subquery that refers to the outer query here, as a LATERAL one \
                without a table of its own; write a column of the select list, or a JOIN"
            .to_owned();
    }
    let Some((before, after)) = text.split_once(NO_MATCH) else {
        return text.to_owned();
    };
    if let Some((_, words)) = before.split_once(OF_OURS) {
        return words.trim_end_matches(". ").to_owned();
    }
    let Some((call, rest)) = after.split_once("'.") else {
        return text.to_owned();
    };
    let known: Vec<&str> = match rest.split_once("Candidate functions:") {
        Some((_, known)) => known.split_whitespace().collect(),
        None => Vec::new(),
    };
    match known.is_empty() || known.iter().any(|known| known.contains("UserDefined")) {
        true => format!("there is no {call}; cast its arguments to types that it takes"),
        false => format!("there is no {call}, but {}", known.join(" ")),
    }
}

/// The error in words, with the code for who may see no words.
pub(crate) fn error(failure: &Failure<'_>) -> mc2_guest::Error {
    // Another instance has described it already.
    if let Some(failed) = Reported::of(failure.error) {
        let error = mc2_guest::Error::new(&failed.words);
        return match &failed.code {
            Some(code) => error.with_code(code, None, None, None),
            None => error,
        };
    }
    let words = describe(failure);
    let (code, input) = match root(failure.error) {
        DataFusionError::ResourcesExhausted(_) => ("out-of-memory", None),
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_) => ("bad-query", None),
        DataFusionError::ArrowError(..) if is_computed(&text(failure.error)) => ("bad-value", None),
        DataFusionError::ArrowError(..)
        | DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_) => ("bad-input", failure.last.as_deref()),
        _ => ("failed", None),
    };
    mc2_guest::Error::new(words).with_code(code, input, None, None)
}

/// The error with its place in the SQL and what to do about it.
pub(crate) fn describe(failure: &Failure<'_>) -> String {
    let root = root(failure.error);
    let mut message = text(failure.error);
    let mut advice = Vec::new();
    match root {
        DataFusionError::ResourcesExhausted(text) => {
            advice.extend(exhausted::advice(text).map(str::to_owned));
            advice.push(format!(
                "sorting, joining and grouping may use {} MiB{}: give the job more memory, select \
                 fewer columns or rows, or raise --memory where the job has more to give",
                failure.memory >> 20,
                match failure.instances {
                    1 => "",
                    _ => " in each instance, and fewer instances more",
                }
            ));
        }
        DataFusionError::Plan(_) => {
            if let Some(name) = missing_table(&message) {
                if let Some(close) = closest(&name, failure.tables.iter().map(String::as_str)) {
                    advice.push(format!("did you mean {close:?}?"));
                }
                advice.push(format!("tables: {}", listed(failure.tables)));
            }
        }
        DataFusionError::ArrowError(..)
        | DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_) => {
            if let Some(table) = &failure.last
                && !is_computed(&message)
            {
                message = format!("table {table:?}: {message}");
            }
        }
        _ => {}
    }
    if let Some(diagnostic) = failure.error.diagnostic() {
        let helps = diagnostic.helps.iter().map(|help| &help.message);
        let notes = diagnostic.notes.iter().map(|note| &note.message);
        for said in notes.chain(helps) {
            // The same in other words.
            let said_already =
                message.contains("Did you mean") && said.to_lowercase().starts_with("possible ");
            if !said_already && !message.contains(said.as_str()) {
                advice.push(said.clone());
            }
        }
    }

    let mut described = message;
    // Writing to a string does not fail.
    let _ = write!(
        described,
        "\n at {}",
        place(failure, root).show(failure.sql)
    );
    for advice in advice {
        let _ = write!(described, "\n  = {advice}");
    }
    described
}

/// The best that is known of where the error is: what the parser or planner says, the name the
/// message speaks of, or the statement.
fn place(failure: &Failure<'_>, root: &DataFusionError) -> Place {
    let span = failure
        .error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span);
    if let Some(span) = span.filter(|span| span.start.line > 0 && span.start.column > 0) {
        let length = if span.end.line == span.start.line {
            span.end.column.saturating_sub(span.start.column).max(1)
        } else {
            1
        };
        return Place {
            line: span.start.line,
            column: span.start.column,
            length,
        };
    }
    let sql = failure.statement.statement(failure.sql);
    let found = match root {
        DataFusionError::SQL(error, _) => Place::in_message(&error.to_string()),
        DataFusionError::SchemaError(error, _) => match &**error {
            SchemaError::FieldNotFound { field, .. } => Place::of_word(&sql, field.name()),
            SchemaError::AmbiguousReference { field } => Place::of_word(&sql, field.name()),
            SchemaError::DuplicateUnqualifiedField { name }
            | SchemaError::DuplicateQualifiedField { name, .. } => Place::of_word(&sql, name),
        },
        DataFusionError::ArrowError(error, _) => {
            // A literal of the wrong form, as in `date '2026-13-01'`.
            let text = error.to_string();
            quoted(&text).find_map(|word| Place::of_string(&sql, word))
        }
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Configuration(text) => {
            quoted(text).find_map(|word| Place::of_word(&sql, word))
        }
        _ => None,
    };
    found.unwrap_or(failure.statement)
}

/// The error under its context, of several the first.
fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        DataFusionError::External(inner) => inner.downcast_ref().map_or(error, root),
        DataFusionError::ArrowError(inner, _) => match &**inner {
            datafusion::arrow::error::ArrowError::ExternalError(inner) => {
                inner.downcast_ref().map_or(error, root)
            }
            _ => error,
        },
        _ => error,
    }
}

/// Errors of arithmetic and casts say nothing of the file that was read last.
fn is_computed(message: &str) -> bool {
    [
        "Divide by zero",
        "Cast error",
        "Arithmetic overflow",
        "Compute error",
        "Invalid argument",
    ]
    .iter()
    .any(|kind| message.starts_with(kind))
}

fn without_place(text: &str) -> &str {
    text.split(" at Line: ").next().unwrap_or(text)
}

fn missing_table(message: &str) -> Option<String> {
    let name = message
        .strip_prefix("table '")?
        .strip_suffix("' not found")?;
    Some(name.to_owned())
}

/// The words a message quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\'', '"', '`'])
        .skip(1)
        .step_by(2)
        .filter(|word| !word.is_empty())
}
