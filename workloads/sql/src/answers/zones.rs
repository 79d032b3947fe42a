//! `date_bin` of timestamps with a time zone.
//!
//! The engine counts from midnight UTC and not from midnight of the zone, so that a "day" starts
//! at one or two in the morning in Berlin, and `date_trunc` of the same column says otherwise.

use datafusion::{
    arrow::datatypes::DataType,
    common::{
        DFSchema,
        config::ConfigOptions,
        not_impl_err,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{Expr, ExprSchemable, LogicalPlan, utils::merge_schema},
    optimizer::AnalyzerRule,
};

/// Refuses `date_bin` in any zone but UTC.
#[derive(Debug)]
pub(super) struct Zones;

impl AnalyzerRule for Zones {
    fn name(&self) -> &str {
        "zones"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            plan.apply_expressions(|expr| {
                expr.apply(|expr| {
                    check(expr, &schema)?;
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(plan)
    }
}

fn check(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let Expr::ScalarFunction(call) = expr else {
        return Ok(());
    };
    if call.func.name() != "date_bin" {
        return Ok(());
    }
    for argument in &call.args {
        if let Ok(DataType::Timestamp(_, Some(zone))) = argument.get_type(schema)
            && !is_utc(&zone)
        {
            return not_impl_err!(
                "date_bin of a timestamp in the time zone {zone}: bins would start at midnight UTC; \
                 use date_bin(…, to_local_time(…)), or date_trunc"
            );
        }
    }
    Ok(())
}

fn is_utc(zone: &str) -> bool {
    ["UTC", "Etc/UTC", "Z", "+00:00", "+0000", "+00"].contains(&zone)
}
