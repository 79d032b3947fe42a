//! Trees and importances as pictures: SVG that stands for itself.
//!
//! Nothing is fetched and nothing runs in it; names from models and tables are escaped. Colours
//! follow the reader's choice of light or dark. The same model gives the same bytes.

use super::{Model, importance::Importance};

mod bars;
mod layout;
mod svg;
mod tree;

/// Most nodes that are drawn.
const MAX_NODES: usize = 1 << 12;

/// A tree that is too large to be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tree {tree} has more than {MAX_NODES} nodes to draw; draw fewer levels")]
pub struct PlotError {
    /// The tree's number.
    pub tree: usize,
}

/// Tree number `index` of `model` with at most `levels` levels of splits; what lies below is
/// drawn as one box.
///
/// # Errors
/// There is too much to draw.
///
/// # Panics
/// There is no such tree.
pub fn tree(model: &Model, index: usize, levels: u32) -> Result<String, PlotError> {
    tree::draw(model, index, levels)
}

/// What features count for, the `most` most important ones as bars.
pub fn importances(model: &Model, what: Importance, most: usize) -> String {
    bars::draw(model, what, most)
}
