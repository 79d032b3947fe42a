//! Parquet whose statistics say no more than what is so.
//!
//! The engine takes a column for a constant, and `max` from a file's end, where statistics are exact.
//! But they leave NaN out; and of a column that has another type in the file than in the table the engine
//! notes an exact NULL, which any other file's value beats.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::{DataType, Schema, SchemaRef},
    catalog::Session,
    common::{ScalarValue, Statistics, stats::Precision},
    datasource::{
        file_format::{
            FileFormat, FileMeta, file_compression_type::FileCompressionType,
            parquet::ParquetFormat,
        },
        physical_plan::{FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    error::Result,
    physical_expr::LexOrdering,
    physical_plan::ExecutionPlan,
};
use object_store::{ObjectMeta, ObjectStore};

/// The engine's format, with what its statistics do not know taken out of them.
#[derive(Debug, Default)]
pub(super) struct Parquet(ParquetFormat);

fn known(mut statistics: Statistics, schema: &Schema) -> Statistics {
    let columns = statistics.column_statistics.iter_mut();
    for (column, field) in columns.zip(schema.fields()) {
        let of = match field.data_type() {
            DataType::Dictionary(_, of) => of.as_ref(),
            of => of,
        };
        let is_null =
            |bound: &Precision<ScalarValue>| bound.get_value().is_some_and(ScalarValue::is_null);
        if of.is_floating() || is_null(&column.min_value) || is_null(&column.max_value) {
            column.min_value = Precision::Absent;
            column.max_value = Precision::Absent;
            column.distinct_count = Precision::Absent;
        }
    }
    statistics
}

#[async_trait]
impl FileFormat for Parquet {
    fn get_ext(&self) -> String {
        self.0.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        self.0.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.0.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        self.0.infer_schema(state, store, objects).await
    }

    async fn infer_stats(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Statistics> {
        let found = self
            .0
            .infer_stats(state, store, Arc::clone(&schema), object);
        Ok(known(found.await?, &schema))
    }

    async fn infer_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<Option<LexOrdering>> {
        self.0.infer_ordering(state, store, schema, object).await
    }

    async fn infer_stats_and_ordering(
        &self,
        state: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        schema: SchemaRef,
        object: &ObjectMeta,
    ) -> Result<FileMeta> {
        let found = self
            .0
            .infer_stats_and_ordering(state, store, Arc::clone(&schema), object);
        let found = found.await?;
        Ok(FileMeta::new(known(found.statistics, &schema)).with_ordering(found.ordering))
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        conf: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.create_physical_plan(state, conf).await
    }

    fn file_source(&self, schema: TableSchema) -> Arc<dyn FileSource> {
        self.0.file_source(schema)
    }
}
