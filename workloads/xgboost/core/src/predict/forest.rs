//! Trees laid out to be walked quickly by many rows.
//!
//! Every tree lies there twice. Its nodes are 16 bytes each, children side by side, and a leaf is
//! its own child, so that rows can take the same number of steps. Of trees that split by numbers
//! alone the first levels lie there as a complete binary tree besides, where a node's children
//! follow from its place and a step needs no more than a feature and a condition.

use super::{
    PredictError, numbers,
    rows::{LANES, Slots, Used},
    walk::{self, BLOCK},
};
use crate::{
    data::Batch,
    tree::{NodeKind, Split, Tree},
};

/// Up to so many features a block of rows has a place for each, unless less than half are asked for.
const MAX_SLOTS: usize = 1 << 12;

/// Up to so many places a block has [`BLOCK`] rows.
const MAX_PLACES: usize = 1 << 18;

/// Levels of the complete part of a tree that is no deeper, and its nodes.
pub(super) const FEW: (u32, usize) = (6, 64);

/// The same for deeper ones.
pub(super) const MANY: (u32, usize) = (8, 256);

/// In [`Flat::place`]: a missing value goes to the right.
pub(super) const MISSING_RIGHT: u32 = 1 << 31;

/// In [`Flat::place`]: the condition is the number of a set of categories.
pub(super) const BY_CATEGORY: u32 = 1 << 30;

/// Floats from here on are no categories (XGBoost's `OutOfRangeCat`).
const CATEGORIES_END: f32 = 16_777_216.0;

/// One node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flat {
    /// To the right goes what is not less; NaN in a leaf, so that nothing does.
    pub(super) condition: f32,
    /// Where the feature of a block's first row is, and flags.
    pub(super) place: u32,
    /// The left child, from the start of the tree; the right one comes after it. A leaf itself.
    pub(super) left: u32,
    /// Of a leaf, what it adds.
    pub(super) value: f32,
}

/// Categories that go to the right.
#[derive(Clone, Debug)]
pub(super) enum CategorySet {
    /// One bit each.
    Bits(Vec<u32>),
    /// Ascending; where bits would take much more.
    List(Vec<u32>),
}

/// Where a tree is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its nodes.
    pub(super) nodes: std::ops::Range<usize>,
    /// Steps from the root to the farthest leaf.
    pub(super) depth: u32,
    /// Levels of the complete part; 0 where there is none.
    pub(super) levels: u32,
    /// Start of the complete part.
    pub(super) top: usize,
    /// Start of the nodes below the complete part.
    pub(super) ends: usize,
    /// The output it adds to.
    pub(super) output: usize,
    /// Whether some split is by categories.
    pub(super) categorical: bool,
}

/// Trees, ready to be walked.
#[derive(Clone, Debug)]
pub struct Forest {
    pub(super) slots: Slots,
    /// Rows of a block.
    pub(super) stride: usize,
    pub(super) features: usize,
    pub(super) outputs: usize,
    pub(super) trees: Vec<Place>,
    pub(super) nodes: Vec<Flat>,
    /// The number each node has in its [`Tree`].
    numbers: Vec<u32>,
    pub(super) sets: Vec<CategorySet>,
    /// Conditions of complete parts: the root in place 1, the children of `i` in `2i` and after.
    pub(super) conditions: Vec<f32>,
    /// [`Flat::place`] of the same nodes.
    pub(super) places: Vec<u32>,
    /// The node where each way through a complete part ends.
    pub(super) ends: Vec<u32>,
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
        let slots = slots(features, trees.iter().map(|(tree, _, _)| *tree));
        let rows = (MAX_PLACES / slots.width()).clamp(LANES, BLOCK);
        let mut forest = Self {
            slots,
            stride: rows - rows % LANES,
            features,
            outputs,
            trees: Vec::with_capacity(trees.len()),
            nodes: Vec::new(),
            numbers: Vec::new(),
            sets: Vec::new(),
            conditions: Vec::new(),
            places: Vec::new(),
            ends: Vec::new(),
        };
        for (tree, output, weight) in trees {
            assert!(
                (output as usize) < outputs,
                "a tree adds to output {output} of {outputs}"
            );
            forest.push(tree, output as usize, weight);
            forest.complete();
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
        let mut next = 0;
        while let Some(number) = order.get(next).copied() {
            let flat = match &tree.nodes[number].kind {
                NodeKind::Split { left, right, .. } => {
                    let left_place = order.len() as u32;
                    order.extend([*left as usize, *right as usize]);
                    depths.extend([depths[next] + 1; 2]);
                    self.split(&tree.nodes[number].kind, left_place)
                }
                NodeKind::Leaf { value } => Flat {
                    condition: f32::NAN,
                    place: 0,
                    left: next as u32,
                    value: value * weight,
                },
                NodeKind::Deleted => unreachable!("no node has a deleted child"),
            };
            self.nodes.push(flat);
            self.numbers.push(number as u32);
            next += 1;
        }
        let nodes = start..self.nodes.len();
        self.trees.push(Place {
            depth: depths.last().copied().unwrap_or(0),
            levels: 0,
            top: 0,
            ends: 0,
            output,
            categorical: self.nodes[nodes.clone()]
                .iter()
                .any(|node| node.place & BY_CATEGORY != 0),
            nodes,
        });
    }

    fn split(&mut self, kind: &NodeKind, left: u32) -> Flat {
        let NodeKind::Split {
            feature,
            default_left,
            split,
            ..
        } = kind
        else {
            unreachable!("asked for splits alone");
        };
        let slot = self
            .slots
            .slot(*feature)
            .expect("trees ask for features there are");
        let missing = if *default_left { 0 } else { MISSING_RIGHT };
        let (condition, by) = match split {
            // Nothing is less than NaN.
            Split::Below(condition) if condition.is_nan() => (f32::NEG_INFINITY, 0),
            Split::Below(condition) => (*condition, 0),
            Split::Categories(categories) => {
                self.sets.push(CategorySet::new(categories));
                (f32::from_bits(self.sets.len() as u32 - 1), BY_CATEGORY)
            }
        };
        Flat {
            condition,
            place: (slot * self.stride) as u32 | missing | by,
            left,
            value: 0.0,
        }
    }

    /// Lays out the complete part of the last tree.
    fn complete(&mut self) {
        let Some(tree) = self.trees.last_mut() else {
            return;
        };
        if tree.categorical || tree.depth == 0 {
            return;
        }
        let (most, size) = if tree.depth <= FEW.0 { FEW } else { MANY };
        tree.levels = tree.depth.min(most);
        (tree.top, tree.ends) = (self.conditions.len(), self.ends.len());
        self.conditions.resize(tree.top + size, f32::NAN);
        self.places.resize(tree.top + size, 0);
        let nodes = &self.nodes[tree.nodes.clone()];
        let width = 1 << tree.levels;
        // The node at each place; below a leaf the leaf itself, which only goes left.
        let mut at = vec![0_u32; 2 * width];
        for place in 1..width {
            let node = nodes[at[place] as usize];
            self.conditions[tree.top + place] = node.condition;
            self.places[tree.top + place] = node.place;
            let right = u32::from(node.left != at[place]);
            at[2 * place] = node.left;
            at[2 * place + 1] = node.left + right;
        }
        self.ends.extend_from_slice(&at[width..]);
    }

    /// Adds what each tree says of each row to `margins`: rows × outputs, row by row.
    ///
    /// # Errors
    /// The batch does not fit the model, or `margins` not the batch.
    pub fn add_margins(&self, batch: &Batch, margins: &mut [f32]) -> Result<(), PredictError> {
        let expected = numbers(batch.rows, self.outputs)?;
        if margins.len() != expected {
            return Err(PredictError::BaseMargin {
                expected,
                found: margins.len(),
            });
        }
        walk::all(self, batch, |tree, first, leaves| {
            let nodes = &self.nodes[tree.nodes.clone()];
            let outputs = margins[first * self.outputs + tree.output..].iter_mut();
            for (margin, leaf) in outputs.step_by(self.outputs).zip(leaves) {
                *margin += nodes[*leaf as usize].value;
            }
        })
    }

    /// The leaf of each row in each tree, by its number in the tree: rows × trees, row by row.
    ///
    /// # Errors
    /// The batch does not fit the model.
    pub fn leaves(&self, batch: &Batch) -> Result<Vec<u32>, PredictError> {
        let trees = self.trees.len();
        let mut leaves_of_rows = vec![0; numbers(batch.rows, trees)?];
        let mut index = 0;
        walk::all(self, batch, |tree, first, leaves| {
            for (row, leaf) in leaves.iter().enumerate() {
                let number = self.numbers[tree.nodes.start + *leaf as usize];
                leaves_of_rows[(first + row) * trees + index] = number;
            }
            // Trees come in order, for one block of rows after the other.
            index = (index + 1) % trees;
        })?;
        Ok(leaves_of_rows)
    }
}

/// Slots for all features, or for those that `trees` ask where those are few.
fn slots<'t>(features: usize, trees: impl Iterator<Item = &'t Tree>) -> Slots {
    let mut asked = vec![false; features];
    let mut count = 0;
    for node in trees.flat_map(|tree| &tree.nodes) {
        if let NodeKind::Split { feature, .. } = node.kind {
            let Some(asked) = asked.get_mut(feature as usize) else {
                panic!("a tree asks for feature {feature}");
            };
            count += usize::from(!*asked);
            *asked = true;
        }
    }
    if features <= MAX_SLOTS && count >= features.div_ceil(2) {
        return Slots::All(features.max(1));
    }
    // A block has one place at least.
    if let (0, Some(first)) = (count, asked.first_mut()) {
        *first = true;
    }
    Slots::Used(Used::new(&asked))
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
    pub(super) fn contains(&self, value: f32) -> bool {
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
