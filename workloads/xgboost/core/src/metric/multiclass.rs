//! Weighted means over rows with one share a class.

use crate::{
    collective::Collective,
    data::Info,
    loss::math::first_largest,
    metric::{Metric, MetricError, bad_label, check_rows, totals, undefined},
};

/// What is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Multiclass {
    /// `merror`
    Error,
    /// `mlogloss`
    LogLoss,
}

impl Multiclass {
    fn loss(self, class: usize, shares: &[f32]) -> f32 {
        match self {
            Self::Error => f32::from(u8::from(first_largest(shares) != class)),
            Self::LogLoss => -shares[class].max(1e-16).ln(),
        }
    }
}

impl Metric for Multiclass {
    fn name(&self) -> &str {
        match self {
            Self::Error => "merror",
            Self::LogLoss => "mlogloss",
        }
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
        check_rows(self.name(), predictions, outputs, &info.labels, info)?;
        let (mut sum, mut weights) = (0.0, 0.0);
        let points = predictions.chunks_exact(outputs.max(1)).zip(&info.labels);
        for (row, (shares, label)) in points.enumerate() {
            if !(*label >= 0.0 && *label < outputs as f32) {
                let expected = match outputs {
                    1 => "0, the only class of the objective,".to_owned(),
                    _ => format!("a class from 0 to {}", outputs - 1),
                };
                return Err(bad_label(self.name(), row, &expected, *label));
            }
            let weight = info.weight(row);
            sum += f64::from(self.loss(*label as usize, shares) * weight);
            weights += f64::from(weight);
        }
        let (sum, weights) = totals(sum, weights, all)?;
        if weights > 0.0 {
            return Ok(sum / weights);
        }
        Err(undefined(
            self.name(),
            "expected at least one row with a weight above 0; found none",
        ))
    }
}
