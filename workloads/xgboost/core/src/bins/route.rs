//! Where a tree sends binned rows.

use super::{BinnedMatrix, Cuts};
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
    pub fn leaves(&self, tree: &Tree) -> Option<Vec<u32>> {
        let mut leaves = vec![0; self.rows()];
        self.send(tree, 0..self.rows() as u32, &mut leaves)?;
        Some(leaves)
    }

    /// As [`leaves`](Self::leaves), for some rows, into `leaves`.
    pub(crate) fn send(
        &self,
        tree: &Tree,
        rows: impl Iterator<Item = u32>,
        leaves: &mut [u32],
    ) -> Option<()> {
        let turns: Vec<Option<Turn>> = (0..tree.nodes.len())
            .map(|node| self.turn(tree, node))
            .collect::<Option<_>>()?;
        for row in rows {
            let mut node = 0;
            while let Some(turn) = &turns[node] {
                let code = self.code(row as usize, turn.feature) as usize;
                node = if turn.goes_left[code] {
                    turn.left
                } else {
                    turn.right
                };
            }
            leaves[row as usize] = node as u32;
        }
        Some(())
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
