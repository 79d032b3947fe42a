//! Which features a node may be split by (XGBoost's `FeatureInteractionConstraintHost`).

/// The features each node of a tree may use under `interaction_constraints`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interactions {
    /// Ascending features of each group; `None` permits everything everywhere.
    groups: Option<Vec<Vec<u32>>>,
    features: usize,
    nodes: Vec<Node>,
}

/// What is known of one node.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Features of the splits above, ascending.
    used: Vec<u32>,
    /// Whether a feature may be used; empty at the root, which may use all.
    permitted: Vec<bool>,
}

impl Interactions {
    /// For trees over `features` features.
    pub(crate) fn new(groups: Option<&[Vec<u32>]>, features: usize) -> Self {
        let sorted = |group: &Vec<u32>| {
            let mut group = group.clone();
            group.sort_unstable();
            group
        };
        Self {
            groups: groups.map(|groups| groups.iter().map(sorted).collect()),
            features,
            nodes: Vec::new(),
        }
    }

    /// Forgets the last tree.
    pub(crate) fn start(&mut self) {
        self.nodes.clear();
        if self.groups.is_some() {
            self.nodes.push(Node::default());
        }
    }

    /// Notes that `parent` is split by `feature`.
    pub(crate) fn split(&mut self, parent: usize, feature: u32, left: usize, right: usize) {
        let Some(groups) = &self.groups else {
            return;
        };
        let mut used = self.nodes[parent].used.clone();
        if let Err(place) = used.binary_search(&feature) {
            used.insert(place, feature);
        }
        let mut permitted = vec![false; self.features];
        for feature in &used {
            permitted[*feature as usize] = true;
        }
        for group in groups {
            if used
                .iter()
                .all(|feature| group.binary_search(feature).is_ok())
            {
                for feature in group {
                    permitted[*feature as usize] = true;
                }
            }
        }
        let child = Node { used, permitted };
        self.nodes.resize_with(left.max(right) + 1, Node::default);
        self.nodes[left] = child.clone();
        self.nodes[right] = child;
    }

    /// Whether `node` may be split by `feature`.
    pub(crate) fn permits(&self, node: usize, feature: u32) -> bool {
        let Some(node) = self.nodes.get(node) else {
            return true;
        };
        node.permitted.is_empty() || node.permitted[feature as usize]
    }
}
