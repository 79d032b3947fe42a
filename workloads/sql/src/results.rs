//! `--results ndjson`: what became of every statement, for a program that reads it.
//!
//! A statement with a result begins with `{"statement":N,"columns":[{"name":…,"type":…},…]}`, where one
//! that ran out of memory and is tried another way begins again. Each row is a list of texts
//! and nulls. `{"statement":N,"done":true}` or `{"statement":N,"error":"…"}` ends it.

use std::io::Write as _;

use datafusion::{
    arrow::{
        array::{Array as _, RecordBatch},
        datatypes::Schema,
        util::display::{ArrayFormatter, DurationFormat, FormatOptions},
    },
    error::{DataFusionError, Result},
};
use serde_json::{Value, json};
use workload_shared::Target;

use crate::failure::external;

/// Says which columns a statement's result has.
pub(crate) fn columns(statement: usize, schema: &Schema) -> Result<()> {
    let columns = schema.fields().iter();
    let columns = columns.map(|field| {
        let data_type = field.data_type().to_string();
        json!({ "name": field.name(), "type": data_type })
    });
    let columns: Vec<Value> = columns.collect();
    line(&json!({ "statement": statement, "columns": columns })).map_err(|error| external(&error))
}

/// Writes the rows of a batch.
pub(crate) fn rows(batch: &RecordBatch, target: &mut Target) -> Result<()> {
    // Those of rows are null; within lists and structures they are words.
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_duration_format(DurationFormat::Pretty);
    let columns = batch.columns().iter();
    let columns = columns
        .map(|column| {
            let format = ArrayFormatter::try_new(column.as_ref(), &options)?;
            Ok((column.logical_nulls(), format))
        })
        .collect::<Result<Vec<_>>>()?;
    for row in 0..batch.num_rows() {
        let cells = columns.iter().map(|(nulls, format)| {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                return Ok(Value::Null);
            }
            Ok(Value::String(format.value(row).try_to_string()?))
        });
        let cells = Value::Array(cells.collect::<Result<_>>()?);
        writeln!(target, "{cells}").map_err(DataFusionError::IoError)?;
    }
    Ok(())
}

/// Says that a statement is done.
pub(crate) fn ended(statement: usize) -> mc2_guest::Result {
    line(&json!({ "statement": statement, "done": true }))
}

/// Says why a statement failed.
pub(crate) fn failed(statement: usize, error: &mc2_guest::Error) -> mc2_guest::Result {
    line(&json!({ "statement": statement, "error": error.to_string() }))
}

fn line(value: &Value) -> mc2_guest::Result {
    Target::stdout().print(&format!("{value}\n"))
}
