//! Keys of ORDER BY, and what window functions are of, computed beneath them where a condition guards
//! them.
//!
//! `ORDER BY b <> 0 AND a / b > 2` must not fail where `b` is 0. A projection computes such
//! expressions as [`guards`](super::guards) has it; sorts and window functions would compute all of it for
//! all rows.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use datafusion::{
    common::{
        Column, DFSchemaRef,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{
        BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Sort, Window,
        expr_rewriter::NamePreserver,
    },
    optimizer::AnalyzerRule,
};

use super::canonical;

/// Functions that the engine computes as a CASE.
const CHOOSING: [&str; 4] = ["coalesce", "nvl", "ifnull", "nvl2"];

/// Moves them.
#[derive(Debug, Default)]
pub(super) struct Beneath {
    /// For names that no query has.
    named: AtomicUsize,
}

impl AnalyzerRule for Beneath {
    fn name(&self) -> &str {
        "guarded_beneath"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Sort(sort) if sort.expr.iter().any(|key| is_guarded(&key.expr)) => {
                self.in_sort(sort).map(Transformed::yes)
            }
            LogicalPlan::Window(window) if window.window_expr.iter().any(is_guarded) => {
                self.in_window(window).map(Transformed::yes)
            }
            plan => Ok(Transformed::no(plan)),
        })
        .data()
    }
}

impl Beneath {
    fn in_sort(&self, sort: Sort) -> Result<LogicalPlan> {
        let schema = Arc::clone(sort.input.schema());
        let mut moved = Moved::default();
        let mut keys = sort.expr;
        for key in &mut keys {
            key.expr = self.moved(std::mem::take(&mut key.expr), &mut moved);
        }
        let sorted = LogicalPlan::Sort(Sort {
            expr: keys,
            input: Arc::new(moved.beneath(&sort.input)?),
            fetch: sort.fetch,
        });
        only(sorted, &schema)
    }

    fn in_window(&self, window: Window) -> Result<LogicalPlan> {
        let plan = LogicalPlan::Window(window.clone());
        let names = NamePreserver::new(&plan);
        let mut moved = Moved::default();
        let mut functions = Vec::with_capacity(window.window_expr.len());
        for function in window.window_expr {
            let name = names.save(&function);
            let function = function.transform_down(|expr| match expr {
                Expr::WindowFunction(_) => {
                    let mut function =
                        expr.map_children(|of| Ok(Transformed::yes(self.moved(of, &mut moved))))?;
                    function.tnr = TreeNodeRecursion::Jump;
                    Ok(function)
                }
                expr => Ok(Transformed::no(expr)),
            })?;
            functions.push(name.restore(function.data));
        }
        let input = Arc::new(moved.beneath(&window.input)?);
        let windows = LogicalPlan::Window(Window::try_new(functions, input)?);
        only(windows, &window.schema)
    }

    /// The expression, or the column that it is computed as.
    fn moved(&self, expr: Expr, moved: &mut Moved) -> Expr {
        if !is_guarded(&expr) {
            return expr;
        }
        let number = self.named.fetch_add(1, Ordering::Relaxed);
        let name = format!("__guarded_{number}");
        moved.0.push(expr.alias(&name));
        Expr::Column(Column::new_unqualified(name))
    }
}

/// What is to be computed beneath a node.
#[derive(Default)]
struct Moved(Vec<Expr>);

impl Moved {
    fn beneath(self, input: &LogicalPlan) -> Result<LogicalPlan> {
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        LogicalPlanBuilder::from(input.clone())
            .project(columns.chain(self.0))?
            .build()
    }
}

/// The plan without the columns that it was not to have.
fn only(plan: LogicalPlan, schema: &DFSchemaRef) -> Result<LogicalPlan> {
    let columns = schema.columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Whether something that may fail stands where a condition decides if it is computed.
fn is_guarded(expr: &Expr) -> bool {
    let mut found = false;
    // It never fails.
    let _ = expr.apply(|expr| {
        let decides = match expr {
            Expr::Case(_) => true,
            Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(op, Operator::And | Operator::Or),
            Expr::ScalarFunction(call) => CHOOSING.contains(&call.name()),
            _ => false,
        };
        found |= decides && may_fail(expr);
        // What a subquery or the outer query says is moved by others.
        let elsewhere = expr.contains_outer();
        if elsewhere {
            found = false;
        }
        Ok(match found || elsewhere {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    found
}

fn may_fail(expr: &Expr) -> bool {
    expr.exists(|expr| {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { op, .. }) => {
                matches!(op, Operator::Divide | Operator::Modulo)
            }
            Expr::Cast(_) => true,
            Expr::ScalarFunction(call) => {
                call.name() != canonical::NAME && !CHOOSING.contains(&call.name())
            }
            _ => false,
        })
    })
    .unwrap_or(true)
}
