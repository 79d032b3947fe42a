//! Losses: what XGBoost calls an objective.

mod aft;
mod counts;
mod cox;
mod estimate;
mod lambdarank;
mod multiclass;
mod quantile;
mod regression;
mod residual;
mod rows;
mod text;

use serde_json::Value;

use self::{
    aft::Aft,
    counts::Counts,
    cox::Cox,
    lambdarank::{Kind, LambdaRank},
    multiclass::Multiclass,
    quantile::{AbsoluteError, Quantile},
    regression::{Loss, Regression},
    residual::Residual,
};
use crate::{
    collective::{Collective, CollectiveError},
    data::{Info, RowError},
    gradient::GradientPair,
    loss::params::huber_slope,
    metric::Metric,
    params::{ParamError, ParamSet},
};

/// The objectives there are, by XGBoost's names.
pub const NAMES: [&str; 19] = [
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:logistic",
    "reg:pseudohubererror",
    "reg:absoluteerror",
    "reg:quantileerror",
    "reg:gamma",
    "reg:tweedie",
    "count:poisson",
    "binary:logistic",
    "binary:logitraw",
    "binary:hinge",
    "multi:softmax",
    "multi:softprob",
    "rank:pairwise",
    "rank:ndcg",
    "rank:map",
    "survival:cox",
    "survival:aft",
];

/// Where a model has the parameters of its objective.
const PARAMETER_KEYS: [&str; 8] = [
    "reg_loss_param",
    "pseudo_huber_param",
    "quantile_loss_param",
    "tweedie_regression_param",
    "poisson_regression_param",
    "softmax_multiclass_param",
    "lambdarank_param",
    "aft_loss_param",
];

/// Why rows cannot be trained on with an objective.
#[derive(Debug, thiserror::Error)]
pub enum ObjectiveError {
    /// The labels are not what the objective takes.
    #[error("{objective}: {reason}")]
    Labels {
        /// The objective's name.
        objective: String,
        /// What was expected and found.
        reason: String,
    },
    /// A row is not one that the objective takes.
    #[error("{objective}: {error}")]
    Row {
        /// The objective's name.
        objective: String,
        /// The row, and what was expected and found.
        error: RowError,
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
    /// [`ObjectiveError::Labels`] or [`ObjectiveError::Row`].
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
    Ok(match name {
        "reg:squarederror" => Box::new(Regression::new(Loss::Squared, params)?),
        "reg:squaredlogerror" => Box::new(Residual::SquaredLog),
        "reg:logistic" => Box::new(Regression::new(Loss::Logistic, params)?),
        "reg:pseudohubererror" => Box::new(Residual::PseudoHuber {
            slope: huber_slope(params)?,
        }),
        "reg:absoluteerror" => Box::new(AbsoluteError),
        "reg:quantileerror" => Box::new(Quantile::new(params)?),
        "reg:gamma" => Box::new(Regression::new(Loss::Gamma, params)?),
        "reg:tweedie" => Box::new(Counts::tweedie(params)?),
        "count:poisson" => Box::new(Counts::poisson(params)?),
        "binary:logistic" => Box::new(Regression::new(Loss::Binary, params)?),
        "binary:logitraw" => Box::new(Regression::new(Loss::Raw, params)?),
        "binary:hinge" => Box::new(Residual::Hinge),
        "multi:softmax" => Box::new(Multiclass::new(false, params)?),
        "multi:softprob" => Box::new(Multiclass::new(true, params)?),
        "rank:pairwise" => Box::new(LambdaRank::new(Kind::Pairwise, params)?),
        "rank:ndcg" => Box::new(LambdaRank::new(Kind::Ndcg, params)?),
        "rank:map" => Box::new(LambdaRank::new(Kind::Map, params)?),
        "survival:cox" => Box::new(Cox),
        "survival:aft" => Box::new(Aft::new(params)?),
        _ => return Err(ParamError::unknown_value("objective", name, &NAMES)),
    })
}

/// The objective of a model, from the object [`Objective::to_json`] gives. What a model doesn't
/// say of its objective is XGBoost's default, as models of older versions need.
///
/// # Errors
/// As [`parse`], or the object is not one XGBoost writes.
pub fn from_json(json: &Value) -> Result<Box<dyn Objective>, ParamError> {
    let refuse = |reason: &str| ParamError::new("objective", reason);
    let name = json
        .get("name")
        .and_then(Value::as_str)
        .ok_or_else(|| refuse("expected an object with a name in the model"))?;
    let mut params = ParamSet::default();
    let parameters = json
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| PARAMETER_KEYS.contains(&key.as_str()));
    for (key, value) in parameters {
        let object = value
            .as_object()
            .ok_or_else(|| refuse(&format!("expected an object as {key} in the model")))?;
        for (parameter, value) in object {
            let text = value.as_str().ok_or_else(|| {
                refuse(&format!(
                    "expected text as {parameter} in the model; found {value}"
                ))
            })?;
            params.assume(parameter, text);
        }
    }
    let kind = match name {
        "rank:pairwise" => Kind::Pairwise,
        "rank:ndcg" => Kind::Ndcg,
        "rank:map" => Kind::Map,
        _ => return parse(name, &params),
    };
    Ok(Box::new(LambdaRank::new(kind, &params)?.with_biases(json)?))
}
