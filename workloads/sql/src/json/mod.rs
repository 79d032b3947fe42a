//! JSON in columns of text: the functions and operators of `datafusion-functions-json`, by their names.
//!
//! Not that crate's code, for two reasons. It cannot be locked beside the workspace's `pyo3`: its parser
//! names another release of it, and two of them may not link to one Python. And it takes what is no
//! JSON, and numbers its types have no room for, for missing values, and returns unions, which no
//! Parquet file holds. Here these are errors, and a value within JSON is the text that stands there.
//! [`operators`] has what is written with operators and casts, [`binding`] what an operator is between,
//! `sql_core::json` reads the texts.

mod binding;
mod operators;

pub(crate) use binding::bind_arrows;

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int64Array, Int64Builder,
            ListBuilder, StringArray, StringBuilder,
        },
        datatypes::{DataType, Field, Int64Type},
        error::ArrowError,
    },
    common::{internal_datafusion_err, plan_err},
    error::{DataFusionError, Result},
    execution::{context::SessionContext, registry::FunctionRegistry as _},
    functions::utils::make_scalar_function,
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};
use sql_core::json::{self, JsonError, Step};

/// What is asked of a value within JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wanted {
    /// The value as it is written, for `->`.
    Json,
    /// The same, but texts without quotes and null as NULL, for `->>`.
    Text,
    OnlyText,
    Integer,
    Float,
    Boolean,
    IsThere,
    Length,
    Keys,
    Items,
    IsValid,
}

impl Wanted {
    const ALL: [Self; 11] = [
        Self::Json,
        Self::Text,
        Self::OnlyText,
        Self::Integer,
        Self::Float,
        Self::Boolean,
        Self::IsThere,
        Self::Length,
        Self::Keys,
        Self::Items,
        Self::IsValid,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json_get",
            Self::Text => "json_as_text",
            Self::OnlyText => "json_get_str",
            Self::Integer => "json_get_int",
            Self::Float => "json_get_float",
            Self::Boolean => "json_get_bool",
            Self::IsThere => "json_contains",
            Self::Length => "json_length",
            Self::Keys => "json_object_keys",
            Self::Items => "json_get_array",
            Self::IsValid => "json_valid",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Json | Self::Text | Self::OnlyText => DataType::Utf8,
            Self::Integer | Self::Length => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Boolean | Self::IsThere | Self::IsValid => DataType::Boolean,
            Self::Keys | Self::Items => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
            }
        }
    }
}

/// Has the engine know the functions and operators.
pub(crate) fn install(context: &mut SessionContext) -> Result<()> {
    for wanted in Wanted::ALL {
        SessionContext::register_udf(context, Json::udf(wanted));
    }
    context.register_function_rewrite(Arc::new(operators::Casts))?;
    context.register_expr_planner(Arc::new(operators::Operators))
}

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Json {
    wanted: Wanted,
    signature: Signature,
    aliases: Vec<String>,
}

impl Json {
    fn udf(wanted: Wanted) -> ScalarUDF {
        let aliases = match wanted {
            Wanted::Json => vec!["json_get_json".to_owned()],
            Wanted::Keys => vec!["json_keys".to_owned()],
            _ => Vec::new(),
        };
        ScalarUDF::from(Self {
            wanted,
            signature: Signature::user_defined(Volatility::Immutable),
            aliases,
        })
    }
}

impl ScalarUDFImpl for Json {
    fn name(&self) -> &str {
        self.wanted.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let Some((json, path)) = given.split_first() else {
            return plan_err!("{name} wants JSON: {name}(column, 'key', …)");
        };
        if !is_text(json) {
            return plan_err!("{name} wants JSON, which is a text, and not {json}");
        }
        if self.wanted == Wanted::IsThere && path.is_empty() {
            return plan_err!("{name} wants a key: {name}(column, 'key', …)");
        }
        if self.wanted == Wanted::IsValid && !path.is_empty() {
            return plan_err!("{name} wants JSON and nothing else");
        }
        let mut types = vec![DataType::Utf8];
        for step in path {
            types.push(match step {
                step if is_text(step) => DataType::Utf8,
                step if step.is_integer() => DataType::Int64,
                step => {
                    return plan_err!(
                        "{name} goes by keys, which are texts, and places in arrays, which are \
                         integers, and not by {step}"
                    );
                }
            });
        }
        Ok(types)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.wanted.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wanted = self.wanted;
        make_scalar_function(move |arrays| all(wanted, arrays), Vec::new())(&args.args)
    }
}

fn is_text(of: &DataType) -> bool {
    match of {
        DataType::Null => true,
        DataType::Dictionary(_, of) => is_text(of),
        of => of.is_string(),
    }
}

/// The answers for all rows.
fn all(wanted: Wanted, arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, path) = arrays
        .split_first()
        .ok_or_else(|| internal_datafusion_err!("a JSON function without arguments"))?;
    let texts: &StringArray = texts.as_string();
    let path: Vec<Steps<'_>> = path.iter().map(Steps::of).collect();
    let rows = texts.len();
    let told = |error: JsonError| {
        let words = format!("{}: {error}", wanted.name());
        DataFusionError::from(ArrowError::CastError(words))
    };
    let each = |row: usize| Row::of(texts, &path, row);
    match wanted {
        Wanted::Json | Wanted::Text | Wanted::OnlyText => {
            let mut built = StringBuilder::new();
            for row in 0..rows {
                let found = each(row).and_then(|row| row.text(wanted)).map_err(told)?;
                built.append_option(found);
            }
            Ok(Arc::new(built.finish()))
        }
        Wanted::Integer | Wanted::Length => {
            let mut built = Int64Builder::with_capacity(rows);
            for row in 0..rows {
                let found = each(row).and_then(|row| match wanted {
                    Wanted::Integer => row.value(json::integer),
                    _ => row.value(length),
                });
                built.append_option(found.map_err(told)?);
            }
            Ok(Arc::new(built.finish()))
        }
        Wanted::Float => {
            let mut built = Float64Builder::with_capacity(rows);
            for row in 0..rows {
                let found = each(row).and_then(|row| row.value(json::float));
                built.append_option(found.map_err(told)?);
            }
            Ok(Arc::new(built.finish()))
        }
        Wanted::Boolean | Wanted::IsThere => {
            let mut built = BooleanBuilder::with_capacity(rows);
            for row in 0..rows {
                let found = each(row).and_then(|row| match (wanted, row) {
                    (Wanted::Boolean, row) => row.value(json::boolean),
                    (_, Row::Unknown) => Ok(None),
                    (_, row) => Ok(Some(matches!(row, Row::Found(_)))),
                });
                built.append_option(found.map_err(told)?);
            }
            Ok(Arc::new(built.finish()))
        }
        Wanted::IsValid => {
            let mut built = BooleanBuilder::with_capacity(rows);
            built.extend(
                texts
                    .iter()
                    .map(|text| text.map(|text| json::parse(text).is_ok())),
            );
            Ok(Arc::new(built.finish()))
        }
        Wanted::Keys | Wanted::Items => {
            let mut built = ListBuilder::new(StringBuilder::new());
            for row in 0..rows {
                let found = each(row).and_then(|row| match wanted {
                    Wanted::Keys => row.value(json::keys),
                    _ => row.value(written_items),
                });
                built.append_option(found.map_err(told)?.map(|all| all.into_iter().map(Some)));
            }
            Ok(Arc::new(built.finish()))
        }
    }
}

type Value = json::RawValue;

/// One step of the path for all rows.
enum Steps<'a> {
    Keys(&'a StringArray),
    Places(&'a Int64Array),
}

impl<'a> Steps<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        match array.as_string_opt() {
            Some(keys) => Self::Keys(keys),
            None => Self::Places(array.as_primitive::<Int64Type>()),
        }
    }

    fn at(&self, row: usize) -> Option<Step<'a>> {
        match self {
            Self::Keys(keys) => keys.is_valid(row).then(|| Step::Key(keys.value(row))),
            Self::Places(places) => places.is_valid(row).then(|| Step::Index(places.value(row))),
        }
    }
}

/// What is at the end of the path.
enum Row<'a> {
    /// The JSON or a step is NULL.
    Unknown,
    Missing,
    Found(&'a Value),
}

impl<'a> Row<'a> {
    fn of(texts: &'a StringArray, path: &[Steps<'_>], row: usize) -> Result<Self, JsonError> {
        if texts.is_null(row) {
            return Ok(Self::Unknown);
        }
        let whole = json::parse(texts.value(row))?;
        let steps: Option<Vec<Step<'_>>> = path.iter().map(|steps| steps.at(row)).collect();
        let Some(steps) = steps else {
            return Ok(Self::Unknown);
        };
        Ok(match json::find(whole, &steps)? {
            Some(value) => Self::Found(value),
            None => Self::Missing,
        })
    }

    fn value<T>(
        self,
        of: impl Fn(&'a Value) -> Result<Option<T>, JsonError>,
    ) -> Result<Option<T>, JsonError> {
        match self {
            Self::Found(value) => of(value),
            Self::Unknown | Self::Missing => Ok(None),
        }
    }

    fn text(self, wanted: Wanted) -> Result<Option<String>, JsonError> {
        match wanted {
            Wanted::Json => self.value(|value| Ok(Some(value.get().to_owned()))),
            Wanted::OnlyText => self.value(json::unquoted),
            _ => self.value(|value| Ok(json::text(value)?.map(String::from))),
        }
    }
}

/// How many items or keys.
fn length(value: &Value) -> Result<Option<i64>, JsonError> {
    let many = match json::items(value)? {
        Some(items) => Some(items.len()),
        None => json::keys(value)?.map(|keys| keys.len()),
    };
    // A text of 2^63 items has no room anywhere.
    Ok(many.and_then(|many| i64::try_from(many).ok()))
}

fn written_items(value: &Value) -> Result<Option<Vec<String>>, JsonError> {
    let items = json::items(value)?;
    Ok(items.map(|items| {
        items
            .into_iter()
            .map(|item| item.get().to_owned())
            .collect()
    }))
}
