//! Trees laid out to be walked quickly by many rows.
//!
//! Each node is 16 bytes, children lie side by side, and a leaf is its own child: so rows are
//! walked several at a time for as many steps as the tree is deep, without a branch that depends
//! on the data. Trees are walked by a block of rows each, so that nodes and rows stay in cache.

use super::{
    PredictError,
    rows::{Rows, Slots},
};
use crate::{
    data::Batch,
    tree::{NodeKind, Split, Tree},
};

/// Rows of a block.
const BLOCK: usize = 64;

/// Rows walked at once.
const LANES: usize = 8;

/// Steps between two looks at whether all rows have arrived, in deep trees.
const STRIDE: u32 = 4;

/// Up to so many features a block has a place for each; with more, only for those asked.
const MAX_PLACES: usize = 1 << 12;

/// Up to so many places a block has [`BLOCK`] rows.
const MAX_BLOCK_PLACES: usize = 1 << 18;

/// In [`Flat::feature`]: a missing value goes to the right.
const MISSING_RIGHT: u32 = 1 << 31;

/// In [`Flat::feature`]: the condition is the number of a set of categories.
const BY_CATEGORY: u32 = 1 << 30;

/// Floats from here on are no categories (XGBoost's `OutOfRangeCat`).
const CATEGORIES_END: f32 = 16_777_216.0;

/// One node.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Flat {
    /// To the right goes what is not less; NaN in a leaf, so that nothing does.
    condition: f32,
    /// Place of the feature in a block, and flags.
    feature: u32,
    /// The left child, from the start of the tree; the right one comes after it. A leaf itself.
    left: u32,
    /// Of a leaf, what it adds.
    value: f32,
}

/// Categories that go to the right.
#[derive(Clone, Debug)]
enum CategorySet {
    /// One bit each.
    Bits(Vec<u32>),
    /// Ascending; where bits would take much more.
    List(Vec<u32>),
}

/// Where a tree is.
#[derive(Clone, Debug)]
struct Place {
    start: usize,
    end: usize,
    /// Steps from the root to the farthest leaf.
    depth: u32,
    output: usize,
    categorical: bool,
}

/// Trees, ready to be walked.
#[derive(Clone, Debug)]
pub struct Forest {
    slots: Slots,
    features: usize,
    outputs: usize,
    trees: Vec<Place>,
    nodes: Vec<Flat>,
    /// The number each node has in its [`Tree`].
    numbers: Vec<u32>,
    sets: Vec<CategorySet>,
}

impl Forest {
    /// Lays out `trees`, each with the output it adds to and its weight, for rows of `features`
    /// features.
    ///
    /// # Panics
    /// A tree asks for a feature or adds to an output there is not.
    pub fn new<'t>(
        features: usize,
        outputs: usize,
        trees: impl IntoIterator<Item = (&'t Tree, u32, f32)>,
    ) -> Self {
        let trees: Vec<_> = trees.into_iter().collect();
        let mut forest = Self {
            slots: slots(features, trees.iter().map(|(tree, _, _)| *tree)),
            features,
            outputs,
            trees: Vec::with_capacity(trees.len()),
            nodes: Vec::new(),
            numbers: Vec::new(),
            sets: Vec::new(),
        };
        for (tree, output, weight) in trees {
            assert!(
                (output as usize) < outputs,
                "a tree adds to output {output} of {outputs}"
            );
            forest.push(tree, output as usize, weight);
        }
        forest
    }

    /// Number of trees.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    fn push(&mut self, tree: &Tree, output: usize, weight: f32) {
        let start = self.nodes.len();
        // By levels: the nodes every row visits are close to each other.
        let mut order = vec![0_usize];
        let mut depths = vec![0_u32];
        let mut categorical = false;
        let mut next = 0;
        while next < order.len() {
            let number = order[next];
            let here = next as u32;
            let flat = match &tree.nodes[number].kind {
                NodeKind::Split {
                    left,
                    right,
                    feature,
                    default_left,
                    split,
                    ..
                } => {
                    let left_place = order.len() as u32;
                    order.extend([*left as usize, *right as usize]);
                    depths.extend([depths[next] + 1; 2]);
                    let slot = self
                        .slots
                        .slot(*feature)
                        .expect("trees ask for features there are");
                    let missing = if *default_left { 0 } else { MISSING_RIGHT };
                    let (condition, kind) = match split {
                        // Nothing is less than NaN.
                        Split::Below(condition) if condition.is_nan() => (f32::NEG_INFINITY, 0),
                        Split::Below(condition) => (*condition, 0),
                        Split::Categories(categories) => {
                            categorical = true;
                            self.sets.push(CategorySet::new(categories));
                            (f32::from_bits(self.sets.len() as u32 - 1), BY_CATEGORY)
                        }
                    };
                    Flat {
                        condition,
                        feature: slot as u32 | missing | kind,
                        left: left_place,
                        value: 0.0,
                    }
                }
                NodeKind::Leaf { value } => Flat {
                    condition: f32::NAN,
                    feature: 0,
                    left: here,
                    value: value * weight,
                },
                NodeKind::Deleted => unreachable!("no node has a deleted child"),
            };
            self.nodes.push(flat);
            self.numbers.push(number as u32);
            next += 1;
        }
        self.trees.push(Place {
            start,
            end: self.nodes.len(),
            depth: depths.last().copied().unwrap_or(0),
            output,
            categorical,
        });
    }

    /// Adds what each tree says of each row to `margins`: rows × outputs, row by row.
    ///
    /// # Errors
    /// The batch does not fit the model, or `margins` not the batch.
    pub fn add_margins(&self, batch: &Batch, margins: &mut [f32]) -> Result<(), PredictError> {
        let expected = batch.rows * self.outputs;
        if margins.len() != expected {
            return Err(PredictError::BaseMargin {
                expected,
                found: margins.len(),
            });
        }
        self.walk(batch, |tree, first, leaves| {
            let nodes = &self.nodes[tree.start..tree.end];
            let rows = margins[first * self.outputs..].chunks_exact_mut(self.outputs);
            for (row, leaf) in rows.zip(leaves) {
                row[tree.output] += nodes[*leaf as usize].value;
            }
        })
    }

    /// The leaf of each row in each tree, by its number in the tree: rows × trees, row by row.
    ///
    /// # Errors
    /// The batch does not fit the model.
    pub fn leaves(&self, batch: &Batch) -> Result<Vec<u32>, PredictError> {
        let trees = self.trees.len();
        let mut numbers = vec![0; batch.rows * trees];
        let mut index = 0;
        self.walk(batch, |tree, first, leaves| {
            for (row, leaf) in leaves.iter().enumerate() {
                let number = self.numbers[tree.start + *leaf as usize];
                numbers[(first + row) * trees + index] = number;
            }
            // Trees come in order, for one block of rows after the other.
            index = (index + 1) % trees;
        })?;
        Ok(numbers)
    }

    /// Walks all trees with blocks of rows: `each` gets the tree, the first row of the block and
    /// the leaf of each of its rows.
    fn walk(
        &self,
        batch: &Batch,
        mut each: impl FnMut(&Place, usize, &[u32]),
    ) -> Result<(), PredictError> {
        let rows = Rows::new(batch, self.features)?;
        let width = self.slots.width();
        let block = (MAX_BLOCK_PLACES / width).clamp(1, BLOCK);
        let as_they_lie = rows.as_they_lie(&self.slots);
        let mut places = match as_they_lie {
            Some(_) => Vec::new(),
            None => vec![f32::NAN; block * width],
        };
        let mut leaves = [0_u32; BLOCK];
        for first in (0..rows.len()).step_by(block) {
            let count = block.min(rows.len() - first);
            let values = match as_they_lie {
                Some(values) => &values[first * width..][..count * width],
                None => {
                    for (row, places) in places.chunks_exact_mut(width).take(count).enumerate() {
                        rows.fill(first + row, &self.slots, places)?;
                    }
                    &places[..count * width]
                }
            };
            let missing = values.iter().any(|value| value.is_nan());
            for tree in &self.trees {
                let leaves = &mut leaves[..count];
                match (missing, tree.categorical) {
                    (false, false) => self.descend::<false, false>(tree, values, leaves),
                    (true, false) => self.descend::<true, false>(tree, values, leaves),
                    (false, true) => self.descend::<false, true>(tree, values, leaves),
                    (true, true) => self.descend::<true, true>(tree, values, leaves),
                }
                each(tree, first, leaves);
            }
            if as_they_lie.is_none() {
                for (row, places) in places.chunks_exact_mut(width).take(count).enumerate() {
                    rows.clear(first + row, &self.slots, places);
                }
            }
        }
        Ok(())
    }

    /// The leaf of each row of `values`.
    fn descend<const MISSING: bool, const CATEGORICAL: bool>(
        &self,
        tree: &Place,
        values: &[f32],
        leaves: &mut [u32],
    ) {
        let width = self.slots.width();
        let nodes = &self.nodes[tree.start..tree.end];
        let step = |at: u32, row: &[f32]| {
            let node = nodes[at as usize];
            let slot = (node.feature & !(MISSING_RIGHT | BY_CATEGORY)) as usize;
            let value = row[slot];
            let mut right = u32::from(value >= node.condition);
            if CATEGORICAL && node.feature & BY_CATEGORY != 0 {
                let set = &self.sets[node.condition.to_bits() as usize];
                right = u32::from(set.contains(value));
            }
            if MISSING {
                right |= u32::from(value.is_nan()) & (node.feature >> 31);
            }
            node.left + right
        };
        let mut row_blocks = values.chunks_exact(LANES * width);
        let mut leaf_blocks = leaves.chunks_exact_mut(LANES);
        for (block, leaves) in row_blocks.by_ref().zip(leaf_blocks.by_ref()) {
            let rows: [&[f32]; LANES] = std::array::from_fn(|lane| &block[lane * width..][..width]);
            let mut at = [0_u32; LANES];
            let mut left = tree.depth;
            while left > 0 {
                let before = at;
                let steps = if tree.depth <= 2 * STRIDE {
                    left
                } else {
                    STRIDE.min(left)
                };
                for _ in 0..steps {
                    for (at, row) in at.iter_mut().zip(rows) {
                        *at = step(*at, row);
                    }
                }
                left -= steps;
                if at == before {
                    break;
                }
            }
            leaves.copy_from_slice(&at);
        }
        let rows = row_blocks.remainder().chunks_exact(width);
        for (row, leaf) in rows.zip(leaf_blocks.into_remainder()) {
            let mut at = 0;
            loop {
                let next = step(at, row);
                if next == at {
                    break;
                }
                at = next;
            }
            *leaf = at;
        }
    }
}

/// Places for all features, or for those that `trees` ask if there are many.
fn slots<'t>(features: usize, trees: impl Iterator<Item = &'t Tree>) -> Slots {
    if features <= MAX_PLACES {
        return Slots::All(features.max(1));
    }
    let mut used = vec![0];
    for node in trees.flat_map(|tree| &tree.nodes) {
        if let NodeKind::Split { feature, .. } = node.kind {
            assert!(
                (feature as usize) < features,
                "a tree asks for feature {feature}"
            );
            used.push(feature);
        }
    }
    used.sort_unstable();
    used.dedup();
    Slots::Used(used)
}

impl CategorySet {
    fn new(categories: &[u32]) -> Self {
        let words = categories.last().map_or(0, |last| *last as usize / 32 + 1);
        if words > 2 * categories.len() + 16 {
            return Self::List(categories.to_vec());
        }
        let mut bits = vec![0; words];
        for category in categories {
            bits[*category as usize / 32] |= 1 << (category % 32);
        }
        Self::Bits(bits)
    }

    /// Whether `value` is one of them; NaN and what is no category is not.
    fn contains(&self, value: f32) -> bool {
        if !(0.0..CATEGORIES_END).contains(&value) {
            return false;
        }
        let category = value as u32;
        match self {
            Self::Bits(bits) => bits
                .get(category as usize / 32)
                .is_some_and(|word| word >> (category % 32) & 1 == 1),
            Self::List(categories) => categories.binary_search(&category).is_ok(),
        }
    }
}
