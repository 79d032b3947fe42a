//! Pairwise ranking, each pair weighted by what a swap would change: `rank:pairwise`,
//! `rank:ndcg`, `rank:map`. A row's label is its relevance to the query of its group.
//!
//! With `lambdarank_unbiased`, rows of a group are in the order they were shown, and how likely
//! a place is looked at is estimated along with the model.

mod pairs;
mod param;
mod random;

use std::cell::RefCell;

use serde_json::Value;

use self::param::{Pairs, Param};
use crate::{
    collective::{Collective, CollectiveError, Reduce},
    data::Info,
    gradient::GradientPair,
    loss::{
        math::sigmoid,
        ranking::{descending, discounts, gain, groups, has_gain, inverse_ideal, is_binary},
    },
    metric::{self, Metric, gather},
    objective::{Objective, ObjectiveError, estimate, rows::Rows, text},
    params::{ParamError, ParamSet},
    random::Mt19937,
};

/// Smallest bias that is divided by, and second derivative of a pair.
const TINY: f64 = 1e-16;

/// What a swap of two rows changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `rank:pairwise`: nothing but their order.
    Pairwise,
    /// `rank:ndcg`: discounted gain.
    Ndcg,
    /// `rank:map`: average precision.
    Map,
}

/// A ranking objective.
#[derive(Debug)]
pub(super) struct LambdaRank {
    kind: Kind,
    param: Param,
    bias: Bias,
    /// Whether `bias` was estimated by this training, not read from a model.
    estimated: bool,
    random: RefCell<Mt19937>,
}

/// How likely each place is looked at, relative to the first (`ti+` of relevant rows and `tj-`
/// of others).
#[derive(Clone, Debug, Default)]
struct Bias {
    relevant: Vec<f64>,
    other: Vec<f64>,
}

impl Bias {
    fn flat(positions: usize) -> Self {
        Self {
            relevant: vec![1.0; positions],
            other: vec![1.0; positions],
        }
    }

    /// The two biases of a pair, where both are estimated.
    fn of(&self, high: usize, low: usize) -> Option<(f64, f64)> {
        Some((*self.relevant.get(high)?, *self.other.get(low)?))
    }
}

/// One group in the order of the ranking.
struct Group {
    /// Row of each place, from the group's first.
    rows: Vec<usize>,
    labels: Vec<f32>,
    scores: Vec<f32>,
    swaps: Swaps,
}

/// What swaps are measured by.
enum Swaps {
    Pairwise,
    Ndcg {
        gains: Vec<f64>,
        inverse_ideal: f64,
    },
    Map {
        /// Relevant rows up to each place.
        relevant: Vec<f64>,
        /// Labels over places, added up.
        precisions: Vec<f64>,
    },
}

impl Group {
    fn new(kind: Kind, param: &Param, scores: &[f32], labels: &[f32], discounts: &[f64]) -> Self {
        let rows = descending(scores);
        let ranked: Vec<f32> = rows.iter().map(|row| labels[*row]).collect();
        let swaps = match kind {
            Kind::Pairwise => Swaps::Pairwise,
            Kind::Ndcg => {
                let top = param.top().map_or(usize::MAX, |top| top as usize);
                Swaps::Ndcg {
                    gains: ranked
                        .iter()
                        .map(|label| gain(*label, param.exp_gain))
                        .collect(),
                    inverse_ideal: inverse_ideal(labels, top, param.exp_gain, discounts),
                }
            }
            Kind::Map => {
                let running = |value: &dyn Fn(usize, f64) -> f64| {
                    let mut sum = 0.0;
                    let mut add = |(place, label): (usize, &f32)| {
                        sum += value(place, f64::from(*label));
                        sum
                    };
                    ranked.iter().enumerate().map(&mut add).collect()
                };
                Swaps::Map {
                    relevant: running(&|_, label| label),
                    precisions: running(&|place, label| label / (place as f64 + 1.0)),
                }
            }
        };
        let scores = rows.iter().map(|row| scores[*row]).collect();
        Self {
            rows,
            labels: ranked,
            scores,
            swaps,
        }
    }

    /// What a swap of the rows at two places changes; the row at `high` is the more relevant.
    fn change(&self, high: usize, low: usize, discounts: &[f64]) -> f64 {
        match &self.swaps {
            Swaps::Pairwise => 1.0,
            Swaps::Ndcg {
                gains,
                inverse_ideal,
            } => {
                let original = gains[high] * discounts[high] + gains[low] * discounts[low];
                let swapped = gains[low] * discounts[high] + gains[high] * discounts[low];
                (original - swapped) * inverse_ideal
            }
            Swaps::Map {
                relevant,
                precisions,
            } => {
                let (first, second) = (high.min(low), high.max(low));
                let between = precisions[second - 1] - precisions[first];
                let (upper, lower) = (first as f64 + 1.0, second as f64 + 1.0);
                let change = if high < low {
                    relevant[first] / upper - relevant[second] / lower + between
                } else {
                    relevant[second] / lower - (relevant[first] + 1.0) / upper - between
                };
                change / relevant[relevant.len() - 1]
            }
        }
    }
}

/// Costs of pairs by the places their rows were shown at: where the more relevant was, and where
/// the other was.
struct Costs {
    relevant: Vec<f64>,
    other: Vec<f64>,
}

impl LambdaRank {
    pub(super) fn new(kind: Kind, params: &ParamSet) -> Result<Self, ParamError> {
        let param = Param::read(params)?;
        let seed = match param.pairs {
            Pairs::Top => 0,
            Pairs::Mean => params.read("seed", 0_i64, ..)?,
        };
        Ok(Self {
            kind,
            param,
            bias: Bias::default(),
            estimated: false,
            // XGBoost keeps the low half too.
            random: RefCell::new(Mt19937::new(seed as u32)),
        })
    }

    /// Takes the biases a model was saved with.
    pub(super) fn with_biases(mut self, json: &Value) -> Result<Self, ParamError> {
        if self.param.unbiased {
            self.bias.relevant = numbers(json, "ti+")?;
            self.bias.other = numbers(json, "tj-")?;
        }
        Ok(self)
    }

    /// Derivatives of all rows, and what the pairs of all instances cost.
    fn fill(
        &self,
        margins: &[f32],
        info: &Info,
        bias: &Bias,
        all: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<Costs, CollectiveError> {
        let starts = groups(info);
        let largest = starts
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or(0);
        let discounts = match self.kind {
            Kind::Ndcg => discounts(largest),
            Kind::Pairwise | Kind::Map => Vec::new(),
        };
        let (first_seed, weight_norm) = self.seed_and_norm(starts.len() - 1, info, all)?;
        let positions = bias.relevant.len();
        let mut costs = Costs {
            relevant: vec![0.0; positions],
            other: vec![0.0; positions],
        };
        for (number, bounds) in starts.windows(2).enumerate() {
            let rows = bounds[0]..bounds[1];
            let group = Group::new(
                self.kind,
                &self.param,
                &margins[rows.clone()],
                &info.labels[rows.clone()],
                &discounts,
            );
            let seed = first_seed.wrapping_add(number as u32);
            let factors = [info.weight(number), weight_norm];
            self.fill_group(
                &group,
                &discounts,
                seed,
                factors,
                bias,
                &mut costs,
                &mut out[rows],
            );
        }
        all.allreduce(&mut costs.relevant, Reduce::Sum)?;
        all.allreduce(&mut costs.other, Reduce::Sum)?;
        Ok(costs)
    }

    /// The seed of this instance's first group, and what makes weights 1 on average.
    fn seed_and_norm(
        &self,
        groups: usize,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<(u32, f32), CollectiveError> {
        let weights: f64 = match info.weights.is_empty() {
            true => groups as f64,
            false => info.weights.iter().map(|weight| f64::from(*weight)).sum(),
        };
        let mut sums = [groups as f64, weights];
        all.allreduce(&mut sums, Reduce::Sum)?;
        let norm = (sums[0] / sums[1]) as f32;
        if self.param.pairs == Pairs::Top {
            return Ok((0, norm));
        }
        // Groups are numbered over all instances, so that pairs don't depend on who has them.
        let (before, _) = gather::parts(&vec![0.0; groups], all)?;
        let seed = self.random.borrow_mut().bits();
        Ok((seed.wrapping_add(before as u32), norm))
    }

    #[expect(clippy::too_many_arguments, reason = "the inner loop has all of this")]
    fn fill_group(
        &self,
        group: &Group,
        discounts: &[f64],
        seed: u32,
        factors: [f32; 2],
        bias: &Bias,
        costs: &mut Costs,
        out: &mut [GradientPair],
    ) {
        let param = &self.param;
        let spread = group.scores.first() != group.scores.last();
        let mut sum = 0.0_f64;
        let mut places = vec![GradientPair::default(); group.rows.len()];
        pairs::each(param, &group.labels, seed, |one, other| {
            let (high, low) = match group.labels[one].partial_cmp(&group.labels[other]) {
                Some(std::cmp::Ordering::Greater) => (one, other),
                Some(std::cmp::Ordering::Less) => (other, one),
                _ => return,
            };
            let apart = group.scores[high] - group.scores[low];
            let likely = f64::from(sigmoid(apart));
            let mut change = group.change(high, low, discounts).abs();
            if param.score_normalization && spread {
                change /= f64::from(apart.abs()) + 0.01;
            }
            let mut grad = (likely - 1.0) * change;
            let mut hess = (likely * (1.0 - likely)).max(TINY) * change * 2.0;
            let shown = (group.rows[high], group.rows[low]);
            let biases = if param.unbiased {
                bias.of(shown.0, shown.1)
            } else {
                None
            };
            if let Some((relevant, not)) = biases {
                let cost = (1.0 / (1.0 - likely)).ln() * change;
                if not >= TINY {
                    costs.relevant[shown.0] += cost / not;
                }
                if relevant >= TINY {
                    costs.other[shown.1] += cost / relevant;
                }
                if not >= TINY && relevant >= TINY {
                    grad /= relevant * not;
                    hess /= relevant * not;
                }
            }
            let (grad, hess) = (grad as f32, hess as f32);
            places[high].grad += grad;
            places[high].hess += hess;
            places[low].grad -= grad;
            places[low].hess += hess;
            sum += -2.0 * f64::from(grad);
        });
        let norm = match (param.normalization, param.pairs) {
            (false, _) => 1.0,
            (true, Pairs::Mean) => 1.0 / f64::from(param.pair_count()),
            (true, Pairs::Top) if sum > 0.0 => (1.0 + sum).log2() / sum,
            (true, Pairs::Top) => 1.0,
        };
        for (pair, row) in places.iter().zip(&group.rows) {
            let scale = |value: f32| value * norm as f32 * factors[0] * factors[1];
            out[*row] = GradientPair::new(scale(pair.grad), scale(pair.hess));
        }
    }

    fn renew_bias(&mut self, costs: &Costs) {
        let power = self.param.bias_power();
        let renew = |bias: &mut [f64], costs: &[f64]| {
            let Some(first) = costs.first().copied().filter(|first| *first >= TINY) else {
                return;
            };
            for (bias, cost) in bias.iter_mut().zip(costs) {
                *bias = (cost / first).powf(power);
            }
        };
        renew(&mut self.bias.relevant, &costs.relevant);
        renew(&mut self.bias.other, &costs.other);
    }

    /// Biases before any round.
    fn first_bias(&self, info: &Info, all: &mut dyn Collective) -> Result<Bias, CollectiveError> {
        if !self.param.unbiased {
            return Ok(Bias::default());
        }
        let largest = groups(info)
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or(0);
        let mut largest = [largest as f64];
        all.allreduce(&mut largest, Reduce::Max)?;
        Ok(Bias::flat(self.param.positions(largest[0] as usize)))
    }
}

/// The numbers a model has under `key`; none where it has none.
fn numbers(json: &Value, key: &'static str) -> Result<Vec<f64>, ParamError> {
    let refuse = || ParamError::new(key, "expected a list of numbers in the model's objective");
    match json.get(key) {
        None => Ok(Vec::new()),
        // What is not a number is null in JSON.
        Some(Value::Array(list)) => list
            .iter()
            .map(|value| {
                if value.is_null() {
                    Some(f64::NAN)
                } else {
                    value.as_f64()
                }
            })
            .collect::<Option<_>>()
            .ok_or_else(refuse),
        Some(_) => Err(refuse()),
    }
}

impl Objective for LambdaRank {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Pairwise => "rank:pairwise",
            Kind::Ndcg => "rank:ndcg",
            Kind::Map => "rank:map",
        }
    }

    fn check(&self, info: &Info) -> Result<(), ObjectiveError> {
        let rows = Rows::new(self.name(), info);
        match self.kind {
            Kind::Ndcg if self.param.exp_gain => rows.labels(
                "a relevance, a whole number from 0 to 31 (or any number, with ndcg_exp_gain=0)",
                has_gain,
            ),
            Kind::Map => rows.labels("a relevance of 0 or 1", is_binary),
            Kind::Pairwise | Kind::Ndcg => rows.labels("a finite number", |_| true),
        }?
        .groups()
        .map(drop)
    }

    fn base_score(
        &self,
        info: &Info,
        all: &mut dyn Collective,
    ) -> Result<Vec<f32>, ObjectiveError> {
        let mut gradients = vec![GradientPair::default(); info.rows];
        let bias = self.first_bias(info, all)?;
        self.fill(&vec![0.0; info.rows], info, &bias, all, &mut gradients)?;
        Ok(estimate::newton_step(&gradients, 1, all)?)
    }

    fn gradient(
        &mut self,
        margins: &[f32],
        info: &Info,
        _: u32,
        all: &mut dyn Collective,
        out: &mut [GradientPair],
    ) -> Result<(), ObjectiveError> {
        if !self.estimated {
            self.bias = self.first_bias(info, all)?;
            self.estimated = true;
        }
        let costs = self.fill(margins, info, &self.bias, all, out)?;
        self.renew_bias(&costs);
        Ok(())
    }

    fn default_metric(&self) -> Box<dyn Metric> {
        match self.kind {
            Kind::Pairwise | Kind::Ndcg => metric::ndcg(self.param.top(), self.param.exp_gain),
            Kind::Map => metric::map(self.param.top()),
        }
    }

    fn to_json(&self) -> Value {
        let mut json = text::objective(self.name(), "lambdarank_param", self.param.to_json());
        if self.param.unbiased {
            let list = |bias: &[f64]| {
                bias.iter()
                    .map(|value| Value::from(*value as f32))
                    .collect()
            };
            json["ti+"] = list(&self.bias.relevant);
            json["tj-"] = list(&self.bias.other);
        }
        json
    }
}
