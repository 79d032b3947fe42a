//! What a model is judged by.

use crate::{
    collective::{Collective, CollectiveError},
    data::Info,
    params::{ParamError, ParamSet},
};

/// Why a metric has no value.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// It is not defined for these rows.
    #[error("{metric}: {reason}")]
    Undefined {
        /// The metric's name.
        metric: String,
        /// What was expected and found.
        reason: String,
    },
    /// Other instances are gone.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

/// One metric.
pub trait Metric {
    /// XGBoost's name with its parameters, for instance `error@0.7` or `ndcg@5-`.
    fn name(&self) -> &str;

    /// Whether more is better; what early stopping goes by.
    fn maximize(&self) -> bool;

    /// Its value over all instances' rows; `predictions` are what
    /// [`Objective::eval_transform`](crate::objective::Objective::eval_transform) gave, `outputs`
    /// numbers a row.
    ///
    /// # Errors
    /// The metric is not defined for these rows, or other instances are gone.
    fn evaluate(
        &self,
        predictions: &[f32],
        outputs: usize,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<f64, MetricError>;
}

/// The metric called `name`, with what it reads from `params` (which stay there: several metrics
/// and the objective may read one).
///
/// # Errors
/// No such metric, or one of its parameters is out of range.
pub fn parse(name: &str, params: &ParamSet) -> Result<Box<dyn Metric>, ParamError> {
    let _ = params;
    Err(ParamError::unknown_value("eval_metric", name, &[]))
}
