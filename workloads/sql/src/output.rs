//! Results, written as they come.

use std::sync::Arc;

use arrow_ipc::writer::FileWriter;
use datafusion::{
    arrow::{
        array::{Array as _, ArrayRef, RecordBatch},
        compute::cast,
        csv,
        datatypes::{DataType, Field, Schema, SchemaRef},
        json::{self, writer::LineDelimited},
        util::display::{ArrayFormatter, DurationFormat, FormatOptions},
    },
    error::Result,
    parquet::{
        arrow::ArrowWriter,
        basic::{Compression, ZstdLevel},
        file::properties::WriterProperties,
    },
};
use sql_core::{format::OutputFormat, table::Printer};
use workload_shared::Target;

use crate::{failure::external, results};

/// Rows that a table holds back, see [`Printer`].
const HELD_BACK: usize = 10_000;

/// A result being written.
pub(crate) struct Sink {
    writer: Writer,
    rows: usize,
}

enum Writer {
    Table(Printer, Target),
    Csv(csv::Writer<Target>),
    Json(json::Writer<Target, LineDelimited>),
    Arrow(FileWriter<Target>, SchemaRef),
    Parquet(Box<ArrowWriter<Target>>),
    Results(Target),
}

impl Sink {
    pub(crate) fn new(format: OutputFormat, target: Target, schema: &SchemaRef) -> Result<Self> {
        let writer = match format {
            OutputFormat::Table => {
                let columns = schema
                    .fields()
                    .iter()
                    .map(|field| (field.name().clone(), field.data_type().is_numeric()));
                Writer::Table(Printer::new(columns), target)
            }
            OutputFormat::Csv | OutputFormat::Tsv => {
                let tabs = format == OutputFormat::Tsv;
                let mut writer = csv::WriterBuilder::new()
                    .with_header(true)
                    .with_delimiter(if tabs { b'\t' } else { b',' })
                    .build(target);
                // The header is there where there are no rows as well.
                writer.write(&RecordBatch::new_empty(Arc::clone(schema)))?;
                Writer::Csv(writer)
            }
            OutputFormat::Json => Writer::Json(
                json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build(target),
            ),
            OutputFormat::Arrow => {
                let schema = plain(schema);
                Writer::Arrow(FileWriter::try_new(target, &schema)?, schema)
            }
            OutputFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by("mc2 sql".to_owned())
                    .build();
                let writer = ArrowWriter::try_new(target, Arc::clone(schema), Some(properties))?;
                Writer::Parquet(Box::new(writer))
            }
            OutputFormat::Results => Writer::Results(target),
        };
        Ok(Self { writer, rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        match &mut self.writer {
            Writer::Table(printer, target) => print(batch, printer, target)?,
            Writer::Csv(writer) => writer.write(batch)?,
            Writer::Json(writer) => writer.write(batch)?,
            Writer::Arrow(writer, schema) => writer.write(&cast_batch(batch, schema)?)?,
            Writer::Parquet(writer) => writer.write(batch)?,
            Writer::Results(target) => results::rows(batch, target)?,
        }
        Ok(())
    }

    /// Whether bytes may have gone where they cannot be taken back from.
    pub(crate) fn is_committed(&self) -> bool {
        match self.writer {
            Writer::Table(..) => self.rows >= HELD_BACK,
            _ => self.rows > 0,
        }
    }

    pub(crate) fn finish(self) -> Result<()> {
        let target = match self.writer {
            Writer::Table(printer, mut target) => {
                printer.finish(&mut target)?;
                target
            }
            Writer::Csv(writer) => writer.into_inner(),
            Writer::Json(mut writer) => {
                writer.finish()?;
                writer.into_inner()
            }
            Writer::Arrow(mut writer, _) => {
                writer.finish()?;
                writer.into_inner()?
            }
            Writer::Parquet(writer) => writer.into_inner()?,
            Writer::Results(target) => target,
        };
        target.finish().map_err(|error| external(&error))
    }
}

fn print(batch: &RecordBatch, printer: &mut Printer, target: &mut Target) -> Result<()> {
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_duration_format(DurationFormat::Pretty)
        .with_display_error(true);
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        let cells = columns
            .iter()
            .map(|column| column.value(row).to_string())
            .collect();
        printer.row(cells, target)?;
    }
    Ok(())
}

/// The schema with strings as readers of all ages know them.
fn plain(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let plain = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        Field::clone(field).with_data_type(plain)
    });
    Arc::new(Schema::new_with_metadata(
        fields.collect::<Vec<_>>(),
        schema.metadata().clone(),
    ))
}

fn cast_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(ArrayRef::clone(column))
            } else {
                cast(column, field.data_type())
            }
        });
    Ok(RecordBatch::try_new(
        Arc::clone(schema),
        columns.collect::<Result<Vec<_>, _>>()?,
    )?)
}
