//! Sorts that the engine leaves out, as their input were in order already.
//!
//! It takes these to keep the order of what they are given, and they do not:
//! - `date_trunc` of a timestamp in a zone, whose clocks may be put back, and so a day cast from one;
//! - the time of day of a timestamp;
//! - `log` to a base that is less than one in some rows and more in others.
//!
//! They are handed on by a function of which the engine knows nothing.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::DataType,
    common::{
        DFSchema,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
        utils::take_function_args,
    },
    error::Result,
    logical_expr::{
        Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, TryCast, Volatility, expr::ScalarFunction,
        expr_rewriter::NamePreserver, utils::merge_schema,
    },
    optimizer::AnalyzerRule,
};

use super::zones;

/// Hands them on.
#[derive(Debug)]
pub(super) struct Disorder;

impl AnalyzerRule for Disorder {
    fn name(&self) -> &str {
        "disorder"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let done = expr.transform_up(|expr| in_expr(expr, &schema))?;
                Ok(done.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

fn in_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if keeps_order(&expr, schema)? {
        return Ok(Transformed::no(expr));
    }
    let function = Arc::new(ScalarUDF::from(Unordered::default()));
    let call = ScalarFunction::new_udf(function, vec![expr]);
    Ok(Transformed::yes(Expr::ScalarFunction(call)))
}

/// Whether the engine is right about it, or does not take it to keep the order either.
fn keeps_order(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    let has_clock_changes =
        |of: &DataType| matches!(of, DataType::Timestamp(_, Some(zone)) if !zones::is_utc(zone));
    Ok(match expr {
        Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
            ("date_trunc", [_, of]) => !has_clock_changes(&of.get_type(schema)?),
            ("log", [base, _]) => matches!(base, Expr::Literal(..)),
            _ => true,
        },
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            let from = expr.get_type(schema)?;
            match field.data_type() {
                DataType::Time32(_) | DataType::Time64(_) => {
                    !matches!(from, DataType::Timestamp(..))
                }
                DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, None) => {
                    !has_clock_changes(&from)
                }
                _ => true,
            }
        }
        _ => true,
    })
}

/// What it is given.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Unordered {
    signature: Signature,
}

impl Default for Unordered {
    fn default() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Unordered {
    fn name(&self) -> &str {
        "unordered"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        let [of] = take_function_args(self.name(), given)?;
        Ok(of.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [of] = take_function_args(self.name(), args.args)?;
        Ok(of)
    }
}
