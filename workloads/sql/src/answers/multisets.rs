//! INTERSECT ALL and EXCEPT ALL, which count how often a row is on either side.
//!
//! The engine joins the sides on their columns and so keeps all of a row's repetitions, or none.
//! With each repetition numbered, and the number one of the columns, the same join is right.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, JoinType, NullEquality,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult},
    },
    error::Result,
    functions_window::expr_fn::row_number,
    logical_expr::{Distinct, Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder},
    optimizer::AnalyzerRule,
};

/// The column with a repetition's number.
const NUMBER: &str = "__repetition";

/// Numbers what is compared.
#[derive(Debug)]
pub(super) struct Multisets;

impl AnalyzerRule for Multisets {
    fn name(&self) -> &str {
        "multisets"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(in_node).data()
    }
}

fn in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        // Of joins that a query spells out, none finds NULL equal to NULL.
        LogicalPlan::Join(join)
            if matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
                && join.null_equality == NullEquality::NullEqualsNull
                && !is_distinct(&join.left) =>
        {
            numbered(join).map(Transformed::yes)
        }
        plan => Ok(Transformed::no(plan)),
    }
}

/// Whether no row repeats, as it is without ALL.
fn is_distinct(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Distinct(Distinct::All(_)) => true,
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(is_column) && is_distinct(&projection.input)
        }
        _ => false,
    }
}

/// A column, perhaps as another type.
fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Alias(alias) => is_column(&alias.expr),
        Expr::Cast(cast) => is_column(&cast.expr),
        _ => false,
    }
}

fn numbered(join: Join) -> Result<LogicalPlan> {
    let columns = join.left.schema().columns();
    let (left, left_number) = with_number(Arc::unwrap_or_clone(join.left))?;
    let (right, right_number) = with_number(Arc::unwrap_or_clone(join.right))?;
    let mut on = join.on;
    on.push((left_number, right_number));
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(join))
        .project(columns.into_iter().map(Expr::Column))?
        .build()
}

/// The rows with the number that each has among its repetitions.
fn with_number(plan: LogicalPlan) -> Result<(LogicalPlan, Expr)> {
    let columns: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    let number = row_number().partition_by(columns.clone()).build()?;
    let name = number.schema_name().to_string();
    let shown = Expr::Column(Column::new_unqualified(name)).alias(NUMBER);
    let plan = LogicalPlanBuilder::from(plan)
        .window([number])?
        .project(columns.into_iter().chain([shown]))?
        .build()?;
    Ok((plan, Expr::Column(Column::new_unqualified(NUMBER))))
}
