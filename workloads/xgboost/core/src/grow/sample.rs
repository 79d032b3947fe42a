//! Which rows and features a tree gets to see.
//!
//! The numbers drawn are this crate's own, not XGBoost's: what is grown of samples agrees with
//! XGBoost's on average, not tree by tree.

use super::params::{SamplingMethod, TreeParams};
use crate::gradient::GradientPair;

/// Random numbers from a seed: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 to less than 1.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// A whole number less than `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }
}

/// Leaves out rows (`subsample`, `sampling_method`). Call it once for every tree, with gradients
/// that are its own.
#[derive(Clone, Debug)]
pub struct RowSampler {
    share: f32,
    method: SamplingMethod,
    rng: Rng,
}

/// How much the second derivative counts beside the first (XGBoost's `kDefaultMvsLambda`).
const HESSIAN_SHARE: f32 = 0.1;

impl RowSampler {
    /// A sampler for `params`. Instances must be given different seeds.
    pub fn new(params: &TreeParams, seed: u64) -> Self {
        Self {
            share: params.subsample,
            method: params.sampling_method,
            rng: Rng::new(seed),
        }
    }

    /// Sets the gradients of rows that are left out to (0, 0), and scales the others where the
    /// method says so.
    pub fn sample(&mut self, gradients: &mut [GradientPair]) {
        let wanted = (gradients.len() as f32 * self.share) as usize;
        if wanted >= gradients.len() {
            return;
        }
        match self.method {
            SamplingMethod::Uniform => {
                for gradient in gradients {
                    if self.rng.unit() >= self.share {
                        *gradient = GradientPair::default();
                    }
                }
            }
            SamplingMethod::GradientBased => {
                let threshold = threshold(gradients, wanted);
                for gradient in gradients {
                    let chance = size(*gradient) / threshold;
                    let drawn = self.rng.unit();
                    if chance >= 1.0 {
                        continue;
                    }
                    *gradient = if chance > 0.0 && drawn <= chance {
                        let scale = 1.0 / chance;
                        GradientPair::new(gradient.grad * scale, gradient.hess * scale)
                    } else {
                        GradientPair::default()
                    };
                }
            }
        }
    }
}

/// How large a gradient is for sampling.
fn size(gradient: GradientPair) -> f32 {
    (gradient.grad * gradient.grad + HESSIAN_SHARE * (gradient.hess * gradient.hess)).sqrt()
}

/// The size from which a row is kept for certain, so that `wanted` are kept on average. Smaller
/// ones are kept with a chance in proportion to their size (minimal variance sampling).
fn threshold(gradients: &[GradientPair], wanted: usize) -> f32 {
    if wanted == 0 {
        return f32::INFINITY;
    }
    let mut sizes: Vec<f32> = gradients.iter().map(|gradient| size(*gradient)).collect();
    sizes.sort_unstable_by(f32::total_cmp);
    let mut sum = 0.0_f64;
    for (index, size) in sizes.iter().enumerate() {
        sum += f64::from(*size);
        let above = sizes.len() - index - 1;
        if above >= wanted {
            continue;
        }
        let threshold = sum / (wanted - above) as f64;
        let upper = sizes
            .get(index + 1)
            .copied()
            .map_or(f64::INFINITY, f64::from);
        if threshold > f64::from(*size) && threshold <= upper {
            return (threshold as f32).max(1e-6);
        }
    }
    ((sum / wanted as f64) as f32).max(1e-6)
}

/// Draws features for trees, levels and nodes (XGBoost's `ColumnSampler`).
#[derive(Clone, Debug)]
pub(crate) struct ColumnSampler {
    shares: [f32; 3],
    rng: Rng,
    tree: Vec<u32>,
    levels: Vec<Option<Vec<u32>>>,
    node: Vec<u32>,
}

impl ColumnSampler {
    /// Instances must be given one seed.
    pub(crate) fn new(params: &TreeParams, seed: u64) -> Self {
        Self {
            shares: [
                params.colsample_bytree,
                params.colsample_bylevel,
                params.colsample_bynode,
            ],
            rng: Rng::new(seed),
            tree: Vec::new(),
            levels: Vec::new(),
            node: Vec::new(),
        }
    }

    /// Draws for a new tree.
    pub(crate) fn start(&mut self, features: usize) {
        let all: Vec<u32> = (0..features as u32).collect();
        self.tree = draw(&mut self.rng, &all, self.shares[0]);
        self.levels.clear();
    }

    /// Whether the order in which nodes come makes no difference.
    pub(crate) fn in_any_order(&self) -> bool {
        self.shares[1..] == [1.0; 2]
    }

    /// The features, ascending, for the next node at `depth`. Every instance asks for the same
    /// nodes in the same order.
    pub(crate) fn node(&mut self, depth: u32) -> &[u32] {
        let [_, by_level, by_node] = self.shares;
        if self.in_any_order() {
            return &self.tree;
        }
        let depth = depth as usize;
        if self.levels.len() <= depth {
            self.levels.resize(depth + 1, None);
        }
        let level =
            self.levels[depth].get_or_insert_with(|| draw(&mut self.rng, &self.tree, by_level));
        if by_node == 1.0 {
            return level;
        }
        self.node = draw(&mut self.rng, level, by_node);
        &self.node
    }
}

/// A `share` of `from`, at least one, in order.
fn draw(rng: &mut Rng, from: &[u32], share: f32) -> Vec<u32> {
    let mut drawn = from.to_vec();
    if share == 1.0 || drawn.is_empty() {
        return drawn;
    }
    let count = ((share * drawn.len() as f32) as usize).max(1);
    for index in 0..count.min(drawn.len()) {
        let other = index + rng.below(drawn.len() - index);
        drawn.swap(index, other);
    }
    drawn.truncate(count);
    drawn.sort_unstable();
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::Schema, params::ParamSet};

    fn params(pairs: &[(&str, &str)]) -> TreeParams {
        let mut params = ParamSet::default();
        for (name, value) in pairs {
            params.set(name, *value).unwrap();
        }
        TreeParams::read(&params, &Schema::default()).unwrap()
    }

    #[test]
    fn gradients_drawn_by_size_sum_to_what_they_were() {
        let params = params(&[("subsample", "0.3"), ("sampling_method", "gradient_based")]);
        let mut sampler = RowSampler::new(&params, 5);
        let mut rng = Rng::new(9);
        let all: Vec<GradientPair> = (0..20_000)
            .map(|_| GradientPair::new(rng.unit().powi(4) * 10.0, 0.1 + rng.unit()))
            .collect();
        let mut drawn = all.clone();
        sampler.sample(&mut drawn);
        let kept = drawn.iter().filter(|pair| pair.hess > 0.0).count();
        assert!((5_700..6_300).contains(&kept), "{kept}");
        let sum = |pairs: &[GradientPair]| {
            pairs.iter().fold((0.0, 0.0), |(grad, hess), pair| {
                (grad + f64::from(pair.grad), hess + f64::from(pair.hess))
            })
        };
        let ((grad, hess), (drawn_grad, drawn_hess)) = (sum(&all), sum(&drawn));
        assert!(
            (drawn_grad / grad - 1.0).abs() < 0.02,
            "{drawn_grad} of {grad}"
        );
        assert!(
            (drawn_hess / hess - 1.0).abs() < 0.05,
            "{drawn_hess} of {hess}"
        );
        // The largest are never left out.
        let largest = |pair: &GradientPair| pair.grad > 9.0;
        assert_eq!(
            all.iter().filter(|pair| largest(pair)).count(),
            drawn.iter().filter(|pair| largest(pair)).count()
        );
    }

    #[test]
    fn equal_gradients_and_none_at_all_can_be_drawn_from() {
        let share = [("subsample", "0.5"), ("sampling_method", "gradient_based")];
        for pair in [GradientPair::new(0.5, 1.0), GradientPair::default()] {
            let mut drawn = vec![pair; 2_000];
            RowSampler::new(&params(&share), 1).sample(&mut drawn);
            let kept = drawn.iter().filter(|drawn| drawn.hess > 0.0).count();
            assert!(pair.hess == 0.0 || (900..1_100).contains(&kept), "{kept}");
            assert!(drawn.iter().all(|drawn| drawn.grad.is_finite()));
        }
        let none = params(&[("subsample", "0"), ("sampling_method", "gradient_based")]);
        let mut drawn = vec![GradientPair::new(0.5, 1.0); 10];
        RowSampler::new(&none, 1).sample(&mut drawn);
        assert_eq!(drawn, vec![GradientPair::default(); 10]);
    }
}
