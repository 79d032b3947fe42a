//! Where a row goes at a split.

use crate::tree::{NodeKind, Split, Tree};

/// Whether a row goes to the left at `node`, and the feature asked; `None` at a leaf. The row is the
/// one in `lane` of `stride` whose values of a feature lie side by side.
pub(super) fn ask(
    tree: &Tree,
    node: usize,
    rows: &[f32],
    (lane, stride): (usize, usize),
) -> Option<(bool, usize)> {
    let NodeKind::Split {
        feature,
        default_left,
        split,
        ..
    } = &tree.nodes[node].kind
    else {
        return None;
    };
    let value = rows[*feature as usize * stride + lane];
    let left = match split {
        _ if value.is_nan() => *default_left,
        Split::Below(condition) => value < *condition,
        // What is negative or too large is none of them: a conversion saturates.
        Split::Categories(_) if value < 0.0 => true,
        Split::Categories(categories) => categories.binary_search(&(value as u32)).is_err(),
    };
    Some((left, *feature as usize))
}
