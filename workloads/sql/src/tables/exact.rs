//! Integers of 64 bits as floating point, without losing digits.
//!
//! Where one file of a table has a column as integers and another as floating point, the table has
//! floating point, which has no room for all integers beyond 2^53. One that it would round is an error.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array as _, ArrayRef, ArrowPrimitiveType, AsArray as _, PrimitiveArray},
        datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, UInt64Type},
    },
    common::{exec_err, utils::take_function_args},
    error::Result,
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility, expr::ScalarFunction,
    },
};

/// The value as floating point, or an error.
pub(super) fn float(value: Expr, column: &str) -> Expr {
    let function = Exact {
        column: column.to_owned(),
        signature: Signature::any(1, Volatility::Immutable),
    };
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(ScalarUDF::from(function)),
        vec![value],
    ))
}

/// Whether a column of the one type, read as the other, may lose digits.
pub(super) fn may_round(from: &DataType, to: &DataType) -> bool {
    matches!(from, DataType::Int64 | DataType::UInt64) && to.is_floating()
}

/// The function that plans have.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    column: String,
    signature: Signature,
}

impl Exact {
    fn convert<T: ArrowPrimitiveType>(
        &self,
        array: &ArrayRef,
        float: impl Fn(T::Native) -> f64,
        back: impl Fn(f64) -> i128,
        whole: impl Fn(T::Native) -> i128,
    ) -> Result<ArrayRef> {
        let values = array.as_primitive::<T>();
        let floats: PrimitiveArray<Float64Type> = values.unary(&float);
        for (index, (value, float)) in values.values().iter().zip(floats.values()).enumerate() {
            // Beneath NULL there may be anything.
            if back(*float) != whole(*value) && values.is_valid(index) {
                return exec_err!(
                    "the column {:?} is integers in one file and floating point in another, which \
                     has no room for {}; write it with one type",
                    self.column,
                    whole(*value)
                );
            }
        }
        Ok(Arc::new(floats))
    }
}

impl ScalarUDFImpl for Exact {
    fn name(&self) -> &str {
        "exact_float"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(
            self.name(),
            DataType::Float64,
            nullable,
        )))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [of] = take_function_args(self.name(), args.args)?;
        let is_array = matches!(of, ColumnarValue::Array(_));
        let array = of.into_array(1)?;
        let floats = match array.data_type() {
            DataType::Int64 => self.convert::<Int64Type>(
                &array,
                |value| value as f64,
                |float| float as i128,
                i128::from,
            )?,
            DataType::UInt64 => self.convert::<UInt64Type>(
                &array,
                |value| value as f64,
                |float| float as i128,
                i128::from,
            )?,
            other => return exec_err!("{} of {other}", self.name()),
        };
        match is_array {
            true => Ok(ColumnarValue::Array(floats)),
            false => Ok(ColumnarValue::Scalar(
                datafusion::common::ScalarValue::try_from_array(&floats, 0)?,
            )),
        }
    }
}
