//! Aggregates as the engine has them, but for what is wrong in them.
//!
//! `max` and `min` of groups of floating point forget NaN, by the order of their rows. What
//! `array_agg` keeps of longer strings is not counted as memory. Averages and the like have more than
//! one NaN, and over a window that moves on they lose digits ([`sliding`]). [`percentile`] cuts its
//! weights short.

mod percentile;
mod sliding;

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray},
        datatypes::{DataType, FieldRef, Float32Type, Float64Type},
    },
    common::{ScalarValue, cast::as_primitive_array},
    error::Result,
    functions_aggregate::{
        array_agg, average, correlation, covariance, min_max, percentile_cont, regr, stddev,
        variance,
    },
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr,
        GroupsAccumulator, Operator, ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
        expr::AggregateFunction,
        function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs},
        utils::AggregateOrderSensitivity,
    },
    physical_expr::NullState,
};

use self::percentile::Percentile;
pub(super) use self::sliding::sliding;
use super::{
    canonical::{CanonicalGroups, CanonicalRows},
    one,
};

/// A function of the engine's, and what is corrected in it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Corrected {
    engine: Arc<AggregateUDF>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Max,
    Min,
    ArrayAgg,
    Percentile,
    /// What is added up, in a state of one size.
    Added,
}

impl Corrected {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let added = [
            average::avg_udaf(),
            variance::var_samp_udaf(),
            variance::var_pop_udaf(),
            stddev::stddev_udaf(),
            stddev::stddev_pop_udaf(),
            covariance::covar_samp_udaf(),
            covariance::covar_pop_udaf(),
            correlation::corr_udaf(),
            regr::regr_slope_udaf(),
            regr::regr_intercept_udaf(),
            regr::regr_r2_udaf(),
            regr::regr_avgx_udaf(),
            regr::regr_avgy_udaf(),
            regr::regr_sxx_udaf(),
            regr::regr_syy_udaf(),
            regr::regr_sxy_udaf(),
        ];
        let added = added.map(|engine| (engine, What::Added));
        [
            (min_max::max_udaf(), What::Max),
            (min_max::min_udaf(), What::Min),
            (array_agg::array_agg_udaf(), What::ArrayAgg),
            (percentile_cont::percentile_cont_udaf(), What::Percentile),
        ]
        .into_iter()
        .chain(added)
        .map(|(engine, what)| Self { engine, what })
    }

    fn engine(&self) -> &dyn AggregateUDFImpl {
        self.engine.inner().as_ref()
    }
}

impl AggregateUDFImpl for Corrected {
    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match (self.what, args.return_field.data_type()) {
            (What::Max, DataType::Float64) => Ok(Box::new(Extremes::<Float64Type>::new(
                f64::NEG_INFINITY,
                |old, new| new.is_nan() || new > old,
            ))),
            (What::Max, DataType::Float32) => Ok(Box::new(Extremes::<Float32Type>::new(
                f32::NEG_INFINITY,
                |old, new| new.is_nan() || new > old,
            ))),
            (What::Min, DataType::Float64) => Ok(Box::new(Extremes::<Float64Type>::new(
                f64::NAN,
                |old, new| old.is_nan() || new < old,
            ))),
            (What::Min, DataType::Float32) => Ok(Box::new(Extremes::<Float32Type>::new(
                f32::NAN,
                |old, new| old.is_nan() || new < old,
            ))),
            (What::ArrayAgg, _) => Ok(Box::new(CountedGroups {
                engine: self.engine().create_groups_accumulator(args)?,
                bytes: 0,
            })),
            (What::Added, of) if of.is_floating() => Ok(Box::new(CanonicalGroups(
                self.engine().create_groups_accumulator(args)?,
            ))),
            (What::Percentile, _) => {
                let percentile = Percentile::of(&args);
                let engine = self.engine().create_groups_accumulator(args)?;
                Ok(match percentile {
                    Some(percentile) => Box::new(percentile::Groups { engine, percentile }),
                    None => engine,
                })
            }
            _ => self.engine().create_groups_accumulator(args),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let is_float = args.return_field.data_type().is_floating();
        let percentile = Percentile::of(&args);
        let engine = self.engine().accumulator(args)?;
        Ok(match (self.what, percentile) {
            (What::ArrayAgg, _) => Box::new(Counted { engine, bytes: 0 }),
            (What::Added, _) if is_float => Box::new(CanonicalRows(engine)),
            (What::Percentile, Some(percentile)) => {
                Box::new(percentile::Rows { engine, percentile })
            }
            _ => engine,
        })
    }

    /// A file's statistics leave out NaN.
    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        match args.return_type.is_floating() {
            true => None,
            false => self.engine().value_from_stats(args),
        }
    }

    // What is the engine's own.

    fn name(&self) -> &str {
        self.engine().name()
    }

    fn aliases(&self) -> &[String] {
        self.engine().aliases()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.engine().supports_within_group_clause()
    }

    fn signature(&self) -> &Signature {
        self.engine().signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.engine().return_type(arguments)
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        self.engine().return_field(arguments)
    }

    fn is_nullable(&self) -> bool {
        self.engine().is_nullable()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.engine().coerce_types(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.engine().state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.engine().groups_accumulator_supported(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.what {
            What::Added if args.return_field.data_type().is_floating() => {
                sliding(Arc::clone(&self.engine), &args)
            }
            What::Percentile if !args.is_distinct => self.accumulator(args),
            _ => self.engine().create_sliding_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.engine().order_sensitivity()
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        beneficial: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let engine = Arc::clone(&self.engine).as_ref().clone();
        let engine = engine.with_beneficial_ordering(beneficial)?;
        Ok(engine.map(|engine| {
            Arc::new(Self {
                engine: Arc::new(engine),
                what: self.what,
            }) as _
        }))
    }

    /// Of the largest or smallest percentile the engine would make its own `max` or `min`.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        match self.what {
            What::Percentile => None,
            _ => self.engine().simplify(),
        }
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        of: &Expr,
        op: Operator,
        literal: &Expr,
        of_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.engine()
            .simplify_expr_op_literal(function, of, op, literal, of_is_left)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.engine().reverse_expr()
    }

    fn is_descending(&self) -> Option<bool> {
        self.engine().is_descending()
    }

    fn default_value(&self, of: &DataType) -> Result<ScalarValue> {
        self.engine().default_value(of)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.engine().supports_null_handling_clause()
    }

    fn set_monotonicity(&self, of: &DataType) -> SetMonotonicity {
        self.engine().set_monotonicity(of)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engine().documentation()
    }
}

/// The largest or smallest value of each group, NaN being the largest of all.
struct Extremes<T: ArrowPrimitiveType> {
    /// What any value takes the place of.
    start: T::Native,
    replaces: fn(T::Native, T::Native) -> bool,
    values: Vec<T::Native>,
    nulls: NullState,
}

impl<T: ArrowPrimitiveType> Extremes<T> {
    fn new(start: T::Native, replaces: fn(T::Native, T::Native) -> bool) -> Self {
        Self {
            start,
            replaces,
            values: Vec::new(),
            nulls: NullState::new(),
        }
    }
}

impl<T: ArrowPrimitiveType + Send> GroupsAccumulator for Extremes<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let [values] = one(values)?;
        let new = as_primitive_array::<T>(values)?;
        self.values.resize(count, self.start);
        let Self {
            values, replaces, ..
        } = self;
        self.nulls
            .accumulate(groups, new, filter, count, |group, new| {
                // Every group has its place since the resizing.
                if let Some(old) = values.get_mut(group)
                    && replaces(*old, new)
                {
                    *old = new;
                }
            });
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.update_batch(states, groups, None, count)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let values = emit.take_needed(&mut self.values);
        let nulls = self.nulls.build(emit);
        Ok(Arc::new(PrimitiveArray::<T>::try_new(
            values.into(),
            nulls,
        )?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [values] = one(values)?;
        let values = as_primitive_array::<T>(values)?;
        let Some(filter) = filter else {
            return Ok(vec![Arc::new(values.clone())]);
        };
        let kept = values.iter().zip(filter);
        let kept: PrimitiveArray<T> = kept
            .map(|(value, kept)| value.filter(|_| kept == Some(true)))
            .collect();
        Ok(vec![Arc::new(kept)])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.nulls.size()
    }
}

/// One row's or window's `array_agg`.
#[derive(Debug)]
struct Counted {
    engine: Box<dyn Accumulator>,
    /// Of strings, which the engine does not count.
    bytes: usize,
}

impl Accumulator for Counted {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.bytes += values.iter().map(uncounted).sum::<usize>();
        self.engine.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.bytes += states.iter().map(uncounted).sum::<usize>();
        self.engine.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let bytes = values.iter().map(uncounted).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.engine.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.engine.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.engine.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.engine.state()
    }

    fn size(&self) -> usize {
        self.engine.size() + self.bytes
    }
}

/// Each group's `array_agg`.
struct CountedGroups {
    engine: Box<dyn GroupsAccumulator>,
    bytes: usize,
}

impl CountedGroups {
    /// What leaves is not told from what stays until all has left.
    fn emitted(&mut self, emit: EmitTo) {
        if matches!(emit, EmitTo::All) {
            self.bytes = 0;
        }
    }
}

impl GroupsAccumulator for CountedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.bytes += values.iter().map(uncounted).sum::<usize>();
        self.engine.update_batch(values, groups, filter, count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.bytes += states.iter().map(uncounted).sum::<usize>();
        self.engine.merge_batch(states, groups, count)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.emitted(emit);
        self.engine.evaluate(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.emitted(emit);
        self.engine.state(emit)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.engine.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.engine.size() + self.bytes
    }
}

/// The bytes that views point to, longer than what fits a view itself.
fn uncounted(array: &ArrayRef) -> usize {
    /// How long a string in a view may be.
    const INLINE: u32 = 12;
    let long = |views: &[u128]| {
        views
            .iter()
            // A view starts with the length.
            .map(|view| (*view & u128::from(u32::MAX)) as u32)
            .filter(|length| *length > INLINE)
            .map(|length| length as usize)
            .sum()
    };
    match array.data_type() {
        DataType::Utf8View => long(array.as_string_view().views()),
        DataType::BinaryView => long(array.as_binary_view().views()),
        DataType::List(_) => uncounted(array.as_list::<i32>().values()),
        DataType::LargeList(_) => uncounted(array.as_list::<i64>().values()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(uncounted).sum(),
        _ => 0,
    }
}
