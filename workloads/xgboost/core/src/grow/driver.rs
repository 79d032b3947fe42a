//! In which order nodes are split (XGBoost's `Driver`).

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{
    evaluate::Candidate,
    gain::LEAST_GAIN,
    params::{GrowPolicy, TreeParams},
};

/// Most nodes handed out at once.
const MOST_AT_ONCE: usize = 256;

/// A node that could be split.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its number.
    pub(crate) node: usize,
    /// Splits above it.
    pub(crate) depth: u32,
    /// Its best split.
    pub(crate) candidate: Candidate,
}

impl Entry {
    /// Of a node by its number and depth.
    pub(crate) fn new((node, depth): (usize, u32), candidate: Candidate) -> Self {
        Self {
            node,
            depth,
            candidate,
        }
    }
}

/// Nodes that could be split, and how many leaves there are.
#[derive(Debug)]
pub(crate) struct Driver {
    lossguide: bool,
    gamma: f32,
    max_depth: u32,
    max_leaves: u32,
    leaves: u32,
    queue: BinaryHeap<Queued>,
}

/// An entry in the order it is handed out: by `rank` descending, then by number.
#[derive(Debug)]
struct Queued {
    rank: f32,
    entry: Entry,
}

impl Driver {
    /// For one tree.
    pub(crate) fn new(params: &TreeParams) -> Self {
        Self {
            lossguide: params.grow_policy == GrowPolicy::Lossguide,
            gamma: params.gamma,
            max_depth: params.max_depth,
            max_leaves: params.max_leaves,
            leaves: 1,
            queue: BinaryHeap::new(),
        }
    }

    /// Takes a node in, unless splitting it gains nothing.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.takes(&entry.candidate) {
            let rank = self.rank(&entry.candidate);
            self.queue.push(Queued { rank, entry });
        }
    }

    /// Whether a node with this best split is taken in.
    pub(crate) fn takes(&self, candidate: &Candidate) -> bool {
        candidate.loss_change > LEAST_GAIN
    }

    /// How soon a node is split: those of higher rank come first.
    pub(crate) fn rank(&self, candidate: &Candidate) -> f32 {
        if self.lossguide {
            candidate.loss_change
        } else {
            0.0
        }
    }

    /// Nodes to split now: the best, or those of one level. None ends the tree.
    pub(crate) fn pop(&mut self) -> Vec<Entry> {
        let mut split = Vec::new();
        let Some(level) = self.queue.peek().map(|queued| queued.entry.depth) else {
            return split;
        };
        let most = if self.lossguide { 1 } else { MOST_AT_ONCE };
        while split.len() < most
            && self
                .queue
                .peek()
                .is_some_and(|next| next.entry.depth == level)
        {
            let Some(Queued { entry, .. }) = self.queue.pop() else {
                break;
            };
            if self.may_split(&entry) {
                self.leaves += 1;
                split.push(entry);
            } else if self.lossguide {
                break;
            }
        }
        split
    }

    /// How many nodes should be split ahead of their turn, `most` at most: none where all of a level come
    /// at once, and few before the last leaf, since those whose turn never comes are split in vain.
    pub(crate) fn ahead(&self, most: usize) -> usize {
        match (self.lossguide, self.max_leaves) {
            (false, _) => 0,
            (true, 0) => most,
            (true, max) => most.min((max.saturating_sub(self.leaves) / 4) as usize),
        }
    }

    /// The nodes that were taken in and not handed out, in no order.
    pub(crate) fn queued(&self) -> impl Iterator<Item = &Entry> {
        self.queue.iter().map(|queued| &queued.entry)
    }

    /// Whether a child of a node at `depth` could be split.
    pub(crate) fn child_may_split(&self, depth: u32) -> bool {
        (self.max_depth == 0 || depth + 1 < self.max_depth)
            && (self.max_leaves == 0 || self.leaves < self.max_leaves)
    }

    /// Whether the limits allow this split.
    pub(crate) fn may_split(&self, entry: &Entry) -> bool {
        entry.candidate.loss_change >= self.gamma
            && (self.max_depth == 0 || entry.depth != self.max_depth)
            && (self.max_leaves == 0 || self.leaves != self.max_leaves)
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_number = other.entry.node.cmp(&self.entry.node);
        self.rank.total_cmp(&other.rank).then(by_number)
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}
