//! Aggregates of floating point over a window that moves on.
//!
//! The engine takes a value that leaves the window from the aggregate of the others. What is lost in
//! a larger number's rounding does not come back, and infinity or NaN never leave. Here the
//! window is in two parts: of the older rows an aggregate of each and all after it is kept, of
//! the newer ones one aggregate; so what leaves is forgotten and nothing is taken away.

use std::{collections::VecDeque, fmt, sync::Arc};

use datafusion::{
    arrow::{
        array::ArrayRef,
        datatypes::{FieldRef, Schema},
    },
    common::ScalarValue,
    error::{DataFusionError, Result},
    logical_expr::{Accumulator, AggregateUDF, function::AccumulatorArgs},
    physical_expr::{PhysicalExpr, PhysicalSortExpr},
};

use crate::answers::canonical;

/// The window's aggregate, by an engine's function whose state is of one size.
pub(in crate::answers) fn sliding(
    engine: Arc<AggregateUDF>,
    args: &AccumulatorArgs,
) -> Result<Box<dyn Accumulator>> {
    let fresh = Fresh {
        engine,
        return_field: Arc::clone(&args.return_field),
        schema: args.schema.clone(),
        ignore_nulls: args.ignore_nulls,
        order_bys: args.order_bys.to_vec(),
        is_reversed: args.is_reversed,
        name: args.name.to_owned(),
        is_distinct: args.is_distinct,
        exprs: args.exprs.to_vec(),
        expr_fields: args.expr_fields.to_vec(),
    };
    Ok(Box::new(Sliding {
        newer: fresh.accumulator()?,
        fresh,
        older: Vec::new(),
        rows: VecDeque::new(),
    }))
}

/// What makes an accumulator without rows.
struct Fresh {
    engine: Arc<AggregateUDF>,
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    order_bys: Vec<PhysicalSortExpr>,
    is_reversed: bool,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl Fresh {
    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.engine.accumulator(AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order_bys,
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        })
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[derive(Debug)]
struct Sliding {
    fresh: Fresh,
    /// Of each older row, the oldest last, the state of it and all older rows after it.
    older: Vec<Vec<ArrayRef>>,
    newer: Box<dyn Accumulator>,
    /// The values of the newer rows.
    rows: VecDeque<Vec<ArrayRef>>,
}

impl Sliding {
    /// Makes the newer rows the older ones.
    fn turn(&mut self) -> Result<()> {
        let mut later = self.fresh.accumulator()?;
        for row in self.rows.drain(..).rev() {
            later.update_batch(&row)?;
            self.older.push(state(later.as_mut())?);
        }
        self.newer = self.fresh.accumulator()?;
        Ok(())
    }

    fn whole(&mut self) -> Result<Box<dyn Accumulator>> {
        let mut whole = self.fresh.accumulator()?;
        if let Some(older) = self.older.last() {
            whole.merge_batch(older)?;
        }
        whole.merge_batch(&state(self.newer.as_mut())?)?;
        Ok(whole)
    }
}

fn state(of: &mut dyn Accumulator) -> Result<Vec<ArrayRef>> {
    of.state()?
        .iter()
        .map(|value| value.to_array_of_size(1))
        .collect()
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.newer.update_batch(values)?;
        let count = values.first().map_or(0, |values| values.len());
        for row in 0..count {
            let row = values.iter().map(|values| values.slice(row, 1));
            self.rows.push_back(row.collect());
        }
        Ok(())
    }

    /// Rows leave in the order in which they came.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for _ in 0..values.first().map_or(0, |values| values.len()) {
            if self.older.is_empty() {
                self.turn()?;
            }
            if self.older.pop().is_none() {
                return Err(DataFusionError::Internal(
                    "a row that is in no window left it".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.whole()?.evaluate().map(canonical::scalar)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.whole()?.state()
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(DataFusionError::Internal(
            "a window's aggregates are not merged".to_owned(),
        ))
    }

    fn size(&self) -> usize {
        /// A row's arrays, or the states of one.
        const ROW: usize = 256;
        size_of_val(self) + (self.older.len() + self.rows.len()) * ROW + self.newer.size()
    }
}
