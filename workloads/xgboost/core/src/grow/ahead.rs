//! Nodes that are split before it is their turn.
//!
//! Where the best leaf is split first, nodes come one at a time, and each would wait for the other
//! instances. So those that come next as it looks are split along with it: most of their turns do come.
//! Nodes are numbered here as they were split; the tree has those alone whose turn came, with the numbers
//! that they get in turn.

use super::{
    driver::{Driver, Entry},
    evaluate::Candidate,
};
use crate::tree::{Node, NodeKind, Tree};

/// Nodes that are split at once where it can be done ahead. Of a tree of 255 leaves over the flights 8 at once
/// are asked of the other instances 39 times instead of 254, and 266 are split; with 16 that is 25 times,
/// and 304.
pub(crate) const AT_ONCE: usize = 8;

/// A tree that is being grown, with what was split ahead.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// By node, its best split, where it was looked for and its turn has not come.
    found: Vec<Option<Candidate>>,
    /// By node that was split, what it was as a leaf.
    leaves: Vec<Option<Node>>,
    /// What has its place in the tree, by number there.
    placed: Vec<Placed>,
}

/// A node with a place in the tree.
#[derive(Clone, Copy, Debug)]
struct Placed {
    node: usize,
    /// The parent's number in the tree, which is unused for the root.
    parent: usize,
    /// The left child's number in the tree, once the turn to split has come.
    left: Option<usize>,
}

impl Ahead {
    /// A root.
    pub(crate) fn new() -> Self {
        let root = Placed {
            node: 0,
            parent: 0,
            left: None,
        };
        Self {
            found: Vec::new(),
            leaves: Vec::new(),
            placed: vec![root],
        }
    }

    /// Remembers the best split of `node` until its parent's turn comes.
    pub(crate) fn found(&mut self, node: usize, candidate: Candidate) {
        put(&mut self.found, node, candidate);
    }

    /// Remembers `node`, which is about to be split, as it is.
    pub(crate) fn keep(&mut self, node: usize, leaf: &Node) {
        put(&mut self.leaves, node, leaf.clone());
    }

    /// Those of `entries`, which have numbers of the tree, that were not split yet, by their nodes.
    pub(crate) fn unsplit(&self, entries: &[Entry]) -> Vec<Entry> {
        let by_node = entries.iter().map(|entry| self.by_node(entry));
        by_node.filter(|entry| !self.is_split(entry.node)).collect()
    }

    /// Up to `most` nodes that were not split yet whose turns come next, unless nodes that nobody knows yet
    /// come before them.
    pub(crate) fn next(&self, driver: &Driver, grown: &Tree, most: usize) -> Vec<Entry> {
        if most == 0 {
            return Vec::new();
        }
        let ranked = |entry: Entry| (entry.candidate.loss_change, entry);
        let queued = driver.queued().map(|entry| self.by_node(entry));
        let mut open: Vec<(f32, Entry)> = queued.map(ranked).collect();
        let mut next = Vec::new();
        while let Some((rank, entry)) = open.pop() {
            if !driver.may_split(&entry) {
                continue;
            }
            let Some((left, right)) = grown.children(entry.node) else {
                next.push((rank, entry));
                continue;
            };
            for child in [left, right] {
                if let Some(Some(found)) = self.found.get(child)
                    && driver.takes(found)
                {
                    // It comes after its parent.
                    let rank = rank.min(found.loss_change);
                    let place = (child, entry.depth + 1);
                    open.push((rank, Entry::new(place, found.clone())));
                }
            }
        }
        // Of equal ones the same come in all instances.
        next.sort_unstable_by(|(one, first), (other, second)| {
            let by_rank = other.total_cmp(one);
            by_rank.then(first.node.cmp(&second.node))
        });
        next.truncate(most);
        next.into_iter().map(|(_, entry)| entry).collect()
    }

    fn is_split(&self, node: usize) -> bool {
        matches!(self.leaves.get(node), Some(Some(_)))
    }

    /// An entry with a number of the tree, by its node.
    fn by_node(&self, entry: &Entry) -> Entry {
        Entry {
            node: self.placed[entry.node].node,
            ..entry.clone()
        }
    }

    /// The turn of `entry` has come: gives its children, with their numbers of the tree, that may be split.
    pub(crate) fn place(&mut self, entry: &Entry, grown: &Tree) -> Vec<Entry> {
        let parent = entry.node;
        let Some((left, right)) = grown.children(self.placed[parent].node) else {
            return Vec::new();
        };
        self.placed[parent].left = Some(self.placed.len());
        let mut children = Vec::new();
        for node in [left, right] {
            if let Some(candidate) = self.found.get_mut(node).and_then(Option::take) {
                children.push(Entry::new((self.placed.len(), entry.depth + 1), candidate));
            }
            self.placed.push(Placed {
                node,
                parent,
                left: None,
            });
        }
        children
    }

    /// The tree of those whose turn came, and the node of each of its leaves, with the leaf's number.
    pub(crate) fn finish(self, grown: &Tree) -> (Tree, Vec<(usize, usize)>) {
        let mut leaves = Vec::new();
        let mut nodes = Vec::with_capacity(self.placed.len());
        for (number, placed) in self.placed.iter().enumerate() {
            let mut node = grown.nodes[placed.node].clone();
            if let Some(first) = placed.left {
                if let NodeKind::Split { left, right, .. } = &mut node.kind {
                    (*left, *right) = (first as i32, first as i32 + 1);
                }
            } else {
                if let Some(Some(leaf)) = self.leaves.get(placed.node) {
                    node = leaf.clone();
                }
                leaves.push((placed.node, number));
            }
            if number > 0 {
                node.parent = placed.parent as i32;
            }
            nodes.push(node);
        }
        (Tree { nodes }, leaves)
    }
}

fn put<T>(places: &mut Vec<Option<T>>, node: usize, what: T) {
    if places.len() <= node {
        places.resize_with(node + 1, || None);
    }
    places[node] = Some(what);
}
