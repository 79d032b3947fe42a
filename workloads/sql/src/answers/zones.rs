//! Timestamps with a time zone, where the engine takes one for another.
//!
//! `timestamptz` is a timestamp without a zone for the engine unless a session has one, so that AT TIME
//! ZONE takes its UTC for the time there. Here it is one in UTC, and AT TIME ZONE of a timestamp that
//! has a zone gives the time there, as in PostgreSQL and DuckDB.
//!
//! `date_bin` counts bins from midnight UTC whatever the zone, and a zone's timestamps beside a text or a
//! timestamp without a zone are compared as of another place than elsewhere. These are refused.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::timezone::Tz,
        datatypes::{DataType, Field, FieldRef, TimeUnit},
    },
    common::{
        DFSchema, ScalarValue,
        config::ConfigOptions,
        internal_err, not_impl_err, plan_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    functions::datetime::to_local_time,
    logical_expr::{
        Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs,
        ScalarUDFImpl, Signature, Volatility, expr::ScalarFunction, expr_rewriter::NamePreserver,
        planner::TypePlanner, utils::merge_schema,
    },
    optimizer::AnalyzerRule,
    sql::sqlparser::ast::{DataType as SqlType, TimezoneInfo},
};

/// The function that AT TIME ZONE is.
pub(crate) const AT_TIME_ZONE: &str = "at_time_zone";

/// `timestamptz` is in UTC.
#[derive(Debug)]
pub(super) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        Ok(match sql_type {
            SqlType::Timestamp(None, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
                Some(Arc::new(Field::new("", utc, true)))
            }
            _ => None,
        })
    }
}

/// Plans AT TIME ZONE, and refuses what would be of the wrong hour.
#[derive(Debug)]
pub(super) struct Zones;

impl AnalyzerRule for Zones {
    fn name(&self) -> &str {
        "zones"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            plan.apply_expressions(|expr| {
                expr.apply(|expr| {
                    check(expr, &schema)?;
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        plan.transform_up_with_subqueries(in_node).data()
    }
}

fn in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let done = expr.transform_up(|expr| planned(expr, &schema))?;
        Ok(done.update_data(|expr| name.restore(expr)))
    })
}

/// The time at a place, or the moment of a time there.
fn planned(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(call) = expr else {
        return Ok(Transformed::no(expr));
    };
    if call.func.name() != AT_TIME_ZONE {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    let [of, zone] = <[Expr; 2]>::try_from(call.args)
        .or_else(|args| internal_err!("AT TIME ZONE of {} values", args.len()))?;
    let zone = match &zone {
        Expr::Literal(zone, _) => zone.try_as_str().flatten(),
        _ => None,
    };
    let (DataType::Timestamp(unit, from), Some(zone)) = (of.get_type(schema)?, zone) else {
        return not_impl_err!("AT TIME ZONE of a zone that is no constant");
    };
    let there = DataType::Timestamp(unit, Some(zone.into()));
    let there = Expr::Cast(Cast::new(Box::new(of), there));
    Ok(Transformed::yes(match from {
        None => there,
        Some(_) => Expr::ScalarFunction(ScalarFunction::new_udf(to_local_time(), vec![there])),
    }))
}

fn check(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let Expr::ScalarFunction(call) = expr else {
        return Ok(());
    };
    if call.func.name() != "date_bin" {
        return Ok(());
    }
    for argument in &call.args {
        if let Ok(DataType::Timestamp(_, Some(zone))) = argument.get_type(schema)
            && !is_utc(&zone)
        {
            return not_impl_err!(
                "date_bin of a timestamp in the time zone {zone}: bins would start at midnight UTC; \
                 use date_bin(…, to_local_time(…)), or date_trunc"
            );
        }
    }
    Ok(())
}

/// Refuses a comparison of a zone's timestamps with what has none.
pub(super) fn comparable(operands: &[&DataType]) -> Result<()> {
    let zone = operands.iter().find_map(|of| match of {
        DataType::Timestamp(_, Some(zone)) if !is_utc(zone) => Some(zone),
        _ => None,
    });
    let without = operands.iter().find(|of| match of {
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => true,
        of => of.is_string(),
    });
    match (zone, without) {
        (Some(zone), Some(without)) => not_impl_err!(
            "a timestamp in the time zone {zone} beside a {without}, which says no zone: write \
             timestamp '…' AT TIME ZONE '{zone}', or timestamptz '…Z'"
        ),
        _ => Ok(()),
    }
}

pub(super) fn is_utc(zone: &str) -> bool {
    ["UTC", "Etc/UTC", "Z", "+00:00", "+0000", "+00"].contains(&zone)
}

/// AT TIME ZONE until [`Zones`] plans it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AtTimeZone {
    signature: Signature,
}

impl Default for AtTimeZone {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &str {
        AT_TIME_ZONE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let of = match given {
            [DataType::Timestamp(unit, zone), _] => DataType::Timestamp(*unit, zone.clone()),
            [DataType::Date32 | DataType::Date64 | DataType::Null, _] => {
                DataType::Timestamp(TimeUnit::Nanosecond, None)
            }
            [of, _] => {
                return plan_err!(
                    "AT TIME ZONE wants a timestamp and not {of}: write timestamp '…', or \
                     timestamptz '…' where it says a zone itself"
                );
            }
            _ => return plan_err!("AT TIME ZONE wants a timestamp and a zone"),
        };
        Ok(vec![of, DataType::Utf8])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of AT TIME ZONE depends on the zone")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let zone = match args.scalar_arguments {
            [
                _,
                Some(ScalarValue::Utf8(Some(zone)) | ScalarValue::Utf8View(Some(zone))),
            ] => zone,
            _ => return not_impl_err!("AT TIME ZONE of a zone that is no constant"),
        };
        if zone.parse::<Tz>().is_err() {
            return plan_err!("{zone:?} is no time zone; write one as 'Europe/Berlin' or '+02:00'");
        }
        let to = match args.arg_fields.first().map(|field| field.data_type()) {
            Some(DataType::Timestamp(unit, None)) => {
                DataType::Timestamp(*unit, Some(zone.as_str().into()))
            }
            Some(DataType::Timestamp(unit, Some(_))) => DataType::Timestamp(*unit, None),
            _ => DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.as_str().into())),
        };
        Ok(Arc::new(Field::new(AT_TIME_ZONE, to, true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("AT TIME ZONE that was not planned")
    }
}
