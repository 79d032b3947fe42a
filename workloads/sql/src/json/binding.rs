//! What an arrow belongs to.
//!
//! The parser has `->` and `->>` bind less than comparisons and reads `j ->> 'a' = 'x'` as
//! `j ->> ('a' = 'x')`, and `'<' || j ->> 'a'` as a key of another text. Here an arrow takes the operands
//! that stand beside it. Brackets are expressions of their own, so nothing within them moves.

use std::{mem, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement,
    sqlparser::ast::{BinaryOperator, Expr, Value, VisitMut as _, VisitorMut},
};

/// Has each arrow of a statement take the nearest operands.
pub(crate) fn bind_arrows(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => {
            // It never breaks off.
            let _ = statement.visit(&mut Arrows);
        }
        Statement::Explain(explain) => bind_arrows(&mut explain.statement),
        _ => {}
    }
}

struct Arrows;

impl VisitorMut for Arrows {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_arrow(expr) {
            bind(expr);
        }
        ControlFlow::Continue(())
    }
}

fn is_arrow(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::BinaryOp {
            op: BinaryOperator::Arrow
                | BinaryOperator::LongArrow
                | BinaryOperator::HashArrow
                | BinaryOperator::HashLongArrow,
            ..
        }
    )
}

/// `(a = j) -> ('k' = b)` becomes `(a = (j -> 'k')) = b`.
fn bind(arrow: &mut Expr) {
    let Expr::BinaryOp { left, op, right } = arrow else {
        return;
    };
    let mut before = mem::replace(&mut **left, nothing());
    let mut after = mem::replace(&mut **right, nothing());
    let bound = Expr::BinaryOp {
        left: Box::new(mem::replace(last(&mut before), nothing())),
        op: op.clone(),
        right: Box::new(mem::replace(first(&mut after), nothing())),
    };
    // Where an operand was all there is, its place is the whole.
    *last(&mut before) = bound;
    *first(&mut after) = before;
    *arrow = after;
}

/// The operand that an expression ends with.
fn last(expr: &mut Expr) -> &mut Expr {
    if is_arrow(expr) {
        return expr;
    }
    match expr {
        Expr::BinaryOp { right: of, .. }
        | Expr::UnaryOp { expr: of, .. }
        | Expr::IsDistinctFrom(_, of)
        | Expr::IsNotDistinctFrom(_, of)
        | Expr::Between { high: of, .. }
        | Expr::Like { pattern: of, .. }
        | Expr::ILike { pattern: of, .. }
        | Expr::SimilarTo { pattern: of, .. }
        | Expr::RLike { pattern: of, .. } => last(of),
        expr => expr,
    }
}

/// The operand that an expression starts with.
fn first(expr: &mut Expr) -> &mut Expr {
    if is_arrow(expr) {
        return expr;
    }
    match expr {
        Expr::BinaryOp { left: of, .. }
        | Expr::IsDistinctFrom(of, _)
        | Expr::IsNotDistinctFrom(of, _)
        | Expr::IsNull(of)
        | Expr::IsNotNull(of)
        | Expr::IsTrue(of)
        | Expr::IsNotTrue(of)
        | Expr::IsFalse(of)
        | Expr::IsNotFalse(of)
        | Expr::IsUnknown(of)
        | Expr::IsNotUnknown(of)
        | Expr::InList { expr: of, .. }
        | Expr::InSubquery { expr: of, .. }
        | Expr::Between { expr: of, .. }
        | Expr::Like { expr: of, .. }
        | Expr::ILike { expr: of, .. }
        | Expr::SimilarTo { expr: of, .. }
        | Expr::RLike { expr: of, .. }
        | Expr::AnyOp { left: of, .. }
        | Expr::AllOp { left: of, .. } => first(of),
        expr => expr,
    }
}

fn nothing() -> Expr {
    Expr::Value(Value::Null.into())
}
