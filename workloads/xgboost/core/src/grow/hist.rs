//! Grows trees by histograms: XGBoost's `grow_quantile_histmaker`, which `tree_method=hist` uses.

use std::ops::Range;

use super::{
    GrowError, Grower, Grown,
    constraints::Interactions,
    driver::{Driver, Entry},
    evaluate::{Evaluator, NodeState},
    gain::Bounds,
    histogram::{self, Bin, Pool},
    params::TreeParams,
    partition::{Move, Partition},
    sample::ColumnSampler,
};
use crate::{
    bins::{BinnedMatrix, BinsError},
    collective::{Collective, CollectiveError, Reduce},
    gradient::{GradientPair, GradientSum},
    tree::{NONE, Node, NodeKind, Tree},
};

/// Grows trees over binned rows.
///
/// Rows are to be left out beforehand, by a [`RowSampler`](super::sample::RowSampler); features
/// are drawn here.
#[derive(Debug)]
pub struct HistGrower<'a> {
    matrix: &'a BinnedMatrix,
    params: TreeParams,
    evaluator: Evaluator,
    interactions: Interactions,
    columns: ColumnSampler,
    partition: Partition,
    pool: Pool,
}

/// A node that was split, and the histograms of its children on the way.
struct Family {
    left: usize,
    right: usize,
    depth: u32,
    /// Built from rows: the child with the smaller sum of second derivatives.
    built: (usize, Vec<Bin>),
    /// The other: built too, or else the parent's, which becomes it.
    other: Other,
}

/// How the second child gets its histogram.
enum Other {
    Built(Vec<Bin>),
    Parent(Vec<Bin>),
}

impl<'a> HistGrower<'a> {
    /// A grower over the rows of `matrix`. `seed` is for drawing features, and the same in all
    /// instances; so is `memory`, about the bytes that histograms may take.
    pub fn new(params: TreeParams, matrix: &'a BinnedMatrix, seed: u64, memory: usize) -> Self {
        Self {
            evaluator: Evaluator::new(&params),
            interactions: Interactions::new(
                params.interactions.as_deref(),
                matrix.cuts().features(),
            ),
            columns: ColumnSampler::new(&params, seed),
            partition: Partition::default(),
            pool: Pool::new(matrix.slots().len(), memory),
            matrix,
            params,
        }
    }

    /// The sum over all instances' rows; `root` is the root's histogram.
    fn root_sum(
        &self,
        gradients: &[GradientPair],
        root: &[Bin],
        all: &mut dyn Collective,
    ) -> Result<GradientSum, CollectiveError> {
        let mut sum = GradientSum::default();
        if self.matrix.complete() && all.size() == 1 && self.matrix.cuts().features() > 0 {
            // XGBoost sums the first feature's bins where nothing is missing, and whether a
            // node's sum equals its bins' decides whether the other direction is tried.
            for [grad, hess] in &root[..self.matrix.cuts().bins(0).len()] {
                sum += GradientSum::new(*grad, *hess);
            }
            return Ok(sum);
        }
        for pair in gradients {
            sum += *pair;
        }
        let mut both = [sum.grad, sum.hess];
        all.allreduce(&mut both, Reduce::Sum)?;
        Ok(GradientSum::new(both[0], both[1]))
    }

    /// The best split of a node.
    fn entry(&mut self, node: usize, depth: u32, state: NodeState, histogram: &[Bin]) -> Entry {
        let candidate = self.evaluator.best(
            self.matrix,
            histogram,
            state,
            self.columns.node(depth),
            (&self.interactions, node),
        );
        Entry {
            node,
            depth,
            candidate,
        }
    }

    /// Splits a node of `tree`; gives the move of its rows.
    fn split(
        &mut self,
        entry: &Entry,
        tree: &mut Tree,
        states: &mut Vec<NodeState>,
        learning_rate: f32,
    ) -> Move {
        let candidate = &entry.candidate;
        let feature = candidate.feature as usize;
        let regular = self.evaluator.regular;
        let bounds = states[entry.node].bounds;
        let sum = candidate.left + candidate.right;
        let weights = [candidate.left, candidate.right].map(|sum| regular.weight(sum, bounds));
        let (left, right) = (tree.nodes.len(), tree.nodes.len() + 1);
        let split = candidate.question.split(self.matrix.cuts(), feature);

        let goes_left = candidate
            .question
            .left_bins(self.matrix.cuts().bins(feature).len());
        let goes_left = goes_left.chain([candidate.default_left]).collect();

        let node = &mut tree.nodes[entry.node];
        node.base_weight = regular.weight(sum, bounds);
        node.sum_hessian = sum.hess as f32;
        node.kind = NodeKind::Split {
            left: left as i32,
            right: right as i32,
            feature: candidate.feature,
            default_left: candidate.default_left,
            split,
            loss_change: candidate.loss_change,
        };
        let sign = self.evaluator.sign(candidate.feature);
        let (below, above) = bounds.split(sign, weights[0], weights[1]);
        let children = [(candidate.left, below), (candidate.right, above)];
        for ((sum, child_bounds), weight) in children.into_iter().zip(weights) {
            let value = weight * learning_rate;
            tree.nodes.push(Node {
                parent: entry.node as i32,
                kind: NodeKind::Leaf { value },
                base_weight: value,
                sum_hessian: sum.hess as f32,
            });
            states.push(NodeState {
                sum,
                // What the child gains as a leaf is reckoned within its parent's bounds.
                gain: regular.gain(sum, regular.weight(sum, bounds)),
                bounds: child_bounds,
            });
        }
        self.interactions
            .split(entry.node, candidate.feature, left, right);
        Move::new(entry.node, feature, goes_left)
    }

    /// Histograms of the children of nodes that were split, all but the subtraction.
    fn build(
        &mut self,
        parents: &[Entry],
        tree: &Tree,
        gradients: &[GradientPair],
        all: &mut dyn Collective,
    ) -> Result<Vec<Family>, GrowError> {
        let mut families = Vec::with_capacity(parents.len());
        let mut nodes = Vec::with_capacity(parents.len());
        for parent in parents {
            let Some((left, right)) = tree.children(parent.node) else {
                continue;
            };
            let candidate = &parent.candidate;
            let (small, large) = if candidate.right.hess < candidate.left.hess {
                (right, left)
            } else {
                (left, right)
            };
            nodes.push(small);
            let kept = self.pool.kept(parent.node);
            if kept.is_none() {
                nodes.push(large);
            }
            families.push((parent, (left, right), small, kept));
        }
        let mut built = self.sums(&nodes, gradients)?;
        share(built.iter_mut(), all)?;
        let mut built = built.into_iter();
        let mut next = || built.next().expect("one was built for each node");
        Ok(families
            .into_iter()
            .map(|(parent, (left, right), small, kept)| Family {
                left,
                right,
                depth: parent.depth + 1,
                built: (small, next()),
                other: kept.map_or_else(|| Other::Built(next()), Other::Parent),
            })
            .collect())
    }

    /// The histograms of this instance's rows of `nodes`.
    fn sums(
        &mut self,
        nodes: &[usize],
        gradients: &[GradientPair],
    ) -> Result<Vec<Vec<Bin>>, BinsError> {
        let mut histograms: Vec<_> = nodes.iter().map(|_| self.pool.take()).collect();
        let (matrix, partition) = (self.matrix, &self.partition);
        let rows_in = |node: &usize, rows: &Range<u32>| partition.rows_in(*node, rows.clone());
        let wanted = |rows: &Range<u32>| nodes.iter().any(|node| !rows_in(node, rows).is_empty());
        matrix.each_block(wanted, |block| {
            let range = block.first..block.end;
            for (node, histogram) in nodes.iter().zip(&mut histograms) {
                histogram::build(matrix, block, rows_in(node, &range), gradients, histogram);
            }
        })?;
        Ok(histograms)
    }

    /// Puts `entry` into the queue, and keeps its histogram where its children may need it.
    fn queue(&mut self, driver: &mut Driver, entry: Entry, histogram: Vec<Bin>) {
        let (node, depth) = (entry.node, entry.depth);
        if driver.push(entry) && driver.child_may_split(depth) {
            self.pool.keep(node, histogram);
        } else {
            self.pool.give(histogram);
        }
    }
}

impl Grower for HistGrower<'_> {
    fn grow(
        &mut self,
        gradients: &[GradientPair],
        learning_rate: f32,
        all: &mut dyn Collective,
    ) -> Result<Grown, GrowError> {
        let matrix = self.matrix;
        let regular = self.evaluator.regular;
        // Rows that were left out add nothing to any sum; they find their leaves at the end.
        let idle = |row: &u32| gradients[*row as usize] == GradientPair::default();
        self.partition
            .start((0..matrix.rows() as u32).filter(|row| !idle(row)));
        self.interactions.start();
        self.columns.start(matrix.cuts().features());
        self.pool.clear();

        let mut root = self.sums(&[0], gradients)?;
        share(root.iter_mut(), all)?;
        let root = root.pop().expect("one was built");
        let sum = self.root_sum(gradients, &root, all)?;
        let constrained = self.params.monotone.iter().any(|sign| *sign != 0);
        let bounds = if constrained {
            Bounds::finite()
        } else {
            Bounds::default()
        };
        let weight = regular.weight(sum, bounds);
        let mut tree = Tree {
            nodes: vec![Node {
                parent: NONE,
                kind: NodeKind::Leaf {
                    value: learning_rate * weight,
                },
                base_weight: weight,
                sum_hessian: sum.hess as f32,
            }],
        };
        let mut states = vec![NodeState {
            sum,
            gain: regular.gain(sum, weight),
            bounds,
        }];
        let mut driver = Driver::new(&self.params);
        let entry = self.entry(0, 0, states[0], &root);
        self.queue(&mut driver, entry, root);

        loop {
            let entries = driver.pop();
            if entries.is_empty() {
                break;
            }
            let mut moves: Vec<Move> = entries
                .iter()
                .map(|entry| self.split(entry, &mut tree, &mut states, learning_rate))
                .collect();
            self.partition.split(matrix, &mut moves)?;
            // The last of a batch may have made the last leaf there may be.
            let parents: Vec<Entry> = entries
                .into_iter()
                .filter(|entry| driver.child_may_split(entry.depth))
                .collect();
            for parents in parents.chunks(self.pool.at_once()) {
                for family in self.build(parents, &tree, gradients, all)? {
                    let (small, built) = family.built;
                    let other = match family.other {
                        Other::Built(histogram) => histogram,
                        Other::Parent(mut histogram) => {
                            histogram::subtract(&mut histogram, &built);
                            histogram
                        }
                    };
                    let (left, right) = if small == family.left {
                        (built, other)
                    } else {
                        (other, built)
                    };
                    for (node, histogram) in [(family.left, left), (family.right, right)] {
                        let entry = self.entry(node, family.depth, states[node], &histogram);
                        self.queue(&mut driver, entry, histogram);
                    }
                }
            }
        }

        let mut leaf_of_row = vec![0; matrix.rows()];
        for (node, _) in tree
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| is_leaf(node))
        {
            for row in self.partition.rows(node) {
                leaf_of_row[*row as usize] = node as u32;
            }
        }
        if self.partition.rows(0).len() < matrix.rows() {
            matrix.send(&tree, |row| idle(&row), &mut leaf_of_row)?;
        }
        Ok(Grown { tree, leaf_of_row })
    }
}

/// Whether rows end here.
fn is_leaf(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Leaf { .. })
}

/// Sums histograms over all instances.
fn share<'h>(
    histograms: impl Iterator<Item = &'h mut Vec<Bin>>,
    all: &mut dyn Collective,
) -> Result<(), CollectiveError> {
    if all.size() == 1 {
        return Ok(());
    }
    let mut histograms: Vec<&mut Vec<Bin>> = histograms.collect();
    let mut sums: Vec<f64> = Vec::new();
    for histogram in &histograms {
        sums.extend_from_slice(histogram.as_flattened());
    }
    all.allreduce(&mut sums, Reduce::Sum)?;
    let mut rest = sums.as_slice();
    for histogram in &mut histograms {
        let histogram = histogram.as_flattened_mut();
        let (sums, more) = rest.split_at(histogram.len());
        histogram.copy_from_slice(sums);
        rest = more;
    }
    Ok(())
}
