//! What each feature contributed to a row's margin.

use std::ops::Range;

use super::{
    PredictError, margin, numbers,
    rows::{Rows, Slots},
    saabas::Path,
    shap::{Additive, Cover, Interactions, LANES, Lanes, Walk},
};
use crate::{data::Batch, model::Model};

/// What is wanted of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// SHAP values of the features, and last the bias (XGBoost's `pred_contribs`).
    Contributions,
    /// The same by the change of the mean along each row's path (Saabas; `approx_contribs`).
    Approximate,
    /// SHAP values of pairs of features, a square with the bias last (`pred_interactions`).
    Interactions,
}

/// What contributions of one tree are made of.
enum Prepared {
    Exact(Cover),
    Path(Path),
}

/// Explains predictions by the trees of some rounds of a model.
///
/// SHAP values are integrated by Gauss's rule of 8 points, as XGBoost 3.4 does: exactly where no
/// path asks more than 8 features, and to about single precision beyond.
pub struct Explainer<'m> {
    model: &'m Model,
    what: Explanation,
    /// Each tree's number, and what there is to it.
    trees: Vec<(usize, Prepared)>,
    base: Vec<f32>,
    /// What the trees of each output come to on average.
    means: Vec<f32>,
    row_len: usize,
}

impl<'m> Explainer<'m> {
    /// Explains by the trees of `rounds`, cut to those there are.
    ///
    /// # Errors
    /// A tree has negative sums of hessians, or the model too many features.
    pub fn new(
        model: &'m Model,
        rounds: Range<usize>,
        what: Explanation,
    ) -> Result<Self, PredictError> {
        let columns = model.features.len() + 1;
        let cells = match what {
            Explanation::Interactions => numbers(columns, columns)?,
            Explanation::Contributions | Explanation::Approximate => columns,
        };
        let row_len = numbers(model.outputs(), cells)?;
        let mut trees = Vec::new();
        let mut means = vec![0.0_f64; model.outputs()];
        for index in model.trees_of(rounds) {
            let tree = &model.trees[index];
            let prepared = match what {
                Explanation::Approximate => Prepared::Path(Path::new(tree)),
                Explanation::Contributions | Explanation::Interactions => {
                    let cover = Cover::new(tree, index)?;
                    means[model.tree_info[index] as usize] +=
                        cover.mean() * f64::from(model.weight(index));
                    Prepared::Exact(cover)
                }
            };
            trees.push((index, prepared));
        }
        Ok(Self {
            model,
            what,
            trees,
            base: model.base_margins(),
            means: means.into_iter().map(|mean| mean as f32).collect(),
            row_len,
        })
    }

    /// Numbers a row: for each output, features + 1, or that squared for interactions.
    pub fn row_len(&self) -> usize {
        self.row_len
    }

    /// Calls `each` with the numbers of each row: output by output, feature by feature, the bias
    /// last. They start from `base_margin` instead of the model's constant where it is given.
    ///
    /// # Errors
    /// The batch does not fit the model, or `base_margin` not the batch.
    pub fn for_each_row(
        &self,
        batch: &Batch,
        base_margin: Option<&[f32]>,
        mut each: impl FnMut(&[f32]),
    ) -> Result<(), PredictError> {
        let starts = margin::start(&self.base, batch.rows, base_margin)?;
        match self.what {
            Explanation::Approximate => self.each_by_paths(batch, &starts, &mut each),
            _ => self.each_exactly(batch, &starts, &mut each),
        }
    }

    /// As [`for_each_row`](Self::for_each_row), by each row's path.
    fn each_by_paths(
        &self,
        batch: &Batch,
        starts: &[f32],
        each: &mut impl FnMut(&[f32]),
    ) -> Result<(), PredictError> {
        let features = self.model.features.len();
        let (rows, slots) = (Rows::new(batch, features)?, Slots::All(features));
        let mut places = vec![f32::NAN; features];
        let mut numbers = vec![0.0; self.row_len];
        let mut of_tree = vec![0.0; features + 1];
        for (row, start) in starts.chunks_exact(self.base.len()).enumerate() {
            rows.fill(row, &slots, &mut places, (0, 1))?;
            numbers.fill(0.0);
            self.add_paths(&places, &mut of_tree, &mut numbers);
            for (numbers, start) in numbers.chunks_exact_mut(features + 1).zip(start) {
                numbers[features] += start;
            }
            each(&numbers);
            rows.clear(row, &slots, &mut places, (0, 1));
        }
        Ok(())
    }

    /// As [`for_each_row`](Self::for_each_row), by SHAP values: some rows at a time, each in its lane.
    fn each_exactly(
        &self,
        batch: &Batch,
        starts: &[f32],
        each: &mut impl FnMut(&[f32]),
    ) -> Result<(), PredictError> {
        let (features, outputs) = (self.model.features.len(), self.base.len());
        let (rows, slots) = (Rows::new(batch, features)?, Slots::All(features));
        let mut places = vec![f32::NAN; features * LANES];
        let mut numbers = vec![[0.0; LANES]; self.row_len];
        let mut row_numbers = vec![0.0; self.row_len];
        let mut walk = Walk::new(features);
        let mut scratch = vec![[0.0; LANES]; features + 1];
        for (group, starts) in starts.chunks(outputs * LANES).enumerate() {
            let first = group * LANES;
            // Lanes without a row walk along with what is in them.
            let count = starts.len() / outputs;
            for lane in 0..count {
                rows.fill(first + lane, &slots, &mut places, (lane, LANES))?;
            }
            numbers.fill([0.0; LANES]);
            if self.what == Explanation::Interactions {
                self.interact(&places, starts, &mut walk, &mut scratch, &mut numbers);
            } else {
                self.add(&places, &mut walk, &mut scratch, &mut numbers);
                for (output, numbers) in numbers.chunks_exact_mut(features + 1).enumerate() {
                    self.add_bias(output, starts, &mut numbers[features]);
                }
            }
            for lane in 0..count {
                for (number, numbers) in row_numbers.iter_mut().zip(&numbers) {
                    *number = numbers[lane];
                }
                each(&row_numbers);
                rows.clear(first + lane, &slots, &mut places, (lane, LANES));
            }
        }
        Ok(())
    }

    /// Adds what the trees of `output` come to on average, and what each row starts from.
    fn add_bias(&self, output: usize, starts: &[f32], bias: &mut Lanes) {
        let starts = starts.iter().skip(output).step_by(self.base.len());
        for bias in bias.iter_mut() {
            *bias += self.means[output];
        }
        for (bias, start) in bias.iter_mut().zip(starts) {
            *bias += start;
        }
    }

    /// The numbers of all rows, one after the other.
    ///
    /// # Errors
    /// As [`for_each_row`](Self::for_each_row).
    pub fn explain(
        &self,
        batch: &Batch,
        base_margin: Option<&[f32]>,
    ) -> Result<Vec<f32>, PredictError> {
        let mut all = Vec::with_capacity(numbers(batch.rows, self.row_len)?);
        self.for_each_row(batch, base_margin, |numbers| all.extend_from_slice(numbers))?;
        Ok(all)
    }

    /// Adds SHAP values without the bias. `of_tree` is as long as one output, all 0.
    fn add(&self, rows: &[f32], walk: &mut Walk, of_tree: &mut [Lanes], numbers: &mut [Lanes]) {
        let columns = self.model.features.len() + 1;
        for (index, prepared) in &self.trees {
            let Prepared::Exact(cover) = prepared else {
                continue;
            };
            let tree = &self.model.trees[*index];
            walk.run(tree, cover, rows, &mut Additive { values: of_tree });
            let output = self.model.tree_info[*index] as usize;
            let weight = self.model.weight(*index);
            for feature in cover.features() {
                let feature = *feature as usize;
                let of_tree = std::mem::take(&mut of_tree[feature]);
                for (number, value) in numbers[output * columns + feature].iter_mut().zip(of_tree) {
                    *number += value * weight;
                }
            }
        }
    }

    fn add_paths(&self, row: &[f32], of_tree: &mut [f32], numbers: &mut [f32]) {
        let columns = self.model.features.len() + 1;
        for (index, prepared) in &self.trees {
            let Prepared::Path(path) = prepared else {
                continue;
            };
            let tree = &self.model.trees[*index];
            let output = self.model.tree_info[*index] as usize;
            let weight = self.model.weight(*index);
            let numbers = &mut numbers[output * columns..][..columns];
            path.add(tree, row, of_tree);
            path.for_each_column(tree, row, |column| {
                numbers[column] += std::mem::take(&mut of_tree[column]) * weight;
            });
        }
    }

    /// Fills in interactions. `diagonal` is as long as one output.
    fn interact(
        &self,
        rows: &[f32],
        starts: &[f32],
        walk: &mut Walk,
        diagonal: &mut [Lanes],
        numbers: &mut [Lanes],
    ) {
        let columns = self.model.features.len() + 1;
        for (output, matrix) in numbers.chunks_exact_mut(columns * columns).enumerate() {
            diagonal.fill([0.0; LANES]);
            for (index, prepared) in &self.trees {
                let Prepared::Exact(cover) = prepared else {
                    continue;
                };
                if self.model.tree_info[*index] as usize == output {
                    let mut sink = Interactions {
                        diagonal: &mut *diagonal,
                        matrix: &mut *matrix,
                        weight: self.model.weight(*index),
                    };
                    walk.run(&self.model.trees[*index], cover, rows, &mut sink);
                }
            }
            self.add_bias(output, starts, &mut diagonal[columns - 1]);
            finish_interactions(matrix, diagonal);
        }
    }
}

/// Makes the matrix symmetric, and its rows come to what their features contribute.
fn finish_interactions(matrix: &mut [Lanes], diagonal: &[Lanes]) {
    let columns = diagonal.len();
    for lane in 0..LANES {
        for i in 0..columns {
            for j in i + 1..columns {
                let sum = matrix[i * columns + j][lane] + matrix[j * columns + i][lane];
                let both = 0.5 * sum;
                matrix[i * columns + j][lane] = both;
                matrix[j * columns + i][lane] = both;
            }
        }
        for i in 0..columns {
            let mut own = diagonal[i][lane];
            for j in (0..columns).filter(|j| *j != i) {
                own -= matrix[i * columns + j][lane];
            }
            matrix[i * columns + i][lane] = own;
        }
    }
}
