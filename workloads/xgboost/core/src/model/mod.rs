//! A trained model: what XGBoost's JSON and UBJSON hold.

use std::collections::BTreeMap;

use crate::{data::Feature, objective::Objective, tree::Tree};

/// A model of gradient boosted trees.
pub struct Model {
    /// The loss it was trained for.
    pub objective: Box<dyn Objective>,
    /// Constant prediction, one an output.
    pub base_score: Vec<f32>,
    /// Number of classes; 0 where there are none.
    pub num_class: u32,
    /// Whether `base_score` was estimated.
    pub boost_from_average: bool,
    /// Columns of a row. The names are empty where the model has none.
    pub features: Vec<Feature>,
    /// Trees grown at once for each output.
    pub num_parallel_tree: u32,
    /// The trees in the order they were grown.
    pub trees: Vec<Tree>,
    /// The output each tree adds to.
    pub tree_info: Vec<u32>,
    /// Where each round's trees start, and the end: rounds + 1 entries.
    pub iteration_indptr: Vec<u32>,
    /// Weight of each tree; `None` for `gbtree`, `Some` for `dart`.
    pub weight_drop: Option<Vec<f32>>,
    /// Free text, for instance `best_iteration` and `best_score`.
    pub attributes: BTreeMap<String, String>,
}

impl Model {
    /// Margins a row.
    pub fn outputs(&self) -> usize {
        self.base_score.len().max(1)
    }

    /// Rounds of boosting.
    pub fn rounds(&self) -> usize {
        self.iteration_indptr.len().saturating_sub(1)
    }
}
