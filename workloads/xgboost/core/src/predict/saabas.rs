//! Contributions by the path a row takes: what each split changes of the mean.

use super::ask::ask;
use crate::tree::{NodeKind, Tree};

/// The mean at each node of a tree.
pub(super) struct Path {
    means: Vec<f32>,
}

impl Path {
    /// Means of the leaves below each node, weighted by their hessians.
    pub(super) fn new(tree: &Tree) -> Self {
        let mut means = vec![0.0_f32; tree.nodes.len()];
        // Children have larger numbers.
        for (index, node) in tree.nodes.iter().enumerate().rev() {
            means[index] = match node.kind {
                NodeKind::Leaf { value } => value,
                NodeKind::Deleted => 0.0,
                NodeKind::Split { left, right, .. } => {
                    let part =
                        |child: i32| means[child as usize] * tree.nodes[child as usize].sum_hessian;
                    (part(left) + part(right)) / node.sum_hessian
                }
            };
        }
        Self { means }
    }

    /// Adds what each feature contributes to `row`, and last the mean of the tree.
    pub(super) fn add(&self, tree: &Tree, row: &[f32], of_tree: &mut [f32]) {
        let mut mean = self.means[0];
        of_tree[row.len()] += mean;
        let mut node = 0;
        let mut last = None;
        while let Some((feature, next)) = step(tree, node, row) {
            of_tree[feature] += self.means[next] - mean;
            (mean, node, last) = (self.means[next], next, Some(feature));
        }
        if let (Some(feature), Some(value)) = (last, tree.leaf_value(node)) {
            of_tree[feature] += value - mean;
        }
    }

    /// Calls `each` with every column [`add`](Self::add) adds to, some more than once.
    pub(super) fn for_each_column(&self, tree: &Tree, row: &[f32], mut each: impl FnMut(usize)) {
        let mut node = 0;
        while let Some((feature, next)) = step(tree, node, row) {
            each(feature);
            node = next;
        }
        each(row.len());
    }
}

/// The feature asked at `node` and where `row` goes, or `None` at a leaf.
fn step(tree: &Tree, node: usize, row: &[f32]) -> Option<(usize, usize)> {
    let (goes_left, feature) = ask(tree, node, row, (0, 1))?;
    let (left, right) = tree.children(node)?;
    Some((feature, if goes_left { left } else { right }))
}
