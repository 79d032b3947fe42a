//! One NaN, the largest number, and one zero.
//!
//! The engine tells one NaN from another by their bits and sorts those with a minus sign beneath all
//! numbers, as it sorts minus zero beneath zero. Such are what `-x` makes of NaN and zero and what
//! x86 makes of `0.0 / 0.0`, in the query or in a program that wrote a file. So whatever is read or
//! computed has the one NaN that is the largest, and no minus zero; within lists and structures, too.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, make_array},
        datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type},
    },
    common::{ScalarValue, config::ConfigOptions, utils::take_function_args},
    error::Result,
    logical_expr::{
        Accumulator, BinaryExpr, ColumnarValue, EmitTo, Expr, GroupsAccumulator, Operator,
        ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr::ScalarFunction,
    },
    physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan,
        projection::{ProjectionExec, ProjectionExpr},
    },
};

/// What plans call it.
pub(crate) const NAME: &str = "canonical";

/// Functions that hand on what they are given.
const PASSING: [&str; 12] = [
    "coalesce",
    "nvl",
    "nvl2",
    "nullif",
    "greatest",
    "least",
    "abs",
    // Of lists and structures.
    "make_array",
    "named_struct",
    "struct",
    "get_field",
    "array_element",
];

/// The values of a scan in canonical form.
pub(crate) fn scan(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    if !schema
        .fields()
        .iter()
        .any(|field| has_floats(field.data_type()))
    {
        return Ok(plan);
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        let expr = match has_floats(field.data_type()) {
            true => Arc::new(ScalarFunctionExpr::new(
                NAME,
                Arc::new(ScalarUDF::from(Canonical::of(field.data_type().clone()))),
                vec![column],
                Arc::clone(field),
                Arc::new(ConfigOptions::default()),
            )) as _,
            false => column,
        };
        columns.push(ProjectionExpr::new(expr, field.name()));
    }
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}

/// An operation on floating point, whose operands need not be canonical while its result is.
pub(super) fn operation(expr: Expr, of: DataType) -> Expr {
    let bare = |operand: Box<Expr>| match *operand {
        Expr::ScalarFunction(call) if is(&call) => match <[Expr; 1]>::try_from(call.args) {
            Ok([inner]) => Box::new(inner),
            Err(args) => Box::new(Expr::ScalarFunction(ScalarFunction::new_udf(
                call.func, args,
            ))),
        },
        other => Box::new(other),
    };
    let expr = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Expr::BinaryExpr(BinaryExpr::new(bare(left), op, bare(right)))
        }
        Expr::Negative(of) => Expr::Negative(bare(of)),
        other => other,
    };
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(ScalarUDF::from(Canonical::of(of))),
        vec![expr],
    ))
}

/// Whether it computes floating point where its operands have any.
pub(super) fn computes(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => matches!(
            binary.op,
            Operator::Plus
                | Operator::Minus
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo
        ),
        Expr::Negative(_) => true,
        Expr::ScalarFunction(call) => !is(call) && !PASSING.contains(&call.name()),
        // A text may say `-nan`.
        Expr::Cast(_) | Expr::TryCast(_) => true,
        _ => false,
    }
}

/// Its type, if it is one of these.
pub(super) fn type_of(call: &ScalarFunction) -> Option<&DataType> {
    let own: Option<&Canonical> = call.func.inner().downcast_ref();
    own.map(|own| &own.data_type)
}

fn is(call: &ScalarFunction) -> bool {
    type_of(call).is_some()
}

pub(super) fn array(array: ArrayRef) -> ArrayRef {
    fn of<T: ArrowPrimitiveType>(
        array: ArrayRef,
        is_other: fn(T::Native) -> bool,
        one: fn(T::Native) -> T::Native,
    ) -> ArrayRef {
        let values = array.as_primitive::<T>();
        match values.values().iter().any(|value| is_other(*value)) {
            true => {
                let values: PrimitiveArray<T> = values.unary(one);
                Arc::new(values)
            }
            false => array,
        }
    }
    match array.data_type() {
        DataType::Float64 => of::<Float64Type>(
            array,
            |value| value.to_bits() != double(value).to_bits(),
            double,
        ),
        DataType::Float32 => of::<Float32Type>(
            array,
            |value| value.to_bits() != single(value).to_bits(),
            single,
        ),
        of if has_floats(of) => within(&array).unwrap_or(array),
        _ => array,
    }
}

/// Lists, structures and the like with their floats in canonical form, where they are not so already.
fn within(array: &ArrayRef) -> Option<ArrayRef> {
    let data = array.to_data();
    let mut changed = false;
    let children = data.child_data().iter().map(|child| {
        let child = make_array(child.clone());
        let one = self::array(Arc::clone(&child));
        changed |= !Arc::ptr_eq(&child, &one);
        one.to_data()
    });
    let children: Vec<_> = children.collect();
    if !changed {
        return None;
    }
    let data = data.into_builder().child_data(children).build();
    // Its children have the types and lengths they had.
    data.ok().map(make_array)
}

/// Whether a type is floating point or holds some.
pub(super) fn has_floats(of: &DataType) -> bool {
    holds(of, DataType::is_floating)
}

/// Whether a type, or one within it, is one of these.
pub(super) fn holds(of: &DataType, is: fn(&DataType) -> bool) -> bool {
    match of {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => holds(field.data_type(), is),
        DataType::Struct(fields) => fields.iter().any(|field| holds(field.data_type(), is)),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| holds(field.data_type(), is)),
        DataType::Dictionary(_, of) => holds(of, is),
        DataType::RunEndEncoded(_, field) => holds(field.data_type(), is),
        of => is(of),
    }
}

pub(super) fn scalar(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float64(Some(value)) => ScalarValue::Float64(Some(double(value))),
        ScalarValue::Float32(Some(value)) => ScalarValue::Float32(Some(single(value))),
        other if has_floats(&other.data_type()) => {
            let one = other.to_array().map(array);
            let one = one.and_then(|one| ScalarValue::try_from_array(&one, 0));
            one.unwrap_or(other)
        }
        other => other,
    }
}

fn double(value: f64) -> f64 {
    match value {
        value if value.is_nan() => f64::NAN,
        0.0 => 0.0,
        value => value,
    }
}

fn single(value: f32) -> f32 {
    match value {
        value if value.is_nan() => f32::NAN,
        0.0 => 0.0,
        value => value,
    }
}

/// The function that plans have.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Canonical {
    data_type: DataType,
    signature: Signature,
}

impl Canonical {
    fn of(data_type: DataType) -> Self {
        Self {
            data_type,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Canonical {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let field = Field::new(NAME, self.data_type.clone(), nullable);
        Ok(Arc::new(field))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [of] = take_function_args(NAME, args.args)?;
        Ok(match of {
            ColumnarValue::Array(values) => ColumnarValue::Array(array(values)),
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(scalar(value)),
        })
    }
}

/// An aggregate of all rows or of a window's, in canonical form.
#[derive(Debug)]
pub(super) struct CanonicalRows(pub(super) Box<dyn Accumulator>);

impl Accumulator for CanonicalRows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate().map(scalar)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// Groups' aggregates in canonical form.
pub(super) struct CanonicalGroups(pub(super) Box<dyn GroupsAccumulator>);

impl GroupsAccumulator for CanonicalGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&datafusion::arrow::array::BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.0.update_batch(values, groups, filter, count)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.0.merge_batch(states, groups, count)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.0.evaluate(emit).map(array)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&datafusion::arrow::array::BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
