//! What is said another way before it is planned, because the engine's own plan of it is wrong.
//!
//! - `x = ANY(list)` as NOT (`x <> ALL(list)`): the engine finds it false, not NULL, where an item is NULL.
//! - `(a, b) < (c, d)` as `a < c OR (a = c AND b < d)`: the engine compares structures, in which a NULL
//!   is less than anything, and equal to another.
//! - `t AT TIME ZONE 'z'` as a call of [`AT_TIME_ZONE`], which is told the type of `t`.
//! - `CAST(1.25 AS decimal)` as of the text '1.25', of which floating point would not keep all digits.
//! - `CAST(x AS t)` in the second part of a recursive query twice, so that `answers::recursion` tells it from
//!   the engine's.

use std::{mem, ops::ControlFlow};

use datafusion::{
    common::{not_impl_err, plan_err},
    error::{DataFusionError, Result},
    sql::{
        parser::Statement,
        sqlparser::ast::{
            BinaryOperator as Op, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
            FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, SelectItem, SetExpr,
            UnaryOperator, Value, VisitMut as _, VisitorMut,
        },
    },
};

use crate::answers::AT_TIME_ZONE;

/// Says them so.
///
/// # Errors
///
/// Where one of them is of no form that is known.
pub(crate) fn rewrite(statement: &mut Statement) -> Result<()> {
    match statement {
        Statement::Statement(statement) => match statement.visit(&mut Rewrite) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        },
        Statement::Explain(explain) => rewrite(&mut explain.statement),
        _ => Ok(()),
    }
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        let recursive = query.with.iter_mut().filter(|with| with.recursive);
        for table in recursive.flat_map(|with| &mut with.cte_tables) {
            if let SetExpr::SetOperation { right, .. } = &mut *table.query.body {
                cast_twice(right);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        match in_expr(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn in_expr(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        } if !matches!(**right, Expr::Subquery(_)) => {
            let Some(compare_op) = negated(compare_op) else {
                return not_impl_err!("{compare_op} ANY; write =, <>, <, <=, > or >=");
            };
            let all = Expr::AllOp {
                left: take(left),
                compare_op,
                right: take(right),
            };
            *expr = bracketed(Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: Box::new(bracketed(all)),
            });
        }
        Expr::BinaryOp { left, op, right } if negated(op).is_some() => {
            let (Expr::Tuple(left), Expr::Tuple(right)) = (&mut **left, &mut **right) else {
                return Ok(());
            };
            if left.len() != right.len() || left.is_empty() {
                return plan_err!(
                    "a comparison of {} values with {}; write as many on both sides",
                    left.len(),
                    right.len()
                );
            }
            let pairs: Vec<(Expr, Expr)> = left.drain(..).zip(right.drain(..)).collect();
            *expr = bracketed(by_parts(op, pairs));
        }
        Expr::Cast {
            expr: of,
            data_type: DataType::Decimal(_) | DataType::Numeric(_) | DataType::Dec(_),
            ..
        } => {
            if let Some(text) = number(of) {
                **of = Expr::Value(Value::SingleQuotedString(text).into());
            }
        }
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => {
            if !matches!(&**time_zone, Expr::Value(value) if value.value.clone().into_string().is_some())
            {
                return not_impl_err!(
                    "AT TIME ZONE of a zone that is no constant, as {time_zone}; write 'Europe/Berlin'"
                );
            }
            *expr = call(AT_TIME_ZONE, vec![*take(timestamp), *take(time_zone)]);
        }
        _ => {}
    }
    Ok(())
}

/// A number as it is written, unless with an exponent.
fn number(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) if !text.contains(['e', 'E']) => Some(text.clone()),
            _ => None,
        },
        Expr::Nested(of) => number(of),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => Some(format!("-{}", number(expr)?)),
        _ => None,
    }
}

fn cast_twice(rows: &mut SetExpr) {
    let select = match rows {
        SetExpr::Select(select) => select,
        SetExpr::Query(query) => return cast_twice(&mut query.body),
        _ => return,
    };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        let data_type = match &*expr {
            Expr::Cast { data_type, .. } => data_type.clone(),
            Expr::TypedString(text) => text.data_type.clone(),
            _ => continue,
        };
        let once = mem::replace(expr, Expr::Value(Value::Null.into()));
        *expr = Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(once),
            data_type,
            array: false,
            format: None,
        };
    }
}

/// The comparison that is true where this one is false.
fn negated(op: &Op) -> Option<Op> {
    Some(match op {
        Op::Eq => Op::NotEq,
        Op::NotEq => Op::Eq,
        Op::Lt => Op::GtEq,
        Op::LtEq => Op::Gt,
        Op::Gt => Op::LtEq,
        Op::GtEq => Op::Lt,
        _ => return None,
    })
}

/// A comparison of rows as one of their values.
fn by_parts(op: &Op, pairs: Vec<(Expr, Expr)>) -> Expr {
    let strict = match op {
        Op::LtEq => Op::Lt,
        Op::GtEq => Op::Gt,
        op => op.clone(),
    };
    let mut pairs = pairs.into_iter().rev();
    let compare = |op: &Op, (left, right): (Expr, Expr)| {
        bracketed(Expr::BinaryOp {
            left: Box::new(left),
            op: op.clone(),
            right: Box::new(right),
        })
    };
    let Some(last) = pairs.next() else {
        return Expr::Value(Value::Boolean(true).into());
    };
    pairs.fold(compare(op, last), |rest, pair| match op {
        Op::Eq => join(compare(op, pair), Op::And, rest),
        Op::NotEq => join(compare(op, pair), Op::Or, rest),
        _ => {
            let equal = join(compare(&Op::Eq, pair.clone()), Op::And, rest);
            join(compare(&strict, pair), Op::Or, equal)
        }
    })
}

fn join(left: Expr, op: Op, right: Expr) -> Expr {
    bracketed(Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    })
}

fn bracketed(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args
        .into_iter()
        .map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)))
        .collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn take(expr: &mut Box<Expr>) -> Box<Expr> {
    mem::replace(expr, Box::new(Expr::Value(Value::Null.into())))
}
