//! Conditions of WHERE, told apart.

use std::sync::Arc;

use datafusion::{
    error::Result,
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, Projection, Subquery,
        expr::{Exists, InSubquery},
        lit, not, when,
    },
};

use super::{
    checks::{check_shape, is_correlated},
    single::{Single, holds, subquery},
};

/// A condition of WHERE.
pub(super) enum Top {
    In(In),
    Exists(Exists),
    Other(Expr),
}

impl Top {
    pub(super) fn of(condition: Expr) -> Self {
        match condition {
            Expr::Not(inner) => match Self::of(*inner) {
                Self::In(mut test) => {
                    test.negated = !test.negated;
                    Self::In(test)
                }
                Self::Exists(mut exists) => {
                    exists.negated = !exists.negated;
                    Self::Exists(exists)
                }
                Self::Other(inner) => Self::Other(not(inner)),
            },
            Expr::InSubquery(test) => Self::In(test.into()),
            Expr::Exists(exists) => Self::Exists(exists),
            condition => Self::Other(condition),
        }
    }
}

/// `x IN (…)`.
pub(super) struct In {
    pub(super) expr: Expr,
    pub(super) subquery: Subquery,
    pub(super) negated: bool,
}

impl From<InSubquery> for In {
    fn from(test: InSubquery) -> Self {
        Self {
            expr: *test.expr,
            subquery: named(test.subquery),
            negated: test.negated,
        }
    }
}

/// A subquery of a column that is cast, with a name of its own: else it has the column's, which may
/// have to stand beside it for the references to the outer query.
fn named(subquery: Subquery) -> Subquery {
    let LogicalPlan::Projection(projection) = subquery.subquery.as_ref() else {
        return subquery;
    };
    let [Expr::Cast(_) | Expr::TryCast(_)] = &projection.expr[..] else {
        return subquery;
    };
    let cast = projection.expr[0].clone().alias("__cast");
    match Projection::try_new(vec![cast], Arc::clone(&projection.input)) {
        Ok(projection) => Subquery {
            subquery: Arc::new(LogicalPlan::Projection(projection)),
            ..subquery
        },
        Err(_) => subquery,
    }
}

impl In {
    /// Whether the engine has it right as a condition of WHERE.
    pub(super) fn is_engines(&self) -> bool {
        !self.negated || (!is_correlated(&self.subquery.subquery) && self.expr.any_column_refs())
    }

    pub(super) fn engines(self) -> Expr {
        Expr::InSubquery(InSubquery {
            expr: Box::new(self.expr),
            subquery: self.subquery,
            negated: self.negated,
        })
    }

    /// Of a subquery that has one row whatever the outer row is: a comparison.
    pub(super) fn single_row(&self) -> Result<Option<Expr>> {
        let plan = &self.subquery.subquery;
        if !is_correlated(plan) {
            return Ok(None);
        }
        let Some(single) = Single::of(plan) else {
            check_shape(plan)?;
            return Ok(None);
        };
        let compared = |value: Expr| match self.negated {
            false => self.expr.clone().eq(value),
            true => self.expr.clone().not_eq(value),
        };
        Ok(Some(match single.condition {
            None => compared(Expr::ScalarSubquery(self.subquery.clone())),
            Some(condition) => {
                let mut value = LogicalPlanBuilder::from(single.aggregate.clone());
                if let Some(projection) = single.projection {
                    value = value.project(projection.expr.clone())?;
                }
                let value = Expr::ScalarSubquery(subquery(value.build()?));
                when(holds(single.aggregate, condition)?, compared(value))
                    .otherwise(lit(self.negated))?
            }
        }))
    }
}
