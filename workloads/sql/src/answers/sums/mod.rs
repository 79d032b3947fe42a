//! `sum` that is an error where the result does not fit its type.
//!
//! Integers are summed in 128 bits, so that only the result counts and not the order of the rows:
//! a sum that passes the largest integer and comes back is right.
//!
//! [`total`] says how each type is summed, [`rows`] and [`groups`] do it.

mod groups;
mod rows;
mod total;

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{
        DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
        DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
        DurationSecondType, Field, FieldRef, Int64Type, TimeUnit, UInt64Type,
    },
    common::ScalarValue,
    error::Result,
    functions_aggregate::sum,
    logical_expr::{
        Accumulator, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Operator,
        ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
        expr::AggregateFunction,
        function::{AccumulatorArgs, StateFieldsArgs},
        utils::{AggregateOrderSensitivity, format_state_name},
    },
};

use super::{
    canonical::{CanonicalGroups, CanonicalRows},
    corrected::sliding,
};

use self::{
    groups::groups,
    rows::{distinct, rows},
    total::{Named, state_type},
};

/// The engine's `sum`, with accumulators of its own for all but floating point and intervals.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sum {
    engine: sum::Sum,
}

/// Calls a generic function with the type that stands for the data type.
macro_rules! with_type {
    ($type:expr, $function:ident ($($argument:expr),*), $other:expr) => {
        match $type {
            DataType::Int64 => $function::<Int64Type>($($argument),*),
            DataType::UInt64 => $function::<UInt64Type>($($argument),*),
            DataType::Decimal32(..) => $function::<Decimal32Type>($($argument),*),
            DataType::Decimal64(..) => $function::<Decimal64Type>($($argument),*),
            DataType::Decimal128(..) => $function::<Decimal128Type>($($argument),*),
            DataType::Decimal256(..) => $function::<Decimal256Type>($($argument),*),
            DataType::Duration(TimeUnit::Second) => {
                $function::<DurationSecondType>($($argument),*)
            }
            DataType::Duration(TimeUnit::Millisecond) => {
                $function::<DurationMillisecondType>($($argument),*)
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                $function::<DurationMicrosecondType>($($argument),*)
            }
            DataType::Duration(TimeUnit::Nanosecond) => {
                $function::<DurationNanosecondType>($($argument),*)
            }
            _ => $other,
        }
    };
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            // As a column of a CSV is that has no value.
            [DataType::Null] => Ok(DataType::Int64),
            _ => self.engine.return_type(arguments),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let named = Named::of(&args);
        if args.is_distinct {
            with_type!(
                args.return_field.data_type(),
                distinct(named),
                self.engine.accumulator(args)
            )
        } else {
            with_type!(args.return_field.data_type(), rows(named), {
                let engine = self.engine.accumulator(args)?;
                Ok(match named.result.is_floating() {
                    true => Box::new(CanonicalRows(engine)),
                    false => engine,
                })
            })
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let named = Named::of(&args);
        let own = args.return_field.data_type().clone();
        if own.is_floating() {
            sliding(sum::sum_udaf(), &args)
        } else if args.is_distinct {
            with_type!(
                own,
                distinct(named),
                self.engine.create_sliding_accumulator(args)
            )
        } else {
            with_type!(
                own,
                rows(named),
                self.engine.create_sliding_accumulator(args)
            )
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let named = Named::of(&args);
        let own = args.return_field.data_type().clone();
        with_type!(own, groups(named), {
            let is_float = args.return_field.data_type().is_floating();
            let engine = self.engine.create_groups_accumulator(args)?;
            Ok(match is_float {
                true => Box::new(CanonicalGroups(engine)),
                false => engine,
            })
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.engine.groups_accumulator_supported(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return self.engine.state_fields(args);
        }
        match state_type(args.return_type()) {
            Some(state) => {
                let name = format_state_name(args.name, "sum");
                Ok(vec![Arc::new(Field::new(name, state, true))])
            }
            None => self.engine.state_fields(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.engine.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.engine.order_sensitivity()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engine.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.engine.set_monotonicity(data_type)
    }

    /// The engine's rewriting of `sum(a + 1)` to `sum(a) + count(a)` would overflow elsewhere.
    fn simplify_expr_op_literal(
        &self,
        _: &AggregateFunction,
        _: &Expr,
        _: Operator,
        _: &Expr,
        _: bool,
    ) -> Result<Option<Expr>> {
        Ok(None)
    }

    /// A file's statistics may hold a sum that wrapped round when it was written.
    fn value_from_stats(&self, _: &StatisticsArgs) -> Option<ScalarValue> {
        None
    }
}
