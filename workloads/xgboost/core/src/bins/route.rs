//! Where a tree sends binned rows.

use std::ops::Range;

use super::{BinnedMatrix, BinsError, Cuts};
use crate::tree::{NodeKind, Split, Tree};

/// Which bins of a feature go left; the entry after the last bin is for what is missing.
fn left_of(cuts: &Cuts, feature: usize, split: &Split, default_left: bool) -> Option<Vec<bool>> {
    let bounds = cuts.of(feature);
    let mut left: Vec<bool> = match split {
        Split::Below(bound) if *bound == f32::NEG_INFINITY => vec![false; bounds.len()],
        Split::Below(bound) => {
            let last = bounds.iter().position(|cut| cut == bound)?;
            (0..bounds.len()).map(|bin| bin <= last).collect()
        }
        Split::Categories(right) => {
            let goes_left = |bin| right.binary_search(&bin).is_err();
            (0..bounds.len() as u32).map(goes_left).collect()
        }
    };
    left.push(default_left);
    Some(left)
}

/// What a split does with a row of bins.
struct Turn {
    feature: usize,
    goes_left: Vec<bool>,
    left: usize,
    right: usize,
}

impl BinnedMatrix {
    /// The leaf of `tree` for each row; `None` where a condition of the tree is not one of the
    /// cut points, so that only the values themselves tell, or where it has other features.
    ///
    /// Right for the rows the cut points were made of: other rows' values above the last cut
    /// count as below it.
    ///
    /// # Errors
    /// The bins are kept outside of memory and cannot be read.
    pub fn leaves(&self, tree: &Tree) -> Result<Option<Vec<u32>>, BinsError> {
        let mut leaves = vec![0; self.rows()];
        let known = self.send(tree, |_| true, &mut leaves)?;
        Ok(known.then_some(leaves))
    }

    /// As [`leaves`](Self::leaves), for the rows that are `sent`, into `leaves`. Whether the tree's
    /// conditions are the cut points'.
    pub(crate) fn send(
        &self,
        tree: &Tree,
        sent: impl Fn(u32) -> bool,
        leaves: &mut [u32],
    ) -> Result<bool, BinsError> {
        let turns: Option<Vec<Option<Turn>>> = (0..tree.nodes.len())
            .map(|node| self.turn(tree, node))
            .collect();
        let Some(turns) = turns else {
            return Ok(false);
        };
        let wanted = |rows: &Range<u32>| rows.clone().any(&sent);
        self.each_block(wanted, |block| {
            for row in (block.first..block.end).filter(|row| sent(*row)) {
                let mut node = 0;
                while let Some(turn) = &turns[node] {
                    let code = self.code(block, row, turn.feature) as usize;
                    node = if turn.goes_left[code] {
                        turn.left
                    } else {
                        turn.right
                    };
                }
                leaves[row as usize] = node as u32;
            }
        })?;
        Ok(true)
    }

    /// What `node` does; `Some(None)` where rows end.
    fn turn(&self, tree: &Tree, node: usize) -> Option<Option<Turn>> {
        let NodeKind::Split {
            feature,
            default_left,
            split,
            ..
        } = &tree.nodes[node].kind
        else {
            return Some(None);
        };
        let (left, right) = tree.children(node)?;
        let feature = *feature as usize;
        // Children that come later make every way end.
        let whole = left.min(right) > node && left.max(right) < tree.nodes.len();
        if !whole || feature >= self.cuts().features() {
            return None;
        }
        Some(Some(Turn {
            feature,
            goes_left: left_of(self.cuts(), feature, split, *default_left)?,
            left,
            right,
        }))
    }
}
