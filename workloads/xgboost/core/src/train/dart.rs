//! Dropout: some trees are left out when gradients are taken, and weigh less afterwards (DART).
//!
//! XGBoost 3.4 has it in `gbtree` itself: `booster=dart` is another name of it, and without a
//! dropout parameter there is none.

use crate::{
    params::{ParamError, ParamSet},
    random::Mt19937,
};

/// The parameters of dropout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dropout {
    rate: f32,
    skip: f32,
    one: bool,
    weighted: bool,
    forest: bool,
}

impl Dropout {
    pub(super) fn parse(params: &ParamSet) -> Result<Self, ParamError> {
        Ok(Self {
            rate: params.read("rate_drop", 0.0, 0.0..=1.0)?,
            skip: params.read("skip_drop", 0.0, 0.0..=1.0)?,
            one: params.switch("one_drop", false)?,
            weighted: params.choice("sample_type", &[("uniform", false), ("weighted", true)])?,
            forest: params.choice("normalize_type", &[("tree", false), ("forest", true)])?,
        })
    }

    /// Whether trees have weights because of it.
    pub(super) fn is_on(&self) -> bool {
        self.rate != 0.0 || self.one || self.skip != 0.0
    }

    /// The trees to leave out of this round, of those with `weights`, ascending.
    pub(super) fn draw(&self, weights: &[f32], random: &mut Mt19937) -> Vec<usize> {
        if weights.is_empty() || (self.skip > 0.0 && random.unit() < f64::from(self.skip)) {
            return Vec::new();
        }
        let total: f32 = weights.iter().fold(0.0, |sum, weight| sum + weight);
        let mut dropped: Vec<usize> = Vec::new();
        for (tree, weight) in weights.iter().enumerate() {
            let chance = if self.weighted {
                self.rate * weights.len() as f32 * weight / total
            } else {
                self.rate
            };
            if random.unit() < f64::from(chance) {
                dropped.push(tree);
            }
        }
        if self.one && dropped.is_empty() {
            dropped.push(if self.weighted {
                random.pick(weights)
            } else {
                // A model has fewer than 2^32 trees: `iteration_indptr` counts them in 32 bits.
                random.below(weights.len() as u32) as usize
            });
        }
        dropped
    }

    /// Weighs the `dropped` trees anew, and adds the weights of `new` ones grown meanwhile.
    pub(super) fn normalize(
        &self,
        weights: &mut Vec<f32>,
        dropped: &[usize],
        new: usize,
        learning_rate: f32,
    ) {
        if dropped.is_empty() {
            weights.extend(std::iter::repeat_n(1.0, new));
            return;
        }
        let count = dropped.len() as f32;
        // Quotients in double precision of sums in single, as XGBoost's.
        let (factor, fresh) = if self.forest {
            let factor = (1.0 / (1.0 + f64::from(learning_rate))) as f32;
            (factor, factor)
        } else {
            let sum = f64::from(count + learning_rate);
            ((f64::from(count) / sum) as f32, (1.0 / sum) as f32)
        };
        for tree in dropped {
            weights[*tree] *= factor;
        }
        weights.extend(std::iter::repeat_n(fresh, new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropout(pairs: &[(&str, &str)]) -> Dropout {
        let mut params = ParamSet::default();
        for (name, value) in pairs {
            params.set(name, *value).unwrap();
        }
        Dropout::parse(&params).unwrap()
    }

    #[test]
    fn a_rate_of_one_drops_everything_and_a_skip_of_one_nothing() {
        let mut random = Mt19937::new(0);
        let weights = [1.0; 5];
        assert_eq!(
            dropout(&[("rate_drop", "1")]).draw(&weights, &mut random),
            [0, 1, 2, 3, 4]
        );
        let skipped = dropout(&[("rate_drop", "1"), ("skip_drop", "1")]);
        assert!(skipped.draw(&weights, &mut random).is_empty());
    }

    #[test]
    fn one_drop_drops_one_where_the_rate_dropped_none() {
        for kind in ["uniform", "weighted"] {
            let one = dropout(&[("one_drop", "1"), ("sample_type", kind)]);
            let mut seen = [0; 3];
            let mut random = Mt19937::new(3);
            for _ in 0..300 {
                let dropped = one.draw(&[1.0, 1.0, 0.1], &mut random);
                assert_eq!(dropped.len(), 1);
                seen[dropped[0]] += 1;
            }
            assert!(seen.iter().all(|count| *count > 0), "{kind}: {seen:?}");
            // By weight, the third is drawn a twentieth of the time.
            assert_eq!(seen[2] < 50, kind == "weighted", "{kind}: {seen:?}");
        }
    }

    #[test]
    fn the_dropped_and_the_new_share_one_tree_s_weight() {
        let mut weights = vec![1.0, 1.0];
        dropout(&[("rate_drop", "1")]).normalize(&mut weights, &[0, 1], 1, 1.0);
        assert_eq!(weights, [2.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0]);
        let mut weights = vec![1.0, 1.0];
        let forest = dropout(&[("normalize_type", "forest"), ("rate_drop", "1")]);
        forest.normalize(&mut weights, &[1], 1, 1.0);
        assert_eq!(weights, [1.0, 0.5, 0.5]);
    }

    #[test]
    fn without_dropout_new_trees_weigh_one() {
        let none = dropout(&[]);
        assert!(!none.is_on());
        let mut weights = vec![0.5];
        none.normalize(&mut weights, &[], 2, 0.3);
        assert_eq!(weights, [0.5, 1.0, 1.0]);
    }
}
