//! Conditions of a join that stay in one piece.
//!
//! The engine computes what a nested loop join's condition asks of one side for every row of that side, beneath the
//! join. What is guarded by a condition beside it, as in `t.b <> 0 AND t.a / t.b > 2` or a CASE, would be computed
//! without its guard there; so it goes with its guard or stays.

use std::{fmt, hash::Hash, sync::Arc};

use datafusion::{
    arrow::{
        datatypes::{DataType, Schema},
        record_batch::RecordBatch,
    },
    common::tree_node::{Transformed, TransformedResult, TreeNode},
    error::{DataFusionError, Result},
    logical_expr::ColumnarValue,
    physical_expr::{PhysicalExpr, expressions::Column, utils::collect_columns},
};

type Physical = Arc<dyn PhysicalExpr>;

/// An expression of which only the columns can be seen.
#[derive(Debug, Eq)]
pub(super) struct Whole {
    of: Physical,
    columns: Vec<Physical>,
}

impl Whole {
    pub(super) fn of(of: Physical) -> Physical {
        let columns = collect_columns(&of);
        let columns = columns
            .into_iter()
            .map(|column| Arc::new(column) as Physical);
        Arc::new(Self {
            columns: columns.collect(),
            of,
        })
    }
}

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.of.eq(&other.of)
    }
}

impl Hash for Whole {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.of.hash(state);
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt(f)
    }
}

impl PhysicalExpr for Whole {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.of.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.of.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.of.evaluate(batch)
    }

    fn children(&self) -> Vec<&Physical> {
        self.columns.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Physical>) -> Result<Physical> {
        if children.len() != self.columns.len() {
            return Err(DataFusionError::Internal(format!(
                "{} columns for a condition of {}",
                children.len(),
                self.columns.len()
            )));
        }
        let renewed = Arc::clone(&self.of).transform_up(|expr| {
            let place = match expr.downcast_ref::<Column>() {
                Some(_) => self.columns.iter().position(|column| column.eq(&expr)),
                None => None,
            };
            Ok(match place {
                Some(place) => Transformed::yes(Arc::clone(&children[place])),
                None => Transformed::no(expr),
            })
        });
        renewed.data().map(Self::of)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt_sql(f)
    }
}
