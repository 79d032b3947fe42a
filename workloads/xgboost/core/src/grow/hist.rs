//! Grows trees by histograms: XGBoost's `grow_quantile_histmaker`, which `tree_method=hist` uses.

use super::{
    GrowError, Grower, Grown,
    ahead::{AT_ONCE, Ahead},
    candidates,
    constraints::Interactions,
    driver::{Driver, Entry},
    evaluate::{Candidate, Evaluator, NodeState},
    gain::Bounds,
    histogram::{self, Bin},
    params::TreeParams,
    part::{Part, Parts},
    partition::{Move, Partition},
    pool::Pool,
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
    parts: Parts,
    pool: Pool,
}

/// A node that was split, and the histograms of its children on the way.
struct Family {
    left: usize,
    right: usize,
    depth: u32,
    /// The child whose histogram is built from rows: see [`smaller_first`].
    small: usize,
    built: Vec<Bin>,
    /// The parent's, which becomes the other child's.
    parent: Vec<Bin>,
}

/// What came of a tree's nodes so far.
#[derive(Clone, Copy)]
struct Grove<'a> {
    tree: &'a Tree,
    states: &'a [NodeState],
    gradients: &'a [GradientPair],
}

impl<'a> HistGrower<'a> {
    /// A grower over the rows of `matrix`, whose histograms take no more than `memory` bytes: with
    /// little, it grows the same trees in more time. `seed` is for drawing features. All instances
    /// give the same `seed` and `memory`.
    ///
    /// # Errors
    /// There is not memory for five histograms, which have a pair of doubles a bin.
    pub fn new(
        params: TreeParams,
        matrix: &'a BinnedMatrix,
        seed: u64,
        memory: usize,
    ) -> Result<Self, GrowError> {
        Ok(Self {
            evaluator: Evaluator::new(&params),
            interactions: Interactions::new(
                params.interactions.as_deref(),
                matrix.cuts().features(),
            ),
            columns: ColumnSampler::new(&params, seed),
            partition: Partition::default(),
            parts: Parts::default(),
            pool: Pool::new(matrix.slots().len(), memory)?,
            matrix,
            params,
        })
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

    /// The best split of a node by the features of `part`.
    fn candidate(
        &mut self,
        (node, depth): (usize, u32),
        state: NodeState,
        histogram: &[Bin],
        part: &Part,
    ) -> Candidate {
        // All instances draw the same features, also those that others look at.
        let features = part.of(self.columns.node(depth));
        self.evaluator.best(
            self.matrix,
            histogram,
            state,
            features,
            (&self.interactions, node),
        )
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
        grove: Grove<'_>,
        all: &mut dyn Collective,
    ) -> Result<Vec<Family>, GrowError> {
        let mut families = Vec::with_capacity(parents.len());
        let mut nodes = Vec::with_capacity(parents.len());
        for parent in parents {
            let Some((left, right)) = grove.tree.children(parent.node) else {
                continue;
            };
            let (small, _) = smaller_first(grove.states, left, right);
            nodes.push(small);
            let histogram = match self.pool.kept(parent.node) {
                Some(kept) => kept,
                None => self.again(parent.node, grove, all)?,
            };
            families.push((parent.depth + 1, (left, right), small, histogram));
        }
        let mut built = self.sums(&nodes, grove.gradients)?;
        histogram::share(&mut built, &self.parts, all)?;
        Ok(families
            .into_iter()
            .zip(built)
            .map(|((depth, (left, right), small, parent), built)| Family {
                left,
                right,
                depth,
                small,
                built,
                parent,
            })
            .collect())
    }

    /// The histogram of a node that was not kept, to the bit: as it came about. It was built if the
    /// node is the root or the smaller child. Otherwise it is what was left of an ancestor's that
    /// was built, when those of the smaller children on the way were taken away.
    ///
    /// Building it from the node's own rows would be faster; but sums in another order differ in
    /// their last bits, and a model must not depend on memory.
    fn again(
        &mut self,
        node: usize,
        grove: Grove<'_>,
        all: &mut dyn Collective,
    ) -> Result<Vec<Bin>, GrowError> {
        let Grove { tree, states, .. } = grove;
        let mut first = node;
        let mut taken = Vec::new();
        while let Ok(parent) = usize::try_from(tree.nodes[first].parent)
            && let Some((left, right)) = tree.children(parent)
        {
            let (small, large) = smaller_first(states, left, right);
            if first != large {
                break;
            }
            taken.push(small);
            first = parent;
        }
        let mut histogram = self.sum_again(first, grove.gradients, all)?;
        for small in taken.into_iter().rev() {
            let other = self.sum_again(small, grove.gradients, all)?;
            self.subtract(&mut histogram, &other);
            self.pool.give(other);
        }
        Ok(histogram)
    }

    /// Takes away from a parent's histogram that of one child, where this instance has the sums.
    fn subtract(&self, parent: &mut [Bin], child: &[Bin]) {
        let slots = self.parts.summed();
        histogram::subtract(&mut parent[slots.clone()], &child[slots]);
    }

    /// All instances' sums over the rows of a node, which may have gone on to others.
    fn sum_again(
        &mut self,
        node: usize,
        gradients: &[GradientPair],
        all: &mut dyn Collective,
    ) -> Result<Vec<Bin>, GrowError> {
        let rows = self.partition.in_order(node);
        let mut histogram = self.pool.take();
        histogram::add_rows(
            self.matrix,
            &[rows],
            gradients,
            std::slice::from_mut(&mut histogram),
        )?;
        histogram::share(std::slice::from_mut(&mut histogram), &self.parts, all)?;
        Ok(histogram)
    }

    /// The histograms of this instance's rows of `nodes`.
    fn sums(
        &mut self,
        nodes: &[usize],
        gradients: &[GradientPair],
    ) -> Result<Vec<Vec<Bin>>, BinsError> {
        let mut histograms: Vec<_> = nodes.iter().map(|_| self.pool.take()).collect();
        let rows: Vec<_> = nodes
            .iter()
            .map(|node| self.partition.rows(*node))
            .collect();
        histogram::add_rows(self.matrix, &rows, gradients, &mut histograms)?;
        Ok(histograms)
    }

    /// Keeps a node's histogram where its children may need it.
    fn keep(&mut self, driver: &Driver, entry: &Entry, histogram: Vec<Bin>) {
        if driver.takes(&entry.candidate) && driver.child_may_split(entry.depth) {
            let rank = driver.rank(&entry.candidate);
            self.pool.keep(entry.node, rank, histogram);
        } else {
            self.pool.give(histogram);
        }
    }

    /// Looks for splits of the children of nodes that were split.
    fn look(
        &mut self,
        parents: &[Entry],
        grove: Grove<'_>,
        driver: &Driver,
        all: &mut dyn Collective,
    ) -> Result<Vec<Entry>, GrowError> {
        let (part, shared) = self.parts.searched(2 * parents.len());
        let mut waiting = Vec::new();
        let mut found = Vec::new();
        let mut entries = Vec::with_capacity(2 * parents.len());
        for family in self.build(parents, grove, all)? {
            let (built, mut other) = (family.built, family.parent);
            self.subtract(&mut other, &built);
            let (left, right) = if family.small == family.left {
                (built, other)
            } else {
                (other, built)
            };
            // At once, while they are in the processor's cache.
            for (node, histogram) in [(family.left, left), (family.right, right)] {
                let (place, state) = ((node, family.depth), grove.states[node]);
                let candidate = self.candidate(place, state, &histogram, &part);
                if shared {
                    found.push(candidate);
                    waiting.push((place, histogram));
                } else {
                    let entry = Entry::new(place, candidate);
                    self.keep(driver, &entry, histogram);
                    entries.push(entry);
                }
            }
        }
        if shared {
            let best = candidates::best_of_all(&found, all)?;
            for (candidate, (place, histogram)) in best.into_iter().zip(waiting) {
                let entry = Entry::new(place, candidate);
                self.keep(driver, &entry, histogram);
                entries.push(entry);
            }
        }
        Ok(entries)
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
        self.parts = Parts::new(matrix, all);
        self.pool.clear();

        let mut root = self.sums(&[0], gradients)?;
        histogram::share(&mut root, &self.parts, all)?;
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
        let (part, shared) = self.parts.searched(1);
        let mut candidate = self.candidate((0, 0), states[0], &root, &part);
        if shared {
            candidate = candidates::best_of_all(&[candidate], all)?.swap_remove(0);
        }
        let entry = Entry::new((0, 0), candidate);
        self.keep(&driver, &entry, root);
        driver.push(entry);
        let mut ahead = Ahead::new();
        let at_once = if all.size() > 1 && self.columns.in_any_order() {
            AT_ONCE
        } else {
            1
        };

        loop {
            let entries = driver.pop();
            if entries.is_empty() {
                break;
            }
            let mut now = ahead.unsplit(&entries);
            if !now.is_empty() {
                now.extend(ahead.next(&driver, &tree, driver.ahead(at_once - 1)));
            }
            let mut moves = Vec::with_capacity(now.len());
            for entry in &now {
                ahead.keep(entry.node, &tree.nodes[entry.node]);
                moves.push(self.split(entry, &mut tree, &mut states, learning_rate));
            }
            self.partition.split(matrix, &mut moves)?;
            // The last of a batch may have made the last leaf there may be.
            now.retain(|entry| driver.child_may_split(entry.depth));
            for parents in now.chunks(self.pool.at_once()) {
                let grove = Grove {
                    tree: &tree,
                    states: &states,
                    gradients,
                };
                for child in self.look(parents, grove, &driver, all)? {
                    ahead.found(child.node, child.candidate);
                }
            }
            for entry in &entries {
                for child in ahead.place(entry, &tree) {
                    driver.push(child);
                }
            }
        }

        let (tree, leaves) = ahead.finish(&tree);
        let mut leaf_of_row = vec![0; matrix.rows()];
        for (node, leaf) in leaves {
            for row in self.partition.rows(node) {
                leaf_of_row[*row as usize] = leaf as u32;
            }
        }
        if self.partition.rows(0).len() < matrix.rows() {
            matrix.send(&tree, |row| idle(&row), &mut leaf_of_row)?;
        }
        Ok(Grown { tree, leaf_of_row })
    }
}

/// Two siblings, the one with the smaller sum of second derivatives first: its histogram is built
/// from its rows, and what it leaves of the parent's is the other's.
fn smaller_first(states: &[NodeState], left: usize, right: usize) -> (usize, usize) {
    if states[right].sum.hess < states[left].sum.hess {
        (right, left)
    } else {
        (left, right)
    }
}
