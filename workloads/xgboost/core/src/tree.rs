//! One tree, laid out as XGBoost lays it out: arrays by node number, node 0 the root.

/// No node.
pub const NONE: i32 = -1;

/// How a node sends rows to its children.
#[derive(Clone, Debug, PartialEq)]
pub enum Split {
    /// To the left what is less than the condition.
    Below(f32),
    /// To the *right* the categories listed (ascending); all others, known or not, to the left.
    Categories(Vec<u32>),
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Number of the parent; [`NONE`] for the root.
    pub parent: i32,
    /// What the node does with a row.
    pub kind: NodeKind,
    /// XGBoost's `base_weights`: of a leaf its value as it was grown, of a split the weight it
    /// would have as a leaf *without* the learning rate. Nothing is predicted by it.
    pub base_weight: f32,
    /// Sum of second derivatives of its rows.
    pub sum_hessian: f32,
}

/// Leaf, split, or neither any more.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// Adds `value` to the margin.
    Leaf {
        /// The value, learning rate included.
        value: f32,
    },
    /// Sends rows on.
    Split {
        /// Left child.
        left: i32,
        /// Right child.
        right: i32,
        /// The feature asked.
        feature: u32,
        /// Where a missing value goes.
        default_left: bool,
        /// The question.
        split: Split,
        /// Gain of the split.
        loss_change: f32,
    },
    /// Was pruned: no row gets here and no node names it as a child, but it keeps its number, so
    /// that leaves are called what XGBoost calls them (`tree_method=exact` with `gamma`). Its
    /// parent is the one it had.
    Deleted,
}

/// A regression tree. Children always have larger numbers than their parents.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Nodes by number.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// The leaf's value at `node`, or `None` where it is no leaf.
    pub fn leaf_value(&self, node: usize) -> Option<f32> {
        match self.nodes[node].kind {
            NodeKind::Leaf { value } => Some(value),
            NodeKind::Split { .. } | NodeKind::Deleted => None,
        }
    }

    /// The children of `node`, left and right, or `None` where it is no split.
    pub fn children(&self, node: usize) -> Option<(usize, usize)> {
        match self.nodes[node].kind {
            // Not negative: a tree is grown or parsed with the children it has.
            NodeKind::Split { left, right, .. } => Some((left as usize, right as usize)),
            NodeKind::Leaf { .. } | NodeKind::Deleted => None,
        }
    }

    /// How many splits lie above each node; 0 for deleted ones.
    pub fn depths(&self) -> Vec<u32> {
        let mut depths = vec![0; self.nodes.len()];
        for node in 0..self.nodes.len() {
            if let Some((left, right)) = self.children(node) {
                depths[left] = depths[node] + 1;
                depths[right] = depths[node] + 1;
            }
        }
        depths
    }
}
