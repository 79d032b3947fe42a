//! Addition, subtraction, multiplication and negation that are errors where they overflow.
//!
//! The engine's own wrap round. What cannot overflow (floating point, see [`canonical`]) or is checked already
//! (decimals within their largest precision, division) stays the engine's own.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Datum},
        compute::kernels::numeric,
        datatypes::{
            DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type,
            Decimal256Type, Field, FieldRef,
        },
        error::ArrowError,
    },
    common::{
        DFSchema,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
        utils::take_function_args,
    },
    error::{DataFusionError, Result},
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr::{Cast, ScalarFunction, TryCast},
        expr_rewriter::NamePreserver,
        utils::merge_schema,
    },
    optimizer::AnalyzerRule,
    physical_expr_common::datum,
};

use super::canonical;

/// How much of an expression's text an error shows.
const SHOWN: usize = 100;

/// Rewrites every operation that could wrap round.
#[derive(Debug)]
pub(super) struct Checked;

impl AnalyzerRule for Checked {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(in_node)
            .map(|done| done.data)
    }
}

fn in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let source = scan.source.schema();
        schema.merge(&DFSchema::try_from_qualified_schema(
            scan.table_name.clone(),
            &source,
        )?);
    }
    let names = NamePreserver::new(&plan);
    let in_expr = |expr: Expr| {
        let name = names.save(&expr);
        let done = expr.transform_up(|expr| checked(expr, &schema))?;
        Ok(done.update_data(|expr| name.restore(expr)))
    };
    let done = plan.map_expressions(|expr| match expr {
        // Its columns have names, it has none.
        Expr::GroupingSet(_) => expr.map_children(in_expr),
        expr => in_expr(expr),
    })?;
    match done.transformed {
        true => done.map_data(LogicalPlan::recompute_schema),
        false => Ok(done),
    }
}

fn checked(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if canonical::computes(&expr) {
        let of = match &expr {
            Expr::BinaryExpr(BinaryExpr { left, .. }) => type_of(left, schema)?,
            Expr::Negative(of) => type_of(of, schema)?,
            // Only of text: numbers are no other NaN by it.
            Expr::Cast(Cast { expr: of, .. }) | Expr::TryCast(TryCast { expr: of, .. })
                if !canonical::holds(&type_of(of, schema)?, DataType::is_string) =>
            {
                return Ok(Transformed::no(expr));
            }
            other => other.get_type(schema)?,
        };
        if canonical::has_floats(&of) {
            return Ok(Transformed::yes(canonical::operation(expr, of)));
        }
    }
    let (operation, result) = match &expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let operation = match op {
                Operator::Plus => Operation::Add,
                Operator::Minus => Operation::Subtract,
                Operator::Multiply => Operation::Multiply,
                _ => return Ok(Transformed::no(expr)),
            };
            let left = type_of(left, schema)?;
            if left.is_integer() && left == type_of(right, schema)? {
                (operation, left)
            } else if left.is_decimal() {
                match expr.get_type(schema)? {
                    // With less precision there is room for every result.
                    full @ (DataType::Decimal128(DECIMAL128_MAX_PRECISION, _)
                    | DataType::Decimal256(DECIMAL256_MAX_PRECISION, _)) => (operation, full),
                    _ => return Ok(Transformed::no(expr)),
                }
            } else {
                return Ok(Transformed::no(expr));
            }
        }
        Expr::Negative(of) => match type_of(of, schema)? {
            integer if integer.is_signed_integer() => (Operation::Negate, integer),
            _ => return Ok(Transformed::no(expr)),
        },
        _ => return Ok(Transformed::no(expr)),
    };
    let text = operation.text(&expr);
    let operands = match expr {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => vec![*left, *right],
        Expr::Negative(of) => vec![*of],
        // Only these two get here.
        other => return Ok(Transformed::no(other)),
    };
    let function = Function {
        operation,
        result,
        text,
        signature: Signature::any(operands.len(), Volatility::Immutable),
    };
    Ok(Transformed::yes(function.of(operands)))
}

/// The type without asking for the operands' types again at every level.
fn type_of(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    if let Expr::ScalarFunction(call) = expr
        && let Some(of) = canonical::type_of(call)
    {
        return Ok(of.clone());
    }
    match own(expr) {
        Some(function) => Ok(function.result.clone()),
        None => expr.get_type(schema),
    }
}

fn own(expr: &Expr) -> Option<&Function> {
    match expr {
        Expr::ScalarFunction(call) => call.func.inner().downcast_ref(),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "checked_add",
            Self::Subtract => "checked_subtract",
            Self::Multiply => "checked_multiply",
            Self::Negate => "checked_negate",
        }
    }

    /// The expression as the query has it.
    fn text(self, expr: &Expr) -> String {
        let text = match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                format!("{} {op} {}", operand(left), operand(right))
            }
            Expr::Negative(of) => format!("-{}", operand(of)),
            other => other.human_display().to_string(),
        };
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }

    fn apply(self, operands: &[ColumnarValue]) -> Result<ColumnarValue> {
        let kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError> = match self {
            Self::Add => numeric::add,
            Self::Subtract => numeric::sub,
            Self::Multiply => numeric::mul,
            Self::Negate => {
                let [of] = take_function_args(self.name(), operands)?;
                return match of {
                    ColumnarValue::Array(array) => {
                        Ok(ColumnarValue::Array(numeric::neg(array.as_ref())?))
                    }
                    ColumnarValue::Scalar(value) => {
                        Ok(ColumnarValue::Scalar(value.arithmetic_negate()?))
                    }
                };
            }
        };
        let [left, right] = take_function_args(self.name(), operands)?;
        datum::apply(left, right, |left, right| {
            let result = kernel(left, right)?;
            within_precision(&result)?;
            Ok(result)
        })
    }
}

fn operand(expr: &Expr) -> String {
    match own(expr) {
        Some(function) => format!("({})", function.text),
        None => expr.human_display().to_string(),
    }
}

/// A decimal of full precision leaves room in its bits for values that are too large for it.
fn within_precision(array: &ArrayRef) -> Result<(), ArrowError> {
    /// 10³⁸, the first number that has 39 digits.
    const LIMIT: u128 = 10_u128.pow(DECIMAL128_MAX_PRECISION as u32);
    match array.data_type() {
        DataType::Decimal128(DECIMAL128_MAX_PRECISION, _) => {
            let array = array.as_primitive::<Decimal128Type>();
            // Values beneath NULLs too, which is quicker; only what is found is looked at again.
            match array
                .values()
                .iter()
                .all(|value| value.unsigned_abs() < LIMIT)
            {
                true => Ok(()),
                false => array
                    .validate_decimal_precision(DECIMAL128_MAX_PRECISION)
                    .map_err(too_large),
            }
        }
        DataType::Decimal256(DECIMAL256_MAX_PRECISION, _) => array
            .as_primitive::<Decimal256Type>()
            .validate_decimal_precision(DECIMAL256_MAX_PRECISION)
            .map_err(too_large),
        _ => Ok(()),
    }
}

fn too_large(error: ArrowError) -> ArrowError {
    match error {
        ArrowError::InvalidArgumentError(what) => ArrowError::ArithmeticOverflow(what),
        other => other,
    }
}

/// One operation of the query.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    operation: Operation,
    result: DataType,
    text: String,
    signature: Signature,
}

impl Function {
    /// A call; of literals its value, unless that is an error, which then is one only where the
    /// call is reached.
    fn of(self, operands: Vec<Expr>) -> Expr {
        let values: Option<Vec<_>> = operands
            .iter()
            .map(|operand| match operand {
                Expr::Literal(value, _) => Some(ColumnarValue::Scalar(value.clone())),
                _ => None,
            })
            .collect();
        if let Some(values) = values
            && let Ok(ColumnarValue::Scalar(value)) = self.operation.apply(&values)
        {
            return Expr::Literal(value, None);
        }
        Expr::ScalarFunction(ScalarFunction::new_udf(
            Arc::new(ScalarUDF::from(self)),
            operands,
        ))
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.operation.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let field = Field::new(self.name(), self.result.clone(), nullable);
        Ok(Arc::new(field))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.operation.apply(&args.args).map_err(|error| {
            let DataFusionError::ArrowError(inner, _) = &error else {
                return error;
            };
            let ArrowError::ArithmeticOverflow(what) = &**inner else {
                return error;
            };
            overflow(format!("{what}, in {} of type {}", self.text, self.result))
        })
    }
}

/// The error of everything here that is too large.
pub(super) fn overflow(what: String) -> DataFusionError {
    DataFusionError::ArrowError(Box::new(ArrowError::ArithmeticOverflow(what)), None)
}
