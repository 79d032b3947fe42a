//! Trees by all splits there are: XGBoost's `tree_method=exact` (`grow_colmaker`, then `prune`).
//!
//! Values are kept column by column in their order. A tree grows level by level: every column is
//! walked once upwards, with what is missing on the right, and once downwards, with it on the
//! left, while the sums of each node of the level run along. What gains less than `gamma` is pruned
//! when the tree is full. Sums are made in the order XGBoost's single thread makes them.

use crate::{
    collective::Collective,
    data::{Feature, FeatureKind, Source, Values},
    gradient::{GradientPair, GradientSum},
    tree::{NONE, Node, NodeKind, Split, Tree},
};

use super::{
    GrowError, Grower, Grown,
    constraints::Interactions,
    gain::{Bounds, LEAST_GAIN, Regular},
    params::TreeParams,
    sample::ColumnSampler,
};

/// Why the exact method cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExactError {
    /// The table cannot be read.
    #[error("{0}")]
    Source(String),
    /// The table is not what its schema and number of rows say.
    #[error("{0}")]
    Shape(String),
    /// It has no splits of categories.
    #[error("tree_method=exact takes no categorical feature, and {0} is one; use tree_method=hist")]
    Categorical(String),
    /// It cannot share its work.
    #[error("tree_method=exact runs in one instance; found {0}; use tree_method=hist")]
    Instances(usize),
}

/// What is there of one feature, ascending by value.
struct Column {
    entries: Vec<(f32, u32)>,
    /// Whether to look for splits with what is missing on the right: where something is, and not
    /// all that is there is one value.
    upwards: bool,
}

/// Grows trees by the exact method.
pub struct ExactGrower {
    columns: Vec<Column>,
    rows: usize,
    params: TreeParams,
    regular: Regular,
    interactions: Interactions,
    sampler: ColumnSampler,
}

impl ExactGrower {
    /// Reads all values of `source`: 8 bytes for each that is there.
    ///
    /// # Errors
    /// A feature is categorical, there are several instances, or the table cannot be read or is
    /// not what it says.
    pub fn new<S: Source + ?Sized>(
        params: &TreeParams,
        source: &mut S,
        seed: u64,
        all: &dyn Collective,
    ) -> Result<Self, ExactError> {
        if all.size() > 1 {
            return Err(ExactError::Instances(all.size()));
        }
        let categorical = |feature: &&Feature| feature.kind == FeatureKind::Categorical;
        if let Some(feature) = source.schema().features.iter().find(categorical) {
            return Err(ExactError::Categorical(feature.name.clone()));
        }
        let rows = source.info().rows;
        let features = source.schema().features.len();
        let columns = read(source)?.into_iter().map(|mut entries| {
            entries.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let ends = entries.first().zip(entries.last());
            let one_value = ends.is_some_and(|(first, last)| first.0 == last.0);
            Column {
                upwards: entries.len() < rows && !one_value,
                entries,
            }
        });
        Ok(Self {
            columns: columns.collect(),
            rows,
            params: params.clone(),
            regular: Regular::new(params),
            interactions: Interactions::new(params.interactions.as_deref(), features),
            sampler: ColumnSampler::new(params, seed),
        })
    }

    /// The sign a feature's effect must have, 0 for any.
    fn sign(&self, feature: u32) -> i8 {
        self.params
            .monotone
            .get(feature as usize)
            .copied()
            .unwrap_or(0)
    }
}

/// The values of each column and their rows.
fn read<S: Source + ?Sized>(source: &mut S) -> Result<Vec<Vec<(f32, u32)>>, ExactError> {
    let said = |error: S::Error| ExactError::Source(error.to_string());
    let rows = source.info().rows;
    let features = source.schema().features.len();
    let shape = || ExactError::Shape(format!("it is not {rows} rows of {features} features"));
    // Positions of rows and numbers of nodes are signed 32-bit numbers in a model.
    if i32::try_from(rows).is_err() {
        return Err(ExactError::Shape(format!(
            "{rows} rows are too many for tree_method=exact"
        )));
    }
    let mut columns = vec![Vec::new(); features];
    let mut row = 0_u32;
    source.rewind().map_err(said)?;
    while let Some(batch) = source.next_batch().map_err(said)? {
        if batch.rows > rows - row as usize {
            return Err(shape());
        }
        match &batch.values {
            Values::Dense(values) if values.len() == batch.rows * features => {
                for values in values.chunks_exact(features.max(1)) {
                    for (column, value) in columns.iter_mut().zip(values) {
                        if !value.is_nan() {
                            column.push((*value, row));
                        }
                    }
                    row += 1;
                }
            }
            Values::Sparse {
                starts,
                features,
                values,
            } if starts.len() == batch.rows + 1 => {
                for bounds in starts.windows(2) {
                    let entries = features.get(bounds[0]..bounds[1]);
                    let entries = entries.zip(values.get(bounds[0]..bounds[1]));
                    let (features, values) = entries.ok_or_else(shape)?;
                    for (feature, value) in features.iter().zip(values) {
                        let column = columns.get_mut(*feature as usize).ok_or_else(shape)?;
                        column.push((*value, row));
                    }
                    row += 1;
                }
            }
            _ => return Err(shape()),
        }
    }
    if row as usize == rows {
        Ok(columns)
    } else {
        Err(shape())
    }
}

impl Grower for ExactGrower {
    fn grow(
        &mut self,
        gradients: &[GradientPair],
        learning_rate: f32,
        _: &mut dyn Collective,
    ) -> Result<Grown, GrowError> {
        self.sampler.start(self.columns.len());
        self.interactions.start();
        let mut level = Level::root(self, gradients);
        let mut nodes = vec![level.open[0].node(NONE)];
        let mut leaf_of_row = vec![0; self.rows];
        for depth in 0..self.params.max_depth {
            level.look(self, depth, gradients);
            level = level.split(self, gradients, learning_rate, &mut nodes);
            for (leaf, at) in leaf_of_row.iter_mut().zip(&level.open_of_row) {
                if let Some(open) = level.open.get(*at as usize) {
                    *leaf = open.index as u32;
                }
            }
            if level.open.is_empty() {
                break;
            }
        }
        for open in &level.open {
            nodes[open.index].kind = NodeKind::Leaf {
                value: open.weight * learning_rate,
            };
        }
        let mut tree = Tree { nodes };
        prune(
            &mut tree,
            &mut leaf_of_row,
            self.params.gamma,
            learning_rate,
        );
        Ok(Grown { tree, leaf_of_row })
    }
}

/// The best split of a node so far; one that gains nothing is none.
#[derive(Clone, Copy, Default)]
struct Candidate {
    gain: f32,
    feature: u32,
    value: f32,
    missing_left: bool,
}

impl Candidate {
    /// The split with the children `left` and the one after.
    fn split(&self, left: usize) -> NodeKind {
        NodeKind::Split {
            // There are fewer than 2^31 rows, and nodes are written one level after another while
            // each holds a row.
            left: left as i32,
            right: left as i32 + 1,
            feature: self.feature,
            default_left: self.missing_left,
            split: Split::Below(self.value),
            loss_change: self.gain,
        }
    }
}

/// One walk along a column.
#[derive(Clone, Copy)]
struct Walk {
    regular: Regular,
    min_child_weight: f64,
    feature: u32,
    sign: i8,
    /// From the largest value, with what is missing on the left.
    downwards: bool,
}

impl Grower for &mut ExactGrower {
    fn grow(
        &mut self,
        gradients: &[GradientPair],
        learning_rate: f32,
        all: &mut dyn Collective,
    ) -> Result<Grown, GrowError> {
        (**self).grow(gradients, learning_rate, all)
    }
}

/// A node that may yet be split.
struct Open {
    index: usize,
    sum: GradientSum,
    weight: f32,
    gain: f32,
    best: Candidate,
    bounds: Bounds,
    /// What the walk has passed.
    passed: GradientSum,
    /// The last value it passed.
    last: f32,
}

impl Open {
    /// A node is weighed within its parent's bounds; its own count for its children.
    fn new(
        index: usize,
        sum: GradientSum,
        regular: Regular,
        parent: Bounds,
        bounds: Bounds,
    ) -> Self {
        let weight = regular.weight(sum, parent);
        Self {
            index,
            sum,
            weight,
            gain: regular.gain(sum, weight),
            best: Candidate::default(),
            bounds,
            passed: GradientSum::default(),
            last: 0.0,
        }
    }

    fn node(&self, parent: i32) -> Node {
        Node {
            parent,
            kind: NodeKind::Leaf { value: 0.0 },
            base_weight: self.weight,
            sum_hessian: self.sum.hess as f32,
        }
    }

    /// Passes a row that has `value`.
    fn pass(&mut self, walk: &Walk, value: f32, pair: GradientPair) {
        if self.passed.hess != 0.0
            && value != self.last
            && self.passed.hess >= walk.min_child_weight
        {
            let middle = (value + self.last) * 0.5;
            self.consider(walk, if middle == value { self.last } else { middle });
        }
        self.passed += pair;
        self.last = value;
    }

    /// Considers the split between all that is there and what is missing.
    fn finish(&mut self, walk: &Walk) {
        let gap = self.last.abs() + LEAST_GAIN;
        self.consider(
            walk,
            if walk.downwards {
                self.last - gap
            } else {
                self.last + gap
            },
        );
    }

    /// Considers a split at `value` with what was passed on one side.
    fn consider(&mut self, walk: &Walk, value: f32) {
        let rest = self.sum - self.passed;
        let (left, right) = if walk.downwards {
            (rest, self.passed)
        } else {
            (self.passed, rest)
        };
        if let Some(both) = walk.regular.split_gain(left, right, self.bounds, walk.sign) {
            let gain = both - self.gain;
            // Features come in their order, so the first of equals is the one XGBoost keeps.
            if gain.is_finite() && gain > self.best.gain {
                let (feature, missing_left) = (walk.feature, walk.downwards);
                self.best = Candidate {
                    gain,
                    feature,
                    value,
                    missing_left,
                };
            }
        }
    }
}

/// No open node.
const CLOSED: u32 = u32::MAX;

/// The open nodes of one level, and the one each row is in.
struct Level {
    open: Vec<Open>,
    open_of_row: Vec<u32>,
}

impl Level {
    fn root(grower: &ExactGrower, gradients: &[GradientPair]) -> Self {
        let open_of_row = vec![0; grower.rows];
        let sum = sums(1, &open_of_row, gradients)[0];
        let constrained = grower.params.monotone.iter().any(|sign| *sign != 0);
        let free = if constrained {
            Bounds::finite()
        } else {
            Bounds::default()
        };
        Self {
            open: vec![Open::new(0, sum, grower.regular, free, free)],
            open_of_row,
        }
    }

    /// Finds the best split of each open node.
    fn look(&mut self, grower: &mut ExactGrower, depth: u32, gradients: &[GradientPair]) {
        let features = grower.sampler.node(depth).to_vec();
        for feature in features {
            let column = &grower.columns[feature as usize];
            let mut walk = Walk {
                regular: grower.regular,
                min_child_weight: f64::from(grower.params.min_child_weight),
                feature,
                sign: grower.sign(feature),
                downwards: false,
            };
            let permits = |node: usize| grower.interactions.permits(node, feature);
            if column.upwards {
                self.walk(&walk, column.entries.iter(), gradients, permits);
            }
            walk.downwards = true;
            self.walk(&walk, column.entries.iter().rev(), gradients, permits);
        }
    }

    fn walk<'c>(
        &mut self,
        walk: &Walk,
        entries: impl Iterator<Item = &'c (f32, u32)>,
        gradients: &[GradientPair],
        permits: impl Fn(usize) -> bool,
    ) {
        let permitted: Vec<bool> = self.open.iter().map(|open| permits(open.index)).collect();
        for open in &mut self.open {
            open.passed = GradientSum::default();
        }
        for (value, row) in entries {
            let at = self.open_of_row[*row as usize] as usize;
            let pair = gradients[*row as usize];
            // What has a negative second derivative takes no part, as in XGBoost.
            if pair.hess >= 0.0 && permitted.get(at) == Some(&true) {
                self.open[at].pass(walk, *value, pair);
            }
        }
        for (open, _) in self
            .open
            .iter_mut()
            .zip(&permitted)
            .filter(|(_, permitted)| **permitted)
        {
            open.finish(walk);
        }
    }

    /// Splits what gains by it and closes the rest; gives the next level.
    fn split(
        self,
        grower: &mut ExactGrower,
        gradients: &[GradientPair],
        learning_rate: f32,
        nodes: &mut Vec<Node>,
    ) -> Self {
        // The first of the two children of each open node among the next level's.
        let mut splits: Vec<Option<usize>> = Vec::with_capacity(self.open.len());
        let (mut children, first) = (0, nodes.len());
        for open in &self.open {
            let splits_here = open.best.gain > LEAST_GAIN;
            nodes[open.index].kind = if splits_here {
                open.best.split(first + children)
            } else {
                NodeKind::Leaf {
                    value: open.weight * learning_rate,
                }
            };
            splits.push(splits_here.then_some(children));
            children += 2 * usize::from(splits_here);
        }
        let open_of_row = self.send(grower, &splits);
        let sums = sums(children, &open_of_row, gradients);
        let mut open = Vec::with_capacity(children);
        for (parent, at) in self.open.iter().zip(&splits) {
            let Some(at) = *at else { continue };
            let weigh = |child: usize| grower.regular.weight(sums[child], parent.bounds);
            let sign = grower.sign(parent.best.feature);
            let (below, above) = parent.bounds.split(sign, weigh(at), weigh(at + 1));
            for (child, bounds) in [(at, below), (at + 1, above)] {
                let index = first + child;
                let child = Open::new(index, sums[child], grower.regular, parent.bounds, bounds);
                nodes.push(child.node(parent.index as i32));
                open.push(child);
            }
            let (left, right) = (first + at, first + at + 1);
            grower
                .interactions
                .split(parent.index, parent.best.feature, left, right);
        }
        Self { open, open_of_row }
    }

    /// The open node of the next level each row goes to: `splits` are the left ones, the right ones
    /// follow them.
    fn send(&self, grower: &ExactGrower, splits: &[Option<usize>]) -> Vec<u32> {
        let child = |open: usize, left: bool| {
            // Two for each open node at most, which are fewer than rows.
            splits[open].map_or(CLOSED, |first| first as u32 + u32::from(!left))
        };
        let mut next: Vec<u32> = self
            .open_of_row
            .iter()
            .map(|at| match self.open.get(*at as usize) {
                Some(open) => child(*at as usize, open.best.missing_left),
                None => CLOSED,
            })
            .collect();
        let mut asked: Vec<u32> = self
            .open
            .iter()
            .zip(splits)
            .filter(|(_, split)| split.is_some())
            .map(|(open, _)| open.best.feature)
            .collect();
        asked.sort_unstable();
        asked.dedup();
        for feature in asked {
            for (value, row) in &grower.columns[feature as usize].entries {
                let at = self.open_of_row[*row as usize] as usize;
                match self.open.get(at) {
                    Some(open) if splits[at].is_some() && open.best.feature == feature => {
                        next[*row as usize] = child(at, *value < open.best.value);
                    }
                    _ => {}
                }
            }
        }
        next
    }
}

/// The sum of each open node's rows.
fn sums(open: usize, open_of_row: &[u32], gradients: &[GradientPair]) -> Vec<GradientSum> {
    let mut sums = vec![GradientSum::default(); open];
    for (at, pair) in open_of_row.iter().zip(gradients) {
        if let Some(sum) = sums.get_mut(*at as usize)
            && pair.hess >= 0.0
        {
            *sum += *pair;
        }
    }
    sums
}

/// Makes leaves of splits into two leaves that gain less than `gamma`, again and again.
fn prune(tree: &mut Tree, leaf_of_row: &mut [u32], gamma: f32, learning_rate: f32) {
    for index in 0..tree.nodes.len() {
        let mut leaf = index;
        while let Some((parent, left, right)) = prunable(tree, leaf, gamma) {
            tree.nodes[left].kind = NodeKind::Deleted;
            tree.nodes[right].kind = NodeKind::Deleted;
            let value = learning_rate * tree.nodes[parent].base_weight;
            tree.nodes[parent].kind = NodeKind::Leaf { value };
            leaf = parent;
        }
    }
    for leaf in leaf_of_row {
        while tree.nodes[*leaf as usize].kind == NodeKind::Deleted {
            // Only children are deleted, and they have a parent.
            *leaf = tree.nodes[*leaf as usize].parent as u32;
        }
    }
}

/// The parent of `leaf` and its children, if both are leaves and it gains too little.
fn prunable(tree: &Tree, leaf: usize, gamma: f32) -> Option<(usize, usize, usize)> {
    tree.leaf_value(leaf)?;
    let parent = usize::try_from(tree.nodes[leaf].parent).ok()?;
    let (left, right) = tree.children(parent)?;
    tree.leaf_value(left)?;
    tree.leaf_value(right)?;
    match &tree.nodes[parent].kind {
        NodeKind::Split { loss_change, .. } if *loss_change < gamma => Some((parent, left, right)),
        _ => None,
    }
}
