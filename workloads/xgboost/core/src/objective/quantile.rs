//! Losses of the absolute residual, smoothed by what residuals are like at the moment:
//! `reg:absoluteerror`, `reg:quantileerror`.
//!
//! Both scale by the square of the mean root of absolute residuals, over all instances' rows, so
//! that the loss comes closer to the true one as residuals shrink.

use serde_json::Value;

use crate::{
    collective::{Collective, CollectiveError, Reduce},
    data::Info,
    gradient::GradientPair,
    loss::{math::SMALL, params::alphas},
    metric::{self, Metric, gather::joined},
    objective::{Objective, ObjectiveError, estimate, rows::Rows, text},
    params::{ParamError, ParamSet},
};

/// Width of the smoothing of a quantile's loss, in scales of residuals.
const SMOOTHING: f32 = 0.04;
/// The least share of its largest second derivative that a row keeps.
const LEAST_CURVATURE: f32 = 3.0e-4;

/// `reg:absoluteerror`
#[derive(Clone, Copy, Debug)]
pub(super) struct AbsoluteError;

/// `reg:quantileerror`
#[derive(Clone, Debug)]
pub(super) struct Quantile {
    /// Ascending, at least one, each from 0 to 1.
    alphas: Vec<f32>,
}

/// For each output, the square of the weighted mean root of absolute residuals.
fn residual_scales(
    margins: &[f32],
    outputs: usize,
    info: &Info,
    all: &mut dyn Collective,
) -> Result<Vec<f32>, CollectiveError> {
    let mut sums = vec![0.0_f64; outputs + 1];
    for (row, (point, label)) in margins.chunks_exact(outputs).zip(&info.labels).enumerate() {
        let weight = info.weight(row);
        for (sum, margin) in sums.iter_mut().zip(point) {
            *sum += f64::from(weight * (margin - label).abs().sqrt());
        }
    }
    sums[outputs] = estimate::weight(info);
    all.allreduce(&mut sums, Reduce::Sum)?;
    let total = sums[outputs];
    let scale = |sum: &f64| {
        if total < f64::from(SMALL) {
            0.0
        } else {
            ((sum / total) * (sum / total)) as f32
        }
    };
    Ok(sums[..outputs].iter().map(scale).collect())
}

impl AbsoluteError {
    fn fill(
        margins: &[f32],
        info: &Info,
        all: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), CollectiveError> {
        let scale = residual_scales(margins, 1, info, all)?[0];
        let rows = margins.iter().zip(&info.labels).zip(out).enumerate();
        for (row, ((margin, label), pair)) in rows {
            let residual = margin - label;
            let norm = scale.hypot(residual);
            let curvature = if norm > 0.0 { scale / norm } else { 1.0 };
            let weight = info.weight(row);
            *pair = GradientPair::new(weight * residual * curvature, weight * curvature);
        }
        Ok(())
    }
}

impl Objective for AbsoluteError {
    fn name(&self) -> &'static str {
        "reg:absoluteerror"
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        Rows::new(self.name(), info)
            .labels("a finite number", |_| true)?
            .weights()
            .map(drop)
    }

    /// One Newton step from the mean.
    fn base_score(
        &self,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Vec<f32>, ObjectiveError> {
        let mean = estimate::mean(self.name(), info, all)?;
        let mut gradients = vec![GradientPair::default(); info.rows];
        Self::fill(&vec![mean; info.rows], info, all, &mut gradients)?;
        let mut step = estimate::newton_step(&gradients, 1, all)?;
        step[0] += mean;
        Ok(step)
    }

    fn gradient(
        &mut self,
        margins: &[f32],
        info: &Info,
        _: u32,
        all: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), ObjectiveError> {
        Ok(Self::fill(margins, info, all, out)?)
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        metric::elementwise(metric::Elementwise::Mae)
    }

    fn to_json(&self) -> Value {
        Value::Object(text::named(self.name()))
    }
}

impl Quantile {
    pub(super) fn new(params: &ParamSet) -> Result<Self, ParamError> {
        Ok(Self {
            alphas: alphas(params)?,
        })
    }
}

impl Objective for Quantile {
    fn name(&self) -> &'static str {
        "reg:quantileerror"
    }

    fn outputs(&self) -> usize {
        self.alphas.len()
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        Rows::new(self.name(), info)
            .labels("a finite number", |_| true)?
            .weights()
            .map(drop)
    }

    /// The labels' quantiles, averaged over instances that have rows.
    fn base_score(
        &self,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Vec<f32>, ObjectiveError> {
        // XGBoost takes the mean of its instances' quantiles; those of all labels don't depend on
        // how rows are dealt out.
        let labels = joined(&info.labels, all)?;
        let whole = Info {
            rows: labels.len(),
            labels,
            weights: joined(&info.weights, all)?,
            ..Info::default()
        };
        if whole.rows == 0 {
            return Ok(vec![0.0; self.alphas.len()]);
        }
        let sorted = Sorted::new(&whole);
        Ok(self
            .alphas
            .iter()
            .map(|alpha| sorted.quantile(*alpha))
            .collect())
    }

    fn gradient(
        &mut self,
        margins: &[f32],
        info: &Info,
        _: u32,
        all: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), ObjectiveError> {
        let outputs = self.alphas.len();
        let scales = residual_scales(margins, outputs, info, all)?;
        let points = margins
            .chunks_exact(outputs)
            .zip(out.chunks_exact_mut(outputs));
        for (row, ((point, pairs), label)) in points.zip(&info.labels).enumerate() {
            let weight = info.weight(row);
            for (index, (margin, pair)) in point.iter().zip(pairs).enumerate() {
                *pair = smoothed(margin - label, scales[index], self.alphas[index], weight);
            }
        }
        Ok(())
    }

    /// Sorted, so that no quantile is below a lower one.
    fn transform(&self, mut margins: Vec<f32>) -> Vec<f32> {
        for point in margins.chunks_exact_mut(self.alphas.len()) {
            point.sort_by(|left, right| left.total_cmp(right));
        }
        margins
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        metric::quantile(self.alphas.clone())
    }

    fn to_json(&self) -> Value {
        let parameters = [("quantile_alpha", text::list(&self.alphas))];
        text::objective(self.name(), "quantile_loss_param", parameters)
    }
}

/// Derivatives of the smoothed loss of one row: the second bounds the curvature from above.
fn smoothed(residual: f32, scale: f32, alpha: f32, weight: f32) -> GradientPair {
    let apart_at_all = scale > 0.0;
    if !apart_at_all || weight == 0.0 {
        return GradientPair::default();
    }
    let apart = residual / (SMOOTHING * scale);
    let tangent = apart.tanh();
    let ratio = if apart == 0.0 { 1.0 } else { tangent / apart };
    let grad = 0.5 * scale * (tangent + 1.0 - 2.0 * alpha);
    let hess = 0.5 / SMOOTHING * ratio.max(LEAST_CURVATURE);
    GradientPair::new(weight * grad, weight * hess)
}

/// Labels in ascending order, with their weights added up.
struct Sorted {
    labels: Vec<f32>,
    /// Empty without weights.
    cumulated: Vec<f32>,
}

impl Sorted {
    fn new(info: &Info) -> Self {
        let mut order: Vec<usize> = (0..info.rows).collect();
        order.sort_by(|left, right| info.labels[*left].total_cmp(&info.labels[*right]));
        let mut sum = 0.0;
        let mut cumulate = |row: &usize| {
            sum += info.weight(*row);
            sum
        };
        let cumulated = match info.weights.is_empty() {
            true => Vec::new(),
            false => order.iter().map(&mut cumulate).collect(),
        };
        Self {
            labels: order.iter().map(|row| info.labels[*row]).collect(),
            cumulated,
        }
    }

    /// Between two labels without weights, one of the labels with them. There is at least one.
    fn quantile(&self, alpha: f32) -> f32 {
        let last = self.labels.len() - 1;
        if let Some(total) = self.cumulated.last() {
            let enough = (f64::from(*total) * f64::from(alpha)) as f32;
            let at = self.cumulated.partition_point(|sum| *sum < enough);
            return self.labels[at.min(last)];
        }
        let (alpha, count) = (f64::from(alpha), self.labels.len() as f64);
        if alpha <= 1.0 / (count + 1.0) {
            return self.labels[0];
        }
        if alpha >= count / (count + 1.0) {
            return self.labels[last];
        }
        let at = alpha * (count + 1.0);
        let whole = at.floor() - 1.0;
        // Rounding alone could reach past the last label.
        let below = (whole as usize).min(last);
        let (below, above) = (self.labels[below], self.labels[(below + 1).min(last)]);
        (f64::from(below) + (at - 1.0 - whole) * f64::from(above - below)) as f32
    }
}
