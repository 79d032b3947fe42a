//! Inputs as tables.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, Field, Schema},
    catalog::TableProvider,
    common::{Column, TableReference},
    datasource::{
        file_format::{FileFormat, arrow::ArrowFormat, csv::CsvFormat, parquet::ParquetFormat},
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    error::DataFusionError,
    functions::core::expr_fn::nullif,
    logical_expr::{Expr, cast, lit},
    prelude::SessionContext,
};
use mc2_guest::{Input, InputFile};
use object_store::path::Path;
use sql_core::{
    args::Args,
    format::{HEAD, InputFormat},
};

use crate::{failure, session::Session};

/// Makes an input a table of its name.
///
/// # Errors
///
/// Names the table, and of a folder the file, that cannot be read, and says why.
pub(crate) async fn register(
    session: &mut Session,
    input: &Input,
    args: &Args,
) -> Result<(), String> {
    let name = input.name();
    let told = |what: String| format!("table {name:?}: {what}");

    let files = data_files(input).map_err(told)?;
    let format = common_format(input, &files).map_err(told)?;
    for file in files {
        let path = if input.is_folder() {
            Path::from(format!("{name}/{}", file.name()))
        } else {
            Path::from(name)
        };
        session.store.add(path, name, file);
    }
    let unreadable = |error: DataFusionError| {
        told(format!(
            "it is {} that cannot be read: {}",
            format.name(),
            failure::text(&error)
        ))
    };
    let table = listing(session, input, format, args)
        .await
        .map_err(unreadable)?;

    let mut names = vec![name.to_owned()];
    // SQL folds names that are not quoted, so `FROM Orders` asks for `orders`.
    let folded = name.to_lowercase();
    if folded != name && !session.tables.contains(&folded) {
        names.push(folded);
    }
    for name in names {
        let reference = TableReference::bare(name.clone());
        session
            .context
            .register_table(reference, Arc::clone(&table))
            .map_err(|error| told(failure::text(&error)))?;
        session.tables.push(name);
    }
    Ok(())
}

/// The input's files, of which there is one at least.
fn data_files(input: &Input) -> Result<Vec<InputFile>, String> {
    let files = workload_shared::data_files(input).map_err(|error| error.to_string())?;
    if files.is_empty() {
        return Err(
            "the folder has no data files; expected Parquet, CSV or Arrow IPC files".to_owned(),
        );
    }
    Ok(files)
}

/// The format that all files have.
fn common_format(input: &Input, files: &[InputFile]) -> Result<InputFormat, String> {
    let mut common: Option<(InputFormat, &InputFile)> = None;
    for file in files {
        let format = detect(input, file).map_err(|what| {
            if input.is_folder() {
                format!("file {:?}: {what}", file.name())
            } else {
                what
            }
        })?;
        match common {
            None => common = Some((format, file)),
            Some((first, _)) if first == format => {}
            Some((first, of)) => {
                return Err(format!(
                    "a folder holds files of one format, but {:?} is {} and {:?} is {}",
                    of.name(),
                    first.name(),
                    file.name(),
                    format.name()
                ));
            }
        }
    }
    common
        .map(|(format, _)| format)
        .ok_or_else(|| "there are no files".to_owned())
}

fn detect(input: &Input, file: &InputFile) -> Result<InputFormat, String> {
    // At most `HEAD`, which is a `usize`.
    let mut head = vec![0; file.len().min(HEAD as u64) as usize];
    let reader = file.random().map_err(|error| error.to_string())?;
    reader
        .read_exact_at(&mut head, 0)
        .map_err(|error| error.to_string())?;
    // A folder's own media type says nothing of its files.
    let media_type = if input.is_folder() {
        ""
    } else {
        input.media_type()
    };
    InputFormat::detect(&head, media_type, file.name()).map_err(|error| error.to_string())
}

async fn listing(
    session: &Session,
    input: &Input,
    format: InputFormat,
    args: &Args,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let null = args
        .null
        .as_deref()
        .filter(|_| matches!(format, InputFormat::Csv { .. }));
    let format: Arc<dyn FileFormat> = match format {
        InputFormat::Parquet => Arc::new(ParquetFormat::default()),
        InputFormat::ArrowFile | InputFormat::ArrowStream => Arc::new(ArrowFormat),
        InputFormat::Csv { delimiter } => Arc::new(
            CsvFormat::default()
                .with_has_header(true)
                .with_delimiter(args.delimiter.unwrap_or(delimiter))
                .with_newlines_in_values(true)
                .with_schema_infer_max_rec(args.infer_rows)
                .with_null_regex(null.map(null_regex)),
        ),
    };
    let folder = if input.is_folder() { "/" } else { "" };
    let url = ListingTableUrl::parse(Session::url(input.name()) + folder)?;
    let state = session.context.state();
    let mut options = ListingOptions::new(format).with_file_extension("");
    if input.is_folder() {
        // `year=2026/…` is a column.
        let columns = options.infer_partitions(&state, &url).await?;
        let columns = columns
            .into_iter()
            .map(|column| (column, DataType::Utf8))
            .collect();
        options = options.with_table_partition_cols(columns);
    }
    let config = ListingTableConfig::new(url).with_listing_options(options);
    let mut config = config.infer_schema(&state).await?;
    let Some(schema) = config.file_schema.clone() else {
        return Err(DataFusionError::Plan(
            "its columns cannot be told".to_owned(),
        ));
    };
    check_columns(&schema)?;
    if null.is_some() {
        config = config.with_schema(Arc::new(as_text(&schema)));
    }
    let statistics = session
        .context
        .runtime_env()
        .cache_manager
        .get_file_statistic_cache();
    let table = Arc::new(ListingTable::try_new(config)?.with_cache(statistics));
    match null {
        None => Ok(table),
        Some(null) => with_null(&session.context, table, &schema, null),
    }
}

/// The same columns, all of them text.
fn as_text(schema: &Schema) -> Schema {
    let fields = schema.fields().iter();
    let fields = fields.map(|field| Field::new(field.name(), DataType::Utf8, true));
    Schema::new(fields.collect::<Vec<_>>())
}

/// A table of text as one of the types in `schema`, `null` being NULL. The CSV reader itself knows
/// no word for it but while it tells the types.
fn with_null(
    context: &SessionContext,
    table: Arc<ListingTable>,
    schema: &Schema,
    null: &str,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let all = table.schema();
    let columns = all.fields().iter().map(|field| {
        let column = Expr::Column(Column::new_unqualified(field.name()));
        match schema.field_with_name(field.name()) {
            Ok(of_file) => {
                cast(nullif(column, lit(null)), of_file.data_type().clone()).alias(field.name())
            }
            // A column that the path is the value of.
            Err(_) => column,
        }
    });
    Ok(context.read_table(table)?.select(columns)?.into_view())
}

/// SQL cannot speak of two columns of one name.
fn check_columns(schema: &Schema) -> Result<(), DataFusionError> {
    let mut seen = BTreeSet::new();
    if schema.fields().is_empty() {
        return Err(DataFusionError::Plan("it has no columns".to_owned()));
    }
    match schema
        .fields()
        .iter()
        .find(|field| !seen.insert(field.name()))
    {
        None => Ok(()),
        Some(field) => Err(DataFusionError::Plan(format!(
            "two columns are called {:?}",
            field.name()
        ))),
    }
}

/// A pattern for an empty field and exactly this text.
fn null_regex(text: &str) -> String {
    let mut pattern = String::from("^(|");
    for c in text.chars() {
        if !c.is_alphanumeric() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push_str(")$");
    pattern
}
