//! Areas under curves: `auc`, `aucpr`. Of one output, of each class against all others, or of
//! each group of a ranking.

use crate::{
    collective::{Collective, Reduce},
    data::Info,
    loss::ranking::{descending, groups},
    metric::{Metric, MetricError, bad_label, check_rows, check_single, gather, totals, undefined},
};

/// Which curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auc {
    /// `auc`: true against false positives.
    Roc,
    /// `aucpr`: precision against recall.
    PrecisionRecall,
}

/// Weights of rows: one each, or the same for all.
enum Weights<'a> {
    Each(&'a [f32]),
    Same(f32),
}

impl Weights<'_> {
    fn of(&self, row: usize) -> f32 {
        match self {
            Self::Each(weights) => weights[row],
            Self::Same(weight) => *weight,
        }
    }
}

/// An area, and the weight of rows labelled 1; `None` where all rows are of one label.
struct Area {
    area: f64,
    positive: f64,
}

/// Adds up the area between the points of a curve, of which there is one for each different
/// prediction, as false and true positives.
fn curve(
    predictions: &[f32],
    labels: &[f32],
    weights: &Weights<'_>,
    between: impl Fn((f64, f64), (f64, f64)) -> f64,
) -> (f64, (f64, f64)) {
    let mut area = 0.0;
    let (mut last, mut now) = ((0.0, 0.0), (0.0, 0.0));
    let mut threshold = None;
    for row in descending(predictions) {
        if threshold.is_some_and(|threshold| threshold != predictions[row]) {
            area += between(last, now);
            last = now;
        }
        threshold = Some(predictions[row]);
        let weight = weights.of(row);
        now.0 += f64::from((1.0 - labels[row]) * weight);
        now.1 += f64::from(labels[row] * weight);
    }
    (area + between(last, now), now)
}

fn roc(predictions: &[f32], labels: &[f32], weights: &Weights<'_>) -> Option<Area> {
    let trapezoid = |(x0, y0): (f64, f64), (x1, y1): (f64, f64)| (x0 - x1).abs() * (y0 + y1) * 0.5;
    let (area, (negative, positive)) = curve(predictions, labels, weights, trapezoid);
    (negative > 0.0 && positive > 0.0).then(|| Area {
        area: area / (negative * positive),
        positive,
    })
}

/// Interpolated as in doi:10.1371/journal.pone.0092209.
fn precision_recall(predictions: &[f32], labels: &[f32], weights: &Weights<'_>) -> Option<Area> {
    let (mut negative, mut positive) = (0.0, 0.0);
    for (row, label) in labels.iter().enumerate() {
        positive += f64::from(weights.of(row) * label);
        negative += f64::from(weights.of(row) * (1.0 - label));
    }
    if positive <= 0.0 || negative <= 0.0 {
        return None;
    }
    let between = |(false0, true0): (f64, f64), (false1, true1): (f64, f64)| {
        let (recall0, recall1) = (true0 / positive, true1 / positive);
        let (slope, offset) = if true1 == true0 {
            (1.0, 0.0)
        } else {
            let ratio = (false1 - false0) / (true1 - true0);
            (ratio + 1.0, (false0 - ratio * true0) / positive)
        };
        let curved = if offset == 0.0 {
            0.0
        } else {
            let log = |recall: f64| (slope * recall + offset).ln();
            offset / slope * (log(recall1) - log(recall0))
        };
        (recall1 - recall0 - curved) / slope
    };
    let (area, _) = curve(predictions, labels, weights, between);
    // Each class counts the same in a mean over classes.
    Some(Area {
        area,
        positive: 1.0,
    })
}

/// The share of pairs of a group's rows that are in the order of their labels; those of equal
/// labels count as if the first were to be above.
fn pairs_in_order(predictions: &[f32], labels: &[f32]) -> f64 {
    let lower = places(predictions);
    let (mut right, mut seen) = (0.0, Counts::new(predictions.len()));
    for (before, row) in descending(labels).into_iter().enumerate() {
        let up_to = seen.below(lower[row] + 1);
        let equal = up_to - seen.below(lower[row]);
        right += (before - up_to) as f64 + 0.5 * equal as f64;
        seen.add(lower[row]);
    }
    let pairs = predictions.len() as f64 * (predictions.len() as f64 - 1.0) / 2.0;
    if pairs > 0.0 { right / pairs } else { 0.0 }
}

/// For each prediction, how many different ones are lower.
fn places(predictions: &[f32]) -> Vec<usize> {
    let mut places = vec![0; predictions.len()];
    let mut place = 0;
    let mut last = None;
    for row in descending(predictions).into_iter().rev() {
        let higher = last.is_some_and(|last| predictions[row] != last);
        place += usize::from(higher);
        places[row] = place;
        last = Some(predictions[row]);
    }
    places
}

/// How often each number was seen, as a binary indexed tree.
struct Counts(Vec<usize>);

impl Counts {
    fn new(end: usize) -> Self {
        Self(vec![0; end + 1])
    }

    fn add(&mut self, number: usize) {
        let mut at = number + 1;
        while let Some(count) = self.0.get_mut(at) {
            *count += 1;
            at += at & at.wrapping_neg();
        }
    }

    /// How many numbers below `end` were seen.
    fn below(&self, end: usize) -> usize {
        let (mut at, mut sum) = (end, 0);
        while at > 0 {
            sum += self.0[at];
            at &= at - 1;
        }
        sum
    }
}

impl Auc {
    fn area(self, predictions: &[f32], labels: &[f32], weights: &Weights<'_>) -> Option<Area> {
        match self {
            Self::Roc => roc(predictions, labels, weights),
            Self::PrecisionRecall => precision_recall(predictions, labels, weights),
        }
    }

    /// The mean over groups that have an area.
    fn ranking(
        self,
        predictions: &[f32],
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<f64, MetricError> {
        let starts = groups(info);
        let groups = starts.len() - 1;
        if !info.weights.is_empty() && info.weights.len() != groups {
            let found = info.weights.len();
            let reason = format!("expected {groups} weights, one a group; found {found}");
            return Err(undefined(self.name(), reason));
        }
        let graded = |label: &f32| !(0.0..=1.0).contains(label);
        if self == Self::PrecisionRecall
            && let Some(row) = info.labels.iter().position(graded)
        {
            let expected = "a number from 0 to 1 (in a ranking)";
            return Err(bad_label(self.name(), row, expected, info.labels[row]));
        }
        let (mut sum, mut valid) = (0.0, 0.0);
        for (group, bounds) in starts.windows(2).enumerate() {
            let (Some(predictions), Some(labels)) = (
                predictions.get(bounds[0]..bounds[1]),
                info.labels.get(bounds[0]..bounds[1]),
            ) else {
                return Err(undefined(self.name(), "groups are not of these rows"));
            };
            let weight = Weights::Same(info.weight(group));
            let area = match self {
                Self::Roc if labels.len() < 3 => None,
                Self::Roc if info.weight(group) == 0.0 => Some(0.0),
                Self::Roc => Some(pairs_in_order(predictions, labels)),
                Self::PrecisionRecall => {
                    precision_recall(predictions, labels, &weight).map(|area| area.area)
                }
            };
            if let Some(area) = area {
                sum += area;
                valid += 1.0;
            }
        }
        let (sum, valid) = totals(sum, valid, all)?;
        if valid > 0.0 {
            return Ok(sum / valid);
        }
        let reason = match self {
            Self::Roc => "expected at least one group of 3 rows or more; found none",
            Self::PrecisionRecall => "expected at least one group with both labels; found none",
        };
        Err(undefined(self.name(), reason))
    }

    /// The mean over classes, each against all others, weighted by how many rows it has (`auc`)
    /// or not (`aucpr`).
    fn multiclass(
        self,
        predictions: &[f32],
        classes: usize,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<f64, MetricError> {
        let labels = gather::joined(&info.labels, all)?;
        let weights = gather::joined(&info.weights, all)?;
        let weights = weights_of(&weights);
        let (mut sum, mut total) = (0.0, 0.0);
        let mut missing = None;
        for class in 0..classes {
            let own: Vec<f32> = predictions
                .chunks_exact(classes)
                .map(|point| point[class])
                .collect();
            let shares = gather::joined(&own, all)?;
            let own_class: Vec<f32> = labels
                .iter()
                .map(|label| f32::from(u8::from(*label == class as f32)))
                .collect();
            match self.area(&shares, &own_class, &weights) {
                Some(area) => {
                    sum += area.area * area.positive;
                    total += area.positive;
                }
                None => missing = missing.or(Some(class)),
            }
        }
        match missing {
            None => Ok(sum / total),
            Some(class) => Err(undefined(
                self.name(),
                format!("expected rows of class {class} and of others; found only one of both"),
            )),
        }
    }

    fn binary(
        self,
        predictions: &[f32],
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<f64, MetricError> {
        let predictions = gather::joined(predictions, all)?;
        let labels = gather::joined(&info.labels, all)?;
        let weights = gather::joined(&info.weights, all)?;
        match self.area(&predictions, &labels, &weights_of(&weights)) {
            Some(area) => Ok(area.area.min(1.0)),
            None => Err(undefined(
                self.name(),
                "expected rows labelled 0 and rows labelled 1; found only one of both",
            )),
        }
    }
}

fn weights_of(weights: &[f32]) -> Weights<'_> {
    if weights.is_empty() {
        Weights::Same(1.0)
    } else {
        Weights::Each(weights)
    }
}

impl Metric for Auc {
    fn name(&self) -> &str {
        match self {
            Self::Roc => "auc",
            Self::PrecisionRecall => "aucpr",
        }
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
        // An instance without rows has no groups where others have some.
        let mut grouped = [f64::from(u8::from(!info.group_starts.is_empty()))];
        all.allreduce(&mut grouped, Reduce::Max)?;
        if grouped[0] == 0.0 {
            check_rows(self.name(), predictions, outputs, &info.labels, info)?;
            return match outputs {
                1 => self.binary(predictions, info, all),
                classes => self.multiclass(predictions, classes, info, all),
            };
        }
        check_single(self.name(), outputs)?;
        self.ranking(predictions, info, all)
    }
}
