//! JOIN … USING, whose one column has its value from whichever side has a row.
//!
//! The engine takes it from the left side, which a RIGHT or FULL JOIN may have no row of, and does not
//! find it in WHERE. So the column is written out: of a RIGHT JOIN as that of the right side, of a
//! FULL JOIN as the first of both that is there, else as that of the left side.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use datafusion::{
    common::{Diagnostic, SchemaError, not_impl_err},
    error::{DataFusionError, Result},
    sql::{
        parser::Statement,
        sqlparser::ast::{
            BinaryOperator, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr,
            FunctionArgumentList, FunctionArguments, Ident, JoinConstraint, JoinOperator,
            ObjectName, OrderByKind, Query, ReplaceSelectElement, ReplaceSelectItem, Select,
            SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins,
            Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
        },
    },
};

/// Writes the columns out in all queries of a statement.
///
/// # Errors
///
/// Where it cannot be told whose column is meant.
pub(crate) fn write_out(statement: &mut Statement) -> Result<()> {
    match statement {
        Statement::Statement(statement) => match statement.visit(&mut Queries) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        },
        Statement::Explain(explain) => write_out(&mut explain.statement),
        _ => Ok(()),
    }
}

/// The names of the columns of JOIN … USING, wherever a statement has one.
pub(crate) fn columns(statement: &Statement) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);

    impl Visitor for Names {
        type Break = ();

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            for join in select.from.iter().flat_map(|table| &table.joins) {
                let mut operator = join.join_operator.clone();
                if let Some((_, JoinConstraint::Using(of))) = side_of(&mut operator) {
                    let names = of.iter().filter_map(|name| name.0.last()?.as_ident());
                    self.0.extend(names.map(folded));
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(BTreeSet::new());
    match statement {
        Statement::Statement(statement) => {
            // It never breaks off.
            let _ = statement.visit(&mut names);
            names.0
        }
        Statement::Explain(explain) => columns(&explain.statement),
        _ => names.0,
    }
}

/// The error with what to write, where a subquery does not find such a column of the outer query.
pub(crate) fn advised(error: DataFusionError, columns: &BTreeSet<String>) -> DataFusionError {
    let name = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match &**schema {
            SchemaError::FieldNotFound { field, .. } if field.relation.is_none() => {
                field.name.clone()
            }
            _ => return error,
        },
        _ => return error,
    };
    if !columns.contains(&name) {
        return error;
    }
    let words = format!(
        "{name:?} is a column of JOIN … USING: in a subquery write it with the table that has it"
    );
    let mut diagnostic = Diagnostic::new_error("no such column", None);
    diagnostic.add_help(words, None);
    error.with_diagnostic(diagnostic)
}

struct Queries;

impl VisitorMut for Queries {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        match in_query(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn in_query(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return in_body(&mut query.body);
    };
    let columns = in_select(select)?;
    let Some(order) = &mut query.order_by else {
        return Ok(());
    };
    let OrderByKind::Expressions(keys) = &mut order.kind else {
        return Ok(());
    };
    for key in keys {
        // A column of the result comes before one of the tables.
        let of_result = matches!(&key.expr, Expr::Identifier(name) if has(select, name));
        if !of_result {
            columns.replace(&mut key.expr);
        }
    }
    Ok(())
}

fn in_body(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(select) => in_select(select).map(drop),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left)?;
            in_body(right)
        }
        // What stands in brackets is a query, which is visited by itself.
        _ => Ok(()),
    }
}

/// Whether the result has a column of this name.
fn has(select: &Select, name: &Ident) -> bool {
    select.projection.iter().any(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => folded(alias) == folded(name),
        SelectItem::UnnamedExpr(Expr::Identifier(of)) => folded(of) == folded(name),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().is_some_and(|of| folded(of) == folded(name))
        }
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => true,
        _ => false,
    })
}

fn in_select(select: &mut Select) -> Result<Columns> {
    let mut columns = Columns::default();
    let mut sides = Vec::new();
    for table in &mut select.from {
        sides.push(columns.in_table(table)?);
    }
    if columns.values.is_empty() {
        return Ok(columns);
    }
    let mut projection = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => match columns.value(&name) {
                Some(value) => projection.push(SelectItem::ExprWithAlias {
                    expr: value.clone(),
                    alias: name,
                }),
                None => projection.push(SelectItem::UnnamedExpr(Expr::Identifier(name))),
            },
            SelectItem::Wildcard(options) if columns.written => {
                if !is_plain(&options) {
                    return not_impl_err!(
                        "SELECT * with EXCLUDE, REPLACE or RENAME of a RIGHT or FULL JOIN with \
                         USING; name the columns"
                    );
                }
                for name in sides.iter().flatten() {
                    projection.push(columns.all_of(name.as_ref())?);
                }
            }
            item => projection.push(item),
        }
    }
    select.projection = projection;
    columns.replace(select);
    Ok(columns)
}

/// The columns of USING.
#[derive(Default)]
struct Columns {
    /// What each is, by its name.
    values: BTreeMap<String, Expr>,
    /// The side that shows it, in `*`, and those that do not.
    shown: BTreeMap<String, (String, Vec<String>)>,
    /// Whether a join is written with ON now.
    written: bool,
}

impl Columns {
    /// The names of the tables that are joined, those without one as nothing.
    fn in_table(&mut self, table: &mut TableWithJoins) -> Result<Vec<Option<Ident>>> {
        let mut names = vec![name_of(&table.relation)];
        for join in &mut table.joins {
            let right = name_of(&join.relation);
            if let Some((side, constraint)) = side_of(&mut join.join_operator) {
                if matches!(constraint, JoinConstraint::Natural) && side != Side::Left {
                    return not_impl_err!("NATURAL RIGHT or FULL JOIN; name the columns in ON");
                }
                if let JoinConstraint::Using(of) = constraint
                    && let Some(on) = self.in_join(&names, right.as_ref(), side, of)?
                {
                    *constraint = JoinConstraint::On(on);
                    self.written = true;
                }
            }
            names.push(right);
        }
        Ok(names)
    }

    /// The condition of ON that a join is to have, where the engine's USING would be wrong.
    fn in_join(
        &mut self,
        left: &[Option<Ident>],
        right: Option<&Ident>,
        side: Side,
        of: &[ObjectName],
    ) -> Result<Option<Expr>> {
        let names: Vec<Ident> = of
            .iter()
            .filter_map(|name| Some(name.0.last()?.as_ident()?.clone()))
            .collect();
        let mut found = Vec::with_capacity(names.len());
        for name in &names {
            let of_left = match (self.value(name), left) {
                (Some(value), _) => Some(value.clone()),
                (None, [Some(table)]) => Some(column(table, name)),
                // Which of several tables has it, only the engine knows.
                (None, _) => None,
            };
            if let (Some(of_left), Some(right)) = (of_left, right) {
                found.push((name, of_left, column(right, name), right));
            }
        }
        let written = side != Side::Left
            || found.iter().any(|(_, of_left, ..)| {
                // Of a RIGHT or FULL JOIN before.
                self.written
                    && !matches!(of_left, Expr::CompoundIdentifier(parts)
                    if left.first().is_some_and(|first| parts.first() == first.as_ref()))
            });
        if found.len() < names.len() {
            return match written || self.written {
                false => Ok(None),
                true => not_impl_err!(
                    "RIGHT or FULL JOIN with USING of tables without a name, or after a join with \
                     ON; name the columns in ON"
                ),
            };
        }
        let mut condition: Option<Expr> = None;
        for (name, of_left, of_right, right) in found {
            let equal = binary(of_left.clone(), BinaryOperator::Eq, of_right.clone());
            condition = Some(match condition {
                None => equal,
                Some(before) => binary(before, BinaryOperator::And, equal),
            });
            let value = match side {
                Side::Left => of_left,
                Side::Right => of_right,
                Side::Full => coalesce(of_left, of_right),
            };
            let key = folded(name);
            let first = left.first().cloned().flatten();
            let shown = self.shown.entry(key.clone());
            let shown = shown.or_insert_with(|| {
                let first = first.as_ref().map(folded).unwrap_or_default();
                (first, Vec::new())
            });
            shown.1.push(folded(right));
            self.values.insert(key, value);
        }
        Ok(condition.filter(|_| written))
    }

    fn value(&self, name: &Ident) -> Option<&Expr> {
        self.values.get(&folded(name))
    }

    /// All columns of a table, for `*`.
    fn all_of(&self, table: Option<&Ident>) -> Result<SelectItem> {
        let Some(table) = table else {
            return not_impl_err!(
                "SELECT * of a RIGHT or FULL JOIN with USING of a table without a name; name the \
                 columns"
            );
        };
        let key = folded(table);
        let (mut replaced, mut excluded) = (Vec::new(), Vec::new());
        for (name, (first, others)) in &self.shown {
            let ident = Ident::with_quote('"', name);
            if *first == key
                && let Some(value) = self.values.get(name)
            {
                replaced.push(Box::new(ReplaceSelectElement {
                    expr: value.clone(),
                    column_name: ident,
                    as_keyword: true,
                }));
            } else if others.contains(&key) {
                excluded.push(ObjectName::from(vec![ident]));
            }
        }
        let options = WildcardAdditionalOptions {
            opt_replace: (!replaced.is_empty()).then_some(ReplaceSelectItem { items: replaced }),
            opt_exclude: (!excluded.is_empty()).then_some(ExcludeSelectItem::Multiple(excluded)),
            ..WildcardAdditionalOptions::default()
        };
        let of = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![table.clone()]));
        Ok(SelectItem::QualifiedWildcard(of, options))
    }

    /// Writes the columns out in an expression, but not in its subqueries.
    fn replace(&self, of: &mut impl VisitMut) {
        struct Replace<'a> {
            columns: &'a Columns,
            within: usize,
        }
        impl VisitorMut for Replace<'_> {
            type Break = ();

            fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
                self.within += 1;
                ControlFlow::Continue(())
            }

            fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
                self.within -= 1;
                ControlFlow::Continue(())
            }

            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if self.within == 0
                    && let Expr::Identifier(name) = expr
                    && let Some(value) = self.columns.value(name)
                {
                    *expr = value.clone();
                }
                ControlFlow::Continue(())
            }
        }
        // It never breaks off.
        let _ = of.visit(&mut Replace {
            columns: self,
            within: 0,
        });
    }
}

/// Which side's rows are there whatever the other side has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The left one's, or only those of both.
    Left,
    Right,
    Full,
}

fn side_of(join: &mut JoinOperator) -> Option<(Side, &mut JoinConstraint)> {
    match join {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => Some((Side::Left, constraint)),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            Some((Side::Right, constraint))
        }
        JoinOperator::FullOuter(constraint) => Some((Side::Full, constraint)),
        _ => None,
    }
}

/// What columns of a table are qualified with.
fn name_of(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table {
            alias: Some(of), ..
        }
        | TableFactor::Derived {
            alias: Some(of), ..
        }
        | TableFactor::UNNEST {
            alias: Some(of), ..
        }
        | TableFactor::TableFunction {
            alias: Some(of), ..
        } => Some(of.name.clone()),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

/// The name as the engine knows it.
fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

fn column(table: &Ident, name: &Ident) -> Expr {
    Expr::CompoundIdentifier(vec![table.clone(), name.clone()])
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

fn coalesce(first: Expr, second: Expr) -> Expr {
    let argument = |of| FunctionArg::Unnamed(FunctionArgExpr::Expr(of));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(first), argument(second)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
