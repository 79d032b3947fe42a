//! CSV of many columns, of which fewer rows are read at once.
//!
//! The engine's reader makes room for every field of a batch before it reads the first: with tens of
//! thousands of columns that is more than a component has.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::Session,
    common::Statistics,
    datasource::{
        file_format::{FileFormat, csv::CsvFormat, file_compression_type::FileCompressionType},
        physical_plan::{FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    error::Result,
    physical_plan::ExecutionPlan,
};
use object_store::{ObjectMeta, ObjectStore};

/// Fields that are read at once, at most; one row at least is.
const FIELDS: usize = 1 << 21;

/// The engine's format, with batches that its reader has room for.
#[derive(Debug)]
pub(super) struct Csv(CsvFormat);

impl Csv {
    pub(super) fn new(format: CsvFormat) -> Self {
        Self(format)
    }
}

#[async_trait]
impl FileFormat for Csv {
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
        self.0.infer_stats(state, store, schema, object).await
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        mut conf: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = conf.file_schema().fields().len().max(1);
        let most = (FIELDS / columns).max(1);
        let usual = conf
            .batch_size
            .unwrap_or_else(|| state.config().batch_size());
        conf.batch_size = Some(usual.min(most));
        self.0.create_physical_plan(state, conf).await
    }

    fn file_source(&self, schema: TableSchema) -> Arc<dyn FileSource> {
        self.0.file_source(schema)
    }
}
