//! Keys of an order that order nothing, as the second in `ORDER BY a, a DESC`.
//!
//! The engine drops them in one place and counts them in another, which ends in a panic where they
//! are an aggregate's or DISTINCT ON's.

use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    error::Result,
    logical_expr::{Distinct, Expr, LogicalPlan, SortExpr},
    optimizer::AnalyzerRule,
};

/// Drops them.
#[derive(Debug)]
pub(super) struct Orders;

impl AnalyzerRule for Orders {
    fn name(&self) -> &str {
        "orders"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(in_node).data()
    }
}

fn in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut changed = false;
    let plan = plan.map_expressions(|expr| {
        expr.transform_up(|expr| match expr {
            Expr::AggregateFunction(mut call) => {
                let dropped = drop_known(&mut call.params.order_by);
                Ok(Transformed::new_transformed(
                    Expr::AggregateFunction(call),
                    dropped,
                ))
            }
            expr => Ok(Transformed::no(expr)),
        })
    })?;
    changed |= plan.transformed;
    let plan = match plan.data {
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            if let Some(keys) = &mut on.sort_expr {
                changed |= drop_known(keys);
            }
            LogicalPlan::Distinct(Distinct::On(on))
        }
        plan => plan,
    };
    Ok(Transformed::new_transformed(plan, changed))
}

/// Drops the keys that stand before already, and says whether there were any.
fn drop_known(keys: &mut Vec<SortExpr>) -> bool {
    let count = keys.len();
    let mut kept: Vec<SortExpr> = Vec::with_capacity(count);
    for key in keys.drain(..) {
        if kept.iter().all(|known| known.expr != key.expr) {
            kept.push(key);
        }
    }
    *keys = kept;
    keys.len() < count
}
