//! `->`, `->>`, `#>` and `#>>`, and what a cast or a comparison makes of a value within JSON.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::DataType,
    common::{DFSchema, ScalarValue, config::ConfigOptions, plan_err, tree_node::Transformed},
    error::Result,
    logical_expr::{
        Expr, ExprSchemable, ScalarUDF,
        expr::{Alias, Cast, ScalarFunction},
        expr_rewriter::FunctionRewrite,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

use super::{Json, Wanted};

/// Calls in place of operators.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let (wanted, path) = match &op {
            BinaryOperator::Arrow => (Wanted::Json, vec![right]),
            BinaryOperator::LongArrow => (Wanted::Text, vec![right]),
            BinaryOperator::HashArrow => (Wanted::Json, steps(right)?),
            BinaryOperator::HashLongArrow => (Wanted::Text, steps(right)?),
            _ => {
                let (left, right) = compared(left, &op, right, schema)?;
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
        };
        // `a -> 'x' -> 'y'` is one call, which reads the text once.
        let mut args = match left {
            Expr::ScalarFunction(call) if is_json(&call) => call.args,
            left => vec![left],
        };
        args.extend(path);
        Ok(PlannerResult::Planned(call(wanted, args)))
    }
}

/// The steps of `#> array['a', 0]`.
fn steps(path: Expr) -> Result<Vec<Expr>> {
    let steps = match path {
        Expr::ScalarFunction(call) if call.name() == "make_array" => call.args,
        _ => return plan_err!("#> and #>> want a list of keys, as in j #>> array['a', 'b']"),
    };
    let spells_a_place = |step: &Expr| match step {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text.parse::<i64>().is_ok(),
        _ => false,
    };
    if steps.iter().any(spells_a_place) {
        return plan_err!(
            "#> with a number in quotes, which may be a key or a place in an array: write \
             -> '0' for the key and -> 0 for the place"
        );
    }
    Ok(steps)
}

/// Both sides of an operator, with a value within JSON as what it stands for beside a number.
fn compared(
    left: Expr,
    op: &BinaryOperator,
    right: Expr,
    schema: &DFSchema,
) -> Result<(Expr, Expr)> {
    let compares = matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    );
    if !compares || !(is_json_value(&left) || is_json_value(&right)) {
        return Ok((left, right));
    }
    let is_text = |expr: &Expr| match expr.get_type(schema) {
        Ok(of) => of.is_string(),
        // A parameter, which takes the other side's type.
        Err(_) => true,
    };
    if is_text(&left) && is_text(&right) {
        return plan_err!(
            "-> gives JSON, in which a text has quotes; write ->> to compare the value itself"
        );
    }
    let beside = |of: &Expr, other: &Expr| match (is_json_value(of), other.get_type(schema)) {
        (true, Ok(other)) if other.is_integer() => number(told(of.clone())),
        _ => told(of.clone()),
    };
    Ok((beside(&left, &right), beside(&right, &left)))
}

/// A text as a number that may have a fraction, which the integers beside it have not.
fn number(text: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(text), DataType::Decimal128(38, 18)))
}

/// A value within JSON as text, and anything else as it is.
fn told(expr: Expr) -> Expr {
    match expr {
        Expr::ScalarFunction(json) if is_json(&json) => call(Wanted::Text, json.args),
        Expr::Alias(alias) => told(*alias.expr),
        expr => expr,
    }
}

fn is_json_value(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => is_json(call),
        Expr::Alias(alias) => is_json_value(&alias.expr),
        _ => false,
    }
}

fn is_json(call: &ScalarFunction) -> bool {
    let function = call.func.inner().downcast_ref::<Json>();
    function.is_some_and(|function| function.wanted == Wanted::Json)
}

fn call(wanted: Wanted, args: Vec<Expr>) -> Expr {
    let function: Arc<ScalarUDF> = Arc::new(Json::udf(wanted));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

/// A cast of a value within JSON is of what it stands for, but to a text of what is written there, as in
/// PostgreSQL and DuckDB.
#[derive(Debug)]
pub(super) struct Casts;

impl FunctionRewrite for Casts {
    fn name(&self) -> &str {
        "json_casts"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let (of, to) = match &expr {
            Expr::Cast(cast) => (&*cast.expr, cast.field.data_type()),
            Expr::TryCast(cast) => (&*cast.expr, cast.field.data_type()),
            _ => return Ok(Transformed::no(expr)),
        };
        if !is_json_value(of) || DataType::is_string(to) {
            return Ok(Transformed::no(expr));
        }
        Ok(Transformed::yes(match expr {
            Expr::Cast(mut cast) => {
                *cast.expr = named_as(&cast.expr, told((*cast.expr).clone()));
                Expr::Cast(cast)
            }
            Expr::TryCast(mut cast) => {
                *cast.expr = named_as(&cast.expr, told((*cast.expr).clone()));
                Expr::TryCast(cast)
            }
            expr => expr,
        }))
    }
}

/// An expression by the name of another, which results may be called by.
fn named_as(before: &Expr, expr: Expr) -> Expr {
    match before {
        Expr::Alias(alias) => Expr::Alias(Alias::new(expr, None::<&str>, alias.name.clone())),
        _ => expr,
    }
}
