//! The SQL text as statements, run in order.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use datafusion::{
    common::{plan_err, tree_node::TreeNodeRecursion},
    dataframe::DataFrame,
    error::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{DdlStatement, LogicalPlan, Statement as PlanStatement},
    sql::{
        parser::{DFParserBuilder, Statement},
        sqlparser::{
            ast::{BinaryOperator, Expr as SqlExpr, Statement as SqlStatement, visit_expressions},
            dialect::GenericDialect,
            keywords::Keyword,
            tokenizer::{Token, TokenWithSpan, Tokenizer},
        },
    },
};
use futures_util::StreamExt as _;
use mc2_guest::Job;
use sql_core::{
    args::Args,
    depth,
    format::OutputFormat,
    params::Unmatched,
    place::Place,
    ranks::{Failed, Message, Verdict},
};
use workload_shared::Target;

use crate::{
    clauses,
    failure::{self, Failure},
    json,
    output::Sink,
    params,
    ranks::{Interrupt, Planned, Together},
    results, rewritten,
    session::Session,
    using,
};

const DIALECT: GenericDialect = GenericDialect {};

/// What the parser itself allows; a bracket costs it one or two.
const RECURSION: usize = depth::NESTING + 10;

/// A statement and where its text starts.
pub(crate) struct Parsed {
    /// The words of an error where it is none.
    statement: Result<Statement, String>,
    place: Place,
    /// The columns of JOIN … USING in it.
    using: BTreeSet<String>,
}

/// All statements, and which of them has the result for `--output`.
pub(crate) struct Script {
    statements: Vec<Parsed>,
    last_query: Option<usize>,
}

/// Parses all statements before any of them runs.
///
/// # Errors
///
/// Says where the text stops being SQL, unless `args` say to go on, or which of its parameters has no
/// value or which value no parameter.
pub(crate) fn parse(sql: &str, args: &Args) -> Result<Script, String> {
    let start = Place {
        line: 1,
        column: 1,
        length: 1,
    };
    let failed_at = |place: Place, error: DataFusionError| {
        failure::describe(&Failure {
            error: &error,
            sql,
            statement: place,
            tables: &[],
            last: None,
            memory: 0,
            instances: 1,
        })
    };
    let tokens = Tokenizer::new(&DIALECT, sql)
        .tokenize_with_location()
        .map_err(|error| failed_at(start, DataFusionError::SQL(Box::new(error.into()), None)))?;
    let (placeholders, stand): (Vec<&str>, Vec<Place>) = placeholders(&tokens).unzip();
    args.params
        .check(placeholders)
        .map_err(|error| match &error {
            Unmatched::NoValue { number, .. } => {
                let place = stand.get(*number).copied().unwrap_or(start);
                failed_at(place, DataFusionError::Execution(error.to_string()))
            }
            Unmatched::NoPlace(_) => error.to_string(),
        })?;
    let mut statements = Vec::new();
    for tokens in tokens.split_inclusive(|token| token.token == Token::SemiColon) {
        let Some(place) = place(tokens) else { continue };
        let statement = statement(tokens).map_err(|error| failed_at(place, error));
        if !args.keep_going
            && let Err(words) = statement
        {
            return Err(words);
        }
        let (statement, using) = match statement {
            Ok((statement, using)) => (Ok(statement), using),
            Err(words) => (Err(words), BTreeSet::new()),
        };
        statements.push(Parsed {
            statement,
            place,
            using,
        });
    }
    if statements.is_empty() {
        return Err("there is no statement in the query".to_owned());
    }
    let is_query = |parsed: &Parsed| parsed.statement.as_ref().is_ok_and(is_query);
    let last_query = statements.iter().rposition(is_query);
    Ok(Script {
        statements,
        last_query,
    })
}

/// The one statement of these tokens, and its columns of JOIN … USING.
fn statement(tokens: &[TokenWithSpan]) -> Result<(Statement, BTreeSet<String>)> {
    depth::check(tokens.iter().map(|token| depth_token(&token.token)))
        .map_err(|error| DataFusionError::Execution(error.to_string()))?;
    let mut statement = DFParserBuilder::new(tokens.to_vec())
        .with_dialect(&DIALECT)
        .with_recursion_limit(RECURSION)
        .build()?
        .parse_statements()?
        .pop_front()
        .ok_or_else(|| DataFusionError::Plan("there is no statement".to_owned()))?;
    json::bind_arrows(&mut statement);
    rewritten::rewrite(&mut statement)?;
    binds_as_written(&statement)?;
    clauses::check(&statement)?;
    let columns = using::columns(&statement);
    using::write_out(&mut statement)?;
    Ok((statement, columns))
}

/// Refuses what the parser reads in another way than PostgreSQL and DuckDB: `a IS DISTINCT FROM b AND c`
/// as `a IS DISTINCT FROM (b AND c)`, `a | b & c` as `a | (b & c)`, and `^` as another operation.
fn binds_as_written(statement: &Statement) -> Result<()> {
    use BinaryOperator as Op;

    let statement = match statement {
        Statement::Statement(statement) => statement,
        Statement::Explain(explain) => return binds_as_written(&explain.statement),
        _ => return Ok(()),
    };
    let is_of_bits = |op: &Op| {
        use Op::{BitwiseAnd, BitwiseOr, PGBitwiseShiftLeft, PGBitwiseShiftRight};
        matches!(
            op,
            BitwiseAnd | BitwiseOr | PGBitwiseShiftLeft | PGBitwiseShiftRight
        )
    };
    let found = visit_expressions(statement, |expr| match expr {
        SqlExpr::IsDistinctFrom(_, with) | SqlExpr::IsNotDistinctFrom(_, with)
            if matches!(
                **with,
                SqlExpr::BinaryOp {
                    op: Op::And | Op::Or | Op::Xor,
                    ..
                }
            ) =>
        {
            ControlFlow::Break(
                "IS DISTINCT FROM followed by AND or OR: write brackets around the comparison, as in \
                 (a IS DISTINCT FROM b) AND c",
            )
        }
        SqlExpr::BinaryOp {
            op: Op::BitwiseXor, ..
        } => ControlFlow::Break(
            "^ is a power in some databases and an exclusive or in others: write power(a, b), or \
             (a | b) - (a & b)",
        ),
        SqlExpr::BinaryOp { left, op, right } if is_of_bits(op) => {
            let mixed = [left, right].into_iter().any(|side| match &**side {
                SqlExpr::BinaryOp { op: other, .. } => is_of_bits(other) && other != op,
                _ => false,
            });
            match mixed {
                true => ControlFlow::Break(
                    "&, |, << and >> in one expression bind differently from database to database: \
                     write brackets, as in (a | b) & c",
                ),
                false => ControlFlow::Continue(()),
            }
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(words) => plan_err!("{words}"),
    }
}

impl Script {
    /// Checks that there is a result where an output is to be written.
    ///
    /// # Errors
    ///
    /// Where an output is named and no statement has a result.
    pub(crate) fn for_output(self, output: Option<&str>) -> Result<Self, String> {
        match (output, self.last_query) {
            (Some(name), None) => Err(format!(
                "no statement has a result to write to --output {name}; end with a SELECT"
            )),
            _ => Ok(self),
        }
    }
}

/// Runs the statements in order and writes their results.
///
/// # Errors
///
/// Says which statement failed, where in it, and why. Later statements are not run.
pub(crate) async fn run(
    session: &Session,
    job: &Job,
    args: &Args,
    sql: &str,
    script: Script,
) -> mc2_guest::Result {
    let count = script.statements.len();
    for (index, parsed) in script.statements.into_iter().enumerate() {
        let place = parsed.place;
        let output = args
            .output
            .as_deref()
            .filter(|_| Some(index) == script.last_query);
        let run = Run {
            session,
            job,
            args,
            output,
            index,
            count,
            sql,
            place,
            using: &parsed.using,
        };
        let ended = match parsed.statement {
            Ok(statement) => run.statement(statement).await,
            Err(words) => Err(mc2_guest::Error::new(words)),
        };
        match ended {
            Err(error) if args.keep_going => results::failed(index, &error)?,
            Err(error) => return Err(error),
            // The first instance says why.
            Ok(Verdict::Stop) => break,
            Ok(_) if args.format == OutputFormat::Results => results::ended(index)?,
            Ok(_) => {}
        }
    }
    session.ranks.flush()?;
    session.progress.finish();
    Ok(())
}

/// One statement's run.
struct Run<'a> {
    session: &'a Session,
    job: &'a Job,
    args: &'a Args,
    output: Option<&'a str>,
    index: usize,
    count: usize,
    sql: &'a str,
    place: Place,
    using: &'a BTreeSet<String>,
}

/// How an attempt ended that did not fail.
enum Ended {
    /// It is done, or done by the first instance.
    Done,
    /// It was served, and this is what the first instance says is next.
    Served(Verdict),
}

impl Run<'_> {
    /// Runs it, and says what is next.
    async fn statement(&self, statement: Statement) -> mc2_guest::Result<Verdict> {
        let ranks = &self.session.ranks;
        let mut written = false;
        let mut spilling = false;
        // Whether the other instances take part in the next attempt; what the first runs alone, it runs
        // alone to the end.
        let mut together = true;
        loop {
            self.session.set_spilling_joins(spilling);
            ranks.begin(self.index, spilling);
            let ended = self
                .attempt(statement.clone(), &mut written, &mut together)
                .await;
            self.session.set_spilling_joins(false);
            // A hash join keeps one side in memory; a merge join can spill both. If that is too much where
            // rows of others are kept, too, the first can do without them.
            let again = matches!(&ended, Err(error) if failure::is_exhausted(error))
                && !written
                && (!spilling || together && ranks.is_first());
            let verdict = match &ended {
                Ok(Ended::Done) => Verdict::Next,
                Ok(Ended::Served(verdict)) => *verdict,
                Err(_) if again && !spilling => Verdict::Spilling,
                Err(_) if again || self.args.keep_going => Verdict::Next,
                Err(_) => Verdict::Stop,
            };
            if together && ranks.is_first() {
                ranks
                    .tell_all(&Message::Ended(verdict))
                    .map_err(|error| self.failed(error))?;
            }
            match ended {
                Ok(_) if verdict != Verdict::Spilling => return Ok(verdict),
                Err(error) if !again => return Err(self.failed(error)),
                _ => {
                    together &= !spilling;
                    spilling = true;
                }
            }
        }
    }

    fn failed(&self, error: DataFusionError) -> mc2_guest::Error {
        let error = using::advised(error, self.using);
        failure::error(&Failure {
            error: &error,
            sql: self.sql,
            statement: self.place,
            tables: &self.session.tables,
            last: self.session.progress.last_table(),
            memory: self.session.memory,
            instances: self.session.ranks.size,
        })
    }

    async fn planned(&self, statement: Statement) -> Result<LogicalPlan> {
        let state = self.session.context.state();
        clauses::check_calls(&statement, &state)?;
        let plan = state.statement_to_plan(statement).await?;
        let plan = params::bind(plan, &self.args.params)?;
        allowed(&plan, &self.session.tables)?;
        Ok(plan)
    }

    /// Runs it one way. `together` says whether other instances may run it too, and then whether they
    /// do, and wait for a verdict.
    async fn attempt(
        &self,
        statement: Statement,
        written: &mut bool,
        together: &mut bool,
    ) -> Result<Ended> {
        let ranks = &self.session.ranks;
        let may_share = std::mem::take(together);
        let plan = self
            .planned(statement)
            .await
            .inspect_err(|_| ranks.give_up())?;
        let tables = scanned(&plan)?;
        let total = self.session.store.start_reading(&tables);
        self.session
            .progress
            .start(self.index, self.count, tables, total);

        let has_result = has_result(&plan);
        if ranks.size > 1 && has_result {
            if may_share
                && total >= self.args.alone_below
                && is_query_alone(&plan)
                && let Some(shared) = self.agreed(&plan).await?
            {
                *together = true;
                return self.together(shared, written).await;
            }
            if !ranks.is_first() {
                return Ok(Ended::Done);
            }
            if total >= self.args.alone_below
                && matches!(plan, LogicalPlan::Explain(_))
                && let Some(batches) = self.shared_explanation(&plan).await?
            {
                self.write(batches, written).await?;
                return Ok(Ended::Done);
            }
        }
        let frame = self.session.context.execute_logical_plan(plan).await?;
        if has_result {
            let batches = frame.execute_stream().await?;
            self.write(batches, written).await?;
        } else {
            // What an INSERT returns is a count nobody asked for.
            frame.collect().await?;
        }
        Ok(Ended::Done)
    }

    /// The plan that this instance runs with the others, where all have planned the same one and
    /// something is gained.
    async fn agreed(&self, plan: &LogicalPlan) -> Result<Option<Together>> {
        let ranks = &self.session.ranks;
        let state = self.session.shared_state();
        let planned = ranks.planning.sharing(state.create_physical_plan(plan));
        let (planned, outcome) = planned.await;
        let (digest, planned) = match (outcome, planned) {
            (Some(Planned::Shared(digest)), Ok(plan)) => (Some(digest), Some(plan)),
            // Why it cannot be planned is said when it is run by one.
            _ => (None, None),
        };
        let agreed = ranks.agree(digest).await;
        match (agreed.map_err(|error| failure::external(&error))?, planned) {
            (true, Some(plan)) => {
                let context = Arc::new(TaskContext::from(&state));
                Together::new(Arc::clone(ranks), context, plan).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What EXPLAIN says of a plan that the instances share.
    async fn shared_explanation(
        &self,
        plan: &LogicalPlan,
    ) -> Result<Option<SendableRecordBatchStream>> {
        let planning = &self.session.ranks.planning;
        let frame = DataFrame::new(self.session.shared_state(), plan.clone());
        let (batches, planned) = planning.sharing(frame.execute_stream()).await;
        match planned {
            Some(Planned::Shared(_)) => batches.map(Some),
            _ => Ok(None),
        }
    }

    async fn together(&self, shared: Together, written: &mut bool) -> Result<Ended> {
        let ranks = &self.session.ranks;
        if ranks.is_first() {
            let batches = shared.result().await?;
            self.write(batches, written).await?;
            return Ok(Ended::Done);
        }
        let verdict = match shared.serve().await {
            Interrupt::Ended(verdict) => verdict,
            Interrupt::Own(error) => {
                let exhausted = failure::is_exhausted(&error);
                let told = self.failed(error);
                let failed = Failed {
                    code: told.code().map(str::to_owned),
                    words: told.to_string(),
                    exhausted,
                };
                let verdict = ranks.report(failed).await;
                verdict.map_err(|error| failure::external(&error))?
            }
        };
        Ok(Ended::Served(verdict))
    }

    /// Writes a result batch by batch. `written` says whether anybody may have seen part of it.
    async fn write(
        &self,
        mut batches: SendableRecordBatchStream,
        written: &mut bool,
    ) -> Result<()> {
        let schema = batches.schema();
        let target =
            Target::of(self.job, self.output).map_err(|error| failure::external(&error))?;
        // Of several results only the last goes to the output, in its format.
        let format = match self.output == self.args.output.as_deref() {
            true => self.args.format,
            false => OutputFormat::Table,
        };
        if format == OutputFormat::Results {
            results::columns(self.index, &schema)?;
        }
        let mut sink = Sink::new(format, target, &schema)?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            sink.write(&batch)?;
            *written = self.output.is_none() && sink.is_committed();
        }
        *written = self.output.is_none();
        sink.finish()
    }
}

/// Settings that would have no effect, or one on what the engine is to keep to.
const NOT_SET: [&str; 2] = ["datafusion.sql_parser.dialect", "datafusion.runtime."];

/// Refuses what would reach for files or code of its own.
fn allowed(plan: &LogicalPlan, inputs: &[String]) -> Result<()> {
    let refused = match plan {
        LogicalPlan::Copy(_) => "COPY is not supported; write the result with --output NAME",
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(_)) => {
            "CREATE EXTERNAL TABLE is not supported; every input is a table already"
        }
        LogicalPlan::Dml(change) if inputs.iter().any(|name| name == change.table_name.table()) => {
            "an input cannot be changed; CREATE TABLE name AS SELECT … makes a table that can"
        }
        LogicalPlan::Ddl(DdlStatement::CreateFunction(_)) => "CREATE FUNCTION is not supported",
        LogicalPlan::Statement(PlanStatement::SetVariable(set))
            if set
                .variable
                .eq_ignore_ascii_case("datafusion.execution.time_zone") =>
        {
            "SET TIME ZONE is not supported: a timestamp without a zone is in UTC; write AT TIME ZONE"
        }
        LogicalPlan::Statement(PlanStatement::SetVariable(set))
            if NOT_SET.iter().any(|name| set.variable.starts_with(name)) =>
        {
            "this setting cannot be changed: the query is read before, and the memory is the job's"
        }
        _ => return Ok(()),
    };
    Err(DataFusionError::Plan(refused.to_owned()))
}

/// The tables that a plan reads.
fn scanned(plan: &LogicalPlan) -> Result<BTreeSet<String>> {
    let mut tables = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            tables.insert(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(tables)
}

/// Whether it only asks for rows, and not for how they are found.
fn is_query_alone(plan: &LogicalPlan) -> bool {
    !matches!(
        plan,
        LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::Statement(_)
    )
}

fn has_result(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) => false,
        LogicalPlan::Statement(statement) => matches!(statement, PlanStatement::Execute(_)),
        _ => true,
    }
}

/// As [`has_result`], of a statement not yet planned. EXPLAIN is none: how a query runs is for whom standard
/// output is, and not for whom its result is.
fn is_query(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            **statement,
            SqlStatement::Query(_)
                | SqlStatement::ExplainTable { .. }
                | SqlStatement::Execute { .. }
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ShowFunctions { .. }
                | SqlStatement::ShowVariable { .. }
        ),
        _ => false,
    }
}

/// The placeholders, each with its place.
fn placeholders(tokens: &[TokenWithSpan]) -> impl Iterator<Item = (&str, Place)> {
    tokens.iter().filter_map(|token| match &token.token {
        Token::Placeholder(text) => {
            let place = Place {
                line: token.span.start.line,
                column: token.span.start.column,
                length: text.chars().count() as u64,
            };
            Some((text.as_str(), place))
        }
        _ => None,
    })
}

/// Where a statement starts, unless there is none.
fn place(tokens: &[TokenWithSpan]) -> Option<Place> {
    let is_space = |token: &Token| matches!(token, Token::Whitespace(_) | Token::SemiColon);
    let first = tokens.iter().find(|token| !is_space(&token.token))?;
    Some(Place {
        line: first.span.start.line,
        column: first.span.start.column,
        length: 1,
    })
}

fn depth_token(token: &Token) -> depth::Token {
    match token {
        Token::LParen | Token::LBracket | Token::LBrace => depth::Token::Open,
        Token::RParen | Token::RBracket | Token::RBrace => depth::Token::Close,
        Token::Comma => depth::Token::Comma,
        Token::SemiColon => depth::Token::End,
        Token::Word(word) => match word.keyword {
            Keyword::CASE => depth::Token::Open,
            Keyword::END => depth::Token::Close,
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => {
                depth::Token::Query
            }
            Keyword::AND | Keyword::OR => depth::Token::Logical,
            Keyword::NOT | Keyword::LIKE | Keyword::BETWEEN | Keyword::IS => depth::Token::Operator,
            _ => depth::Token::Other,
        },
        Token::Whitespace(_)
        | Token::EOF
        | Token::Period
        | Token::Number(..)
        | Token::Placeholder(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_) => depth::Token::Other,
        // Whatever else there is stands between two expressions or before one.
        _ => depth::Token::Operator,
    }
}
