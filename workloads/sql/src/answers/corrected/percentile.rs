//! `percentile_cont` whose weights are not cut short, and which finds infinity.
//!
//! The engine takes weights to six digits, and a value between two equal infinities for NaN. What
//! it keeps is every value of a group, so it keeps them and only the result is computed here.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray},
        datatypes::{DataType, Float32Type, Float64Type},
        record_batch::RecordBatch,
    },
    common::ScalarValue,
    error::Result,
    logical_expr::{
        Accumulator, ColumnarValue, EmitTo, GroupsAccumulator, function::AccumulatorArgs,
    },
};

use crate::answers::one;

/// Which part of the values is not above the one that is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Percentile {
    part: f64,
    descending: bool,
}

impl Percentile {
    /// What is asked for; nothing where the engine is to say what is wrong with it.
    pub(super) fn of(args: &AccumulatorArgs) -> Option<Self> {
        let nothing = RecordBatch::new_empty(Arc::new(args.schema.clone()));
        let of = args.expr_fields.first()?.data_type();
        match args.exprs.get(1)?.evaluate(&nothing).ok()? {
            ColumnarValue::Scalar(ScalarValue::Float64(Some(part)))
                if matches!(of, DataType::Float32 | DataType::Float64) =>
            {
                let descending = args.order_bys.first();
                let descending = descending.is_some_and(|order| order.options.descending);
                Some(Self { part, descending })
            }
            _ => None,
        }
    }

    fn value(self, mut values: Vec<f64>) -> Option<f64> {
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let place = self.part * last as f64;
        let place = if self.descending {
            last as f64 - place
        } else {
            place
        };
        let below = *values.get(place.floor() as usize)?;
        let above = *values.get(place.ceil() as usize)?;
        let weight = place - place.floor();
        Some(match below.total_cmp(&above).is_eq() {
            true => below,
            false => below * (1.0 - weight) + above * weight,
        })
    }

    fn of_each<T: ArrowPrimitiveType>(
        self,
        lists: &ArrayRef,
        of: impl Fn(T::Native) -> f64,
        to: impl Fn(f64) -> T::Native,
    ) -> ArrayRef {
        let lists = lists.as_list::<i32>().iter();
        let values: PrimitiveArray<T> = lists
            .map(|list| {
                let list = list?;
                let list = list.as_primitive::<T>().iter().flatten();
                self.value(list.map(&of).collect()).map(&to)
            })
            .collect();
        Arc::new(values)
    }

    fn results(self, lists: &ArrayRef) -> Result<ArrayRef> {
        Ok(match lists.as_list::<i32>().value_type() {
            DataType::Float32 => {
                self.of_each::<Float32Type>(lists, f64::from, |value| value as f32)
            }
            _ => self.of_each::<Float64Type>(lists, |value| value, |value| value),
        })
    }
}

/// The percentile of all rows, or of a window's.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) engine: Box<dyn Accumulator>,
    pub(super) percentile: Percentile,
}

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.engine.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.engine.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.engine.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.engine.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let states = self.engine.state()?;
        let states = states.iter().map(|state| state.to_array_of_size(1));
        let states = states.collect::<Result<Vec<_>>>()?;
        // Its state leaves an accumulator, and a window's is asked for more.
        self.engine.merge_batch(&states)?;
        let [lists] = one(&states)?;
        ScalarValue::try_from_array(&self.percentile.results(lists)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.engine.state()
    }

    fn size(&self) -> usize {
        self.engine.size()
    }
}

/// Each group's percentile.
pub(super) struct Groups {
    pub(super) engine: Box<dyn GroupsAccumulator>,
    pub(super) percentile: Percentile,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.engine.update_batch(values, groups, filter, count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.engine.merge_batch(states, groups, count)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let states = self.engine.state(emit)?;
        let [lists] = one(&states)?;
        self.percentile.results(lists)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
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
        self.engine.size()
    }
}
