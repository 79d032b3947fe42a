//! What a model is judged by.
//!
//! Metrics that are means over rows or groups are sums over all instances, divided at the end.
//! `auc`, `aucpr`, `ams` and `cox-nloglik` depend on the order of all rows: instances exchange
//! predictions and labels, so that several instances get exactly what one would. (XGBoost
//! averages the first two over instances, and refuses the others.)

mod auc;
mod elementwise;
pub(crate) mod gather;
mod multiclass;
mod order;
mod quantile;
mod rank;
mod survival;

pub(crate) use self::{elementwise::Elementwise, multiclass::Multiclass};

use crate::{
    collective::{Collective, CollectiveError, Reduce},
    data::{Info, RowError, RowValue},
    loss::{
        aft::Loss,
        params::{alphas, exp_gain, huber_slope},
    },
    params::{ParamError, ParamSet},
};

/// The metrics there are, by XGBoost's names: `error` may have `@` and a threshold, `ndcg`, `map`
/// and `pre` may have `@` and a number of rows, and then `-`; `tweedie-nloglik` and `ams` always
/// have `@` and a number.
pub const NAMES: [&str; 27] = [
    "rmse",
    "rmsle",
    "mae",
    "mape",
    "mphe",
    "logloss",
    "error",
    "error@threshold",
    "merror",
    "mlogloss",
    "auc",
    "aucpr",
    "ndcg",
    "ndcg@n",
    "map",
    "map@n",
    "pre",
    "pre@n",
    "poisson-nloglik",
    "gamma-nloglik",
    "gamma-deviance",
    "tweedie-nloglik@power",
    "quantile",
    "cox-nloglik",
    "aft-nloglik",
    "interval-regression-accuracy",
    "ams@ratio",
];

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
    /// It is not defined for a row's label.
    #[error("{metric}: {error}")]
    Row {
        /// The metric's name.
        metric: String,
        /// The row, and what was expected and found.
        error: RowError,
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
    let unknown = || ParamError::unknown_value("eval_metric", name, &NAMES);
    let (word, suffix) = split(name);
    if let Some(ranking) = rank::Measure::named(word) {
        let gain = if word == "ndcg" {
            exp_gain(params)?
        } else {
            true
        };
        return Ok(Box::new(rank::Rank::parse(ranking, name, suffix, gain)?));
    }
    match (word, suffix) {
        ("error", Some(text)) => {
            let threshold = number(name, text, |threshold| threshold.is_finite())?;
            return Ok(elementwise(Elementwise::Error { threshold }));
        }
        ("tweedie-nloglik", Some(text)) => {
            let power = number(name, text, |power| (1.0..2.0).contains(&power))?;
            return Ok(elementwise(Elementwise::TweedieNegLogLik { power }));
        }
        ("ams", Some(text)) => {
            let ratio = number(name, text, |ratio| (0.0..=1.0).contains(&ratio))?;
            return Ok(Box::new(order::Ams::new(ratio)));
        }
        (_, Some(_)) => return Err(unknown()),
        (_, None) => {}
    }
    Ok(match name {
        "rmse" => elementwise(Elementwise::Rmse),
        "rmsle" => elementwise(Elementwise::Rmsle),
        "mae" => elementwise(Elementwise::Mae),
        "mape" => elementwise(Elementwise::Mape),
        "mphe" => elementwise(Elementwise::PseudoHuber {
            slope: huber_slope(params)?,
        }),
        "logloss" => elementwise(Elementwise::LogLoss),
        "error" => elementwise(Elementwise::Error { threshold: 0.5 }),
        "poisson-nloglik" => elementwise(Elementwise::PoissonNegLogLik),
        "gamma-nloglik" => elementwise(Elementwise::GammaNegLogLik),
        "gamma-deviance" => elementwise(Elementwise::GammaDeviance),
        "merror" => multiclass(Multiclass::Error),
        "mlogloss" => multiclass(Multiclass::LogLoss),
        "auc" => Box::new(auc::Auc::Roc),
        "aucpr" => Box::new(auc::Auc::PrecisionRecall),
        "quantile" => quantile(alphas(params)?),
        "cox-nloglik" => cox(),
        "aft-nloglik" => aft(Loss::read(params)?),
        "interval-regression-accuracy" => Box::new(survival::IntervalAccuracy),
        _ => return Err(unknown()),
    })
}

/// A name and what is behind its `@`.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((word, suffix)) => (word, Some(suffix)),
        None => match name.strip_suffix('-') {
            Some(word) => (word, Some("-")),
            None => (name, None),
        },
    }
}

/// The number behind `@`.
fn number(name: &str, text: &str, accepted: impl Fn(f32) -> bool) -> Result<f32, ParamError> {
    text.parse().ok().filter(|number| accepted(*number)).ok_or_else(|| {
        let ranges = "error@ takes any number, tweedie-nloglik@ one from 1 to less than 2, ams@ \
                      one from 0 to 1";
        ParamError::new("eval_metric", format!("{ranges}; found {name:?}"))
    })
}

/// A mean over rows.
pub(crate) fn elementwise(kind: Elementwise) -> Box<dyn Metric> {
    Box::new(elementwise::Mean::new(kind))
}

/// A mean over rows with several outputs.
pub(crate) fn multiclass(kind: Multiclass) -> Box<dyn Metric> {
    Box::new(kind)
}

/// The mean loss of quantiles.
pub(crate) fn quantile(alphas: Vec<f32>) -> Box<dyn Metric> {
    Box::new(quantile::QuantileLoss { alphas })
}

/// `cox-nloglik`
pub(crate) fn cox() -> Box<dyn Metric> {
    Box::new(order::Cox)
}

/// `aft-nloglik`
pub(crate) fn aft(loss: Loss) -> Box<dyn Metric> {
    Box::new(survival::AftNegLogLik { loss })
}

/// `ndcg` of the first `top` rows of each group, or of all.
pub(crate) fn ndcg(top: Option<u32>, exp_gain: bool) -> Box<dyn Metric> {
    Box::new(rank::Rank::of_objective(rank::Measure::Ndcg, top, exp_gain))
}

/// `map` of the first `top` rows of each group.
pub(crate) fn map(top: Option<u32>) -> Box<dyn Metric> {
    Box::new(rank::Rank::of_objective(rank::Measure::Map, top, true))
}

/// The error of a metric that these rows have no value for.
fn undefined(metric: &str, reason: impl Into<String>) -> MetricError {
    MetricError::Undefined {
        metric: metric.to_owned(),
        reason: reason.into(),
    }
}

/// The error of a metric that is not defined for the label of row `row`.
fn bad_label(metric: &str, row: usize, expected: &str, found: f32) -> MetricError {
    MetricError::Row {
        metric: metric.to_owned(),
        error: RowError {
            row,
            value: RowValue::Label,
            reason: format!("expected {expected} as label; found {found}"),
        },
    }
}

/// Refuses rows that don't have one of `labels` and `outputs` of `predictions` each, and a weight
/// where any has one.
fn check_rows(
    metric: &str,
    predictions: &[f32],
    outputs: usize,
    labels: &[f32],
    info: &Info,
) -> Result<(), MetricError> {
    if labels.len() != info.rows {
        let reason = format!(
            "expected {} labels, one a row; found {}",
            info.rows,
            labels.len()
        );
        return Err(undefined(metric, reason));
    }
    if Some(predictions.len()) != info.rows.checked_mul(outputs) {
        let (rows, found) = (info.rows, predictions.len());
        let reason =
            format!("expected {outputs} predictions for each of {rows} rows; found {found}");
        return Err(undefined(metric, reason));
    }
    if !info.weights.is_empty() && info.weights.len() != info.rows {
        let reason = format!(
            "expected {} weights, one a row; found {} (weights of groups are for rankings)",
            info.rows,
            info.weights.len()
        );
        return Err(undefined(metric, reason));
    }
    Ok(())
}

/// Refuses more than one output a row.
fn check_single(metric: &str, outputs: usize) -> Result<(), MetricError> {
    if outputs == 1 {
        return Ok(());
    }
    let reason = format!("is of one prediction a row; the objective gives {outputs}");
    Err(undefined(metric, reason))
}

/// All instances' sum and weight.
fn totals(sum: f64, weight: f64, all: &mut dyn Collective) -> Result<(f64, f64), CollectiveError> {
    let mut totals = [sum, weight];
    all.allreduce(&mut totals, Reduce::Sum)?;
    Ok((totals[0], totals[1]))
}

/// A sum over its weight; the sum itself where nothing weighs anything.
fn ratio(sum: f64, weight: f64) -> f64 {
    if weight == 0.0 { sum } else { sum / weight }
}
