//! The types of a recursive query's two parts.
//!
//! A column has the type of the first part, and the engine casts the second part's values to it: `1` and
//! then `n + 1.5` are 1, 2, 3. As in PostgreSQL, that is an error where the cast would change a value without a word.
//! A cast of the query's own is one within another here ([`crate::rewritten`]), so that it is told from the
//! engine's.

use datafusion::{
    arrow::datatypes::DataType,
    common::{config::ConfigOptions, plan_err, tree_node::TreeNodeRecursion},
    error::Result,
    logical_expr::{Expr, ExprSchemable, LogicalPlan, RecursiveQuery},
    optimizer::AnalyzerRule,
};

/// Refuses casts that lose something.
#[derive(Debug)]
pub(super) struct Recursion;

impl AnalyzerRule for Recursion {
    fn name(&self) -> &str {
        "recursion"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::RecursiveQuery(query) = node {
                check(query)?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(plan)
    }
}

fn check(query: &RecursiveQuery) -> Result<()> {
    let LogicalPlan::Projection(second) = &*query.recursive_term else {
        return Ok(());
    };
    for (field, expr) in query.static_term.schema().fields().iter().zip(&second.expr) {
        let Expr::Cast(cast) = expr.clone().unalias() else {
            continue;
        };
        let to = field.data_type();
        if matches!(&*cast.expr, Expr::Cast(own) if own.field.data_type() == to) {
            continue;
        }
        let from = cast.expr.get_type(second.input.schema())?;
        if loses(&from, to) {
            return plan_err!(
                "column {:?} of the recursive query {} is {to} in its first part and {from} in its \
                 second; cast the first part's to what holds both",
                field.name(),
                query.name
            );
        }
    }
    Ok(())
}

/// Whether a cast may change a value and not fail.
fn loses(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256, Float32, Float64, Timestamp,
    };

    let scale = |of: &DataType| match of {
        Decimal32(_, scale) | Decimal64(_, scale) | Decimal128(_, scale) | Decimal256(_, scale) => {
            Some(*scale)
        }
        of => of.is_integer().then_some(0),
    };
    match (from, to) {
        (DataType::List(from), DataType::List(to)) => loses(from.data_type(), to.data_type()),
        (Float64, Float32) => true,
        (from, to) if from.is_floating() => !to.is_floating() && !to.is_string(),
        (Timestamp(..), Date32 | Date64) => true,
        (Timestamp(from, from_zone), Timestamp(to, to_zone)) => {
            from > to || from_zone.is_some() != to_zone.is_some()
        }
        (from, DataType::Boolean) => from.is_numeric(),
        (from, to) if from.is_numeric() && to.is_temporal() => true,
        (from, to) => matches!((scale(from), scale(to)), (Some(from), Some(to)) if from > to),
    }
}
