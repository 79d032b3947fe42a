//! NULL within lists that are searched.
//!
//! NULL equals nothing. The engine finds it in both `[1, NULL]` and `[NULL]`, and whether `[1, NULL]` has 2, or
//! NULL, it answers by whether that is a constant. As in DuckDB, NULL is no value in common, no list has or
//! lacks NULL, and a list that has NULL has no more in it for that.

use datafusion::{
    common::{
        ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    error::Result,
    functions_nested::array_compact::array_compact_udf,
    logical_expr::{
        Expr, LogicalPlan, expr::ScalarFunction, expr_rewriter::NamePreserver, lit, when,
    },
    optimizer::AnalyzerRule,
};

/// Searches lists without NULL.
#[derive(Debug)]
pub(super) struct Lists;

impl AnalyzerRule for Lists {
    fn name(&self) -> &str {
        "lists"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let done = expr.transform_up(in_expr)?;
                Ok(done.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

fn in_expr(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(mut call) = expr else {
        return Ok(Transformed::no(expr));
    };
    match (call.func.name(), call.args.as_mut_slice()) {
        ("array_has_any", [_, list]) => {
            without_null(list);
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        ("array_has", [list, value]) => {
            without_null(list);
            let value = value.clone();
            let has = Expr::ScalarFunction(call);
            Ok(Transformed::yes(match &value {
                Expr::Literal(value, _) if !value.is_null() => has,
                _ => when(value.is_null(), lit(ScalarValue::Boolean(None))).otherwise(has)?,
            }))
        }
        _ => Ok(Transformed::no(Expr::ScalarFunction(call))),
    }
}

fn without_null(list: &mut Expr) {
    let values = ScalarFunction::new_udf(array_compact_udf(), vec![std::mem::take(list)]);
    *list = Expr::ScalarFunction(values);
}
