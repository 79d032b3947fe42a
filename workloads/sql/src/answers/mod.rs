//! What makes the engine's answers right, or errors, where its own are silently wrong.
//!
//! [`arithmetic`] and [`sums`] turn what would wrap round into an error.

mod arithmetic;
mod sums;

use std::sync::Arc;

use datafusion::{
    execution::{context::SessionContext, session_state::SessionStateBuilder},
    logical_expr::AggregateUDF,
};

/// The engine with these rules and functions instead of its own.
pub(crate) fn install(builder: SessionStateBuilder) -> SessionContext {
    let state = builder
        .with_analyzer_rule(Arc::new(arithmetic::Checked))
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_udaf(AggregateUDF::from(sums::Sum::default()));
    context
}
