//! Clauses that the parser knows and the engine passes over without a word, and some that it refuses in
//! words about its own insides. All are refused by name.

use std::ops::ControlFlow;

use datafusion::{
    common::{not_impl_err, plan_err},
    error::{DataFusionError, Result},
    execution::session_state::SessionState,
    sql::{
        parser::Statement,
        sqlparser::ast::{
            Expr, Function, FunctionArguments, GroupByExpr, JoinConstraint, JoinOperator, Query,
            Select, SelectFlavor, SelectItem, Statement as SqlStatement, TableFactor,
            TableWithJoins, Value, Visit, Visitor,
        },
    },
};
use sql_core::literals;

/// Refuses what the engine would pass over.
///
/// # Errors
///
/// Names the clause, and what to write instead.
pub(crate) fn check(statement: &Statement) -> Result<()> {
    if let Statement::Statement(statement) = statement
        && let SqlStatement::Prepare { statement, .. } = &**statement
        && matches!(**statement, SqlStatement::Explain { .. })
    {
        return not_impl_err!("EXPLAIN in PREPARE; write EXPLAIN before the query itself");
    }
    visit(statement, &mut Clauses)
}

/// Refuses clauses of a function that mean something to functions of another kind only.
///
/// # Errors
///
/// Names the function and the clause.
pub(crate) fn check_calls(statement: &Statement, state: &SessionState) -> Result<()> {
    visit(statement, &mut Calls(state))
}

fn visit(statement: &Statement, visitor: &mut impl Visitor<Break = DataFusionError>) -> Result<()> {
    match statement {
        Statement::Statement(statement) => match statement.visit(visitor) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        },
        Statement::Explain(explain) => visit(&explain.statement, visitor),
        _ => Ok(()),
    }
}

fn flow(checked: Result<()>) -> ControlFlow<DataFusionError> {
    match checked {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

struct Clauses;

impl Visitor for Clauses {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<DataFusionError> {
        flow(in_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<DataFusionError> {
        flow(in_select(select))
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<DataFusionError> {
        flow(in_table(table))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<DataFusionError> {
        let call = match expr {
            Expr::Function(call) => call,
            Expr::SimilarTo { .. } => {
                return flow(not_impl_err!(
                    "SIMILAR TO, which the engine reads as a regular expression; write LIKE, or ~ '^(…)$'"
                ));
            }
            Expr::Value(value) => return flow(in_value(&value.value)),
            _ => return ControlFlow::Continue(()),
        };
        flow(match (&call.parameters, &call.args) {
            (FunctionArguments::None, FunctionArguments::Subquery(_)) => not_impl_err!(
                "a query as the argument of {}; write brackets around it, or use array_agg",
                call.name
            ),
            (FunctionArguments::None, _) => Ok(()),
            _ => not_impl_err!(
                "{} with two lists of arguments; write them in one",
                call.name
            ),
        })
    }
}

fn in_query(query: &Query) -> Result<()> {
    if query.for_clause.is_some() {
        return not_impl_err!("FOR XML and FOR JSON; --format json writes JSON");
    }
    if query.format_clause.is_some() {
        return not_impl_err!("FORMAT in a query; --format says how the result is written");
    }
    if query.settings.is_some() {
        return not_impl_err!("SETTINGS in a query; SET is a statement of its own");
    }
    if !query.locks.is_empty() {
        return not_impl_err!("FOR UPDATE and FOR SHARE; inputs do not change");
    }
    Ok(())
}

/// Refuses a number of which floating point, as the engine reads it, does not keep the digits.
fn in_value(value: &Value) -> Result<()> {
    match value {
        Value::Number(text, _) if !literals::is_kept(text) => plan_err!(
            "{text} has more digits than floating point keeps, as which a number with a point, or of \
             more than 64 bits, is read; write cast('{text}' as decimal(38, 10)), with as many places as \
             it needs"
        ),
        _ => Ok(()),
    }
}

fn in_select(select: &Select) -> Result<()> {
    if select.flavor == SelectFlavor::FromFirstNoSelect {
        return not_impl_err!("FROM without SELECT; write SELECT * FROM …");
    }
    if select.prewhere.is_some() {
        return not_impl_err!("PREWHERE; write WHERE");
    }
    if !select.connect_by.is_empty() {
        return not_impl_err!("CONNECT BY; write WITH RECURSIVE");
    }
    if !select.distribute_by.is_empty() {
        return not_impl_err!("DISTRIBUTE BY; leave it out, the answer is the same");
    }
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = &select.group_by;
    if !modifiers.is_empty() {
        return not_impl_err!(
            "GROUP BY … WITH ROLLUP, CUBE or TOTALS; write GROUP BY ROLLUP (…) or CUBE (…)"
        );
    }
    if let GroupByExpr::Expressions(keys, _) = &select.group_by
        && keys.iter().any(|key| has_subquery_in_sets(key, select))
    {
        return not_impl_err!(
            "a subquery in GROUPING SETS, ROLLUP or CUBE; have it in the select list of a subquery, and \
             group by its column"
        );
    }
    select.from.iter().try_for_each(in_joins)
}

/// Whether a key of groups is several sets, with a subquery in one of them or in what it stands for.
fn has_subquery_in_sets(key: &Expr, select: &Select) -> bool {
    let (Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets)) = key else {
        return false;
    };
    sets.iter().flatten().any(|of| {
        let named = select
            .projection
            .iter()
            .enumerate()
            .find_map(|(index, item)| {
                let number = (index + 1).to_string();
                match (item, of) {
                    (SelectItem::ExprWithAlias { expr, alias }, Expr::Identifier(name)) => {
                        (alias.value.eq_ignore_ascii_case(&name.value)).then_some(expr)
                    }
                    (
                        SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr),
                        Expr::Value(value),
                    ) => (value.to_string() == number).then_some(expr),
                    _ => None,
                }
            });
        has_subquery(of) || named.is_some_and(has_subquery)
    })
}

fn has_subquery(expr: &Expr) -> bool {
    struct Queries;

    impl Visitor for Queries {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    expr.visit(&mut Queries).is_break()
}

fn in_joins(table: &TableWithJoins) -> Result<()> {
    use JoinOperator::{
        CrossJoin, FullOuter, Inner, Join, Left, LeftAnti, LeftOuter, LeftSemi, Right, RightAnti,
        RightOuter, RightSemi,
    };
    for join in &table.joins {
        match &join.join_operator {
            Join(_)
            | Inner(_)
            | Left(_)
            | LeftOuter(_)
            | Right(_)
            | RightOuter(_)
            | FullOuter(_)
            | LeftSemi(_)
            | RightSemi(_)
            | LeftAnti(_)
            | RightAnti(_)
            | CrossJoin(JoinConstraint::None) => {}
            JoinOperator::Semi(_) | JoinOperator::Anti(_) => {
                return not_impl_err!(
                    "SEMI and ANTI JOIN; write LEFT SEMI JOIN or LEFT ANTI JOIN, or EXISTS"
                );
            }
            JoinOperator::AsOf { .. } => {
                return not_impl_err!(
                    "ASOF JOIN; write a JOIN LATERAL of a subquery with ORDER BY and LIMIT 1"
                );
            }
            CrossJoin(_) => return not_impl_err!("CROSS JOIN with ON or USING; write JOIN"),
            _ => return not_impl_err!("APPLY and other joins that are not of the standard"),
        }
    }
    Ok(())
}

fn in_table(table: &TableFactor) -> Result<()> {
    const SAMPLE: &str = "TABLESAMPLE; write WHERE random() < 0.1";
    match table {
        TableFactor::Table {
            with_ordinality,
            partitions,
            sample,
            ..
        } => {
            if sample.is_some() {
                return not_impl_err!("{SAMPLE}");
            }
            if *with_ordinality {
                return not_impl_err!("WITH ORDINALITY; write row_number() OVER ()");
            }
            if !partitions.is_empty() {
                return not_impl_err!("PARTITION of a table; write WHERE over its column");
            }
            Ok(())
        }
        TableFactor::Derived {
            sample: Some(_), ..
        } => not_impl_err!("{SAMPLE}"),
        TableFactor::Function {
            with_ordinality: true,
            ..
        } => not_impl_err!("WITH ORDINALITY; write row_number() OVER ()"),
        TableFactor::Pivot { .. } => not_impl_err!(
            "PIVOT; write an aggregate a column, as sum(x) FILTER (WHERE kind = 'a') AS a, and GROUP BY"
        ),
        TableFactor::Unpivot { .. } => {
            not_impl_err!("UNPIVOT; write a SELECT a column and UNION ALL between them")
        }
        TableFactor::MatchRecognize { .. } => {
            not_impl_err!("MATCH_RECOGNIZE; write window functions")
        }
        TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => {
            not_impl_err!("JSON_TABLE and OPENJSON")
        }
        _ => Ok(()),
    }
}

struct Calls<'a>(&'a SessionState);

impl Visitor for Calls<'_> {
    type Break = DataFusionError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<DataFusionError> {
        match expr {
            Expr::Function(call) => flow(self.check(call)),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Calls<'_> {
    fn check(&self, call: &Function) -> Result<()> {
        let [name] = &call.name.0[..] else {
            return Ok(());
        };
        let Some(name) = name.as_ident() else {
            return Ok(());
        };
        let name = match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_lowercase(),
        };
        let (has_distinct, has_clauses) = match &call.args {
            FunctionArguments::List(list) => {
                (list.duplicate_treatment.is_some(), !list.clauses.is_empty())
            }
            FunctionArguments::None | FunctionArguments::Subquery(_) => (false, false),
        };
        let aggregates = [
            (has_distinct, "DISTINCT or ALL"),
            (has_clauses, "ORDER BY or NULLS"),
            (call.filter.is_some(), "FILTER"),
            (!call.within_group.is_empty(), "WITHIN GROUP"),
        ];
        let of_window = [
            (call.over.is_some(), "OVER"),
            (call.null_treatment.is_some(), "IGNORE or RESPECT NULLS"),
        ];
        let told = |clauses: &[(bool, &str)]| {
            let found = clauses.iter().find(|(found, _)| *found);
            found.map(|(_, clause)| (*clause).to_owned())
        };
        let (kind, clause) = if self.0.scalar_functions().contains_key(&name) {
            let all: Vec<_> = aggregates.into_iter().chain(of_window).collect();
            ("no aggregate and no window function", told(&all))
        } else if self.0.window_functions().contains_key(&name)
            && !self.0.aggregate_functions().contains_key(&name)
        {
            // NULLS may stand in its brackets.
            let [distinct, _, filter, group] = aggregates;
            ("no aggregate", told(&[distinct, filter, group]))
        } else {
            return Ok(());
        };
        match clause {
            None => Ok(()),
            Some(clause) => not_impl_err!("{clause} of {name}, which is {kind}; leave it out"),
        }
    }
}
