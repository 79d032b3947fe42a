//! Intervals, and what else has an order that the engine gets wrong.
//!
//! The engine compares intervals by months, then days, then the rest: 24 hours are less than a day, and the
//! 36 hours between two timestamps less than one, too. Here a comparison is of how long they are, a month
//! being 30 days, as in PostgreSQL and DuckDB. Where they would be sorted, grouped or joined by, they are
//! refused, and so are lists and structures in an order comparison, because the engine has NULL first
//! within them. A day plus a part of one is a timestamp, of which the engine would keep the day alone.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{AsArray, Decimal128Array},
        compute::cast,
        datatypes::{
            DECIMAL128_MAX_PRECISION, DataType, DurationNanosecondType, IntervalMonthDayNanoType,
            IntervalUnit, TimeUnit,
        },
    },
    common::{
        DFSchema, ScalarValue,
        config::ConfigOptions,
        not_impl_err, plan_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
        utils::take_function_args,
    },
    error::Result,
    logical_expr::{
        Between, BinaryExpr, Case, Cast, ColumnarValue, Distinct, Expr, ExprSchemable, Join,
        LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr::{InList, ScalarFunction},
        expr_rewriter::NamePreserver,
        utils::merge_schema,
    },
    optimizer::AnalyzerRule,
};

use super::zones;

const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;
const MONTH: i128 = 30 * DAY as i128;
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const SPAN: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// Functions that compare their arguments.
const COMPARING: [&str; 3] = ["greatest", "least", "nullif"];
/// Aggregates that compare.
const EXTREMES: [&str; 2] = ["min", "max"];

/// Compares intervals by how long they are.
#[derive(Debug)]
pub(super) struct Spans;

impl AnalyzerRule for Spans {
    fn name(&self) -> &str {
        "spans"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(in_node).data()
    }
}

fn in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    check(&plan, &schema)?;
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let done = expr.transform_up(|expr| in_expr(expr, &schema))?;
        Ok(done.update_data(|expr| name.restore(expr)))
    })
}

/// Refuses what orders by intervals, or tells them apart.
fn check(plan: &LogicalPlan, schema: &DFSchema) -> Result<()> {
    let refuse = |place: &str| -> Result<()> {
        not_impl_err!(
            "{place} an interval: the same length may be written in several ways; take \
             extract(epoch from …)"
        )
    };
    let is_one = |expr: &Expr| expr.get_type(schema).is_ok_and(|of| has_interval(&of));
    match plan {
        LogicalPlan::Sort(sort) if sort.expr.iter().any(|key| is_one(&key.expr)) => {
            refuse("ORDER BY")
        }
        LogicalPlan::Aggregate(groups) if groups.group_expr.iter().any(is_one) => {
            refuse("GROUP BY")
        }
        LogicalPlan::Distinct(distinct) => {
            let rows = match distinct {
                Distinct::All(input) => Arc::clone(input),
                Distinct::On(on) => Arc::clone(&on.input),
            };
            let all = rows.schema().fields();
            match all.iter().any(|field| has_interval(field.data_type())) {
                true => refuse("DISTINCT or UNION of"),
                false => Ok(()),
            }
        }
        LogicalPlan::Join(Join { on, left, .. })
            if on.iter().any(|(key, _)| {
                key.get_type(left.schema())
                    .is_ok_and(|of| has_interval(&of))
            }) =>
        {
            refuse("JOIN, INTERSECT or EXCEPT by")
        }
        _ => plan
            .apply_expressions(|expr| {
                expr.apply(|expr| {
                    let compares = match expr {
                        Expr::AggregateFunction(call) => {
                            let params = &call.params;
                            (params.distinct || EXTREMES.contains(&call.func.name()))
                                && params.args.iter().any(is_one)
                                || params.order_by.iter().any(|key| is_one(&key.expr))
                        }
                        Expr::WindowFunction(call) => {
                            let params = &call.params;
                            let keys = params.order_by.iter().map(|key| &key.expr);
                            keys.chain(&params.partition_by).any(is_one)
                                || EXTREMES.contains(&call.fun.name())
                                    && params.args.iter().any(is_one)
                        }
                        Expr::ScalarFunction(call) => {
                            COMPARING.contains(&call.func.name()) && call.args.iter().any(is_one)
                        }
                        Expr::Case(Case { expr: Some(of), .. }) => is_one(of),
                        _ => false,
                    };
                    match compares {
                        true => refuse("a comparison within a function, a window or CASE of")
                            .map(|()| TreeNodeRecursion::Stop),
                        false => Ok(TreeNodeRecursion::Continue),
                    }
                })
            })
            .map(drop),
    }
}

fn has_interval(of: &DataType) -> bool {
    match of {
        DataType::Interval(_) => true,
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) => {
            has_interval(of.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| has_interval(field.data_type())),
        _ => false,
    }
}

fn in_expr(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Plus | Operator::Minus => with_hours(left, right, schema)?,
            op if op.supports_propagation() || is_distinct(*op) => {
                let ordered = !matches!(op, Operator::Eq | Operator::NotEq) && !is_distinct(*op);
                compared(&mut [left, right], ordered, schema)?
            }
            _ => false,
        },
        Expr::Between(Between {
            expr, low, high, ..
        }) => compared(&mut [expr, low, high], true, schema)?,
        Expr::InList(InList { expr, list, .. }) => {
            let mut all: Vec<&mut Expr> = vec![expr];
            all.extend(list);
            compared(&mut all, false, schema)?
        }
        _ => false,
    };
    Ok(match changed {
        true => Transformed::yes(expr),
        false => Transformed::no(expr),
    })
}

fn is_distinct(op: Operator) -> bool {
    matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

/// Compares by length where one is an interval.
fn compared(operands: &mut [&mut Expr], ordered: bool, schema: &DFSchema) -> Result<bool> {
    let types: Result<Vec<DataType>> = operands.iter().map(|of| of.get_type(schema)).collect();
    // What has no type yet, as a parameter, takes another's.
    let Ok(types) = types else {
        return Ok(false);
    };
    if ordered
        && let Some(of) = types
            .iter()
            .find(|of| of.is_nested() && !matches!(of, DataType::Dictionary(..)))
    {
        return not_impl_err!(
            "<, >, BETWEEN of a {of}: NULL within it has no order that all engines agree on; compare \
             its parts"
        );
    }
    let number = types.iter().find(|of| of.is_numeric());
    let time = types.iter().find(|of| of.is_temporal());
    if let (Some(number), Some(time)) = (number, time) {
        return plan_err!("{time} beside {number}: a time is no number; cast one of them");
    }
    zones::comparable(&types.iter().collect::<Vec<_>>())?;
    if !types.iter().any(|of| matches!(of, DataType::Interval(_))) {
        return Ok(false);
    }
    for (operand, of) in operands.iter_mut().zip(types) {
        let expr = std::mem::take(*operand);
        let long = match of {
            INTERVAL | DataType::Duration(_) => expr,
            _ => Expr::Cast(Cast::new(Box::new(expr), INTERVAL)),
        };
        let length = Arc::new(ScalarUDF::from(Length::default()));
        **operand = Expr::ScalarFunction(ScalarFunction::new_udf(length, vec![long]));
    }
    Ok(true)
}

/// Makes a day that hours are added to a timestamp.
fn with_hours(left: &mut Expr, right: &mut Expr, schema: &DFSchema) -> Result<bool> {
    let (Ok(of), Ok(with)) = (left.get_type(schema), right.get_type(schema)) else {
        return Ok(false);
    };
    let is_day = |of: &DataType| matches!(of, DataType::Date32 | DataType::Date64);
    let (day, added) = match (is_day(&of), is_day(&with)) {
        (true, false) => (left, &*right),
        (false, true) => (right, &*left),
        _ => return Ok(false),
    };
    let adds_hours = match added.get_type(schema) {
        Ok(DataType::Duration(_)) => true,
        Ok(DataType::Interval(_)) => match hours(added) {
            Some(hours) => hours,
            None => {
                return not_impl_err!(
                    "a day plus an interval that is no constant, which may have hours: cast the day to \
                     a timestamp"
                );
            }
        },
        _ => false,
    };
    if adds_hours {
        let moment = DataType::Timestamp(TimeUnit::Nanosecond, None);
        *day = Expr::Cast(Cast::new(Box::new(std::mem::take(day)), moment));
    }
    Ok(adds_hours)
}

/// Whether a constant interval has a part of a day; none where it is no constant.
fn hours(interval: &Expr) -> Option<bool> {
    match interval {
        Expr::Negative(of) => hours(of),
        Expr::Literal(ScalarValue::IntervalMonthDayNano(of), _) => {
            Some(of.is_some_and(|of| of.nanoseconds % DAY != 0))
        }
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => Some(false),
        _ => None,
    }
}

/// How long an interval or duration is, in nanoseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    signature: Signature,
}

impl Default for Length {
    fn default() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &str {
        "length_of_interval"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(SPAN)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [of] = take_function_args(self.name(), args.args)?;
        let array = of.into_array(args.number_rows)?;
        let lengths: Decimal128Array = match array.data_type() {
            DataType::Duration(_) => {
                let array = cast(&array, &DataType::Duration(TimeUnit::Nanosecond))?;
                let array = array.as_primitive::<DurationNanosecondType>();
                array.iter().map(|of| of.map(i128::from)).collect()
            }
            _ => {
                let array = array.as_primitive::<IntervalMonthDayNanoType>();
                array
                    .iter()
                    .map(|of| {
                        of.map(|of| {
                            i128::from(of.months) * MONTH
                                + i128::from(of.days) * i128::from(DAY)
                                + i128::from(of.nanoseconds)
                        })
                    })
                    .collect()
            }
        };
        let lengths = lengths.with_data_type(SPAN);
        Ok(ColumnarValue::Array(Arc::new(lengths)))
    }
}
