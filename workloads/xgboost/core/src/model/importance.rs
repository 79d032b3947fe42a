//! What features count for in a model: XGBoost's `get_score`.

use super::Model;
use crate::{
    params::ParamError,
    tree::{NodeKind, Tree},
};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// How many splits ask for the feature.
    Weight,
    /// The mean gain of these splits.
    Gain,
    /// The mean sum of hessians at these splits.
    Cover,
    /// The sum of the gains.
    TotalGain,
    /// The sum of the sums of hessians.
    TotalCover,
}

/// All kinds by XGBoost's names.
const NAMES: [(&str, Importance); 5] = [
    ("weight", Importance::Weight),
    ("gain", Importance::Gain),
    ("cover", Importance::Cover),
    ("total_gain", Importance::TotalGain),
    ("total_cover", Importance::TotalCover),
];

impl Importance {
    /// XGBoost's name.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }

    /// The kind called `name`.
    ///
    /// # Errors
    /// No such kind.
    pub fn parse(name: &str) -> Result<Self, ParamError> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name);
            ParamError::unknown_value("importance_type", name, &names)
        })
    }
}

/// The score of one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The feature's index.
    pub feature: usize,
    /// What it counts for.
    pub value: f32,
}

/// The scores of all features that some split asks for, in the order of features.
pub fn scores(model: &Model, what: Importance) -> Vec<Score> {
    let mut counts = vec![0_u32; model.features.len()];
    let mut sums = vec![0.0_f32; model.features.len()];
    for tree in &model.trees {
        walk(tree, |feature, gain, cover| {
            counts[feature] += 1;
            match what {
                Importance::Weight => sums[feature] = counts[feature] as f32,
                Importance::Gain | Importance::TotalGain => sums[feature] += gain,
                Importance::Cover | Importance::TotalCover => sums[feature] += cover,
            }
        });
    }
    let mean = matches!(what, Importance::Gain | Importance::Cover);
    (0..counts.len())
        .filter(|feature| counts[*feature] > 0)
        .map(|feature| Score {
            feature,
            value: match mean {
                true => sums[feature] / counts[feature] as f32,
                false => sums[feature],
            },
        })
        .collect()
}

/// Calls `each` with feature, gain and hessians of every split, in the order XGBoost adds them.
fn walk(tree: &Tree, mut each: impl FnMut(usize, f32, f32)) {
    let mut open = vec![0_usize];
    while let Some(index) = open.pop() {
        let node = &tree.nodes[index];
        if let NodeKind::Split {
            left,
            right,
            feature,
            loss_change,
            ..
        } = node.kind
        {
            each(feature as usize, loss_change, node.sum_hessian);
            open.extend([left as usize, right as usize]);
        }
    }
}
