//! Margins and leaves of a model.

use std::ops::Range;

use super::{Forest, PredictError, numbers};
use crate::{data::Batch, model::Model};

/// Predicts by the trees of some rounds of a model.
#[derive(Clone, Debug)]
pub struct Predictor {
    forest: Forest,
    base: Vec<f32>,
}

impl Predictor {
    /// Predicts by the trees of `rounds`, cut to those there are; `0..usize::MAX` are all
    /// (XGBoost's `iteration_range`).
    pub fn new(model: &Model, rounds: Range<usize>) -> Self {
        let trees = model.trees_of(rounds).map(|tree| {
            (
                &model.trees[tree],
                model.tree_info[tree],
                model.weight(tree),
            )
        });
        Self {
            forest: Forest::new(model.features.len(), model.outputs(), trees),
            base: model.base_margins(),
        }
    }

    /// Margins: rows × outputs, row by row. They start from `base_margin` (of these rows, as many)
    /// instead of the model's constant where it is given.
    ///
    /// # Errors
    /// The batch does not fit the model, or `base_margin` not the batch.
    pub fn margins(
        &self,
        batch: &Batch,
        base_margin: Option<&[f32]>,
    ) -> Result<Vec<f32>, PredictError> {
        let mut margins = start(&self.base, batch.rows, base_margin)?;
        self.forest.add_margins(batch, &mut margins)?;
        Ok(margins)
    }

    /// The leaf of each row in each tree: rows × trees, row by row (XGBoost's `pred_leaf`).
    ///
    /// # Errors
    /// The batch does not fit the model.
    pub fn leaves(&self, batch: &Batch) -> Result<Vec<u32>, PredictError> {
        self.forest.leaves(batch)
    }

    /// The trees.
    pub fn forest(&self) -> &Forest {
        &self.forest
    }
}

/// What margins start from: rows × outputs.
pub(super) fn start(
    base: &[f32],
    rows: usize,
    base_margin: Option<&[f32]>,
) -> Result<Vec<f32>, PredictError> {
    let expected = numbers(rows, base.len())?;
    match base_margin {
        None => Ok(base.repeat(rows)),
        Some(margins) if margins.len() == expected => Ok(margins.to_vec()),
        Some(margins) => Err(PredictError::BaseMargin {
            expected,
            found: margins.len(),
        }),
    }
}
