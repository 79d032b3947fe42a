//! The nodes of one level.

use crate::{
    gradient::{GradientPair, GradientSum},
    tree::{Node, NodeKind},
};

use super::{
    super::gain::{Bounds, LEAST_GAIN},
    ExactGrower,
    walk::{Open, Walk},
};

/// No open node.
pub(super) const CLOSED: u32 = u32::MAX;

/// The open nodes of one level, and the one each row is in.
pub(super) struct Level {
    pub(super) open: Vec<Open>,
    pub(super) open_of_row: Vec<u32>,
}

impl Level {
    pub(super) fn root(grower: &ExactGrower, gradients: &[GradientPair]) -> Self {
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
    pub(super) fn look(
        &mut self,
        grower: &mut ExactGrower,
        depth: u32,
        gradients: &[GradientPair],
    ) {
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

    pub(super) fn walk<'c>(
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
    pub(super) fn split(
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
    pub(super) fn send(&self, grower: &ExactGrower, splits: &[Option<usize>]) -> Vec<u32> {
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
pub(super) fn sums(
    open: usize,
    open_of_row: &[u32],
    gradients: &[GradientPair],
) -> Vec<GradientSum> {
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
