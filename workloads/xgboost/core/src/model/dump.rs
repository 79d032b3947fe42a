//! Trees as text, to the letter what XGBoost's `get_dump` gives.

use std::fmt::Write as _;

use super::{Model, json};
use crate::{
    data::FeatureKind,
    params::ParamError,
    tree::{NodeKind, Split, Tree},
};

/// Indented dumps of deeper trees would be mostly space.
const MAX_DEPTH: u32 = 1 << 10;

/// How trees are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line a node.
    Text,
    /// Nested objects.
    Json,
    /// Graphviz.
    Dot,
}

impl Format {
    /// The format that data of this media type has.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "text/plain" => Some(Self::Text),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The format called `name`: `text`, `json` or `dot`.
    ///
    /// # Errors
    /// No such format.
    pub fn parse(name: &str) -> Result<Self, ParamError> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "dot" => Ok(Self::Dot),
            _ => Err(ParamError::unknown_value(
                "format",
                name,
                &["text", "json", "dot"],
            )),
        }
    }
}

/// A tree that is not dumped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tree {tree} is {depth} splits deep; at most {MAX_DEPTH} can be dumped with indentation")]
pub struct DumpError {
    /// The tree's number.
    pub tree: usize,
    /// Its depth.
    pub depth: u32,
}

/// Tree number `index` of `model`, with gain and cover if `stats`.
///
/// # Errors
/// The tree is too deep to be indented.
///
/// # Panics
/// There is no such tree.
pub fn tree(model: &Model, index: usize, format: Format, stats: bool) -> Result<String, DumpError> {
    let tree = &model.trees[index];
    let depth = tree.depths().into_iter().max().unwrap_or(0);
    if format != Format::Dot && depth > MAX_DEPTH {
        return Err(DumpError { tree: index, depth });
    }
    let dump = Dump { model, tree, stats };
    Ok(match format {
        Format::Text => dump.text(),
        Format::Json => dump.json(),
        Format::Dot => dump.dot(),
    })
}

/// All trees as one file, as XGBoost's `dump_model` writes it; `dot` has one graph after the
/// other.
///
/// # Errors
/// A tree is too deep to be indented.
pub fn all(model: &Model, format: Format, stats: bool) -> Result<String, DumpError> {
    let mut out = String::new();
    for index in 0..model.trees.len() {
        let tree = tree(model, index, format, stats)?;
        out.push_str(match (format, index) {
            (Format::Json, 0) => "[\n",
            (Format::Json, _) => ",\n",
            (Format::Text | Format::Dot, _) => "",
        });
        if format == Format::Text {
            let _ = writeln!(out, "booster[{index}]:");
        }
        out.push_str(&tree);
        if format == Format::Dot {
            out.push('\n');
        }
    }
    if format == Format::Json {
        out.push_str(if model.trees.is_empty() {
            "[\n\n]"
        } else {
            "\n]"
        });
    }
    Ok(out)
}

/// What a split is, for whoever writes it.
struct SplitNode<'t> {
    left: i32,
    right: i32,
    /// Where a missing value goes.
    missing: i32,
    feature: usize,
    split: &'t Split,
    gain: f32,
}

/// One tree of a model.
struct Dump<'m> {
    model: &'m Model,
    tree: &'m Tree,
    stats: bool,
}

/// What is left to be written of nested text.
enum Open {
    Node(usize, usize),
    Text(String),
}

impl Dump<'_> {
    fn split(&self, node: usize) -> Option<SplitNode<'_>> {
        let NodeKind::Split {
            left,
            right,
            feature,
            default_left,
            split,
            loss_change,
        } = &self.tree.nodes[node].kind
        else {
            return None;
        };
        Some(SplitNode {
            left: *left,
            right: *right,
            missing: if *default_left { *left } else { *right },
            feature: *feature as usize,
            split,
            gain: *loss_change,
        })
    }

    fn leaf(&self, node: usize) -> String {
        general(self.tree.leaf_value(node).unwrap_or(f32::NAN))
    }

    fn cover(&self, node: usize) -> String {
        general(self.tree.nodes[node].sum_hessian)
    }

    fn name(&self, feature: usize) -> String {
        json::escape(&self.model.feature_name(feature))
    }

    fn kind(&self, feature: usize) -> FeatureKind {
        self.model
            .features
            .get(feature)
            .map_or(FeatureKind::Float, |feature| feature.kind)
    }

    /// Every node before its children, left before right, with its depth.
    fn nodes(&self) -> Vec<(usize, usize)> {
        let mut order = Vec::new();
        let mut open = vec![(0, 0)];
        while let Some((node, depth)) = open.pop() {
            order.push((node, depth));
            if let Some((left, right)) = self.tree.children(node) {
                open.extend([(right, depth + 1), (left, depth + 1)]);
            }
        }
        order
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (node, depth) in self.nodes() {
            let tabs = "\t".repeat(depth);
            let stats = |gain: Option<f32>| {
                let gain = gain.map_or(String::new(), |gain| format!(",gain={}", general(gain)));
                match self.stats {
                    true => format!("{gain},cover={}", self.cover(node)),
                    false => String::new(),
                }
            };
            let line = match self.split(node) {
                None => format!("{tabs}{node}:leaf={}{}", self.leaf(node), stats(None)),
                Some(split) => {
                    let ask = self.text_split(node, &split, &tabs);
                    format!("{ask}{}", stats(Some(split.gain)))
                }
            };
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    fn text_split(&self, node: usize, split: &SplitNode<'_>, tabs: &str) -> String {
        let name = self.name(split.feature);
        let SplitNode {
            left,
            right,
            missing,
            ..
        } = split;
        match (split.split, self.kind(split.feature)) {
            (Split::Categories(categories), _) => {
                let set = joined(categories, ",");
                format!("{tabs}{node}:[{name}:{{{set}}}] yes={right},no={left},missing={missing}")
            }
            // XGBoost does not indent these.
            (Split::Below(_), FeatureKind::Indicator) => {
                let yes = if missing == left { right } else { left };
                format!("{node}:[{name}] yes={yes},no={missing}")
            }
            (Split::Below(condition), kind) => {
                let condition = condition_text(*condition, kind);
                format!("{tabs}{node}:[{name}<{condition}] yes={left},no={right},missing={missing}")
            }
        }
    }

    fn json(&self) -> String {
        let mut out = String::new();
        let mut open = vec![Open::Node(0, 0)];
        while let Some(next) = open.pop() {
            let (node, depth) = match next {
                Open::Node(node, depth) => (node, depth),
                Open::Text(text) => {
                    out.push_str(&text);
                    continue;
                }
            };
            let indent = "  ".repeat(depth + 1);
            if depth > 0 {
                out.push('\n');
            }
            out.push_str(&indent);
            let Some(split) = self.split(node) else {
                let cover = match self.stats {
                    true => format!(", \"cover\": {} ", self.cover(node)),
                    false => String::new(),
                };
                let leaf = self.leaf(node);
                let _ = write!(out, "{{ \"nodeid\": {node}, \"leaf\": {leaf} {cover}}}");
                continue;
            };
            let stats = match self.stats {
                true => format!(
                    ", \"gain\": {}, \"cover\": {}",
                    general(split.gain),
                    self.cover(node)
                ),
                false => String::new(),
            };
            let ask = self.json_split(&split);
            let _ = write!(
                out,
                "{{ \"nodeid\": {node}, \"depth\": {depth}, {ask} {stats}, \"children\": ["
            );
            open.push(Open::Text(format!("\n{indent}]}}")));
            open.push(Open::Node(split.right as usize, depth + 1));
            open.push(Open::Text(", ".to_owned()));
            open.push(Open::Node(split.left as usize, depth + 1));
        }
        out
    }

    fn json_split(&self, split: &SplitNode<'_>) -> String {
        let name = self.name(split.feature);
        let SplitNode {
            left,
            right,
            missing,
            ..
        } = split;
        let (condition, yes, no) = match (split.split, self.kind(split.feature)) {
            (Split::Categories(categories), _) => {
                (format!("[{}]", joined(categories, ", ")), right, left)
            }
            (Split::Below(_), FeatureKind::Indicator) => {
                let yes = if missing == left { right } else { left };
                return format!("\"split\": \"{name}\", \"yes\": {yes}, \"no\": {missing}");
            }
            (Split::Below(condition), kind) => (condition_text(*condition, kind), left, right),
        };
        format!(
            "\"split\": \"{name}\", \"split_condition\": {condition}, \"yes\": {yes}, \
             \"no\": {no}, \"missing\": {missing}"
        )
    }

    fn dot(&self) -> String {
        let mut out = "digraph {\n    graph [ rankdir=TB ]\n\n".to_owned();
        for (index, (node, _)) in self.nodes().into_iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            let cover = match self.stats {
                true => format!("\ncover={}", self.cover(node)),
                false => String::new(),
            };
            let Some(split) = self.split(node) else {
                let leaf = self.leaf(node);
                let _ = writeln!(out, "    {node} [ label=\"leaf={leaf}{cover}\" ]");
                continue;
            };
            let name = self.name(split.feature);
            let ask = match (split.split, self.kind(split.feature)) {
                (Split::Categories(categories), _) => {
                    format!("{name}:{{{}}}", joined(categories, ","))
                }
                (Split::Below(_), FeatureKind::Indicator) => name,
                (Split::Below(condition), _) => format!("{name}<{}", general(*condition)),
            };
            let gain = match self.stats {
                true => format!("\ngain={}", general(split.gain)),
                false => String::new(),
            };
            let _ = writeln!(out, "    {node} [ label=\"{ask}{gain}{cover}\" ]");
            let yes_is_left = matches!(split.split, Split::Below(_));
            for (child, is_left) in [(split.left, true), (split.right, false)] {
                let answer = if is_left == yes_is_left { "yes" } else { "no" };
                let (missing, color) = match child == split.missing {
                    true => (", missing", "#0000FF"),
                    false => ("", "#FF0000"),
                };
                let _ = writeln!(
                    out,
                    "    {node} -> {child} [label=\"{answer}{missing}\" color=\"{color}\"]"
                );
            }
        }
        out.push('}');
        out
    }
}

fn joined(categories: &[u32], separator: &str) -> String {
    let words: Vec<String> = categories.iter().map(u32::to_string).collect();
    words.join(separator)
}

/// A condition; of whole numbers the next whole number.
fn condition_text(condition: f32, kind: FeatureKind) -> String {
    match kind {
        FeatureKind::Int => (condition.ceil() as i32).to_string(),
        _ => general(condition),
    }
}

/// A number in the digits that tell all of single precision apart.
fn general(value: f32) -> String {
    significant(value, 9)
}

/// A number in at most so many digits, at least 1, as C's `%g` writes it.
pub(super) fn significant(value: f32, digits: usize) -> String {
    if !value.is_finite() {
        let sign = if value.is_sign_negative() { "-" } else { "" };
        let word = if value.is_nan() { "nan" } else { "inf" };
        return format!("{sign}{word}");
    }
    let scientific = format!("{:.*e}", digits - 1, f64::from(value));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..digits as i32).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let decimals = (digits as i32 - 1 - exponent) as usize;
    trimmed(&format!("{:.decimals$}", f64::from(value))).to_owned()
}

/// Without zeros at the end of a fraction.
fn trimmed(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::excessive_precision, reason = "written as the halves they are")]
    fn numbers_are_written_as_c_writes_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.100000001"),
            (1e9, "1e+09"),
            (123_456_792.0, "123456792"),
            (1e-5, "9.99999975e-06"),
            (0.0001, "9.99999975e-05"),
            (0.000_100_001, "0.000100001002"),
            (1e-45, "1.40129846e-45"),
            (f32::MAX, "3.40282347e+38"),
            // Halfway between two numbers of 9 digits: to the even one.
            (1_234_567.125, "1234567.12"),
            (1_234_567.375, "1234567.38"),
            (f32::INFINITY, "inf"),
            (f32::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(general(value), expected);
        }
        assert_eq!(significant(999_996.0, 5), "1e+06");
    }
}
