//! Files of one format as one table for the engine: each with its own columns in its own order,
//! under paths that say the values of the columns in subfolders' names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit},
    catalog::{ScanArgs, ScanResult, Session as State, TableProvider},
    common::{Column, ScalarValue},
    datasource::{
        TableType, ViewTable,
        file_format::FileFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
        provider_as_source,
    },
    error::{DataFusionError, Result},
    functions::core::expr_fn::nullif,
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, Union, cast, lit,
    },
    physical_plan::ExecutionPlan,
};
use object_store::{ObjectMeta, path::Path};
use sql_core::partitions::Partitions;

use super::{Files, exact};
use crate::{answers::canonical, session::Session};

/// What stands in a path for a value that is NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// What a table is made of.
pub(super) struct Table {
    pub(super) format: Arc<dyn FileFormat>,
    /// Its columns but those in the files' paths.
    pub(super) columns: Vec<Field>,
    pub(super) shapes: Vec<Shape>,
    /// A word for NULL; the files' columns are then text.
    pub(super) null: Option<String>,
}

/// Files with the same columns in the same order.
pub(super) struct Shape {
    pub(super) schema: SchemaRef,
    /// Which of the input's files.
    pub(super) files: Vec<usize>,
}

/// A column in the files' paths.
struct PathColumn {
    name: String,
    /// Its name for the engine, which compares it with the path.
    inner: String,
    has_null: bool,
}

impl Files<'_> {
    /// Gives the engine's store a file as one of a shape.
    pub(super) fn add(&self, session: &Session, shape: usize, index: usize) -> ObjectMeta {
        let path = self.path(shape, index);
        let file = self.list[index].clone();
        session.store.add(path, self.input.name(), file)
    }

    /// Takes it from the store again.
    pub(super) fn forget(&self, session: &Session, shape: usize, index: usize) {
        session.store.remove(&self.path(shape, index));
    }

    fn path(&self, shape: usize, index: usize) -> Path {
        let columns = path_columns(&self.partitions);
        let values = self.partitions.files.get(index).into_iter().flatten();
        let folders = columns.iter().zip(values).map(|(column, value)| {
            format!("{}={}", column.inner, value.as_deref().unwrap_or(NULL))
        });
        // Every part is percent-encoded here, and the engine decodes it. Files are read by number.
        let path = [self.input.name().to_owned(), shape.to_string()]
            .into_iter()
            .chain(folders)
            .chain([format!("{index:08}")]);
        Path::from_iter(path)
    }
}

impl Table {
    /// A column that a path has a value of as well.
    pub(super) fn in_path_too<'p>(&self, partitions: &'p Partitions) -> Option<&'p str> {
        let names: BTreeSet<&String> = self.columns.iter().map(Field::name).collect();
        let is_column = |name: &&String| names.contains(*name);
        partitions
            .columns
            .iter()
            .find(is_column)
            .map(String::as_str)
    }

    /// The table for the engine.
    pub(super) fn provider(
        &self,
        session: &Session,
        files: &Files<'_>,
    ) -> Result<Arc<dyn TableProvider>> {
        let in_path = path_columns(&files.partitions);
        let as_is = |column: &PathColumn| column.name == column.inner && !column.has_null;
        let mut parts = Vec::with_capacity(self.shapes.len());
        for (number, shape) in self.shapes.iter().enumerate() {
            for index in &shape.files {
                files.add(session, number, *index);
            }
            let part = self.listing(session, files, number, &in_path)?;
            if self.shapes.len() == 1
                && self.null.is_none()
                && in_path.iter().all(as_is)
                && shape.is_already(&self.columns)
            {
                return Ok(part);
            }
            let name = files.input.name();
            let part = LogicalPlanBuilder::scan(name, provider_as_source(part), None)?
                .project(self.select(shape, &in_path)?)?
                .build()?;
            parts.push(Arc::new(part));
        }
        let plan = match parts.len() {
            1 => Arc::unwrap_or_clone(parts.swap_remove(0)),
            _ => LogicalPlan::Union(Union::try_new(parts)?),
        };
        Ok(Arc::new(ViewTable::new(plan, None)))
    }

    /// The files of one shape.
    fn listing(
        &self,
        session: &Session,
        files: &Files<'_>,
        number: usize,
        in_path: &[PathColumn],
    ) -> Result<Arc<dyn TableProvider>> {
        let url = Session::url(&format!("{}/{number}/", files.input.name()));
        let columns = in_path
            .iter()
            .map(|column| (column.inner.clone(), DataType::Utf8));
        let options = ListingOptions::new(Arc::clone(&self.format))
            .with_file_extension("")
            .with_table_partition_cols(columns.collect());
        let config = ListingTableConfig::new(ListingTableUrl::parse(url)?)
            .with_listing_options(options)
            .with_schema(Arc::clone(&self.shapes[number].schema));
        let statistics = session
            .context
            .runtime_env()
            .cache_manager
            .get_file_statistic_cache();
        let table = ListingTable::try_new(config)?.with_cache(statistics);
        Ok(Arc::new(Listed {
            table,
            by_path: !in_path.is_empty(),
        }))
    }

    /// The table's columns from those of a shape.
    fn select(&self, shape: &Shape, in_path: &[PathColumn]) -> Result<Vec<Expr>> {
        let column = |name: &str| Expr::Column(Column::new_unqualified(name));
        let own = shape.schema.fields().iter();
        let own: BTreeMap<&str, &DataType> = own
            .map(|field| (field.name().as_str(), field.data_type()))
            .collect();
        let of_files = self.columns.iter().map(|field| {
            let Some(own) = own.get(field.name().as_str()).copied() else {
                let nothing = ScalarValue::try_from(field.data_type())?;
                return Ok(Expr::Literal(nothing, None).alias(field.name()));
            };
            let value = match &self.null {
                None => column(field.name()),
                // Every value there is is the word.
                Some(_) if *field.data_type() == DataType::Null => lit(ScalarValue::Null),
                Some(null) => nullif(column(field.name()), lit(null.as_str())),
            };
            let wanted = field.data_type();
            let value = if own == wanted || *wanted == DataType::Null {
                value
            } else if exact::may_round(own, wanted) {
                exact::float(value, field.name())
            } else {
                cast(value, wanted.clone())
            };
            Ok(value.alias(field.name()))
        });
        let of_path = in_path.iter().map(|path| {
            let value = column(&path.inner);
            let value = match path.has_null {
                true => nullif(value, lit(NULL)),
                false => value,
            };
            Ok(value.alias(&path.name))
        });
        of_files.chain(of_path).collect()
    }
}

impl Shape {
    fn is_already(&self, columns: &[Field]) -> bool {
        let own = self.schema.fields().iter();
        self.schema.fields().len() == columns.len()
            && own.zip(columns).all(|(own, column)| {
                own.name() == column.name() && own.data_type() == column.data_type()
            })
    }
}

fn path_columns(partitions: &Partitions) -> Vec<PathColumn> {
    let columns = partitions.columns.iter().enumerate();
    let columns = columns.map(|(number, name)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        PathColumn {
            name: name.clone(),
            // What a path would have encoded the engine would not find.
            inner: match name.chars().all(plain) {
                true => name.clone(),
                false => format!("_path_{number}"),
            },
            has_null: partitions
                .files
                .iter()
                .any(|values| values[number].is_none()),
        }
    });
    columns.collect()
}

/// A type that holds the values of both, where one does without loss.
pub(super) fn union(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Binary, BinaryView, Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64,
        LargeBinary, LargeUtf8, Null, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    /// Bits of the value and whether there is a sign.
    fn integer(data_type: &DataType) -> Option<(u8, bool)> {
        Some(match data_type {
            Int8 => (7, true),
            Int16 => (15, true),
            Int32 => (31, true),
            Int64 => (63, true),
            UInt8 => (8, false),
            UInt16 => (16, false),
            UInt32 => (32, false),
            UInt64 => (64, false),
            _ => return None,
        })
    }
    if a == b {
        return Some(a.clone());
    }
    if let (Some((a, a_signed)), Some((b, b_signed))) = (integer(a), integer(b)) {
        let bits = a.max(b);
        return Some(match (a_signed || b_signed, bits) {
            (true, ..=7) => Int8,
            (true, ..=15) => Int16,
            (true, ..=31) => Int32,
            (true, ..=63) => Int64,
            (true, _) => Decimal128(20, 0),
            (false, ..=8) => UInt8,
            (false, ..=16) => UInt16,
            (false, ..=32) => UInt32,
            (false, _) => UInt64,
        });
    }
    let rank = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    Some(match (a, b) {
        (Null, other) | (other, Null) => other.clone(),
        (Float64, Float32) | (Float32, Float64) => Float64,
        (Float64, number) | (number, Float64) if integer(number).is_some() => Float64,
        (Float32, number) | (number, Float32) if integer(number).is_some() => Float64,
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => Utf8View,
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => BinaryView,
        (Decimal128(a, a_scale), Decimal128(b, b_scale)) => {
            let scale = *a_scale.max(b_scale);
            let whole =
                (i16::from(*a) - i16::from(*a_scale)).max(i16::from(*b) - i16::from(*b_scale));
            let precision = u8::try_from(whole + i16::from(scale)).ok()?;
            (precision <= 38).then_some(Decimal128(precision, scale))?
        }
        (Timestamp(a, a_zone), Timestamp(b, b_zone)) if a_zone == b_zone => {
            let finer = if rank(a) >= rank(b) { a } else { b };
            Timestamp(*finer, a_zone.clone())
        }
        (Date32, Timestamp(unit, None)) | (Timestamp(unit, None), Date32) => Timestamp(*unit, None),
        _ => return None,
    })
}

/// A table of files, with one NaN. Where files are chosen by the values in their paths each row
/// is looked at still: the engine takes for true what compares with NULL.
#[derive(Debug)]
struct Listed {
    table: ListingTable,
    by_path: bool,
}

#[async_trait]
impl TableProvider for Listed {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    async fn scan(
        &self,
        state: &dyn State,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = self.table.scan(state, projection, filters, limit);
        canonical::scan(scan.await?)
    }

    async fn scan_with_args<'a>(
        &self,
        state: &dyn State,
        args: ScanArgs<'a>,
    ) -> Result<ScanResult> {
        let scan = self.table.scan_with_args(state, args).await?;
        canonical::scan(scan.into_inner()).map(ScanResult::new)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let exact = self.table.supports_filters_pushdown(filters)?;
        Ok(exact
            .into_iter()
            .map(|support| match support {
                TableProviderFilterPushDown::Unsupported => support,
                _ if !self.by_path => support,
                _ => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }
}
