//! Whether a model is the one XGBoost made.

use xgboost_core::{
    data::{Batch, Source},
    model::Model,
    predict::Predictor,
    train::Score,
    tree::{NodeKind, Split, Tree},
};

use crate::fixture::{ExpectedScores, ExpectedTree, Setting};

/// How far a number may be from XGBoost's.
pub(crate) const TOLERANCE: f64 = 1e-5;

fn close(found: f32, expected: f32) -> bool {
    let (found, expected) = (f64::from(found), f64::from(expected));
    (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
}

/// What differs, in words.
pub(crate) fn model(found: &Model, expected: &Setting) -> Result<(), String> {
    if found.base_score.len() != expected.base_score.len()
        || !found
            .base_score
            .iter()
            .zip(&expected.base_score)
            .all(|(a, b)| close(*a, *b))
    {
        return Err(format!(
            "base_score {:?}, not {:?}",
            found.base_score, expected.base_score
        ));
    }
    if expected.trees.is_empty() {
        return Ok(());
    }
    if found.tree_info != expected.tree_info {
        return Err(format!(
            "tree_info {:?}, not {:?}",
            found.tree_info, expected.tree_info
        ));
    }
    let weights = found.weight_drop.clone().unwrap_or_default();
    if weights.len() != expected.weights.len()
        || !weights
            .iter()
            .zip(&expected.weights)
            .all(|(a, b)| close(*a, *b))
    {
        return Err(format!("weights {weights:?}, not {:?}", expected.weights));
    }
    if found.trees.len() != expected.trees.len() {
        return Err(format!(
            "{} trees, not {}",
            found.trees.len(),
            expected.trees.len()
        ));
    }
    for (number, (found, expected)) in found.trees.iter().zip(&expected.trees).enumerate() {
        tree(found, expected).map_err(|reason| format!("tree {number}: {reason}"))?;
    }
    Ok(())
}

fn tree(found: &Tree, expected: &ExpectedTree) -> Result<(), String> {
    if found.nodes.len() != expected.left.len() {
        return Err(format!(
            "{} nodes, not {}",
            found.nodes.len(),
            expected.left.len()
        ));
    }
    for (at, node) in found.nodes.iter().enumerate() {
        let same = match &node.kind {
            NodeKind::Leaf { value } => {
                expected.left[at] == -1 && close(*value, expected.value[at])
            }
            NodeKind::Split {
                left,
                right,
                feature,
                default_left,
                split,
                ..
            } => {
                let question = match split {
                    Split::Below(bound) => *bound == expected.value[at],
                    Split::Categories(right) => {
                        expected.categories.get(&at.to_string()) == Some(right)
                    }
                };
                question
                    && *left == expected.left[at]
                    && *right == expected.right[at]
                    && *feature == expected.feature[at]
                    && *default_left == (expected.missing_left[at] == 1)
            }
            // XGBoost marks a deleted node by its feature.
            NodeKind::Deleted => expected.feature[at] == u32::MAX >> 1,
        };
        if !same {
            return Err(format!(
                "node {at} is {:?}, not left {} right {} feature {} value {} missing left {} {:?}",
                node.kind,
                expected.left[at],
                expected.right[at],
                expected.feature[at],
                expected.value[at],
                expected.missing_left[at],
                expected.categories.get(&at.to_string()),
            ));
        }
    }
    Ok(())
}

/// The model's predictions for the first rows of a table against XGBoost's.
pub(crate) fn predictions<S: Source>(
    found: &Model,
    table: &mut S,
    expected: &[f32],
) -> Result<(), String>
where
    S::Error: std::fmt::Debug,
{
    let predictor = Predictor::new(found, 0..usize::MAX);
    table.rewind().unwrap();
    let mut margins = Vec::new();
    let mut done = 0;
    while let Some(batch) = table.next_batch().unwrap() {
        let Batch { rows, .. } = batch;
        let outputs = found.outputs();
        let base = &table.info().base_margin;
        let base = (!base.is_empty()).then(|| &base[done * outputs..][..rows * outputs]);
        margins.extend(predictor.margins(&batch, base).unwrap());
        done += rows;
    }
    let predictions = found.objective.transform(margins);
    if predictions.len() != expected.len() {
        return Err(format!(
            "{} predictions, not {}",
            predictions.len(),
            expected.len()
        ));
    }
    match predictions
        .iter()
        .zip(expected)
        .position(|(a, b)| !close(*a, *b))
    {
        None => Ok(()),
        Some(at) => Err(format!(
            "prediction {at} is {}, not {}",
            predictions[at], expected[at]
        )),
    }
}

/// The history of scores against XGBoost's.
pub(crate) fn scores(found: &[Vec<Score>], expected: &[ExpectedScores]) -> Result<(), String> {
    for expected in expected {
        let values: Vec<f64> = found
            .iter()
            .flatten()
            .filter(|score| score.table == expected.table && score.metric == expected.metric)
            .map(|score| score.value)
            .collect();
        series(&values, &expected.values)
            .map_err(|reason| format!("{} {}: {reason}", expected.table, expected.metric))?;
    }
    Ok(())
}

/// Values of rounds against XGBoost's.
pub(crate) fn series(found: &[f64], expected: &[f64]) -> Result<(), String> {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
    if found.len() == expected.len() && found.iter().zip(expected).all(near) {
        return Ok(());
    }
    Err(format!("{found:?}, not {expected:?}"))
}
