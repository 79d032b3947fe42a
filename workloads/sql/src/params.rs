//! The parameters' values in a plan: typed where they stand, never part of the SQL's text.

use datafusion::{
    arrow::datatypes::DataType,
    common::{
        ScalarValue,
        tree_node::{Transformed, TreeNode as _},
    },
    error::{DataFusionError, Result},
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, Values, expr::Placeholder,
        expr_rewriter::NamePreserver,
    },
};
use sql_core::params::{self, Params, Target};

/// Puts a value in the place of every named placeholder, of the type that the planner has inferred
/// for that very place: that of what it is compared with, say. Where nothing tells a type it is a text, and in
/// a LIMIT a number.
///
/// # Errors
///
/// Names a parameter whose value is none of that type, and a placeholder of another form.
pub(crate) fn bind(plan: LogicalPlan, params: &Params) -> Result<LogicalPlan> {
    if params.is_empty() {
        return Ok(plan);
    }
    let bound = plan.transform_up_with_subqueries(|plan| {
        let untyped = match plan {
            LogicalPlan::Limit(_) => DataType::Int64,
            _ => DataType::Utf8,
        };
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let bound = expr.transform_up(|expr| match expr {
                Expr::Placeholder(placeholder) => literal(placeholder, params, &untyped),
                other => Ok(Transformed::no(other)),
            })?;
            // Columns are known by what the query says, not by the values.
            if bound.transformed {
                Ok(bound.update_data(|expr| name.restore(expr)))
            } else {
                Ok(bound)
            }
        })?
        .map_data(with_types)
    })?;
    Ok(bound.data)
}

fn literal(
    placeholder: Placeholder,
    params: &Params,
    untyped: &DataType,
) -> Result<Transformed<Expr>> {
    let Some(value) = params.value(&placeholder.id) else {
        if is_prepared(&placeholder.id) {
            return Ok(Transformed::no(Expr::Placeholder(placeholder)));
        }
        return Err(DataFusionError::Execution(format!(
            "{} stands for no value; a parameter is written $name",
            placeholder.id
        )));
    };
    let wanted = match &placeholder.field {
        // A comparison of two values of no type tells none.
        Some(field) if *field.data_type() != DataType::Null => field.data_type(),
        _ => untyped,
    };
    let refused = |why: String| {
        DataFusionError::Execution(format!(
            "the parameter {} is {value:?}: {why}",
            placeholder.id
        ))
    };
    if let Some(target) = target(wanted) {
        params::exact(value, target).map_err(|why| refused(why.to_string()))?;
    }
    let value = ScalarValue::try_from_string(value.to_owned(), wanted)
        .map_err(|_| refused(format!("a value of type {wanted} is wanted here")))?;
    if value.is_null() {
        return Err(refused(format!("a value of type {wanted} is wanted here")));
    }
    Ok(Transformed::yes(Expr::Literal(value, None)))
}

/// `$1` and on are values that an EXECUTE gives.
fn is_prepared(placeholder: &str) -> bool {
    let number = placeholder.strip_prefix('$').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn target(wanted: &DataType) -> Option<Target> {
    match wanted {
        DataType::Date32 | DataType::Date64 => Some(Target::Date),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(Target::Decimal(*scale)),
        _ => None,
    }
}

/// The plan with the types that its values have now.
fn with_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        // Of these, `recompute_schema` keeps the types there were.
        LogicalPlan::Values(Values { values, .. }) => LogicalPlanBuilder::values(values)?.build(),
        plan => plan.recompute_schema(),
    }
}
