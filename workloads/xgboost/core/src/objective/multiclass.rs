//! Cross-entropy of shares: `multi:softmax`, `multi:softprob`.

use serde_json::Value;

use crate::{
    collective::{Collective, Reduce},
    data::Info,
    gradient::GradientPair,
    loss::math::{SMALL, first_largest, softmax},
    metric::{self, Metric},
    objective::{Objective, ObjectiveError, estimate, rows::Rows, text},
    params::{ParamError, ParamSet},
};

/// The most classes: each is a margin a row and a tree a round.
const MOST_CLASSES: u32 = 100_000;

/// A loss over classes numbered from 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Multiclass {
    classes: u32,
    /// Whether predictions are shares of classes, not the number of one.
    shares: bool,
}

impl Multiclass {
    pub(super) fn new(shares: bool, params: &ParamSet) -> Result<Self, ParamError> {
        // 0 is what models without classes say, and what nobody gave.
        let classes = params.read("num_class", 0, 1..=MOST_CLASSES)?;
        if classes > 0 {
            return Ok(Self { classes, shares });
        }
        let reason = format!("expected the number of classes, at most {MOST_CLASSES}; not given");
        Err(ParamError::new("num_class", reason))
    }
}

/// Derivatives at one row's margins.
fn pairs(point: &[f32], label: f32, weight: f32, out: &mut [GradientPair]) {
    let mut sum = exponentials(point, f32::MIN_POSITIVE, out);
    if sum == 0.0 {
        // All margins are so low that nothing is left of them at 0.
        sum = exponentials(point, f32::NEG_INFINITY, out);
    }
    for (class, pair) in out.iter_mut().enumerate() {
        let share = pair.grad / sum as f32;
        let hess = (2.0 * share * (1.0 - share) * weight).max(1e-16);
        let grad = if label == class as f32 {
            share - 1.0
        } else {
            share
        };
        *pair = GradientPair::new(grad * weight, hess);
    }
}

/// Puts exponentials of margins, less the largest of them or `least`, where first derivatives
/// will be; their sum.
fn exponentials(point: &[f32], least: f32, out: &mut [GradientPair]) -> f64 {
    let largest = point.iter().copied().fold(least, f32::max);
    let mut sum = 0.0;
    for (margin, pair) in point.iter().zip(out) {
        pair.grad = (margin - largest).exp();
        sum += f64::from(pair.grad);
    }
    sum
}

impl Objective for Multiclass {
    fn name(&self) -> &'static str {
        if self.shares {
            "multi:softprob"
        } else {
            "multi:softmax"
        }
    }

    fn outputs(&self) -> usize {
        self.classes as usize
    }

    fn num_class(&self) -> u32 {
        self.classes
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        let range = format!(
            "a whole number from 0 to {} (num_class is {})",
            self.classes - 1,
            self.classes
        );
        let class =
            |label: f32| label >= 0.0 && label < self.classes as f32 && label.fract() == 0.0;
        Rows::new(self.name(), info)
            .labels(&range, class)?
            .weights()
            .map(drop)
    }

    /// Logarithms of the classes' shares, less their mean. They are margins already.
    fn base_score(
        &self,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Vec<f32>, ObjectiveError> {
        let total = estimate::total_weight(self.name(), info, all)?;
        let mut sums = vec![0.0_f64; self.outputs()];
        if info.weights.is_empty() {
            info.labels
                .iter()
                .for_each(|label| sums[*label as usize] += 1.0);
        } else {
            // In single precision, as in XGBoost: sums of many weights differ otherwise.
            let mut single = vec![0.0_f32; self.outputs()];
            for (label, weight) in info.labels.iter().zip(&info.weights) {
                single[*label as usize] += weight;
            }
            sums = single.into_iter().map(f64::from).collect();
        }
        all.allreduce(&mut sums, Reduce::Sum)?;
        let scale = 1.0 / total;
        let logarithm = |sum: &f64| ((f64::from(*sum as f32) * scale) as f32 + SMALL).ln();
        let mut scores: Vec<f32> = sums.iter().map(logarithm).collect();
        let count = scores.len() as f32;
        let mean: f32 = scores.iter().map(|score| score / count).sum();
        scores.iter_mut().for_each(|score| *score -= mean);
        Ok(scores)
    }

    fn gradient(
        &mut self,
        margins: &[f32],
        info: &Info,
        _: u32,
        _: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), ObjectiveError> {
        let classes = self.outputs();
        let points = margins
            .chunks_exact(classes)
            .zip(out.chunks_exact_mut(classes));
        for (row, ((point, out), label)) in points.zip(&info.labels).enumerate() {
            pairs(point, *label, info.weight(row), out);
        }
        Ok(())
    }

    fn transform(&self, margins: Vec<f32>) -> Vec<f32> {
        if self.shares {
            return self.eval_transform(margins);
        }
        margins
            .chunks_exact(self.outputs())
            .map(|point| first_largest(point) as f32)
            .collect()
    }

    fn eval_transform(&self, mut margins: Vec<f32>) -> Vec<f32> {
        margins.chunks_exact_mut(self.outputs()).for_each(softmax);
        margins
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        metric::multiclass(metric::Multiclass::LogLoss)
    }

    fn to_json(&self) -> Value {
        let parameters = [("num_class", Value::String(self.classes.to_string()))];
        text::objective(self.name(), "softmax_multiclass_param", parameters)
    }
}
