//! Losses: what XGBoost calls an objective.

use serde_json::Value;

use crate::{
    collective::{Collective, CollectiveError},
    data::Info,
    gradient::GradientPair,
    params::{ParamError, ParamSet},
    tree::Tree,
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
/// Margins are rows × [`outputs`](Self::outputs), row by row; so are gradients.
pub trait Objective {
    /// XGBoost's name.
    fn name(&self) -> &'static str;

    /// Margins a row: classes, or quantiles; 1 for most.
    fn outputs(&self) -> usize {
        1
    }

    /// Refuses labels, bounds, weights or groups that the loss is not defined for.
    ///
    /// # Errors
    /// [`ObjectiveError::Labels`].
    fn check(&self, info: &Info) -> Result<(), ObjectiveError>;

    /// The constant prediction to start from, one an output, as a *prediction* (XGBoost's
    /// `base_score`), estimated from all instances' labels where the person gave none.
    ///
    /// # Errors
    /// Other instances are gone.
    fn base_score(&self, info: &Info, all: &mut dyn Collective)
    -> Result<Vec<f32>, ObjectiveError>;

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

    /// The metric where the person names none.
    fn default_metric(&self) -> String;

    /// Whether leaves are set anew from the residuals of their rows after a tree is grown.
    fn adapts_leaves(&self) -> bool {
        false
    }

    /// Sets the leaves of `tree` from residuals: `leaf_of_row[row]` is the leaf that holds a row,
    /// `margins` are those before this tree, `output` the one it was grown for.
    ///
    /// # Errors
    /// Other instances are gone.
    #[expect(unused_variables, clippy::too_many_arguments, reason = "most objectives adapt nothing")]
    fn adapt_leaves(
        &self,
        tree: &mut Tree,
        leaf_of_row: &[u32],
        margins: &[f32],
        info: &Info,
        output: usize,
        learning_rate: f32,
        all: &mut dyn Collective,
    ) -> Result<(), ObjectiveError> {
        Ok(())
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
