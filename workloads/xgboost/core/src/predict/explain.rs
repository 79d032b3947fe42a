//! What each feature contributed to a row's margin.

use std::ops::Range;

use super::{
    PredictError, margin, numbers,
    rows::{Rows, Slots},
    saabas::Path,
    shap::{Additive, Cover, Interactions, Walk},
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
        let features = self.model.features.len();
        let rows = Rows::new(batch, features)?;
        let slots = Slots::All(features);
        let starts = margin::start(&self.base, batch.rows, base_margin)?;
        let mut places = vec![f32::NAN; features];
        let mut numbers = vec![0.0; self.row_len];
        let mut walk = Walk::new(features);
        let mut scratch = vec![0.0; features + 1];
        for (row, start) in starts.chunks_exact(self.base.len()).enumerate() {
            rows.fill(row, &slots, &mut places, (0, 1))?;
            numbers.fill(0.0);
            match self.what {
                Explanation::Contributions => {
                    self.add(&places, &mut walk, &mut scratch, &mut numbers)
                }
                Explanation::Approximate => self.add_paths(&places, &mut scratch, &mut numbers),
                Explanation::Interactions => self.interact(&places, start, &mut walk, &mut numbers),
            }
            if self.what != Explanation::Interactions {
                for (output, numbers) in numbers.chunks_exact_mut(features + 1).enumerate() {
                    if self.what == Explanation::Contributions {
                        numbers[features] += self.means[output];
                    }
                    numbers[features] += start[output];
                }
            }
            each(&numbers);
            rows.clear(row, &slots, &mut places, (0, 1));
        }
        Ok(())
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
    fn add(&self, row: &[f32], walk: &mut Walk, of_tree: &mut [f32], numbers: &mut [f32]) {
        let columns = self.model.features.len() + 1;
        for (index, prepared) in &self.trees {
            let Prepared::Exact(cover) = prepared else {
                continue;
            };
            let tree = &self.model.trees[*index];
            walk.run(tree, cover, row, &mut Additive { values: of_tree });
            let output = self.model.tree_info[*index] as usize;
            let weight = self.model.weight(*index);
            for feature in cover.features() {
                let feature = *feature as usize;
                numbers[output * columns + feature] += of_tree[feature] * weight;
                of_tree[feature] = 0.0;
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

    fn interact(&self, row: &[f32], start: &[f32], walk: &mut Walk, numbers: &mut [f32]) {
        let columns = self.model.features.len() + 1;
        let mut diagonal = vec![0.0; columns];
        for (output, matrix) in numbers.chunks_exact_mut(columns * columns).enumerate() {
            diagonal.fill(0.0);
            for (index, prepared) in &self.trees {
                let Prepared::Exact(cover) = prepared else {
                    continue;
                };
                if self.model.tree_info[*index] as usize == output {
                    let mut sink = Interactions {
                        diagonal: &mut diagonal,
                        matrix,
                        weight: self.model.weight(*index),
                    };
                    walk.run(&self.model.trees[*index], cover, row, &mut sink);
                }
            }
            diagonal[columns - 1] += self.means[output];
            diagonal[columns - 1] += start[output];
            finish_interactions(matrix, &diagonal);
        }
    }
}

/// Makes the matrix symmetric, and its rows come to what their features contribute.
fn finish_interactions(matrix: &mut [f32], diagonal: &[f32]) {
    let columns = diagonal.len();
    for i in 0..columns {
        for j in i + 1..columns {
            let both = 0.5 * (matrix[i * columns + j] + matrix[j * columns + i]);
            matrix[i * columns + j] = both;
            matrix[j * columns + i] = both;
        }
    }
    for i in 0..columns {
        let mut own = diagonal[i];
        for j in (0..columns).filter(|j| *j != i) {
            own -= matrix[i * columns + j];
        }
        matrix[i * columns + i] = own;
    }
}
