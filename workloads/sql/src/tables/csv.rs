//! CSV files, each looked at from start to end before a query reads it.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, Schema, TimeUnit},
    datasource::file_format::csv::CsvFormat,
};
use sql_core::{
    args::Args,
    csv::{Dialect, Folder, Group, Scanned, Type},
};

use super::{
    Files,
    layout::{Shape, Table},
    rows::Csv,
};

/// The table of CSV files.
///
/// # Errors
///
/// Says which file and line is no row of a table, or which columns two files do not share.
pub(super) fn open(files: &Files<'_>, args: &Args, delimiter: u8) -> Result<Table, String> {
    let delimiter = args.delimiter.unwrap_or(delimiter);
    let dialect = Dialect {
        delimiter,
        null: args.null.as_deref(),
        rows: args.infer_rows.map(|rows| rows as u64),
    };
    let mut scanned = Vec::with_capacity(files.list.len());
    for file in &files.list {
        let reader = file.reader().map_err(|error| files.told(file, error))?;
        let one = Scanned::read(reader, dialect).map_err(|error| files.told(file, error))?;
        scanned.push((file.name(), one));
    }
    let folder = Folder::new(&scanned).map_err(|error| error.to_string())?;
    for (file, (_, scanned)) in files.list.iter().zip(&scanned) {
        if !scanned.whole {
            let reader = file.reader().map_err(|error| files.told(file, error))?;
            scanned
                .check(reader, dialect, |name| folder.type_of(name))
                .map_err(|error| files.told(file, error))?;
        }
    }

    let columns = folder.columns.iter();
    let columns = columns.map(|(name, common)| Field::new(name, data_type(*common), true));
    let shapes = folder.groups.iter().map(|group| Shape {
        schema: Arc::new(schema(&folder, group, args.null.is_some())),
        files: group.files.clone(),
    });
    let format = CsvFormat::default()
        .with_has_header(true)
        .with_delimiter(delimiter)
        .with_newlines_in_values(true);
    Ok(Table {
        format: Arc::new(Csv::new(format)),
        columns: columns.collect(),
        shapes: shapes.collect(),
        null: args.null.clone(),
    })
}

/// The columns as files of a group are read. The reader itself knows no word for NULL, so where
/// there is one everything is text first.
fn schema(folder: &Folder, group: &Group, has_null: bool) -> Schema {
    let fields = group.names.iter().map(|name| {
        let data_type = match folder.type_of(name) {
            Some(common) if !has_null => data_type(common),
            _ => DataType::Utf8,
        };
        Field::new(name, data_type, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn data_type(common: Type) -> DataType {
    match common {
        Type::Null => DataType::Null,
        Type::Boolean => DataType::Boolean,
        Type::Integer => DataType::Int64,
        // A scale is at most 38.
        Type::Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
        Type::Float => DataType::Float64,
        Type::Date => DataType::Date32,
        Type::Timestamp { fraction } => {
            let unit = match fraction {
                0 => TimeUnit::Second,
                1..=3 => TimeUnit::Millisecond,
                4..=6 => TimeUnit::Microsecond,
                _ => TimeUnit::Nanosecond,
            };
            DataType::Timestamp(unit, None)
        }
        Type::Text => DataType::Utf8,
    }
}
