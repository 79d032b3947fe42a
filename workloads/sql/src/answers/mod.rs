//! What makes the engine's answers right, or errors, where its own are silently wrong.
//!
//! [`arithmetic`] and [`sums`] turn what would wrap round into an error, [`guards`] keeps an
//! expression from failing for rows that a condition beside it excludes, which [`beneath`] has sorts and
//! windows do and [`whole`] joins, [`membership`] gives IN
//! and EXISTS the truth values of SQL, [`multisets`] counts rows for INTERSECT ALL and EXCEPT ALL,
//! [`grouping`] keeps groups of several sets apart, [`floats`] and [`corrected`] find NaN
//! where it is and [`canonical`] makes it one, [`mixed`] compares decimals with floating point,
//! [`orders`] drops keys that order nothing and [`disorder`] keeps sorts that are needed, [`zones`] has times at
//! a place, and [`spans`] intervals, as they are, [`recursion`] looks after the types of recursive queries,
//! [`lists`] after NULL in lists, [`names`] after columns of one name, and [`texts`] after empty ones.
//! `docs/sql.md` lists where the answers differ from other engines' on purpose.

mod arithmetic;
mod beneath;
pub(crate) mod canonical;
mod corrected;
mod disorder;
mod floats;
mod grouping;
mod guards;
mod lists;
mod membership;
mod mixed;
mod multisets;
mod names;
mod orders;
mod recursion;
mod spans;
mod sums;
mod texts;
mod whole;
mod zones;

pub(crate) use grouping::UNSORTED;
pub(crate) use zones::AT_TIME_ZONE;

use std::sync::Arc;

use datafusion::{
    arrow::array::ArrayRef,
    common::not_impl_err,
    error::Result,
    execution::{context::SessionContext, session_state::SessionStateBuilder},
    logical_expr::{AggregateUDF, ScalarUDF},
    optimizer::{Analyzer, AnalyzerRule},
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
};

/// The rule of the engine's that lets what one operator finds out spare another work. It must see what
/// an instance runs, and not what several do.
const AT_RUN_TIME: &str = "FilterPushdown(Post)";

/// The engine with these rules and functions instead of its own, and with `share`, which makes one
/// instance's part of a plan.
pub(crate) fn install(
    builder: SessionStateBuilder,
    share: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
) -> SessionContext {
    // Before the engine moves expressions into places where no rule finds them.
    let mut physical: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> =
        vec![Arc::new(grouping::UnsortedSets), Arc::new(guards::Guarded)];
    let engine = PhysicalOptimizer::new().rules.into_iter();
    let engine = engine.map(floats::WithoutFloats::or_itself);
    physical.extend(engine.map(names::ByOneName::or_itself));
    let before = physical
        .iter()
        .position(|rule| rule.name() == AT_RUN_TIME)
        .unwrap_or(physical.len());
    physical.insert(before, share);
    // Before the engine gives both sides of a comparison one type.
    let mut analyzer: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![
        Arc::new(recursion::Recursion),
        Arc::new(orders::Orders),
        Arc::new(lists::Lists),
        Arc::new(spans::Spans),
        Arc::new(mixed::Mixed),
    ];
    analyzer.extend(Analyzer::new().rules);
    let state = builder
        .with_type_planner(Arc::new(zones::Types))
        .with_analyzer_rules(analyzer)
        .with_analyzer_rule(Arc::new(membership::Membership::default()))
        .with_analyzer_rule(Arc::new(multisets::Multisets))
        .with_analyzer_rule(Arc::new(arithmetic::Checked))
        .with_analyzer_rule(Arc::new(zones::Zones))
        .with_analyzer_rule(Arc::new(disorder::Disorder))
        .with_analyzer_rule(Arc::new(beneath::Beneath::default()))
        .with_physical_optimizer_rules(physical)
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_udf(ScalarUDF::from(zones::AtTimeZone::default()));
    context.register_udf(ScalarUDF::from(texts::Concat::default()));
    context.register_udaf(AggregateUDF::from(sums::Sum::default()));
    for function in corrected::Corrected::all() {
        context.register_udaf(AggregateUDF::from(function));
    }
    context
}

/// The one array that an aggregate is of.
fn one(arrays: &[ArrayRef]) -> Result<&[ArrayRef; 1]> {
    arrays
        .try_into()
        .or_else(|_| not_impl_err!("an aggregate of {} columns", arrays.len()))
}
