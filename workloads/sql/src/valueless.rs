//! Averages of columns that have no value in any row, as those of a CSV with a header only.
//!
//! Such a column has the type NULL, which fits beside every other type; the engine plans an average
//! of it and then fails to compute it.

use datafusion::{
    arrow::datatypes::DataType,
    common::tree_node::{Transformed, TreeNode as _},
    config::ConfigOptions,
    error::Result,
    logical_expr::{
        Expr, ExprSchemable as _, LogicalPlan, WindowFunctionDefinition, cast,
        expr_rewriter::NamePreserver, utils::merge_schema,
    },
    optimizer::AnalyzerRule,
};

/// Makes the argument of an average a number.
#[derive(Debug)]
pub(crate) struct Valueless;

impl AnalyzerRule for Valueless {
    fn name(&self) -> &str {
        "valueless"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|mut expr| {
                    let Some(arguments) = averaged(&mut expr) else {
                        return Ok(Transformed::no(expr));
                    };
                    let mut changed = false;
                    for argument in arguments {
                        if argument.get_type(&schema)? == DataType::Null {
                            *argument = cast(argument.clone(), DataType::Float64);
                            changed = true;
                        }
                    }
                    Ok(Transformed::new_transformed(expr, changed))
                })?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(plan.data)
    }
}

/// What is averaged, where that is what the expression does.
fn averaged(expr: &mut Expr) -> Option<&mut Vec<Expr>> {
    match expr {
        Expr::AggregateFunction(function) if function.func.name() == "avg" => {
            Some(&mut function.params.args)
        }
        Expr::WindowFunction(function) => match &function.fun {
            WindowFunctionDefinition::AggregateUDF(udf) if udf.name() == "avg" => {
                Some(&mut function.params.args)
            }
            _ => None,
        },
        _ => None,
    }
}
