//! The sum of each group.

use std::sync::Arc;

use datafusion::{
    arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray},
    error::Result,
    logical_expr::{EmitTo, GroupsAccumulator},
    physical_expr::NullState,
};

use super::total::{Named, Summed, Total, TotalOf};
use crate::answers::one;

pub(super) fn groups<T: Summed>(named: Named) -> Result<Box<dyn GroupsAccumulator>> {
    Ok(Box::new(Groups::<T> {
        named,
        totals: Vec::new(),
        nulls: NullState::new(),
    }))
}

/// The sum of each group.
#[derive(Debug)]
struct Groups<T: Summed> {
    named: Named,
    totals: Vec<TotalOf<T>>,
    nulls: NullState,
}

impl<T: Summed> Groups<T> {
    fn add<V: ArrowPrimitiveType + Send>(
        &mut self,
        values: &PrimitiveArray<V>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
        widen: fn(V::Native) -> TotalOf<T>,
    ) -> Result<()> {
        let Self { totals, nulls, .. } = self;
        totals.resize(count, TotalOf::<T>::default());
        let mut fits = true;
        nulls.accumulate(groups, values, filter, count, |group, value| {
            // Every group has its place since the resizing.
            let Some(total) = totals.get_mut(group) else {
                return;
            };
            match total.plus(widen(value)) {
                Some(sum) => *total = sum,
                None => fits = false,
            }
        });
        match fits {
            true => Ok(()),
            false => Err(self.named.too_large()),
        }
    }
}

impl<T: Summed> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let [values] = one(values)?;
        let values = self.named.typed(values);
        self.add(values.as_primitive::<T>(), groups, filter, count, T::widen)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        let [states] = one(states)?;
        let states = states.as_primitive::<T::Total>();
        self.add(states, groups, None, count, |total| total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let totals = emit.take_needed(&mut self.totals);
        let nulls = self.nulls.build(emit);
        // A group without values has zero, which fits.
        let values = totals
            .into_iter()
            .map(|total| self.named.narrow::<T>(total));
        let values: Vec<T::Native> = values.collect::<Result<_>>()?;
        let values = PrimitiveArray::<T>::try_new(values.into(), nulls)?;
        Ok(Arc::new(values.with_data_type(self.named.result.clone())))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let totals = emit.take_needed(&mut self.totals);
        let nulls = self.nulls.build(emit);
        let totals = PrimitiveArray::<T::Total>::try_new(totals.into(), nulls)?;
        let totals = totals.with_data_type(self.named.state_type());
        Ok(vec![Arc::new(totals)])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let [values] = one(values)?;
        let values = self.named.typed(values);
        let values = values.as_primitive::<T>().iter();
        let totals: PrimitiveArray<T::Total> = match filter {
            None => values.map(|value| value.map(T::widen)).collect(),
            Some(filter) => values
                .zip(filter)
                .map(|(value, kept)| value.filter(|_| kept == Some(true)).map(T::widen))
                .collect(),
        };
        Ok(vec![Arc::new(
            totals.with_data_type(self.named.state_type()),
        )])
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<TotalOf<T>>() + self.nulls.size()
    }
}
