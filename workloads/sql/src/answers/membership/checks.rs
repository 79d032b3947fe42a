//! What is refused.

use datafusion::{
    common::{
        JoinType, not_impl_err,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{Expr, LogicalPlan, utils::merge_schema},
};

/// Refuses subqueries of which the engine forgets a part when it makes a join of them.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|plan| {
        match plan {
            LogicalPlan::Join(join) => {
                let (left, right) = match join.join_type {
                    JoinType::Left => (false, true),
                    JoinType::Right => (true, false),
                    JoinType::Full => (true, true),
                    _ => (false, false),
                };
                if left && is_correlated(&join.left) || right && is_correlated(&join.right) {
                    return not_impl_err!(
                        "a subquery that refers to the outer query beneath an outer join, on the \
                         side that may be missing; refer to it in the subquery's WHERE instead"
                    );
                }
            }
            LogicalPlan::Window(_) if is_correlated(plan) => {
                return not_impl_err!(
                    "a subquery that refers to the outer query beneath a window function; join \
                     with a query that has the window function and no reference instead"
                );
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Refuses what neither a semi-join nor a mark can stand for.
pub(super) fn check_shape(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|plan| match plan {
        LogicalPlan::Limit(_) if is_correlated(plan) => not_impl_err!(
            "LIMIT or OFFSET in a subquery of IN or EXISTS that refers to the outer query"
        ),
        // Without rows it still has one, which a join would lose.
        LogicalPlan::Aggregate(groups) if groups.group_expr.is_empty() && is_correlated(plan) => {
            not_impl_err!(
                "a subquery of IN or EXISTS that refers to the outer query beneath an aggregate \
                 of all rows and does more with it; compare the aggregate itself with a value"
            )
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(())
}

/// Refuses what refers to a query that is not the next outer one.
pub(super) fn check_level(subquery: &LogicalPlan, outer: &LogicalPlan) -> Result<()> {
    let schema = merge_schema(&outer.inputs());
    for reference in subquery.all_out_ref_exprs() {
        if let Expr::OuterReferenceColumn(_, column) = reference
            && schema.maybe_index_of_column(&column).is_none()
        {
            return not_impl_err!(
                "a reference over two levels of subqueries, to {column}; have the column in the select \
                 list of the subquery between, or join"
            );
        }
    }
    Ok(())
}

pub(super) fn is_correlated(plan: &LogicalPlan) -> bool {
    !plan.all_out_ref_exprs().is_empty()
}

pub(super) fn unsupported<T>() -> Result<T> {
    not_impl_err!(
        "IN or EXISTS outside of WHERE whose subquery refers to the outer query in this way; refer \
         to it in conditions of the subquery's WHERE, beneath no UNION, LIMIT or window function"
    )
}
