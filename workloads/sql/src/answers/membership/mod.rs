//! IN and EXISTS with the truth values of SQL, wherever a query has them.
//!
//! The engine has them as joins in WHERE, and right where a condition of WHERE is nothing but
//! `EXISTS (…)`, `x IN (…)` or, without columns of the outer query, `column NOT IN (…)`. The rest
//! becomes EXISTS of conditions that know NULL: with `e` for EXISTS,
//!
//! ```text
//! x NOT IN S, in WHERE      not e(S where y = x or y is null or x is null)
//! x IN S, as a value        case when e(S where y = x) then true
//!                                when e(S where y is null) or x is null and e(S) then null
//!                                else false end
//! ```
//!
//! and EXISTS outside of WHERE the column of a join that marks the rows which have a match. What
//! a join cannot express is refused by name.
//!
//! [`condition`] tells WHERE's conditions apart, [`single`] knows subqueries of one row, [`checks`]
//! refuses.

mod checks;
mod condition;
mod single;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use datafusion::{
    common::{
        Column, DFSchema, JoinType, ScalarValue,
        config::ConfigOptions,
        not_impl_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{
        Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder,
        expr::{Exists, InSubquery},
        expr_rewriter::{NamePreserver, replace_col},
        lit, not,
        utils::{conjunction, disjunction, expr_to_columns, split_conjunction_owned},
        when,
    },
    optimizer::{AnalyzerRule, decorrelate::PullUpCorrelatedExpr},
};

use self::{
    checks::{check, check_level, check_shape, unsupported},
    condition::{In, Top},
    single::{normal, subquery},
};

/// Rewrites what the engine has no right answer for.
#[derive(Debug, Default)]
pub(super) struct Membership {
    /// For names that no query has.
    named: AtomicUsize,
}

impl AnalyzerRule for Membership {
    fn name(&self) -> &str {
        "membership"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.in_node(plan))
            .data()
    }
}

impl Membership {
    fn in_node(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Subquery(lateral) = &plan {
            check(&lateral.subquery)?;
        }
        let mut found = false;
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::ScalarSubquery(subquery) = expr
                {
                    check(&subquery.subquery)?;
                    check_level(&subquery.subquery, &plan)?;
                    found |= !matches!(expr, Expr::ScalarSubquery(_));
                }
                // The engine makes these of EXISTS, when nothing looks at that any more.
                if let Expr::SetComparison(comparison) = expr {
                    check(&comparison.subquery.subquery)?;
                    check_shape(&comparison.subquery.subquery)?;
                    if !matches!(plan, LogicalPlan::Filter(_)) {
                        return not_impl_err!(
                            "ANY or ALL with a subquery outside of WHERE; use EXISTS, or compare \
                             with its min or max"
                        );
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if !found {
            return Ok(Transformed::no(plan));
        }
        match plan {
            LogicalPlan::Filter(filter) => self.in_filter(filter).map(Transformed::yes),
            LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => {
                self.as_values(plan).map(Transformed::yes)
            }
            LogicalPlan::Join(_) => not_impl_err!(
                "IN or EXISTS with a subquery in the condition of a JOIN; have it in WHERE, or in \
                 the select list of a subquery that is joined"
            ),
            plan => Ok(Transformed::no(plan)),
        }
    }

    /// Conditions that the engine makes joins of.
    fn in_filter(&self, filter: Filter) -> Result<LogicalPlan> {
        let schema = filter.input.schema();
        let mut conditions = Vec::new();
        for condition in split_conjunction_owned(filter.predicate) {
            conditions.push(match Top::of(condition) {
                Top::In(test) => match test.single_row()? {
                    Some(condition) => condition,
                    None if test.is_engines() => test.engines(),
                    // Of which the rest of WHERE need not know whether it is false or NULL.
                    None if test.negated => not(self.exists(&test, schema, Match::NotFalse)?),
                    None => self.exists(&test, schema, Match::True)?,
                },
                Top::Exists(exists) => normal(exists)?,
                Top::Other(condition) => self.value(condition, schema)?,
            });
        }
        let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
        Ok(LogicalPlan::Filter(Filter::try_new(
            predicate,
            filter.input,
        )?))
    }

    /// Truth values for whatever the node does with them.
    fn as_values(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let [input] = plan.inputs()[..] else {
            return not_impl_err!("IN or EXISTS with a subquery over several inputs");
        };
        let schema = Arc::clone(input.schema());
        let mut input = input.clone();
        let names = NamePreserver::new(&plan);
        let mut exprs = Vec::new();
        for expr in plan.expressions() {
            let name = names.save(&expr);
            let value = self.value(expr, &schema)?;
            let value = value.transform_up(|expr| match expr {
                Expr::Exists(exists) => {
                    let (joined, mark) = self.marked(input.clone(), &exists)?;
                    input = joined;
                    Ok(Transformed::yes(mark))
                }
                expr => Ok(Transformed::no(expr)),
            })?;
            exprs.push(name.restore(value.data));
        }
        plan.with_new_exprs(exprs, vec![input])?.recompute_schema()
    }

    /// An expression with nothing but EXISTS in it.
    fn value(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        expr.transform_up(|expr| match expr {
            Expr::Exists(exists) => normal(exists).map(Transformed::yes),
            Expr::InSubquery(test) => {
                let test = In::from(test);
                match test.single_row()? {
                    Some(value) => Ok(Transformed::yes(value)),
                    None => self.three_valued(&test, schema).map(Transformed::yes),
                }
            }
            expr => Ok(Transformed::no(expr)),
        })
        .data()
    }

    fn three_valued(&self, test: &In, schema: &DFSchema) -> Result<Expr> {
        let (_, field) = test.subquery.subquery.schema().qualified_field(0);
        let mut unknown = Vec::new();
        if field.is_nullable() {
            unknown.push(self.exists(test, schema, Match::Null)?);
        }
        if test.expr.nullable(schema).unwrap_or(true) {
            let any = self.exists(test, schema, Match::Any)?;
            unknown.push(test.expr.clone().is_null().and(any));
        }
        let mut value = when(self.exists(test, schema, Match::True)?, lit(!test.negated));
        if let Some(unknown) = disjunction(unknown) {
            value = value.when(unknown, lit(ScalarValue::Boolean(None)));
        }
        value.otherwise(lit(test.negated))
    }

    /// Whether the subquery has a row that compares so.
    fn exists(&self, test: &In, schema: &DFSchema, rows: Match) -> Result<Expr> {
        let plan = test.subquery.subquery.as_ref();
        let (qualifier, field) = plan.schema().qualified_field(0);
        let column = Column::new(qualifier.cloned(), field.name());
        // A name of its own: the outer query may have the same table.
        let name = self.next("__in");
        let of_row = || Expr::Column(Column::new_unqualified(&name));
        let outer = outer(test.expr.clone(), schema)?;
        let condition = match rows {
            Match::True => Some(of_row().eq(outer)),
            Match::NotFalse => {
                let mut any = vec![of_row().eq(outer.clone())];
                if field.is_nullable() {
                    any.push(of_row().is_null());
                }
                if test.expr.nullable(schema).unwrap_or(true) {
                    any.push(outer.is_null());
                }
                disjunction(any)
            }
            Match::Null => Some(of_row().is_null()),
            Match::Any => None,
        };
        let mut rows =
            LogicalPlanBuilder::from(plan.clone()).project([Expr::Column(column).alias(&name)])?;
        if let Some(condition) = condition {
            rows = rows.filter(condition)?;
        }
        Ok(Expr::Exists(Exists {
            subquery: subquery(rows.build()?),
            negated: false,
        }))
    }

    /// The input with a column that says of each row whether the subquery has one for it.
    fn marked(&self, input: LogicalPlan, exists: &Exists) -> Result<(LogicalPlan, Expr)> {
        let alias = self.next("__mark");
        let mut pull_up = PullUpCorrelatedExpr::new().with_exists_sub_query(true);
        let plan = exists.subquery.subquery.as_ref().clone();
        let plan = plan.rewrite(&mut pull_up).data()?;
        if !pull_up.can_pull_up || pull_up.pull_up_having_expr.is_some() {
            return unsupported();
        }
        let rows = LogicalPlanBuilder::from(plan)
            .alias(alias.as_str())?
            .build()?;
        let inner: BTreeSet<Column> = pull_up
            .correlated_subquery_cols_map
            .into_values()
            .flatten()
            .collect();
        let condition = match conjunction(pull_up.join_filters) {
            Some(condition) => {
                let renamed: Vec<Column> = inner
                    .iter()
                    .map(|column| Column::new(Some(alias.as_str()), &column.name))
                    .collect();
                replace_col(condition, &inner.iter().zip(&renamed).collect())?
            }
            None => lit(true),
        };
        let mut used = std::collections::HashSet::new();
        expr_to_columns(&condition, &mut used)?;
        let used: BTreeSet<usize> = used
            .iter()
            .filter_map(|column| rows.schema().maybe_index_of_column(column))
            .collect();
        let columns = rows.schema().columns();
        let rows = match used.is_empty() {
            // One row is as good as all.
            true => LogicalPlanBuilder::from(rows).limit(0, Some(1))?.build()?,
            false => {
                let columns = columns.into_iter().enumerate();
                let columns = columns.filter(|(index, _)| used.contains(index));
                LogicalPlanBuilder::from(rows)
                    .project(columns.map(|(_, column)| Expr::Column(column)))?
                    .build()?
            }
        };
        let joined = LogicalPlanBuilder::from(input)
            .join_on(rows, JoinType::LeftMark, [condition])?
            .build()?;
        let mark = Expr::Column(Column::new(Some(alias), "mark"));
        let mark = if exists.negated { not(mark) } else { mark };
        Ok((joined, mark))
    }

    fn next(&self, what: &str) -> String {
        format!("{what}_{}", self.named.fetch_add(1, Ordering::Relaxed))
    }
}

/// Which of a subquery's rows are meant, `y` being its column.
#[derive(Debug, Clone, Copy)]
enum Match {
    /// `y = x` is true.
    True,
    /// `y = x` is true or NULL.
    NotFalse,
    /// `y` is NULL.
    Null,
    Any,
}

/// The expression as a subquery sees it.
fn outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let (_, field) = schema.qualified_field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(
                Arc::clone(field),
                column,
            )))
        }
        expr => Ok(Transformed::no(expr)),
    })
    .data()
}
