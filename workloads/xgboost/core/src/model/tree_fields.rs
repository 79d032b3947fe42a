//! One tree as a model has it: an object of arrays with one entry a node.

use super::{
    error::ModelError,
    reader::{self, Reader},
    writer::Writer,
};
use crate::tree::{NONE, Node, NodeKind, Split, Tree};

/// What XGBoost has for the parent of the root, and as the feature of deleted nodes.
const MARK: i32 = i32::MAX;

/// Categories are less than this, so that a float can hold each.
const MAX_CATEGORY: i32 = 1 << 24;

/// The condition of a split by categories: XGBoost has the smallest positive float there.
const NO_CONDITION: f32 = f32::from_bits(1);

/// The arrays of a tree, as they were read.
#[derive(Default)]
struct Fields {
    id: Option<i64>,
    num_nodes: Option<usize>,
    num_deleted: Option<usize>,
    leaf_size: Option<usize>,
    left: Vec<i32>,
    right: Vec<i32>,
    parents: Vec<i32>,
    features: Vec<i32>,
    conditions: Vec<f32>,
    default_left: Vec<i32>,
    loss_changes: Vec<f32>,
    sum_hessian: Vec<f32>,
    base_weights: Vec<f32>,
    split_type: Option<Vec<i32>>,
    categories: Vec<i32>,
    categories_nodes: Vec<i32>,
    categories_segments: Vec<i64>,
    categories_sizes: Vec<i64>,
}

/// Reads tree number `index` of a model.
pub(super) fn read(reader: &mut dyn Reader, index: usize) -> Result<Tree, ModelError> {
    let mut fields = Fields::default();
    reader.object()?;
    while let Some(key) = reader.key()? {
        fields
            .read(reader, &key)
            .map_err(|error| error.within(&key))?;
    }
    // Vector leaves have other arrays; say so before any of these is missed.
    if fields.leaf_size.is_some_and(|size| size > 1) {
        return Err(ModelError::Unsupported(
            "trees with vector leaves (multi_strategy=multi_output_tree) are not supported; \
             train with multi_strategy=one_output_per_tree"
                .to_owned(),
        ));
    }
    if fields.id.is_some_and(|id| id != index as i64) {
        return Err(ModelError::field("id", format!("expected {index}")));
    }
    fields.check_lengths()?;
    let tree = Tree {
        nodes: fields.nodes()?,
    };
    check_parents(&tree)?;
    Ok(tree)
}

impl Fields {
    fn read(&mut self, reader: &mut dyn Reader, key: &str) -> Result<(), ModelError> {
        match key {
            "id" => self.id = Some(reader::int(reader)?),
            "tree_param" => self.read_param(reader)?,
            "left_children" => self.left = reader::ints(reader)?,
            "right_children" => self.right = reader::ints(reader)?,
            "parents" => self.parents = reader::ints(reader)?,
            "split_indices" => self.features = reader::ints(reader)?,
            "split_conditions" => self.conditions = reader::floats(reader)?,
            "default_left" => self.default_left = reader::ints(reader)?,
            "loss_changes" => self.loss_changes = reader::floats(reader)?,
            "sum_hessian" => self.sum_hessian = reader::floats(reader)?,
            "base_weights" => self.base_weights = reader::floats(reader)?,
            "split_type" => self.split_type = Some(reader::ints(reader)?),
            "categories" => self.categories = reader::ints(reader)?,
            "categories_nodes" => self.categories_nodes = reader::ints(reader)?,
            "categories_segments" => self.categories_segments = reader::longs(reader)?,
            "categories_sizes" => self.categories_sizes = reader::longs(reader)?,
            _ => reader::skip(reader)?,
        }
        Ok(())
    }

    fn read_param(&mut self, reader: &mut dyn Reader) -> Result<(), ModelError> {
        reader.object()?;
        while let Some(key) = reader.key()? {
            let slot = match key.as_str() {
                "num_nodes" => &mut self.num_nodes,
                "num_deleted" => &mut self.num_deleted,
                "size_leaf_vector" => &mut self.leaf_size,
                _ => {
                    reader::skip(reader)?;
                    continue;
                }
            };
            let number = reader::number_in_text(reader);
            *slot = Some(number.map_err(|error| error.within(&key))?);
        }
        Ok(())
    }

    /// Every array has one entry a node.
    fn check_lengths(&self) -> Result<(), ModelError> {
        let nodes = self
            .num_nodes
            .filter(|nodes| *nodes > 0 && *nodes < MARK as usize)
            .ok_or_else(|| ModelError::field("tree_param.num_nodes", "expected at least 1"))?;
        let lengths = [
            ("left_children", self.left.len()),
            ("right_children", self.right.len()),
            ("parents", self.parents.len()),
            ("split_indices", self.features.len()),
            ("split_conditions", self.conditions.len()),
            ("default_left", self.default_left.len()),
            ("loss_changes", self.loss_changes.len()),
            ("sum_hessian", self.sum_hessian.len()),
            ("base_weights", self.base_weights.len()),
            (
                "split_type",
                self.split_type.as_ref().map_or(nodes, Vec::len),
            ),
        ];
        for (name, length) in lengths {
            if length != nodes {
                let reason =
                    format!("expected one entry for each of {nodes} nodes; found {length}");
                return Err(ModelError::field(name, reason));
            }
        }
        let segments = self.categories_nodes.len();
        for (name, length) in [
            ("categories_segments", self.categories_segments.len()),
            ("categories_sizes", self.categories_sizes.len()),
        ] {
            if length != segments {
                let reason = format!("expected as many as categories_nodes, {segments}");
                return Err(ModelError::field(name, reason));
            }
        }
        Ok(())
    }

    fn nodes(&self) -> Result<Vec<Node>, ModelError> {
        let mut nodes = Vec::with_capacity(self.left.len());
        let mut segments = Segments::default();
        for index in 0..self.left.len() {
            let categories = segments.next(self, index)?;
            nodes.push(Node {
                parent: match self.parents[index] {
                    MARK if index == 0 => NONE,
                    parent => parent,
                },
                kind: self.kind(index, categories)?,
                base_weight: self.base_weights[index],
                sum_hessian: self.sum_hessian[index],
            });
        }
        if segments.used < self.categories_nodes.len() {
            return Err(ModelError::field(
                "categories_nodes",
                "expected nodes in ascending order",
            ));
        }
        let deleted = nodes
            .iter()
            .filter(|node| node.kind == NodeKind::Deleted)
            .count();
        if self.num_deleted.is_some_and(|count| count != deleted) {
            let reason = format!("expected {deleted}, as many as are marked");
            return Err(ModelError::field("tree_param.num_deleted", reason));
        }
        Ok(nodes)
    }

    fn kind(&self, index: usize, categories: Option<Vec<u32>>) -> Result<NodeKind, ModelError> {
        let (left, right) = (self.left[index], self.right[index]);
        let feature = self.features[index];
        let default_left = self.default_left[index] == 1;
        // XGBoost packs feature and default into one word, and marks by all its bits.
        if index > 0 && (feature == MARK || feature == -1) && default_left {
            return Ok(NodeKind::Deleted);
        }
        if left == NONE {
            return Ok(NodeKind::Leaf {
                value: self.conditions[index],
            });
        }
        for (name, child) in [("left_children", left), ("right_children", right)] {
            let inside =
                usize::try_from(child).is_ok_and(|child| child > index && child < self.left.len());
            if !inside {
                let reason = format!(
                    "node {index}: expected a larger number, less than {}; found {child}",
                    self.left.len()
                );
                return Err(ModelError::field(name, reason));
            }
        }
        Ok(NodeKind::Split {
            left,
            right,
            feature: u32::try_from(feature).map_err(|_| {
                let reason = format!("node {index}: expected a feature; found {feature}");
                ModelError::field("split_indices", reason)
            })?,
            default_left,
            split: categories.map_or(Split::Below(self.conditions[index]), Split::Categories),
            loss_change: self.loss_changes[index],
        })
    }
}

/// Goes through the categories in step with the nodes.
#[derive(Default)]
struct Segments {
    used: usize,
    end: usize,
}

impl Segments {
    /// The categories of node `index`, which is the next; `None` if it splits by a number.
    fn next(&mut self, fields: &Fields, index: usize) -> Result<Option<Vec<u32>>, ModelError> {
        let here = fields.categories_nodes.get(self.used);
        let here = here.is_some_and(|node| *node == index as i32);
        // XGBoost 1.0 to 1.2 knew no categories and wrote no `split_type`.
        let split_type = fields.split_type.as_ref().map_or(0, |types| types[index]);
        if split_type != i32::from(here) {
            let reason = format!("node {index}: {split_type} does not fit categories_nodes");
            return Err(ModelError::field("split_type", reason));
        }
        if !here {
            return Ok(None);
        }
        let begin = usize::try_from(fields.categories_segments[self.used]).ok();
        let size = usize::try_from(fields.categories_sizes[self.used]).ok();
        self.used += 1;
        // One after the other, so that no category is read twice.
        let range = begin
            .filter(|begin| *begin >= self.end)
            .zip(size.filter(|size| *size > 0))
            .and_then(|(begin, size)| Some(begin..begin.checked_add(size)?))
            .filter(|range| range.end <= fields.categories.len())
            .ok_or_else(|| {
                let reason = format!("node {index}: no such part of categories");
                ModelError::field("categories_segments", reason)
            })?;
        self.end = range.end;
        let mut categories = Vec::with_capacity(range.len());
        for category in &fields.categories[range] {
            if !(0..MAX_CATEGORY).contains(category) {
                let reason = format!("expected at least 0 and less than {MAX_CATEGORY}");
                return Err(ModelError::field(
                    "categories",
                    format!("{reason}; found {category}"),
                ));
            }
            categories.push(*category as u32);
        }
        categories.sort_unstable();
        categories.dedup();
        Ok(Some(categories))
    }
}

/// Every node but the root is the child of exactly one, which it calls its parent. As children
/// have larger numbers, the nodes then are a tree.
fn check_parents(tree: &Tree) -> Result<(), ModelError> {
    let mut is_child = vec![false; tree.nodes.len()];
    for node in 0..tree.nodes.len() {
        let Some((left, right)) = tree.children(node) else {
            continue;
        };
        for child in [left, right] {
            if std::mem::replace(&mut is_child[child], true) {
                let reason = format!("node {child} has two parents");
                return Err(ModelError::field("left_children", reason));
            }
            if tree.nodes[child].parent != node as i32 {
                let reason = format!("node {child}: expected {node}");
                return Err(ModelError::field("parents", reason));
            }
        }
    }
    for (index, node) in tree.nodes.iter().enumerate() {
        let should_be = index > 0 && node.kind != NodeKind::Deleted;
        if is_child[index] != should_be {
            let reason = match should_be {
                true => format!("node {index} is the child of none"),
                false => format!("node {index} is the child of one, but deleted"),
            };
            return Err(ModelError::field("left_children", reason));
        }
    }
    if tree.nodes[0].parent != NONE {
        return Err(ModelError::field("parents", "node 0 has a parent"));
    }
    Ok(())
}

/// Writes tree number `index` of a model with `features` features.
pub(super) fn write(writer: &mut dyn Writer, tree: &Tree, index: usize, features: usize) {
    let nodes = || tree.nodes.iter();
    let segments: Vec<(usize, &[u32])> = tree
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| Some((index, categories(node)?)))
        .collect();
    let all: Vec<u32> = segments
        .iter()
        .flat_map(|(_, part)| part.iter().copied())
        .collect();
    let mut starts = Vec::with_capacity(segments.len());
    let mut end = 0_i64;
    for (_, part) in &segments {
        starts.push(end);
        end += part.len() as i64;
    }
    let deleted = nodes()
        .filter(|node| node.kind == NodeKind::Deleted)
        .count();

    writer.object();
    writer.key("base_weights");
    writer.floats(&mut nodes().map(|node| node.base_weight));
    writer.key("categories");
    writer.ints(&mut all.iter().map(|category| *category as i32));
    writer.key("categories_nodes");
    writer.ints(&mut segments.iter().map(|(node, _)| *node as i32));
    writer.key("categories_segments");
    writer.longs(&mut starts.iter().copied());
    writer.key("categories_sizes");
    writer.longs(&mut segments.iter().map(|(_, part)| part.len() as i64));
    writer.key("default_left");
    writer.bytes(&mut nodes().map(|node| u8::from(default_left(node))));
    writer.key("id");
    writer.int(index as i64);
    writer.key("left_children");
    writer.ints(&mut nodes().map(|node| child(node, true)));
    writer.key("loss_changes");
    writer.floats(&mut nodes().map(loss_change));
    writer.key("parents");
    writer.ints(&mut nodes().map(|node| {
        if node.parent == NONE {
            MARK
        } else {
            node.parent
        }
    }));
    writer.key("right_children");
    writer.ints(&mut nodes().map(|node| child(node, false)));
    writer.key("split_conditions");
    writer.floats(&mut nodes().map(condition));
    writer.key("split_indices");
    writer.ints(&mut nodes().map(feature));
    writer.key("split_type");
    writer.bytes(&mut nodes().map(|node| u8::from(categories(node).is_some())));
    writer.key("sum_hessian");
    writer.floats(&mut nodes().map(|node| node.sum_hessian));
    writer.key("tree_param");
    writer.object();
    for (key, number) in [
        ("num_deleted", deleted),
        ("num_feature", features),
        ("num_nodes", tree.nodes.len()),
        ("size_leaf_vector", 1),
    ] {
        writer.key(key);
        writer.text(&number.to_string());
    }
    writer.end_object();
    writer.end_object();
}

fn categories(node: &Node) -> Option<&[u32]> {
    match &node.kind {
        NodeKind::Split {
            split: Split::Categories(categories),
            ..
        } => Some(categories),
        _ => None,
    }
}

fn default_left(node: &Node) -> bool {
    match node.kind {
        NodeKind::Split { default_left, .. } => default_left,
        NodeKind::Leaf { .. } => false,
        NodeKind::Deleted => true,
    }
}

fn child(node: &Node, is_left: bool) -> i32 {
    match node.kind {
        NodeKind::Split { left, right, .. } => [right, left][usize::from(is_left)],
        NodeKind::Leaf { .. } | NodeKind::Deleted => NONE,
    }
}

fn loss_change(node: &Node) -> f32 {
    match node.kind {
        NodeKind::Split { loss_change, .. } => loss_change,
        NodeKind::Leaf { .. } | NodeKind::Deleted => 0.0,
    }
}

fn condition(node: &Node) -> f32 {
    match node.kind {
        NodeKind::Leaf { value } => value,
        NodeKind::Split {
            split: Split::Below(condition),
            ..
        } => condition,
        NodeKind::Split { .. } => NO_CONDITION,
        NodeKind::Deleted => 0.0,
    }
}

fn feature(node: &Node) -> i32 {
    match node.kind {
        NodeKind::Split { feature, .. } => feature as i32,
        NodeKind::Leaf { .. } => 0,
        NodeKind::Deleted => MARK,
    }
}
