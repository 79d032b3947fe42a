//! Parquet and Arrow IPC files, which say themselves what columns they have.

use std::{collections::BTreeMap, io::Read as _, sync::Arc};

use arrow_ipc::reader::StreamReader;
use datafusion::{
    arrow::{
        datatypes::{DataType, Field, Fields, Schema, SchemaRef},
        error::ArrowError,
    },
    datasource::{
        file_format::{FileFormat, arrow::ArrowFormat},
        physical_plan::parquet::metadata::DFParquetMetadata,
    },
    error::DataFusionError,
};
use mc2_guest::InputFile;
use object_store::ObjectStore;
use sql_core::format::InputFormat;

use super::{
    Files, exact,
    layout::{Shape, Table, union},
    statistics::Parquet,
};
use crate::{failure, session::Session};

/// What stands before the messages of an Arrow IPC file.
const ARROW_FILE_HEAD: usize = 8;

/// The table of Parquet files, whose reader matches columns by name and converts their types.
///
/// # Errors
///
/// Says which file is broken, has two columns of one name, or a column of another type.
pub(super) async fn parquet(session: &Session, files: &Files<'_>) -> Result<Table, String> {
    let format = Parquet::default();
    let cache = session
        .context
        .runtime_env()
        .cache_manager
        .get_file_metadata_cache();
    let store = Arc::clone(&session.store) as Arc<dyn ObjectStore>;
    let mut schemas = Vec::with_capacity(files.list.len());
    for (index, file) in files.list.iter().enumerate() {
        let object = files.add(session, 0, index);
        let broken = |error: DataFusionError| {
            let what = failure::text(&error);
            files.told(file, format!("it is Parquet that cannot be read: {what}"))
        };
        // As the file has it: the engine's own way merges columns of one name.
        let own = DFParquetMetadata::new(&store, &object)
            .with_file_metadata_cache(Some(Arc::clone(&cache)))
            .fetch_schema()
            .await
            .map_err(broken)?;
        check(own.fields()).map_err(|what| files.told(file, what))?;
        let state = session.context.state();
        let schema = format
            .infer_schema(&state, &store, std::slice::from_ref(&object))
            .await
            .map_err(broken)?;
        schemas.push(schema);
    }
    let columns = columns(files, &schemas)?;
    let mut shapes: Vec<Shape> = Vec::new();
    for (index, own) in schemas.iter().enumerate() {
        let schema = as_read(&columns, own);
        match shapes.iter_mut().find(|shape| shape.schema == schema) {
            Some(shape) => shape.files.push(index),
            None => shapes.push(Shape {
                schema,
                files: vec![index],
            }),
        }
    }
    // These get another path.
    for index in shapes.iter().skip(1).flat_map(|shape| &shape.files) {
        files.forget(session, 0, *index);
    }
    Ok(Table {
        format: Arc::new(format),
        columns,
        shapes,
        null: None,
    })
}

/// The table's columns as a file is read: with its own type where the reader would round values.
fn as_read(columns: &[Field], own: &Schema) -> SchemaRef {
    let own = own.fields().iter();
    let own: BTreeMap<&str, &DataType> = own
        .map(|field| (field.name().as_str(), field.data_type()))
        .collect();
    let fields = columns
        .iter()
        .map(|column| match own.get(column.name().as_str()) {
            Some(own) if exact::may_round(own, column.data_type()) => {
                column.clone().with_data_type(DataType::clone(own))
            }
            _ => column.clone(),
        });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The table of Arrow IPC files, whose reader goes by position.
///
/// # Errors
///
/// As [`parquet`].
pub(super) fn arrow(files: &Files<'_>, format: InputFormat) -> Result<Table, String> {
    let mut schemas: Vec<SchemaRef> = Vec::with_capacity(files.list.len());
    let mut shapes: Vec<Shape> = Vec::new();
    for (index, file) in files.list.iter().enumerate() {
        let schema = arrow_schema(file, format).map_err(|error| {
            let what = failure::text(&error);
            files.told(
                file,
                format!("it is {} that cannot be read: {what}", format.name()),
            )
        })?;
        check(schema.fields()).map_err(|what| files.told(file, what))?;
        match shapes.iter_mut().find(|shape| shape.schema == schema) {
            Some(shape) => shape.files.push(index),
            None => shapes.push(Shape {
                schema: Arc::clone(&schema),
                files: vec![index],
            }),
        }
        schemas.push(schema);
    }
    Ok(Table {
        format: Arc::new(ArrowFormat),
        columns: columns(files, &schemas)?,
        shapes,
        null: None,
    })
}

fn arrow_schema(file: &InputFile, format: InputFormat) -> Result<SchemaRef, DataFusionError> {
    let mut reader = file.reader().map_err(|error| failure::external(&error))?;
    if format == InputFormat::ArrowFile {
        reader
            .read_exact(&mut [0; ARROW_FILE_HEAD])
            .map_err(ArrowError::from)?;
    }
    let schema = StreamReader::try_new(reader, None)?.schema();
    // What programs note beside the columns is no part of a table.
    Ok(Arc::new(Schema::new(schema.fields().clone())))
}

/// SQL cannot speak of two columns of one name, and a table has columns.
fn check(fields: &Fields) -> Result<(), String> {
    if fields.is_empty() {
        return Err("it has no columns".to_owned());
    }
    match twice(fields) {
        None => Ok(()),
        Some(name) => Err(format!("two columns are called {name:?}; rename one")),
    }
}

/// A name that stands twice beside itself, in structures too.
fn twice(fields: &Fields) -> Option<&str> {
    let mut names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(pair[0]);
    }
    fields.iter().find_map(|field| match field.data_type() {
        DataType::Struct(fields) => twice(fields),
        _ => None,
    })
}

/// The columns of all files, each with a type that holds every file's values.
fn columns(files: &Files<'_>, schemas: &[SchemaRef]) -> Result<Vec<Field>, String> {
    let mut columns: Vec<Field> = Vec::new();
    // Where a name's column stands, and the file whose type it has.
    let mut known: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (index, schema) in schemas.iter().enumerate() {
        for field in schema.fields() {
            let Some((at, first)) = known.get(field.name()).copied() else {
                known.insert(field.name().clone(), (columns.len(), index));
                columns.push(field.as_ref().clone().with_nullable(true));
                continue;
            };
            let had = columns[at].data_type().clone();
            if let Some(data_type) = union(&had, field.data_type()) {
                columns[at].set_data_type(data_type);
            } else if columns[at].try_merge(field).is_err() {
                return Err(format!(
                    "the column {:?} is {had} in {:?} and {} in {:?}; write it with one type",
                    field.name(),
                    files.list[first].name(),
                    field.data_type(),
                    files.list[index].name(),
                ));
            }
        }
    }
    Ok(columns)
}
