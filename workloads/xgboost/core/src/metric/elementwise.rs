//! Weighted means over rows with one prediction each.

use crate::{
    collective::Collective,
    data::Info,
    decimal::general,
    loss::math::SMALL,
    metric::{Metric, MetricError, check_rows, check_single, ratio, totals},
};

/// What is averaged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Elementwise {
    /// `rmse`
    Rmse,
    /// `rmsle`
    Rmsle,
    /// `mae`
    Mae,
    /// `mape`
    Mape,
    /// `mphe`
    PseudoHuber {
        /// `huber_slope`; not 0.
        slope: f32,
    },
    /// `logloss`
    LogLoss,
    /// `error`
    Error {
        /// What predictions above are taken for 1.
        threshold: f32,
    },
    /// `poisson-nloglik`
    PoissonNegLogLik,
    /// `gamma-nloglik`
    GammaNegLogLik,
    /// `gamma-deviance`
    GammaDeviance,
    /// `tweedie-nloglik`
    TweedieNegLogLik {
        /// From 1 to below 2.
        power: f32,
    },
}

/// A mean with its name.
pub(super) struct Mean {
    kind: Elementwise,
    name: String,
}

impl Mean {
    pub(super) fn new(kind: Elementwise) -> Self {
        Self {
            kind,
            name: kind.name(),
        }
    }
}

impl Elementwise {
    fn name(self) -> String {
        match self {
            Self::Rmse => "rmse",
            Self::Rmsle => "rmsle",
            Self::Mae => "mae",
            Self::Mape => "mape",
            Self::PseudoHuber { .. } => "mphe",
            Self::LogLoss => "logloss",
            Self::Error { threshold: 0.5 } => "error",
            Self::Error { threshold } => {
                return format!("error@{}", general(f64::from(threshold), 6));
            }
            Self::PoissonNegLogLik => "poisson-nloglik",
            Self::GammaNegLogLik => "gamma-nloglik",
            Self::GammaDeviance => "gamma-deviance",
            Self::TweedieNegLogLik { power } => {
                return format!("tweedie-nloglik@{}", general(f64::from(power), 6));
            }
        }
        .to_owned()
    }

    /// The loss of one row, in single precision.
    fn loss(self, label: f32, prediction: f32) -> f32 {
        match self {
            Self::Rmse => (label - prediction) * (label - prediction),
            Self::Rmsle => {
                let apart = label.ln_1p() - prediction.ln_1p();
                apart * apart
            }
            Self::Mae => (label - prediction).abs(),
            Self::Mape => ((label - prediction) / label).abs(),
            Self::PseudoHuber { slope } => {
                let apart = (label - prediction) / slope;
                slope * slope * ((1.0 + apart * apart).sqrt() - 1.0)
            }
            Self::LogLoss => {
                partial_log(-label, prediction) + partial_log(-(1.0 - label), 1.0 - prediction)
            }
            Self::Error { threshold } => {
                if prediction > threshold {
                    1.0 - label
                } else {
                    label
                }
            }
            Self::PoissonNegLogLik => {
                let prediction = if prediction < 1e-16 {
                    1e-16
                } else {
                    prediction
                };
                libm::lgamma(f64::from(label + 1.0)) as f32 + prediction - prediction.ln() * label
            }
            Self::GammaNegLogLik => {
                let theta = -1.0 / prediction.max(1e-6);
                -(label * theta + (-theta).ln())
            }
            Self::GammaDeviance => {
                let (prediction, label) = (prediction + SMALL, label + SMALL);
                (prediction / label).ln() + label / prediction - 1.0
            }
            Self::TweedieNegLogLik { power } => {
                let (low, high) = (1.0 - power, 2.0 - power);
                let log = prediction.ln();
                -(label * (low * log).exp() / low) + (high * log).exp() / high
            }
        }
    }

    /// The mean of all rows' losses, from their sum and weight.
    fn of(self, sum: f64, weight: f64) -> f64 {
        match self {
            Self::Rmse | Self::Rmsle => ratio(sum, weight).sqrt(),
            Self::GammaDeviance => {
                let weight = if weight <= 0.0 {
                    f64::from(SMALL)
                } else {
                    weight
                };
                2.0 * sum / weight
            }
            _ => ratio(sum, weight),
        }
    }
}

/// `factor` times the logarithm of a probability, and nothing where the factor is 0.
fn partial_log(factor: f32, probability: f32) -> f32 {
    if factor == 0.0 {
        0.0
    } else {
        factor * probability.max(1e-16).ln()
    }
}

impl Metric for Mean {
    fn name(&self) -> &str {
        &self.name
    }

    fn maximize(&self) -> bool {
        false
    }

    fn evaluate(
        &self,
        predictions: &[f32],
        outputs: usize,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<f64, MetricError> {
        check_single(&self.name, outputs)?;
        check_rows(&self.name, predictions, 1, &info.labels, info)?;
        let (mut sum, mut weights) = (0.0, 0.0);
        for (row, (prediction, label)) in predictions.iter().zip(&info.labels).enumerate() {
            let weight = info.weight(row);
            sum += f64::from(self.kind.loss(*label, *prediction) * weight);
            weights += f64::from(weight);
        }
        let (sum, weights) = totals(sum, weights, all)?;
        Ok(self.kind.of(sum, weights))
    }
}
