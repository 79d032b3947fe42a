//! Rows that only the first instance adds to a result, though others could.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{DataFusionError, Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan, PlanProperties,
    },
};

/// The input's rows on the first instance, none on the others. They have the input in their plans all
/// the same, for what they send to it.
#[derive(Debug)]
pub(super) struct First {
    input: Arc<dyn ExecutionPlan>,
    is_first: bool,
}

impl First {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, is_first: bool) -> Self {
        Self { input, is_first }
    }
}

impl DisplayAs for First {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstExec")
    }
}

impl ExecutionPlan for First {
    fn name(&self) -> &'static str {
        "FirstExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = children.try_into().map_err(|children: Vec<_>| {
            DataFusionError::Internal(format!("{} inputs of one", children.len()))
        })?;
        Ok(Arc::new(Self::new(input, self.is_first)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        match self.is_first {
            true => self.input.execute(partition, context),
            false => Ok(Box::pin(EmptyRecordBatchStream::new(self.schema()))),
        }
    }
}
