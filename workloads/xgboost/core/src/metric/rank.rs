//! Metrics of rankings, means over groups: `ndcg`, `map`, `pre`.

use crate::{
    collective::Collective,
    data::Info,
    loss::{
        math::SMALL,
        params::DEFAULT_TOP,
        ranking::{descending, discounts, gain, groups, has_gain, inverse_ideal, is_binary},
    },
    metric::{Metric, MetricError, bad_label, check_single, totals, undefined},
    params::ParamError,
};

/// What is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// `ndcg`
    Ndcg,
    /// `map`
    Map,
    /// `pre`
    Precision,
}

/// A metric of the first rows of each group.
pub(super) struct Rank {
    measure: Measure,
    name: String,
    /// Rows at the top that matter.
    top: usize,
    /// Whether groups without relevant rows count 0 instead of 1.
    minus: bool,
    exp_gain: bool,
}

impl Measure {
    pub(super) fn named(word: &str) -> Option<Self> {
        match word {
            "ndcg" => Some(Self::Ndcg),
            "map" => Some(Self::Map),
            "pre" => Some(Self::Precision),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ndcg => "ndcg",
            Self::Map => "map",
            Self::Precision => "pre",
        }
    }
}

impl Rank {
    /// From what is behind the `@` of `name`. Without a number, the first 32 rows matter, which
    /// is what XGBoost's parameters come to.
    pub(super) fn parse(
        measure: Measure,
        name: &str,
        suffix: Option<&str>,
        exp_gain: bool,
    ) -> Result<Self, ParamError> {
        let suffix = suffix.unwrap_or("");
        let (digits, minus) = match suffix.strip_suffix('-') {
            Some(digits) => (digits, true),
            None => (suffix, false),
        };
        let top = match (digits, name.contains('@')) {
            ("", false) => Some(DEFAULT_TOP),
            _ => digits.parse().ok().filter(|top| *top > 0),
        };
        let Some(top) = top else {
            let word = measure.word();
            let reason = format!("expected {word}@ and a number above 0; found {name:?}");
            return Err(ParamError::new("eval_metric", reason));
        };
        Ok(Self {
            measure,
            name: name.to_owned(),
            top: top as usize,
            minus,
            exp_gain,
        })
    }

    /// The default of an objective that looks at the first `top` rows, or at all. For `map`, all
    /// are the first 32, as in XGBoost.
    pub(super) fn of_objective(measure: Measure, top: Option<u32>, exp_gain: bool) -> Self {
        let word = measure.word();
        let name = top.map_or_else(|| word.to_owned(), |top| format!("{word}@{top}"));
        let top = match (top, measure) {
            (Some(top), _) => top as usize,
            (None, Measure::Ndcg) => usize::MAX,
            (None, _) => DEFAULT_TOP as usize,
        };
        Self {
            measure,
            name,
            top,
            minus: false,
            exp_gain,
        }
    }

    /// The value of one group, its weight included; a group without relevant rows has a value
    /// whatever it weighs in `ndcg`, as in XGBoost.
    fn group(&self, scores: &[f32], labels: &[f32], weight: f64, discounts: &[f64]) -> f64 {
        let nothing = if self.minus { 0.0 } else { 1.0 };
        let ranked = descending(scores).into_iter().map(|row| labels[row]);
        match self.measure {
            Measure::Ndcg => {
                let inverse = inverse_ideal(labels, self.top, self.exp_gain, discounts);
                if inverse <= 0.0 {
                    return nothing;
                }
                let gains = ranked.map(|label| gain(label, self.exp_gain));
                let value: f64 = gains
                    .zip(discounts)
                    .take(self.top)
                    .map(|(gain, discount)| discount * gain * inverse)
                    .sum();
                value * weight
            }
            Measure::Map => {
                let (mut hits, mut sum) = (0.0, 0.0);
                for (place, label) in ranked.enumerate() {
                    hits += f64::from(label);
                    if place < self.top {
                        sum += hits / (place as f64 + 1.0) * f64::from(label);
                    }
                }
                let value = if hits > 0.0 {
                    sum / hits.min(self.top as f64)
                } else {
                    nothing
                };
                value * weight
            }
            Measure::Precision => {
                let places = labels.len().min(self.top).max(1);
                let hits: f64 = ranked.take(places).map(f64::from).sum();
                hits * weight / places as f64
            }
        }
    }

    fn check(&self, predictions: &[f32], info: &Info, starts: &[usize]) -> Result<(), MetricError> {
        let refuse = |reason: String| Err(undefined(&self.name, reason));
        if predictions.len() != info.rows || info.labels.len() != info.rows {
            return refuse(format!(
                "expected a prediction and a label for each of {} rows; found {} and {}",
                info.rows,
                predictions.len(),
                info.labels.len()
            ));
        }
        let count = starts.len() - 1;
        if !info.groups_cover_rows() {
            return refuse(format!("expected groups that end at row {}", info.rows));
        }
        if !info.weights.is_empty() && info.weights.len() != count {
            let found = info.weights.len();
            return refuse(format!(
                "expected {count} weights, one a group; found {found}"
            ));
        }
        let (accepted, range): (fn(f32) -> bool, _) = match self.measure {
            Measure::Ndcg if self.exp_gain => (has_gain, "a whole number from 0 to 31"),
            Measure::Ndcg => return Ok(()),
            Measure::Map | Measure::Precision => (is_binary, "0 or 1"),
        };
        match info.labels.iter().position(|label| !accepted(*label)) {
            None => Ok(()),
            Some(row) => Err(bad_label(&self.name, row, range, info.labels[row])),
        }
    }
}

impl Metric for Rank {
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
        check_single(&self.name, outputs)?;
        let starts = groups(info);
        self.check(predictions, info, &starts)?;
        let largest = starts
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or(0);
        let discounts = discounts(largest);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (number, bounds) in starts.windows(2).enumerate() {
            let rows = bounds[0]..bounds[1];
            let weight = f64::from(info.weight(number));
            sum += self.group(
                &predictions[rows.clone()],
                &info.labels[rows],
                weight,
                &discounts,
            );
            weights += weight;
        }
        let (sum, weights) = totals(sum, weights, all)?;
        let value = if weights > 0.0 { sum / weights } else { sum };
        if value <= 1.0 + f64::from(SMALL) {
            return Ok(value.min(1.0));
        }
        let reason = format!("expected at most 1; found {value}: weights of groups are too small");
        Err(undefined(&self.name, reason))
    }
}
