//! Trees by all splits there are: XGBoost's `tree_method=exact` (`grow_colmaker`, then `prune`).
//!
//! Values are kept column by column in their order. A tree grows level by level: every column is
//! walked once upwards, with what is missing on the right, and once downwards, with it on the
//! left, while the sums of each node of the level run along. What gains less than `gamma` is pruned
//! when the tree is full. Sums are made in the order XGBoost's single thread makes them.

mod level;
mod walk;

use crate::{
    collective::Collective,
    data::{Feature, FeatureKind, Source, Values},
    gradient::GradientPair,
    tree::{NONE, NodeKind, Tree},
};

use self::level::Level;
use super::{
    GrowError, Grower, Grown, constraints::Interactions, gain::Regular, params::TreeParams,
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
