//! AND and OR that do not fail for rows which another of their conditions decides.
//!
//! `b <> 0 and a / b > 2` is false where `b` is 0. The engine computes both sides for all rows of
//! a batch, unless the first excludes most, and turns a CASE of truth values into AND and OR; so
//! it fails with a division by zero whatever guards it. Here a condition that fails is computed
//! again for the rows that the others leave open. Where nothing fails, nothing is computed twice but
//! what a filter has that cannot fail: files are searched by that, so it stands there by itself, too.

use std::{fmt, hash::Hash, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, BooleanArray},
        compute::{and_kleene, is_null, not, or, or_kleene, prep_null_mask_filter},
        datatypes::{DataType, Schema},
        record_batch::RecordBatch,
    },
    common::{
        cast::as_boolean_array,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, Operator},
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr, conjunction,
        expressions::{BinaryExpr, CaseExpr, CastExpr},
        split_conjunction,
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateInputMode, PhysicalGroupBy},
        filter::{FilterExec, FilterExecBuilder},
        joins::{
            HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
            utils::JoinFilter,
        },
        projection::{ProjectionExec, ProjectionExpr},
    },
};

use super::{canonical, floats, whole::Whole};

type Physical = Arc<dyn PhysicalExpr>;

/// Puts [`Either`] in place of each AND and OR that may fail.
#[derive(Debug)]
pub(super) struct Guarded;

impl PhysicalOptimizerRule for Guarded {
    fn name(&self) -> &str {
        "guarded_conditions"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(in_node).data()
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn in_node(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let guarded: Option<Arc<dyn ExecutionPlan>> =
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            match guarded_filter(filter.predicate(), &filter.input().schema())? {
                Some(predicate) => Some(Arc::new(
                    FilterExecBuilder::from(filter)
                        .with_predicate(predicate)
                        .build()?,
                )),
                None => None,
            }
        } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let schema = projection.input().schema();
            let mut changed = false;
            let mut columns = Vec::new();
            for column in projection.expr() {
                let expr = guarded(Arc::clone(&column.expr), &schema)?;
                changed |= expr.transformed;
                columns.push(ProjectionExpr {
                    expr: expr.data,
                    alias: column.alias.clone(),
                });
            }
            match changed {
                true => Some(Arc::new(ProjectionExec::try_new(
                    columns,
                    Arc::clone(projection.input()),
                )?)),
                false => None,
            }
        } else if let Some(groups) = plan.downcast_ref::<AggregateExec>() {
            guarded_groups(groups)?
        } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
            match guarded_join(join.filter())? {
                Some(filter) => Some(join.builder().with_filter(Some(filter)).build_exec()?),
                None => None,
            }
        } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            match whole_join(join.filter())? {
                Some(filter) => Some(Arc::new(
                    NestedLoopJoinExecBuilder::from(join)
                        .with_filter(Some(filter))
                        .build()?,
                )),
                None => None,
            }
        } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
            match guarded_join(join.filter().as_ref())? {
                Some(filter) => Some(Arc::new(SortMergeJoinExec::try_new(
                    Arc::clone(join.left()),
                    Arc::clone(join.right()),
                    join.on().to_vec(),
                    Some(filter),
                    join.join_type(),
                    join.sort_options().to_vec(),
                    join.null_equality(),
                )?)),
                None => None,
            }
        } else {
            None
        };
    Ok(match guarded {
        Some(guarded) => Transformed::yes(guarded),
        None => Transformed::no(plan),
    })
}

/// A filter's condition with what cannot fail still on its own, because files and joins are
/// searched by it.
fn guarded_filter(predicate: &Physical, schema: &Schema) -> Result<Option<Physical>> {
    let whole = guarded(Arc::clone(predicate), schema)?;
    let mut changed = whole.transformed;
    let mut conditions = Vec::new();
    for condition in split_conjunction(predicate) {
        if floats::may_hold_for_nan(condition, schema) {
            changed = true;
            conditions.push(Either::of(Operator::And, Arc::clone(condition)));
        } else if !may_fail(condition, schema) {
            conditions.push(Arc::clone(condition));
        }
    }
    if whole.transformed {
        conditions.retain(|condition| !may_fail(condition, schema));
        conditions.push(whole.data);
    }
    Ok(changed.then(|| conjunction(conditions)))
}

fn guarded_groups(groups: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if groups.mode().input_mode() != AggregateInputMode::Raw {
        // The rows were grouped in part; what is computed of them is so already.
        return Ok(None);
    }
    let schema = groups.input_schema();
    let mut changed = false;
    let mut rewrite = |expr: &Physical| -> Result<Physical> {
        let done = guarded(Arc::clone(expr), &schema)?;
        changed |= done.transformed;
        Ok(done.data)
    };
    let mut keys = Vec::new();
    for (key, name) in groups.group_expr().expr() {
        keys.push((rewrite(key)?, name.clone()));
    }
    let mut filters = Vec::new();
    for filter in groups.filter_expr() {
        filters.push(filter.as_ref().map(&mut rewrite).transpose()?);
    }
    let mut functions = Vec::new();
    for function in groups.aggr_expr() {
        let of = function.all_expressions();
        let of_args = of.args.iter().map(&mut rewrite).collect::<Result<_>>()?;
        let of_order = of.order_by_exprs.iter().map(&mut rewrite);
        let of_order = of_order.collect::<Result<_>>()?;
        let function = function.with_new_expressions(of_args, of_order);
        functions.push(Arc::new(function.ok_or_else(|| {
            DataFusionError::Internal("an aggregate of other arguments".to_owned())
        })?));
    }
    if !changed {
        return Ok(None);
    }
    let sets = groups.group_expr();
    let sets = PhysicalGroupBy::new(
        keys,
        sets.null_expr().to_vec(),
        sets.groups().to_vec(),
        sets.has_grouping_set(),
    );
    Ok(Some(Arc::new(AggregateExec::try_new(
        *groups.mode(),
        sets,
        functions,
        filters,
        Arc::clone(groups.input()),
        schema,
    )?)))
}

fn guarded_join(filter: Option<&JoinFilter>) -> Result<Option<JoinFilter>> {
    rewritten_join(filter, guarded)
}

/// A condition whose guarded parts stay with what guards them.
fn whole_join(filter: Option<&JoinFilter>) -> Result<Option<JoinFilter>> {
    rewritten_join(filter, |condition, schema| {
        let guarded = guarded(condition, schema)?;
        guarded.transform_data(|condition| {
            condition.transform_down(|expr| {
                let guards = expr.downcast_ref::<Either>().is_some()
                    || expr.downcast_ref::<CaseExpr>().is_some();
                Ok(match guards && may_fail(&expr, schema) {
                    true => Transformed::new(Whole::of(expr), true, TreeNodeRecursion::Jump),
                    false => Transformed::no(expr),
                })
            })
        })
    })
}

fn rewritten_join(
    filter: Option<&JoinFilter>,
    rewrite: impl FnOnce(Physical, &Schema) -> Result<Transformed<Physical>>,
) -> Result<Option<JoinFilter>> {
    let Some(filter) = filter else {
        return Ok(None);
    };
    let condition = rewrite(Arc::clone(filter.expression()), filter.schema())?;
    Ok(condition.transformed.then(|| {
        JoinFilter::new(
            condition.data,
            filter.column_indices().to_vec(),
            Arc::clone(filter.schema()),
        )
    }))
}

fn guarded(expr: Physical, schema: &Schema) -> Result<Transformed<Physical>> {
    expr.transform_down(|expr| {
        let Some(binary) = expr.downcast_ref::<BinaryExpr>() else {
            return Ok(Transformed::no(expr));
        };
        let op = *binary.op();
        if !matches!(op, Operator::And | Operator::Or) {
            return Ok(Transformed::no(expr));
        }
        // All that it binds is looked at here, once however long that is.
        if !may_fail(&expr, schema) {
            return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump));
        }
        let mut sides = Vec::new();
        sides_of(op, &expr, &mut sides);
        let mut engine: Option<Physical> = None;
        for side in sides {
            let side = guarded(side, schema)?.data;
            engine = Some(match engine {
                None => side,
                Some(before) => Arc::new(BinaryExpr::new(before, op, side)),
            });
        }
        let either = Either::of(op, engine.unwrap_or(expr));
        Ok(Transformed::new(either, true, TreeNodeRecursion::Jump))
    })
}

/// What AND or OR binds together, in the query's order.
fn sides_of(op: Operator, expr: &Physical, sides: &mut Vec<Physical>) {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
        && *binary.op() == op
    {
        sides_of(op, binary.left(), sides);
        sides_of(op, binary.right(), sides);
    } else if let Some(either) = expr.downcast_ref::<Either>()
        && either.op == op
    {
        sides.extend(either.sides.iter().map(Arc::clone));
    } else {
        sides.push(Arc::clone(expr));
    }
}

/// Whether some value could make this an error.
fn may_fail(expr: &Physical, schema: &Schema) -> bool {
    let here = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        // Of the others, those that can fail are functions by now.
        matches!(binary.op(), Operator::Divide | Operator::Modulo)
            && !of_type(binary.left(), schema, DataType::is_floating)
    } else if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let to = cast.cast_type();
        !of_type(cast.expr(), schema, |from| always_casts(from, to))
    } else {
        let call = expr.downcast_ref::<ScalarFunctionExpr>();
        call.is_some_and(|call| call.name() != canonical::NAME)
    };
    here || expr
        .children()
        .into_iter()
        .any(|child| may_fail(child, schema))
}

fn of_type(expr: &Physical, schema: &Schema, is: impl Fn(&DataType) -> bool) -> bool {
    expr.data_type(schema).is_ok_and(|of| is(&of))
}

/// Whether the other type has all values of the one.
fn always_casts(from: &DataType, to: &DataType) -> bool {
    let bytes = |of: &DataType| of.primitive_width().unwrap_or(0);
    from == to
        || to.is_string()
        || from.is_numeric() && to.is_floating()
        || from.is_integer()
            && to.is_integer()
            && (from.is_unsigned_integer() == to.is_unsigned_integer() && bytes(from) <= bytes(to)
                || to.is_signed_integer() && bytes(from) < bytes(to))
}

/// AND or OR of conditions of which some may fail.
#[derive(Debug, Eq)]
struct Either {
    op: Operator,
    /// The same as the engine has it, and computes it at once.
    engine: Physical,
    sides: Vec<Physical>,
}

impl PartialEq for Either {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.engine.eq(&other.engine)
    }
}

impl Hash for Either {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.op.hash(state);
        self.engine.hash(state);
    }
}

impl fmt::Display for Either {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}

impl Either {
    fn of(op: Operator, engine: Physical) -> Physical {
        let mut sides = Vec::new();
        sides_of(op, &engine, &mut sides);
        Arc::new(Self { op, engine, sides })
    }

    /// Computes side by side, a failed one again for the rows that stay open, until all are known
    /// or none can be computed.
    fn one_by_one(&self, batch: &RecordBatch, failed: DataFusionError) -> Result<BooleanArray> {
        let rows = batch.num_rows();
        let neutral = self.op == Operator::And;
        let mut result = BooleanArray::from(vec![neutral; rows]);
        let mut sides: Vec<&Physical> = self.sides.iter().collect();
        let mut failed = failed;
        while !sides.is_empty() {
            // Where AND is false and OR is true, the other sides do not matter.
            let open = match neutral {
                true => or(&decided(&result), &is_null(&result)?)?,
                false => not(&decided(&result))?,
            };
            if !open.has_true() {
                break;
            }
            let mut left = Vec::new();
            for side in &sides {
                match side
                    .evaluate_selection(batch, &open)
                    .and_then(|value| value.into_array(rows))
                {
                    Ok(value) => {
                        let value = as_boolean_array(&value)?;
                        // Rows that are decided have no value here, and need none.
                        let value = match neutral {
                            true => and_kleene(&result, value)?,
                            false => or_kleene(&result, value)?,
                        };
                        result = value;
                    }
                    Err(error) => {
                        failed = error;
                        left.push(*side);
                    }
                }
            }
            if left.len() == sides.len() {
                return Err(failed);
            }
            sides = left;
        }
        Ok(result)
    }
}

/// Where this is true, NULL being false.
fn decided(values: &BooleanArray) -> BooleanArray {
    match values.null_count() {
        0 => values.clone(),
        _ => prep_null_mask_filter(values),
    }
}

impl PhysicalExpr for Either {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.engine.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.engine.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        match self.engine.evaluate(batch) {
            Err(error) => {
                let result = self.one_by_one(batch, error)?;
                Ok(ColumnarValue::Array(Arc::new(result)))
            }
            ended => ended,
        }
    }

    fn children(&self) -> Vec<&Physical> {
        vec![&self.engine]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Physical>) -> Result<Physical> {
        let [engine] = children.try_into().map_err(|children: Vec<_>| {
            DataFusionError::Internal(format!("a condition of {} parts", children.len()))
        })?;
        Ok(Self::of(self.op, engine))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt_sql(f)
    }
}
