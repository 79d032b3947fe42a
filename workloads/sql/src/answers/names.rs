//! Conditions that are handed down to a column of the same name.
//!
//! The engine looks for a condition's columns in the plan beneath by name, and takes the first of several:
//! above `t JOIN u`, a condition on `u.k` then skips the rows of `t` whose `k` it excludes. So a column
//! hands no condition down where another beside it has its name.

use std::{collections::HashMap, fmt, sync::Arc};

use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        filter_pushdown::{
            ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase,
            FilterPushdownPropagation,
        },
    },
};

type Plan = Arc<dyn ExecutionPlan>;
type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// A rule of the engine's that hands conditions down, by names that stand for one column.
#[derive(Debug)]
pub(super) struct ByOneName {
    engine: Rule,
}

impl ByOneName {
    /// The rule itself, unless it is one of these.
    pub(super) fn or_itself(engine: Rule) -> Rule {
        match engine.name().starts_with("FilterPushdown") {
            true => Arc::new(Self { engine }),
            false => engine,
        }
    }
}

impl PhysicalOptimizerRule for ByOneName {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn optimize(&self, plan: Plan, config: &ConfigOptions) -> Result<Plan> {
        let plan = plan.transform_up(fenced).data()?;
        let plan = self.engine.optimize(plan, config)?;
        plan.transform_up(unfenced).data()
    }

    fn schema_check(&self) -> bool {
        self.engine.schema_check()
    }
}

fn fenced(plan: Plan) -> Result<Transformed<Plan>> {
    let schema = plan.schema();
    let mut names = HashMap::new();
    for field in schema.fields() {
        *names.entry(field.name()).or_insert(0) += 1;
    }
    Ok(match names.len() == schema.fields().len() {
        true => Transformed::no(plan),
        false => Transformed::yes(Arc::new(Fence { input: plan }) as _),
    })
}

fn unfenced(plan: Plan) -> Result<Transformed<Plan>> {
    Ok(match plan.downcast_ref::<Fence>() {
        Some(fence) => Transformed::yes(Arc::clone(&fence.input)),
        None => Transformed::no(plan),
    })
}

/// Lets through what is asked of columns that have a name of their own. Stands in a plan only while the
/// rule is at work.
#[derive(Debug)]
struct Fence {
    input: Plan,
}

impl DisplayAs for Fence {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fence")
    }
}

impl ExecutionPlan for Fence {
    fn name(&self) -> &str {
        "Fence"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Plan>) -> Result<Plan> {
        let [input] = children.try_into().map_err(|children: Vec<_>| {
            DataFusionError::Internal(format!("a fence around {} plans", children.len()))
        })?;
        Ok(Arc::new(Self { input }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let schema = self.input.schema();
        let fields = schema.fields();
        let is_one = |index: &usize| {
            let name = fields[*index].name();
            fields.iter().filter(|field| field.name() == name).count() == 1
        };
        let single = (0..fields.len()).filter(is_one).collect();
        let child =
            ChildFilterDescription::from_child_with_allowed_indices(&filters, single, &self.input)?;
        Ok(FilterDescription::new().with_child(child))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Plan>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}
