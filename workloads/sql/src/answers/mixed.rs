//! Decimals beside floating point, which are compared as floating point.
//!
//! The engine makes both decimals of fifteen digits after the point: smaller numbers become zero, and
//! NaN, infinity and large ones are errors. Literals are left to it, which are exact so.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType},
    common::{
        Column, DFSchema,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    error::Result,
    logical_expr::{
        Between, BinaryExpr, Case, Cast, Expr, ExprSchemable, Join, LogicalPlan,
        LogicalPlanBuilder, Operator, Subquery, Union,
        expr::{InList, InSubquery},
        expr_rewriter::NamePreserver,
        utils::merge_schema,
    },
    optimizer::AnalyzerRule,
};

/// Functions that give back one of their arguments, of a type that all have.
const CHOOSING: [&str; 6] = ["coalesce", "nvl", "ifnull", "greatest", "least", "nullif"];

/// Functions that may need a digit more than their argument has.
const ROUNDING: [&str; 3] = ["ceil", "floor", "round"];

/// Casts the decimals.
#[derive(Debug)]
pub(super) struct Mixed;

impl AnalyzerRule for Mixed {
    fn name(&self) -> &str {
        "decimals_beside_floats"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(in_node).data()
    }
}

fn in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Union(union) => return in_union(union),
        LogicalPlan::Join(join) => in_join(join)?,
        plan => Transformed::no(plan),
    };
    let mut schema = merge_schema(&plan.data.inputs());
    if let LogicalPlan::TableScan(scan) = &plan.data {
        let source = scan.source.schema();
        schema.merge(&DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            &source,
        )?);
    }
    let changed = plan.transformed;
    let names = NamePreserver::new(&plan.data);
    let done = plan.data.map_expressions(|expr| {
        let name = names.save(&expr);
        let done = expr.transform_up(|expr| in_expr(expr, &schema))?;
        Ok(done.update_data(|expr| name.restore(expr)))
    })?;
    match done.transformed || changed {
        true => Ok(Transformed::yes(done.data.recompute_schema()?)),
        false => Ok(done),
    }
}

/// What an operand is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Decimal,
    Float,
    Other,
}

fn kind(expr: &Expr, schema: &DFSchema) -> Kind {
    // What has no type yet, as a parameter, is left to the engine.
    let of = expr.get_type(schema);
    of.map_or(Kind::Other, |of| match expr {
        Expr::Literal(..) => Kind::Other,
        _ => kind_of(&of),
    })
}

fn kind_of(of: &DataType) -> Kind {
    match of {
        DataType::Dictionary(_, of) => kind_of(of),
        of if of.is_decimal() => Kind::Decimal,
        of if of.is_floating() => Kind::Float,
        _ => Kind::Other,
    }
}

fn as_float(expr: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), DataType::Float64))
}

/// Casts the decimals among operands of which one is floating point.
fn unify<'a>(
    operands: impl IntoIterator<Item = &'a mut Expr>,
    schema: &DFSchema,
) -> Transformed<()> {
    let operands: Vec<_> = operands.into_iter().collect();
    let kinds: Vec<_> = operands.iter().map(|expr| kind(expr, schema)).collect();
    if !kinds.contains(&Kind::Float) || !kinds.contains(&Kind::Decimal) {
        return Transformed::no(());
    }
    for (expr, kind) in operands.into_iter().zip(kinds) {
        if kind == Kind::Decimal {
            let decimal = std::mem::take(expr);
            *expr = as_float(decimal);
        }
    }
    Transformed::yes(())
}

fn in_expr(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let done = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_numeric(*op) => {
            unify([left.as_mut(), right.as_mut()], schema)
        }
        Expr::Between(Between {
            expr, low, high, ..
        }) => unify([expr.as_mut(), low.as_mut(), high.as_mut()], schema),
        Expr::InList(InList { expr, list, .. }) => {
            unify(std::iter::once(expr.as_mut()).chain(list), schema)
        }
        Expr::Case(Case {
            expr,
            when_then_expr,
            else_expr,
        }) => {
            let mut changed = Transformed::no(());
            if let Some(expr) = expr {
                let whens = when_then_expr.iter_mut().map(|(when, _)| when.as_mut());
                changed = unify(std::iter::once(expr.as_mut()).chain(whens), schema);
            }
            let thens = when_then_expr.iter_mut().map(|(_, then)| then.as_mut());
            let results = unify(
                thens.chain(else_expr.iter_mut().map(|expr| expr.as_mut())),
                schema,
            );
            match changed.transformed || results.transformed {
                true => Transformed::yes(()),
                false => Transformed::no(()),
            }
        }
        // Of 9.99 the next integer has another digit.
        Expr::ScalarFunction(call) if ROUNDING.contains(&call.name()) => {
            match call.args.first_mut().map(|of| (of.get_type(schema), of)) {
                Some((Ok(DataType::Decimal128(precision, scale)), of))
                    if precision < DECIMAL128_MAX_PRECISION =>
                {
                    let wider = DataType::Decimal128(precision + 1, scale);
                    let decimal = std::mem::take(of);
                    *of = Expr::Cast(Cast::new(Box::new(decimal), wider));
                    Transformed::yes(())
                }
                _ => Transformed::no(()),
            }
        }
        Expr::ScalarFunction(call) if CHOOSING.contains(&call.name()) => {
            unify(&mut call.args, schema)
        }
        Expr::InSubquery(test) => in_subquery(test, schema)?,
        _ => Transformed::no(()),
    };
    Ok(done.update_data(|()| expr))
}

fn is_numeric(op: Operator) -> bool {
    use Operator::{
        Divide, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, Minus, Modulo, Multiply,
        NotEq, Plus,
    };
    matches!(
        op,
        Eq | NotEq
            | Lt
            | LtEq
            | Gt
            | GtEq
            | IsDistinctFrom
            | IsNotDistinctFrom
            | Plus
            | Minus
            | Multiply
            | Divide
            | Modulo
    )
}

fn in_subquery(test: &mut InSubquery, schema: &DFSchema) -> Result<Transformed<()>> {
    let plan = &test.subquery.subquery;
    let Some(of) = plan
        .schema()
        .fields()
        .first()
        .map(|field| field.data_type())
    else {
        return Ok(Transformed::no(()));
    };
    match (kind(&test.expr, schema), kind_of(of)) {
        (Kind::Decimal, Kind::Float) => {
            let decimal = std::mem::take(test.expr.as_mut());
            *test.expr = as_float(decimal);
            Ok(Transformed::yes(()))
        }
        (Kind::Float, Kind::Decimal) => {
            let (qualifier, field) = plan.schema().qualified_field(0);
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            let plan = LogicalPlanBuilder::from(plan.as_ref().clone())
                .project([as_float(column).alias(field.name())])?
                .build()?;
            test.subquery = Subquery {
                subquery: Arc::new(plan),
                ..test.subquery.clone()
            };
            Ok(Transformed::yes(()))
        }
        _ => Ok(Transformed::no(())),
    }
}

/// Keys, of which each side has its own columns.
fn in_join(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let mut changed = false;
    for (left, right) in &mut join.on {
        match (
            kind(left, join.left.schema()),
            kind(right, join.right.schema()),
        ) {
            (Kind::Decimal, Kind::Float) => *left = as_float(std::mem::take(left)),
            (Kind::Float, Kind::Decimal) => *right = as_float(std::mem::take(right)),
            _ => continue,
        }
        changed = true;
    }
    Ok(Transformed::new_transformed(
        LogicalPlan::Join(join),
        changed,
    ))
}

fn in_union(union: Union) -> Result<Transformed<LogicalPlan>> {
    let count = union.schema.fields().len();
    let kinds = |index: usize| {
        let inputs = union.inputs.iter();
        inputs.filter_map(move |input| {
            let field = input.schema().fields().get(index)?;
            Some(kind_of(field.data_type()))
        })
    };
    let mixed: Vec<bool> = (0..count)
        .map(|index| {
            kinds(index).any(|kind| kind == Kind::Float)
                && kinds(index).any(|kind| kind == Kind::Decimal)
        })
        .collect();
    if !mixed.contains(&true) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let mut inputs = Vec::with_capacity(union.inputs.len());
    for input in union.inputs {
        let schema = Arc::clone(input.schema());
        let columns = schema
            .iter()
            .zip(&mixed)
            .map(|((qualifier, field), mixed)| {
                let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
                match *mixed && kind_of(field.data_type()) == Kind::Decimal {
                    true => as_float(column).alias_qualified(qualifier.cloned(), field.name()),
                    false => column,
                }
            });
        let columns: Vec<Expr> = columns.collect();
        let input = LogicalPlanBuilder::from(Arc::unwrap_or_clone(input))
            .project(columns)?
            .build()?;
        inputs.push(Arc::new(input));
    }
    Ok(Transformed::yes(LogicalPlan::Union(
        Union::try_new_with_loose_types(inputs)?,
    )))
}
