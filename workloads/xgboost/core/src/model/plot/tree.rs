//! One tree as a picture.

use super::{
    MAX_NODES, PlotError,
    layout::Shape,
    svg::{Anchor, Picture, cut, width},
};
use crate::{
    data::{Categories, FeatureKind},
    model::{Model, dump::significant},
    tree::{NodeKind, Split, Tree},
};

const MARGIN: f64 = 24.0;
const HEADER: f64 = 44.0;
const BOX_HEIGHT: f64 = 42.0;
const LEVEL: f64 = 104.0;
const GAP: f64 = 18.0;
const FONT: f64 = 13.0;
const SMALL: f64 = 11.0;
/// Boxes are as wide as the widest text wants, within this.
const BOX_WIDTHS: (f64, f64) = (84.0, 216.0);
/// Digits of numbers in boxes.
const DIGITS: usize = 5;
/// Categories that are named in a box; the others are counted.
const NAMED: usize = 3;

/// One box.
struct Drawn {
    class: &'static str,
    level: u32,
    main: String,
    small: String,
    title: String,
    /// The edge to it.
    answer: Option<Answer>,
}

/// An edge.
struct Answer {
    word: &'static str,
    is_left: bool,
    /// Whether missing values take it.
    missing: bool,
}

/// Draws tree number `index`.
pub(super) fn draw(model: &Model, index: usize, levels: u32) -> Result<String, PlotError> {
    let tree = &model.trees[index];
    let depths = tree.depths();
    let shown: Vec<usize> = order(tree, &depths, levels);
    if shown.len() > MAX_NODES {
        return Err(PlotError { tree: index });
    }
    let mut place = vec![usize::MAX; tree.nodes.len()];
    for (position, node) in shown.iter().enumerate() {
        place[*node] = position;
    }
    let children = |node: &usize| {
        let (left, right) = tree.children(*node).filter(|_| depths[*node] < levels)?;
        Some((place[left], place[right]))
    };
    let shape = Shape {
        children: shown.iter().map(children).collect(),
    };
    let mut boxes: Vec<Drawn> = shown
        .iter()
        .map(|node| describe(model, tree, *node, depths[*node], levels))
        .collect();
    for (position, node) in shown.iter().enumerate() {
        if let (Some((left, right)), Some((yes_left, missing_left))) =
            (shape.children[position], answers(tree, *node))
        {
            let answer = |is_left, missing| Answer {
                word: if is_left == yes_left { "yes" } else { "no" },
                is_left,
                missing,
            };
            boxes[left].answer = Some(answer(true, missing_left));
            boxes[right].answer = Some(answer(false, !missing_left));
        }
    }
    Ok(picture(&title(model, index), &shape, &boxes))
}

/// The nodes down to a level, parents before children.
fn order(tree: &Tree, depths: &[u32], levels: u32) -> Vec<usize> {
    let mut order = vec![0];
    let mut next = 0;
    while next < order.len() && order.len() <= MAX_NODES {
        let node = order[next];
        next += 1;
        if let Some((left, right)) = tree.children(node)
            && depths[node] < levels
        {
            order.extend([left, right]);
        }
    }
    order
}

fn title(model: &Model, index: usize) -> String {
    let round = model
        .iteration_indptr
        .partition_point(|start| *start as usize <= index);
    let mut title = format!("Tree {index} · round {}", round.saturating_sub(1));
    if model.outputs() > 1 {
        title.push_str(&format!(" · output {}", model.tree_info[index]));
    }
    if model.weight_drop.is_some() {
        title.push_str(&format!(
            " · weight {}",
            significant(model.weight(index), DIGITS)
        ));
    }
    title
}

/// Whether "yes" is to the left of a split, and whether missing values go there.
fn answers(tree: &Tree, node: usize) -> Option<(bool, bool)> {
    match &tree.nodes[node].kind {
        NodeKind::Split {
            split,
            default_left,
            ..
        } => Some((matches!(split, Split::Below(_)), *default_left)),
        NodeKind::Leaf { .. } | NodeKind::Deleted => None,
    }
}

fn describe(model: &Model, tree: &Tree, node: usize, level: u32, levels: u32) -> Drawn {
    let cover = significant(tree.nodes[node].sum_hessian, DIGITS);
    let mut drawn = Drawn {
        class: "more",
        level,
        main: String::new(),
        small: format!("cover {cover}"),
        title: String::new(),
        answer: None,
    };
    match &tree.nodes[node].kind {
        NodeKind::Split { .. } if level >= levels => {
            let (splits, leaves) = below(tree, node);
            drawn.main = format!("{leaves} leaves");
            drawn.title =
                format!("node {node}: {splits} splits and {leaves} leaves, cover {cover}");
        }
        NodeKind::Split {
            feature,
            split,
            loss_change,
            ..
        } => {
            let gain = significant(*loss_change, DIGITS);
            let condition = condition(model, *feature as usize, split, usize::MAX);
            drawn.class = "split";
            drawn.main = self::condition(model, *feature as usize, split, NAMED);
            drawn.small = format!("gain {gain} · cover {cover}");
            drawn.title = format!("node {node}: {condition}, gain {gain}, cover {cover}");
        }
        NodeKind::Leaf { value } => {
            drawn.class = if *value < 0.0 { "down" } else { "up" };
            drawn.main = significant(*value, DIGITS);
            drawn.title = format!("leaf {node}: {}, cover {cover}", significant(*value, 9));
        }
        NodeKind::Deleted => {}
    }
    drawn
}

/// Splits and leaves of a subtree.
fn below(tree: &Tree, node: usize) -> (usize, usize) {
    let (mut splits, mut leaves) = (0, 0);
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match tree.children(node) {
            Some((left, right)) => {
                splits += 1;
                open.extend([left, right]);
            }
            None => leaves += 1,
        }
    }
    (splits, leaves)
}

/// What a split asks, with at most `named` categories by name.
fn condition(model: &Model, feature: usize, split: &Split, named: usize) -> String {
    let name = model.feature_name(feature);
    let feature = model.features.get(feature);
    match split {
        Split::Below(condition) if feature.is_some_and(|one| one.kind == FeatureKind::Int) => {
            format!("{name} < {}", significant(condition.ceil(), 9))
        }
        Split::Below(condition) => format!("{name} < {}", significant(*condition, DIGITS)),
        Split::Categories(codes) => {
            let words = feature.and_then(|feature| feature.categories.as_ref());
            let word = |code: &u32| match words {
                Some(Categories::Text(names)) => names.get(*code as usize).cloned(),
                Some(Categories::Int(values)) => {
                    values.get(*code as usize).map(|value| value.to_string())
                }
                None => None,
            };
            let mut words: Vec<String> = codes
                .iter()
                .take(named)
                .map(|code| word(code).unwrap_or_else(|| code.to_string()))
                .collect();
            if codes.len() > named {
                words.push(format!("+{}", codes.len() - named));
            }
            format!("{name} ∈ {{{}}}", words.join(", "))
        }
    }
}

fn picture(title: &str, shape: &Shape, boxes: &[Drawn]) -> String {
    let wanted = boxes.iter().fold(BOX_WIDTHS.0, |most, one| {
        most.max(width(&one.main) * FONT + 20.0)
            .max(width(&one.small) * SMALL + 16.0)
    });
    let box_width = wanted.min(BOX_WIDTHS.1);
    let middles = shape.place(box_width + GAP);
    let right = middles
        .iter()
        .fold(0.0_f64, |most, middle| most.max(*middle));
    let bottom = boxes.iter().map(|one| one.level).max().unwrap_or(0);
    let page_width =
        (right + (box_width + GAP) / 2.0 + 2.0 * MARGIN).max(width(title) * 15.0 + 2.0 * MARGIN);
    let page_height = HEADER + f64::from(bottom) * LEVEL + BOX_HEIGHT + 2.0 * MARGIN;
    let top = |level: u32| MARGIN + HEADER + f64::from(level) * LEVEL;

    let mut picture = Picture::new(title, page_width, page_height);
    picture.text("title", (MARGIN, MARGIN + 12.0), Anchor::Start, title);
    let legend = "strong edge: where missing values go";
    picture.text("small", (MARGIN, MARGIN + 30.0), Anchor::Start, legend);
    for (node, children) in shape.children.iter().enumerate() {
        let from = (MARGIN + middles[node], top(boxes[node].level) + BOX_HEIGHT);
        for child in children.iter().flat_map(|(left, right)| [*left, *right]) {
            let to = (MARGIN + middles[child], top(boxes[child].level));
            let missing = boxes[child]
                .answer
                .as_ref()
                .is_some_and(|answer| answer.missing);
            let class = if missing { "edge default" } else { "edge" };
            picture.curve(class, from, to);
        }
    }
    for (one, middle) in boxes.iter().zip(&middles) {
        let x = MARGIN + middle;
        let y = top(one.level);
        // The edge comes from the other side.
        if let Some(answer) = &one.answer {
            let (x, anchor) = match answer.is_left {
                true => (x - 8.0, Anchor::End),
                false => (x + 8.0, Anchor::Start),
            };
            picture.text("small", (x, y - 7.0), anchor, answer.word);
        }
        picture.group(&one.title, |picture| {
            let round = if one.class == "split" {
                6.0
            } else {
                BOX_HEIGHT / 2.0
            };
            let corner = (x - box_width / 2.0, y);
            picture.rect(one.class, corner, (box_width, BOX_HEIGHT), round);
            let main = cut(&one.main, (box_width - 16.0) / FONT);
            picture.text("main", (x, y + 18.0), Anchor::Middle, &main);
            let small = cut(&one.small, (box_width - 12.0) / SMALL);
            picture.text("small", (x, y + 33.0), Anchor::Middle, &small);
        });
    }
    picture.finish()
}
