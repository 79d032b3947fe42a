//! Walking trees with blocks of rows.
//!
//! A block is transposed, so that the rows of a feature lie side by side, and each tree is walked
//! by the whole block: nodes and rows stay in cache. Rows take their steps [`LANES`] at a time,
//! without a branch that depends on them, so that one does not wait for the other.

use super::{
    PredictError,
    forest::{BY_CATEGORY, FEW, Forest, MANY, MISSING_RIGHT, Place},
    rows::{LANES, Rows},
};
use crate::data::Batch;

/// Most rows of a block.
pub(super) const BLOCK: usize = 64;

/// Steps between two looks at whether all rows have arrived, in deep trees.
const STRIDE: u32 = 4;

/// Walks all trees with all rows: `each` gets a tree, the first row of a block and the node of
/// the tree where each of its rows ends.
pub(super) fn all(
    forest: &Forest,
    batch: &Batch,
    mut each: impl FnMut(&Place, usize, &[u32]),
) -> Result<(), PredictError> {
    let rows = Rows::new(batch, forest.features)?;
    let stride = forest.stride;
    let mut block = vec![f32::NAN; forest.slots.width() * stride];
    let mut ends = [0_u32; BLOCK];
    for first in (0..rows.len()).step_by(stride) {
        let count = stride.min(rows.len() - first);
        let missing = rows.fill_lanes((first, count), &forest.slots, &mut block, stride)?;
        // What is left of the block before is walked along.
        let ends = &mut ends[..count.next_multiple_of(LANES)];
        for tree in &forest.trees {
            match (missing, tree.categorical) {
                (false, false) => walk::<false, false>(forest, tree, &block, ends),
                (true, false) => walk::<true, false>(forest, tree, &block, ends),
                (false, true) => walk::<false, true>(forest, tree, &block, ends),
                (true, true) => walk::<true, true>(forest, tree, &block, ends),
            }
            each(tree, first, &ends[..count]);
        }
        for lane in 0..count {
            rows.clear(first + lane, &forest.slots, &mut block, (lane, stride));
        }
    }
    Ok(())
}

/// The node of `tree` where each row ends.
fn walk<const MISSING: bool, const CATEGORICAL: bool>(
    forest: &Forest,
    tree: &Place,
    block: &[f32],
    ends: &mut [u32],
) {
    match tree.levels {
        0 => ends.fill(0),
        levels if levels <= FEW.0 => top::<MISSING, { FEW.1 }>(forest, tree, block, ends),
        _ => top::<MISSING, { MANY.1 }>(forest, tree, block, ends),
    }
    if tree.depth > tree.levels {
        below::<MISSING, CATEGORICAL>(forest, tree, block, ends);
    }
}

/// Goes through the complete part of a tree, which has room for `SIZE` nodes.
fn top<const MISSING: bool, const SIZE: usize>(
    forest: &Forest,
    tree: &Place,
    block: &[f32],
    ends: &mut [u32],
) {
    let part = |start: usize| start..start + SIZE;
    let conditions = forest.conditions[part(tree.top)].first_chunk::<SIZE>();
    let places = forest.places[part(tree.top)].first_chunk::<SIZE>();
    let (Some(conditions), Some(places)) = (conditions, places) else {
        unreachable!("parts are as long as asked for");
    };
    let width = 1_usize << tree.levels;
    let bottom = &forest.ends[tree.ends..tree.ends + width];
    for (group, ends) in ends.chunks_exact_mut(LANES).enumerate() {
        let rows = &block[group * LANES..];
        let mut at = [1_usize; LANES];
        for _ in 0..tree.levels {
            for (lane, at) in at.iter_mut().enumerate() {
                // Less than SIZE as it is, but the compiler cannot know.
                let place = places[*at % SIZE];
                let condition = conditions[*at % SIZE];
                let value = rows[(place & !MISSING_RIGHT) as usize + lane];
                let mut right = usize::from(value >= condition);
                if MISSING {
                    right |= usize::from(value.is_nan()) & (place >> 31) as usize;
                }
                *at = 2 * *at + right;
            }
        }
        for (end, at) in ends.iter_mut().zip(at) {
            *end = bottom[at - width];
        }
    }
}

/// Goes on from `ends` to the leaves.
fn below<const MISSING: bool, const CATEGORICAL: bool>(
    forest: &Forest,
    tree: &Place,
    block: &[f32],
    ends: &mut [u32],
) {
    let nodes = &forest.nodes[tree.nodes.clone()];
    for (group, ends) in ends.chunks_exact_mut(LANES).enumerate() {
        let rows = &block[group * LANES..];
        let mut at: [u32; LANES] = std::array::from_fn(|lane| ends[lane]);
        let mut left = tree.depth - tree.levels;
        while left > 0 {
            let before = at;
            let steps = left.min(STRIDE);
            for _ in 0..steps {
                for (lane, at) in at.iter_mut().enumerate() {
                    let node = nodes[*at as usize];
                    let place = (node.place & !(MISSING_RIGHT | BY_CATEGORY)) as usize;
                    let value = rows[place + lane];
                    let mut right = u32::from(value >= node.condition);
                    if CATEGORICAL && node.place & BY_CATEGORY != 0 {
                        let set = &forest.sets[node.condition.to_bits() as usize];
                        right = u32::from(set.contains(value));
                    }
                    if MISSING {
                        right |= u32::from(value.is_nan()) & (node.place >> 31);
                    }
                    *at = node.left + right;
                }
            }
            left -= steps;
            if at == before {
                break;
            }
        }
        ends.copy_from_slice(&at);
    }
}
