//! Losses: what XGBoost calls an objective.

use serde_json::Value;

use crate::{
    collective::{Collective, CollectiveError},
    data::Info,
    gradient::GradientPair,
    metric::Metric,
    params::{ParamError, ParamSet},
};

/// Why rows cannot be trained on with an objective.
#[derive(Debug, thiserror::Error)]
pub enum ObjectiveError {
    /// The labels are not what the objective takes.
    #[error("{objective}: {reason}")]
    Labels {
        /// The objective's name.
        objective: String,
        /// What was expected and found, with the row where one is to blame.
        reason: String,
    },
    /// Other instances are gone.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

/// A loss: its derivatives, its constant start, and how margins become predictions.
///
/// Margins are rows × [`outputs`](Self::outputs), row by row; so are gradients. Leaves are always
/// what the gradients say: XGBoost 3.4 no longer sets them anew from residuals for
/// `reg:absoluteerror` and `reg:quantileerror`.
pub trait Objective {
    /// XGBoost's name.
    fn name(&self) -> &'static str;

    /// Margins a row: classes, or quantiles; 1 for most.
    fn outputs(&self) -> usize {
        1
    }

    /// XGBoost's `num_class`: classes of a multi-class objective, 0 of any other.
    fn num_class(&self) -> u32 {
        0
    }

    /// Refuses labels, bounds, weights or groups that the loss is not defined for.
    ///
    /// # Errors
    /// [`ObjectiveError::Labels`].
    fn check(&self, info: &Info) -> Result<(), ObjectiveError>;

    /// The constant prediction to start from where the person gave none: one an output, as a
    /// *prediction* (XGBoost's `base_score`), estimated from all instances' labels.
    ///
    /// # Errors
    /// All weights are 0, or other instances are gone.
    fn base_score(&self, info: &Info, all: &mut dyn Collective)
    -> Result<Vec<f32>, ObjectiveError>;

    /// Refuses a person's `base_score` that [`score_to_margin`](Self::score_to_margin) has no
    /// margin for.
    ///
    /// # Errors
    /// States the accepted range.
    fn check_base_score(&self, score: f32) -> Result<(), ParamError> {
        if score.is_finite() {
            return Ok(());
        }
        Err(ParamError::new(
            "base_score",
            format!("expected a finite number; found {score}"),
        ))
    }

    /// Derivatives at `margins`, in round `iteration` (from 0).
    ///
    /// # Errors
    /// Other instances are gone.
    fn gradient(
        &mut self,
        margins: &[f32],
        info: &Info,
        iteration: u32,
        all: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), ObjectiveError>;

    /// `base_score` as a margin.
    fn score_to_margin(&self, score: f32) -> f32 {
        score
    }

    /// Margins to predictions as `predict` gives them; may be fewer numbers a row
    /// (`multi:softmax`: the class).
    fn transform(&self, margins: Vec<f32>) -> Vec<f32> {
        margins
    }

    /// Margins to what metrics are evaluated on; differs from [`transform`](Self::transform)
    /// where XGBoost's `EvalTransform` does.
    fn eval_transform(&self, margins: Vec<f32>) -> Vec<f32> {
        self.transform(margins)
    }

    /// The metric where the person names none, with the objective's own parameters.
    fn default_metric(&self) -> Box<dyn Metric>;

    /// `max_delta_step` where the person gives none.
    fn default_max_delta_step(&self) -> f32 {
        0.0
    }

    /// The object `objective` of XGBoost's model JSON.
    fn to_json(&self) -> Value;
}

/// The objective called `name`, taking what it reads from `params`.
///
/// # Errors
/// No such objective, or one of its parameters is out of range.
pub fn parse(name: &str, params: &ParamSet) -> Result<Box<dyn Objective>, ParamError> {
    let _ = params;
    Err(ParamError::unknown_value("objective", name, &[]))
}

/// The objective of a model, from the object [`Objective::to_json`] gives.
///
/// # Errors
/// As [`parse`].
pub fn from_json(json: &Value) -> Result<Box<dyn Objective>, ParamError> {
    let _ = json;
    Err(ParamError::unknown_value("objective", "", &[]))
}
