//! The parameters' values in a plan: typed where they stand, never part of the SQL's text.

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    common::{
        ScalarValue,
        tree_node::{Transformed, TreeNode as _},
    },
    error::{DataFusionError, Result},
    logical_expr::{
        Cast, Expr, LogicalPlan, LogicalPlanBuilder, Values, expr::Placeholder,
        expr_rewriter::NamePreserver,
    },
};
use sql_core::params::{self, Params, Target};

/// Puts a value in the place of every named placeholder, of the type that the planner has inferred
/// for that very place: that of what it is compared with, say, or of the cast around it. In a LIMIT
/// it is a whole number, and a prepared statement has told the types of its own.
///
/// # Errors
///
/// Names a parameter of which nothing tells a type, one whose value is none of that type, and a
/// placeholder of another form.
pub(crate) fn bind(plan: LogicalPlan, params: &Params) -> Result<LogicalPlan> {
    if params.is_empty() {
        return Ok(plan);
    }
    let bound = plan.transform_up_with_subqueries(|plan| {
        let told = match plan {
            LogicalPlan::Limit(_) => Some(DataType::Int64),
            LogicalPlan::Statement(_) => Some(DataType::Utf8),
            _ => None,
        };
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let bound = expr.transform_down(|expr| match expr {
                Expr::Placeholder(placeholder) => literal(placeholder, params, told.as_ref()),
                Expr::Cast(Cast { expr, field }) => match *expr {
                    Expr::Placeholder(placeholder) => {
                        literal(placeholder, params, Some(field.data_type()))?.map_data(|expr| {
                            let expr = Box::new(expr);
                            Ok(Expr::Cast(Cast { expr, field }))
                        })
                    }
                    other => {
                        let expr = Box::new(other);
                        Ok(Transformed::no(Expr::Cast(Cast { expr, field })))
                    }
                },
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

/// The value of a placeholder, of the type that the planner has inferred or else of that which is
/// `told`.
fn literal(
    placeholder: Placeholder,
    params: &Params,
    told: Option<&DataType>,
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
    let inferred = placeholder.field.as_ref().map(|field| field.data_type());
    // A comparison of two values of no type tells none.
    let inferred = inferred.filter(|inferred| **inferred != DataType::Null);
    let Some(wanted) = inferred.or(told) else {
        return Err(DataFusionError::Execution(format!(
            "nothing tells the type of the parameter {id} here: say one, as cast({id} as double) or \
             cast({id} as varchar)",
            id = placeholder.id
        )));
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
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            Some(Target::Seconds(match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            }))
        }
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
