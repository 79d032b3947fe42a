//! What sums are kept in: a type with room for them.

use std::{fmt, hash::Hash, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, ArrowPrimitiveType, new_null_array},
        datatypes::{
            DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal32Type,
            Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, DurationMicrosecondType,
            DurationMillisecondType, DurationNanosecondType, DurationSecondType, Int64Type,
            UInt64Type, i256,
        },
    },
    common::ScalarValue,
    error::{DataFusionError, Result},
    logical_expr::function::AccumulatorArgs,
};

use crate::answers::arithmetic::overflow;

/// What sums are kept in while they are no result yet.
pub(super) fn state_type(result: &DataType) -> Option<DataType> {
    match result {
        DataType::Int64 | DataType::UInt64 | DataType::Duration(_) => {
            Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0))
        }
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale) => {
            Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale))
        }
        DataType::Decimal256(_, scale) => {
            Some(DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale))
        }
        _ => None,
    }
}

/// A type whose values are summed in a larger one.
pub(super) trait Summed: ArrowPrimitiveType + Send + fmt::Debug {
    /// What holds sums; its native type has room for any column's sum of smaller types.
    type Total: ArrowPrimitiveType<Native: Total> + Send + fmt::Debug;

    fn widen(value: Self::Native) -> <Self::Total as ArrowPrimitiveType>::Native;

    /// The sum as a value of this type, if it is one.
    fn narrow(
        total: <Self::Total as ArrowPrimitiveType>::Native,
        result: &DataType,
    ) -> Option<Self::Native>;
}

pub(super) type TotalOf<T> = <<T as Summed>::Total as ArrowPrimitiveType>::Native;

pub(super) trait Total: Copy + Default + Eq + Hash + Send + Sync + fmt::Debug {
    fn plus(self, other: Self) -> Option<Self>;
    fn minus(self, other: Self) -> Option<Self>;
}

impl Total for i128 {
    fn plus(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }

    fn minus(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
}

impl Total for i256 {
    fn plus(self, other: Self) -> Option<Self> {
        self.checked_add(other)
    }

    fn minus(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Summed for $type {
            type Total = Decimal128Type;

            fn widen(value: Self::Native) -> i128 {
                i128::from(value)
            }

            fn narrow(total: i128, _: &DataType) -> Option<Self::Native> {
                total.try_into().ok()
            }
        }
    )*};
}

integers!(
    Int64Type,
    UInt64Type,
    DurationSecondType,
    DurationMillisecondType,
    DurationMicrosecondType,
    DurationNanosecondType
);

macro_rules! decimals {
    ($($type:ty, $total:ty;)*) => {$(
        impl Summed for $type {
            type Total = $total;

            fn widen(value: Self::Native) -> <$total as ArrowPrimitiveType>::Native {
                value.into()
            }

            fn narrow(
                total: <$total as ArrowPrimitiveType>::Native,
                result: &DataType,
            ) -> Option<Self::Native> {
                let (DataType::Decimal32(precision, _)
                | DataType::Decimal64(precision, _)
                | DataType::Decimal128(precision, _)
                | DataType::Decimal256(precision, _)) = result
                else {
                    return None;
                };
                <$total>::is_valid_decimal_precision(total, *precision)
                    .then(|| total.try_into().ok())
                    .flatten()
            }
        }
    )*};
}

decimals! {
    Decimal32Type, Decimal128Type;
    Decimal64Type, Decimal128Type;
    Decimal128Type, Decimal128Type;
    Decimal256Type, Decimal256Type;
}

/// What an accumulator is called in errors, and the type of its result.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) result: DataType,
}

impl Named {
    pub(super) fn of(args: &AccumulatorArgs) -> Self {
        Self {
            name: args.name.to_owned(),
            result: args.return_field.data_type().clone(),
        }
    }

    pub(super) fn narrow<T: Summed>(&self, total: TotalOf<T>) -> Result<T::Native> {
        T::narrow(total, &self.result).ok_or_else(|| self.too_large())
    }

    pub(super) fn scalar<T: Summed>(&self, total: Option<TotalOf<T>>) -> Result<ScalarValue> {
        let value = total.map(|total| self.narrow::<T>(total)).transpose()?;
        ScalarValue::new_primitive::<T>(value, &self.result)
    }

    pub(super) fn too_large(&self) -> DataFusionError {
        overflow(format!(
            "the result of {} is out of the range of {}; cast what is summed to a larger type, \
             such as DECIMAL(38, 0) or DOUBLE",
            self.name, self.result
        ))
    }

    /// The values as those of `T`, which a column that is NULL throughout has none of.
    pub(super) fn typed(&self, values: &ArrayRef) -> ArrayRef {
        match values.data_type() {
            DataType::Null => new_null_array(&self.result, values.len()),
            _ => Arc::clone(values),
        }
    }

    pub(super) fn state_type(&self) -> DataType {
        state_type(&self.result).unwrap_or_else(|| self.result.clone())
    }
}
