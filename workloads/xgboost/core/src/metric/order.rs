//! Metrics of the order of all rows: `cox-nloglik`, `ams`.

use crate::{
    collective::Collective,
    data::Info,
    decimal::general,
    loss::ranking::{by_time, descending},
    metric::{Metric, MetricError, check_rows, check_single, gather, undefined},
};

/// Rows of all instances.
struct Everyone {
    predictions: Vec<f32>,
    labels: Vec<f32>,
    /// Empty without weights.
    weights: Vec<f32>,
}

impl Everyone {
    fn gather(
        metric: &str,
        predictions: &[f32],
        outputs: usize,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Self, MetricError> {
        check_single(metric, outputs)?;
        check_rows(metric, predictions, 1, &info.labels, info)?;
        Ok(Self {
            predictions: gather::joined(predictions, all)?,
            labels: gather::joined(&info.labels, all)?,
            weights: gather::joined(&info.weights, all)?,
        })
    }

    fn weight(&self, row: usize) -> f32 {
        self.weights.get(row).copied().unwrap_or(1.0)
    }
}

/// `cox-nloglik`: the mean over events. Weights don't count.
pub(super) struct Cox;

impl Metric for Cox {
    fn name(&self) -> &str {
        "cox-nloglik"
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
        let rows = Everyone::gather(self.name(), predictions, outputs, info, all)?;
        let order = by_time(&rows.labels);
        let hazard = |row: usize| f64::from(rows.predictions[row]);
        let time = |row: usize| rows.labels[row].abs();
        let mut at_risk: f64 = (0..order.len()).map(hazard).sum();
        let (mut sum, mut events, mut leaving) = (0.0, 0_u64, 0.0);
        for (place, row) in order.iter().enumerate() {
            if rows.labels[*row] > 0.0 {
                sum -= f64::from(rows.predictions[*row].ln()) - at_risk.ln();
                events += 1;
            }
            leaving += hazard(*row);
            if order
                .get(place + 1)
                .is_some_and(|next| time(*row) < time(*next))
            {
                at_risk -= leaving;
                leaving = 0.0;
            }
        }
        if events > 0 {
            return Ok(sum / events as f64);
        }
        Err(undefined(
            self.name(),
            "expected at least one event (a label above 0); found none",
        ))
    }
}

/// `ams@ratio`: approximate median significance of taking that share of rows, those with the
/// highest predictions, for events; 0 for the best share.
pub(super) struct Ams {
    ratio: f32,
    name: String,
}

/// Background that is there anyway.
const BACKGROUND: f64 = 10.0;

impl Ams {
    pub(super) fn new(ratio: f32) -> Self {
        Self {
            ratio,
            name: format!("ams@{}", general(f64::from(ratio), 6)),
        }
    }
}

fn significance(signal: f64, background: f64) -> f64 {
    let expected = background + BACKGROUND;
    (2.0 * ((signal + expected) * (1.0 + signal / expected).ln() - signal)).sqrt()
}

impl Metric for Ams {
    fn name(&self) -> &str {
        &self.name
    }

    fn maximize(&self) -> bool {
        true
    }

    fn evaluate(
        &self,
        predictions: &[f32],
        outputs: usize,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<f64, MetricError> {
        let rows = Everyone::gather(&self.name, predictions, outputs, info, all)?;
        let order = descending(&rows.predictions);
        let count = order.len();
        let top = match (self.ratio * count as f32) as usize {
            0 => count,
            top => top,
        };
        let (mut signal, mut background, mut best) = (0.0, 0.0, 0.0_f64);
        for place in 0..top.min(count.saturating_sub(1)) {
            let row = order[place];
            let weight = f64::from(rows.weight(row));
            if rows.labels[row] > 0.5 {
                signal += weight;
            } else {
                background += weight;
            }
            if rows.predictions[row] != rows.predictions[order[place + 1]] {
                best = best.max(significance(signal, background));
            }
        }
        let value = if top == count {
            best
        } else {
            significance(signal, background)
        };
        Ok(f64::from(value as f32))
    }
}
