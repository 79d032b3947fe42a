//! Subqueries of one row, and EXISTS as the engine has it right.

use std::sync::Arc;

use datafusion::{
    common::{Spans, not_impl_err},
    error::Result,
    logical_expr::{
        Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection, Subquery,
        expr::Exists,
        lit,
        logical_plan::{FetchType, SkipType},
        not,
    },
};

use super::checks::{check_shape, is_correlated};

/// A subquery that aggregates all its rows to one, which a condition may exclude.
pub(super) struct Single<'a> {
    pub(super) projection: Option<&'a Projection>,
    pub(super) condition: Option<&'a Expr>,
    pub(super) aggregate: &'a LogicalPlan,
}

impl<'a> Single<'a> {
    pub(super) fn of(plan: &'a LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::Projection(projection) => {
                let below = Self::of(&projection.input)?;
                below.projection.is_none().then_some(Self {
                    projection: Some(projection),
                    ..below
                })
            }
            LogicalPlan::Filter(filter) => {
                let below = Self::of(&filter.input)?;
                let bare = below.projection.is_none() && below.condition.is_none();
                bare.then_some(Self {
                    condition: Some(&filter.predicate),
                    ..below
                })
            }
            LogicalPlan::Aggregate(Aggregate { group_expr, .. }) => {
                group_expr.is_empty().then_some(Self {
                    projection: None,
                    condition: None,
                    aggregate: plan,
                })
            }
            _ => None,
        }
    }
}

/// Whether the one row is there.
pub(super) fn holds(aggregate: &LogicalPlan, condition: &Expr) -> Result<Expr> {
    let value = LogicalPlanBuilder::from(aggregate.clone())
        .project([condition.clone().alias("__holds")])?
        .build()?;
    Ok(Expr::ScalarSubquery(subquery(value)).is_true())
}

/// EXISTS as the engine has it right.
pub(super) fn normal(exists: Exists) -> Result<Expr> {
    let plan = Arc::clone(&exists.subquery.subquery);
    if !is_correlated(&plan) {
        return Ok(Expr::Exists(exists));
    }
    let mut plan = plan.as_ref();
    loop {
        plan = match plan {
            // Neither an order nor columns make rows come or go.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Limit(limit) => match (limit.get_skip_type()?, limit.get_fetch_type()?) {
                (_, FetchType::Literal(Some(0))) => return Ok(lit(exists.negated)),
                (SkipType::Literal(0), FetchType::Literal(_)) => &limit.input,
                _ => {
                    return not_impl_err!(
                        "OFFSET in an EXISTS that refers to the outer query; compare count(*) \
                         with a number instead"
                    );
                }
            },
            _ => break,
        };
    }
    if let Some(single) = Single::of(plan) {
        let value = match single.condition {
            None => lit(true),
            Some(condition) => holds(single.aggregate, condition)?,
        };
        return Ok(if exists.negated { not(value) } else { value });
    }
    check_shape(plan)?;
    Ok(Expr::Exists(Exists {
        subquery: subquery(plan.clone()),
        negated: exists.negated,
    }))
}

pub(super) fn subquery(plan: LogicalPlan) -> Subquery {
    Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: Spans::new(),
    }
}
