//! NaN in files whose statistics do not tell of it.
//!
//! NaN is the largest number, here as in PostgreSQL and DuckDB, but a Parquet file's smallest and
//! largest value leave it out. So nothing may be concluded from them for floating point: neither
//! by conditions ([`super::guards`] hides these), nor by what a sort with a limit, a join or a
//! `max` has found so far.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Schema},
    common::{
        config::ConfigOptions,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::Result,
    physical_expr::{PhysicalExpr, expressions::Column},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, aggregates::AggregateExec, joins::HashJoinExec, sorts::sort::SortExec,
    },
};

/// A rule of the engine's that pushes what operators have found down to files, without floats.
#[derive(Debug)]
pub(super) struct WithoutFloats {
    engine: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl WithoutFloats {
    /// The rule itself, unless it is one of these.
    pub(super) fn or_itself(
        engine: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
    ) -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
        match engine.name().starts_with("FilterPushdown") {
            true => Arc::new(Self { engine }),
            false => engine,
        }
    }
}

impl PhysicalOptimizerRule for WithoutFloats {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut config = config.clone();
        let mut floats = Found::default();
        plan.apply(|plan| {
            floats.look(plan)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        config.optimizer.enable_topk_dynamic_filter_pushdown &= !floats.sorted;
        config.optimizer.enable_join_dynamic_filter_pushdown &= !floats.joined;
        config.optimizer.enable_aggregate_dynamic_filter_pushdown &= !floats.aggregated;
        self.engine.optimize(plan, &config)
    }

    fn schema_check(&self) -> bool {
        self.engine.schema_check()
    }
}

/// What is done with floats in a plan.
#[derive(Debug, Default)]
struct Found {
    sorted: bool,
    joined: bool,
    aggregated: bool,
}

impl Found {
    fn look(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        if let Some(sort) = plan.downcast_ref::<SortExec>() {
            let schema = sort.input().schema();
            for key in sort.expr() {
                self.sorted |= key.expr.data_type(&schema)?.is_floating();
            }
        } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            let schema = join.left().schema();
            for (key, _) in join.on() {
                self.joined |= key.data_type(&schema)?.is_floating();
            }
        } else if let Some(groups) = plan.downcast_ref::<AggregateExec>() {
            let schema = groups.input_schema();
            for of in groups
                .aggr_expr()
                .iter()
                .flat_map(|expr| expr.expressions())
            {
                self.aggregated |= of.data_type(&schema)?.is_floating();
            }
        }
        Ok(())
    }
}

/// Whether a condition may be true of NaN, so that statistics do not decide it.
pub(super) fn may_hold_for_nan(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let is_column = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_some();
    is_column(condition)
        && condition
            .data_type(schema)
            .is_ok_and(|of| DataType::is_floating(&of))
        || condition
            .children()
            .into_iter()
            .any(|child| may_hold_for_nan(child, schema))
}
