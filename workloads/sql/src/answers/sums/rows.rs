//! The sum of all rows or of a window's, and of the different values among them.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray},
    common::{ScalarValue, utils::SingleRowListArrayBuilder},
    error::Result,
    logical_expr::Accumulator,
};

use super::total::{Named, Summed, Total, TotalOf};
use crate::answers::one;

pub(super) fn rows<T: Summed>(named: Named) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(Rows::<T> {
        named,
        total: None,
        counted: 0,
    }))
}

/// The sum of all rows, or of a window's.
#[derive(Debug)]
struct Rows<T: Summed> {
    named: Named,
    total: Option<TotalOf<T>>,
    /// How many values are in the sum, of none of which it is NULL.
    counted: usize,
}

impl<T: Summed> Rows<T> {
    fn add<V: ArrowPrimitiveType>(
        &mut self,
        array: &PrimitiveArray<V>,
        widen: fn(V::Native) -> TotalOf<T>,
    ) -> Result<()> {
        let values = array.len() - array.null_count();
        if values == 0 {
            return Ok(());
        }
        let mut total = self.total.unwrap_or_default();
        let mut fits = true;
        let mut add = |value: V::Native| match total.plus(widen(value)) {
            Some(sum) => total = sum,
            None => fits = false,
        };
        match array.null_count() {
            0 => array.values().iter().copied().for_each(&mut add),
            _ => array.iter().flatten().for_each(&mut add),
        }
        if !fits {
            return Err(self.named.too_large());
        }
        self.total = Some(total);
        self.counted += values;
        Ok(())
    }
}

impl<T: Summed> Accumulator for Rows<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = one(values)?;
        let values = self.named.typed(values);
        self.add(values.as_primitive::<T>(), T::widen)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = one(values)?;
        let values = self.named.typed(values);
        let values = values.as_primitive::<T>();
        for value in values.iter().flatten() {
            let total = self.total.unwrap_or_default();
            let rest = total.minus(T::widen(value));
            self.total = Some(rest.ok_or_else(|| self.named.too_large())?);
        }
        self.counted -= values.len() - values.null_count();
        if self.counted == 0 {
            self.total = None;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.named.scalar::<T>(self.total)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.named.state_type();
        Ok(vec![ScalarValue::new_primitive::<T::Total>(
            self.total, &state,
        )?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [states] = one(states)?;
        self.add(states.as_primitive::<T::Total>(), |total| total)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.named.name.capacity()
    }
}

pub(super) fn distinct<T: Summed>(named: Named) -> Result<Box<dyn Accumulator>> {
    Ok(Box::new(Distinct::<T> {
        named,
        seen: HashMap::new(),
    }))
}

/// The sum of the different values.
#[derive(Debug)]
struct Distinct<T: Summed> {
    named: Named,
    /// How many of the rows have a value; a window's rows leave again.
    seen: HashMap<TotalOf<T>, usize>,
}

impl<T: Summed> Accumulator for Distinct<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = one(values)?;
        let values = self.named.typed(values);
        for value in values.as_primitive::<T>().iter().flatten() {
            *self.seen.entry(T::widen(value)).or_default() += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = one(values)?;
        let values = self.named.typed(values);
        for value in values.as_primitive::<T>().iter().flatten() {
            let value = T::widen(value);
            if let Some(times) = self.seen.get_mut(&value) {
                *times -= 1;
                if *times == 0 {
                    self.seen.remove(&value);
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut total = None;
        for value in self.seen.keys() {
            let sum = total.unwrap_or_default();
            total = Some(value.plus(sum).ok_or_else(|| self.named.too_large())?);
        }
        self.named.scalar::<T>(total)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.seen.keys().map(|value| self.named.narrow::<T>(*value));
        let values: Vec<T::Native> = values.collect::<Result<_>>()?;
        let values =
            PrimitiveArray::<T>::from_iter_values(values).with_data_type(self.named.result.clone());
        let list = SingleRowListArrayBuilder::new(Arc::new(values));
        Ok(vec![list.build_list_scalar()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [states] = one(states)?;
        for values in states.as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let entry = size_of::<(TotalOf<T>, usize)>() + 1;
        size_of_val(self) + self.named.name.capacity() + self.seen.capacity() * entry
    }
}
