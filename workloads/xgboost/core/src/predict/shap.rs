//! Exact SHAP values of one tree.
//!
//! The value of a feature is its marginal effect, averaged over all orders in which features
//! become known. As an integral over the share `t` of features known, of a product with one
//! factor `1 + (p - 1) t` for each feature on a path (`p` is the inverse of the rows' share that
//! goes on, or 0 where the row itself does not), it is a sum over 8 points of Gauss's rule, and
//! one walk over the tree gives all features' values. XGBoost 3.4 does the same; so the numbers
//! agree to a few last bits of single precision, because sums are in the same order.
//!
//! A walk goes past every node whatever the row, so several rows walk together: each has a lane of
//! its own, where just those operations take place that would without the others.

use std::array::from_fn;

use super::{PredictError, ask::ask};
use crate::tree::{NodeKind, Tree};

/// Rows that walk together.
pub(super) const LANES: usize = 8;

/// One number for each row that walks.
pub(super) type Lanes = [f32; LANES];

/// Points of the rule.
const POINTS: usize = 8;

/// One number for each point.
type Points = [f32; POINTS];

/// One number for each point and row.
pub(super) type Basis = [Lanes; POINTS];

/// Gauss's rule of 8 points over -1 to 1: the positive points and their weights.
const GAUSS: [(f64, f64); POINTS / 2] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_27),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
];

/// The rule over 0 to 1 for `t = s²`: integrals of polynomials in `t` up to degree 7 are exact.
const RULE: (Points, Points) = rule();

const fn rule() -> (Points, Points) {
    let (mut points, mut weights) = ([0.0; POINTS], [0.0; POINTS]);
    let mut index = 0;
    while index < POINTS {
        let (x, weight) = if index < POINTS / 2 {
            let (x, weight) = GAUSS[POINTS / 2 - 1 - index];
            (-x, weight)
        } else {
            GAUSS[index - POINTS / 2]
        };
        let s = 0.5 * (x + 1.0);
        points[index] = (s * s) as f32;
        weights[index] = (s * weight) as f32;
        index += 1;
    }
    (points, weights)
}

/// The least share of rows a child is taken to have.
const MIN_SHARE: f32 = 1e-12;

/// A feature that no split above asks. Known ones are never negative.
const UNSEEN: f32 = -1.0;

/// How rows spread over a tree.
pub(super) struct Cover {
    /// The share of its parent's rows that each node has.
    shares: Vec<f32>,
    mean: f64,
    features: Vec<u32>,
}

impl Cover {
    /// Measures tree number `index` of a model.
    pub(super) fn new(tree: &Tree, index: usize) -> Result<Self, PredictError> {
        let mut shares = vec![1.0_f32; tree.nodes.len()];
        let mut means = vec![0.0_f64; tree.nodes.len()];
        let mut features = Vec::new();
        // Children have larger numbers.
        for (number, node) in tree.nodes.iter().enumerate().rev() {
            let (left, right) = match node.kind {
                NodeKind::Leaf { value } => {
                    means[number] = f64::from(value);
                    continue;
                }
                NodeKind::Deleted => continue,
                NodeKind::Split {
                    left,
                    right,
                    feature,
                    ..
                } => {
                    features.push(feature);
                    (left as usize, right as usize)
                }
            };
            for number in [number, left, right] {
                let cover = tree.nodes[number].sum_hessian;
                if cover.is_nan() || cover < 0.0 {
                    let (tree, node) = (index, number);
                    return Err(PredictError::Cover { tree, node });
                }
            }
            let own = node.sum_hessian;
            let cover = |child: usize| tree.nodes[child].sum_hessian;
            for child in [left, right] {
                shares[child] = match own {
                    0.0 => 0.5,
                    _ => (cover(child) / own).max(MIN_SHARE),
                };
            }
            let weighted = |child: usize| means[child] * f64::from(cover(child));
            means[number] = match own {
                0.0 => 0.5 * (means[left] + means[right]),
                _ => (weighted(left) + weighted(right)) / f64::from(own),
            };
        }
        features.sort_unstable();
        features.dedup();
        Ok(Self {
            shares,
            mean: means[0],
            features,
        })
    }

    /// What the tree says on average.
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// The features it asks, ascending.
    pub(super) fn features(&self) -> &[u32] {
        &self.features
    }
}

/// Takes what comes back along an edge of the tree.
pub(super) trait Sink {
    /// The split above the edge, what its feature's factor is below (`enter`) and was above
    /// (`exit`), and what the leaves below come to at each point.
    fn edge(&mut self, path: &[(usize, Lanes)], enter: Lanes, exit: Lanes, below: &Basis);
}

/// Adds up values of features.
pub(super) struct Additive<'a> {
    /// One a feature, and one more that is left alone.
    pub(super) values: &'a mut [Lanes],
}

impl Sink for Additive<'_> {
    fn edge(&mut self, path: &[(usize, Lanes)], enter: Lanes, exit: Lanes, below: &Basis) {
        if let Some((feature, _)) = path.last() {
            add(&mut self.values[*feature], effect(below, enter, exit));
        }
    }
}

/// Adds up values of pairs, each pair from both sides.
pub(super) struct Interactions<'a> {
    /// Values of features.
    pub(super) diagonal: &'a mut [Lanes],
    /// Values of pairs.
    pub(super) matrix: &'a mut [Lanes],
    /// Weight of the tree.
    pub(super) weight: f32,
}

impl Sink for Interactions<'_> {
    fn edge(&mut self, path: &[(usize, Lanes)], enter: Lanes, exit: Lanes, below: &Basis) {
        let Some(((feature, _), above)) = path.split_last() else {
            return;
        };
        let weighted = |effect: Lanes| effect.map(|effect| self.weight * effect);
        let own = weighted(effect(below, enter, exit));
        add(&mut self.diagonal[*feature], own);
        let columns = self.diagonal.len();
        for (index, (partner, factor)) in above.iter().enumerate().rev() {
            // Of several splits by one feature the lowest has the factor that counts.
            let shadowed =
                |lower: &[(usize, Lanes)]| lower.iter().any(|(other, _)| other == partner);
            if partner == feature || shadowed(&above[index + 1..]) {
                continue;
            }
            let both = weighted(pair_effect(below, enter, exit, *factor));
            add(&mut self.matrix[feature * columns + partner], both);
        }
    }
}

/// Adds in every lane.
fn add(sums: &mut Lanes, more: Lanes) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// The effect of a feature whose factor goes from `exit` to `enter`.
fn effect(below: &Basis, enter: Lanes, exit: Lanes) -> Lanes {
    let mut sum = [0.0; LANES];
    for (factor, sign) in [(enter, 1.0), (exit, -1.0)] {
        // Of a feature that no split above asks, in every lane.
        if factor == [1.0; LANES] {
            continue;
        }
        let alpha = factor.map(|factor| factor - 1.0);
        for (value, point) in below.iter().zip(&RULE.0) {
            for ((sum, alpha), value) in sum.iter_mut().zip(alpha).zip(value) {
                let term = sign * (alpha * value / (1.0 + alpha * point));
                // Nothing, even of what is not finite.
                *sum += if alpha == 0.0 { 0.0 } else { term };
            }
        }
    }
    sum
}

/// The same, as far as it depends on another feature with `partner` for its factor.
fn pair_effect(below: &Basis, enter: Lanes, exit: Lanes, partner: Lanes) -> Lanes {
    let mut sum = [0.0; LANES];
    for (value, point) in below.iter().zip(&RULE.0) {
        let term = |lane: usize| {
            let [enter, exit, partner] = [enter, exit, partner].map(|factor| factor[lane] - 1.0);
            let edge = enter / (1.0 + enter * point) - exit / (1.0 + exit * point);
            let term = partner * value[lane] * edge / (1.0 + partner * point);
            if partner == 0.0 { 0.0 } else { term }
        };
        add(&mut sum, from_fn(term));
    }
    sum
}

/// Which child is below.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Neither,
    Left,
    Right,
}

/// A node being visited.
struct Frame {
    node: usize,
    stage: Stage,
    /// Product of the factors above, at each point.
    product: Basis,
    /// Share of all rows.
    share: f32,
    /// The factor of the node's feature above it, or [`UNSEEN`], which all rows have or none.
    exit: Lanes,
    /// The same below, on the side visited.
    enter: Lanes,
    goes_left: [bool; LANES],
    feature: usize,
    /// What the left side came to.
    left: Basis,
}

/// Walks trees; keeps its memory for the next.
pub(super) struct Walk {
    factors: Vec<Lanes>,
    frames: Vec<Frame>,
    path: Vec<(usize, Lanes)>,
}

impl Walk {
    /// For rows of so many features.
    pub(super) fn new(features: usize) -> Self {
        Self {
            factors: vec![[UNSEEN; LANES]; features],
            frames: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Gives `sink` every edge of `tree` for some rows: in `rows` each feature has a value of every
    /// row, in the order of lanes.
    pub(super) fn run(&mut self, tree: &Tree, cover: &Cover, rows: &[f32], sink: &mut impl Sink) {
        if tree.children(0).is_none() {
            return;
        }
        let mut below = [[0.0; LANES]; POINTS];
        self.frames.push(Frame::new(0, [[1.0; LANES]; POINTS], 1.0));
        while let Some(frame) = self.frames.last_mut() {
            let Some((left, right)) = tree.children(frame.node) else {
                unreachable!("leaves are not pushed");
            };
            if frame.stage == Stage::Neither {
                for (lane, left) in frame.goes_left.iter_mut().enumerate() {
                    if let Some((goes_left, feature)) = ask(tree, frame.node, rows, (lane, LANES)) {
                        (*left, frame.feature) = (goes_left, feature);
                    }
                }
                frame.exit = self.factors[frame.feature];
            } else {
                let exit = frame
                    .exit
                    .map(|exit| if exit == UNSEEN { 1.0 } else { exit });
                sink.edge(&self.path, frame.enter, exit, &below);
                self.path.pop();
                self.factors[frame.feature] = frame.exit;
            }
            let child = match frame.stage {
                Stage::Neither => {
                    frame.stage = Stage::Left;
                    left
                }
                Stage::Left => {
                    frame.left = below;
                    frame.stage = Stage::Right;
                    right
                }
                Stage::Right => {
                    for (below, left) in below.iter_mut().zip(frame.left) {
                        add(below, left);
                    }
                    self.frames.pop();
                    continue;
                }
            };
            let share = cover.shares[child];
            frame.enter = from_fn(|lane| {
                let follows = frame.goes_left[lane] == (frame.stage == Stage::Left);
                match (follows, frame.exit[lane]) {
                    (false, _) => 0.0,
                    (true, UNSEEN) => 1.0 / share,
                    (true, exit) => exit / share,
                }
            });
            let (product, share) = (frame.product_below(), frame.share * share);
            self.path.push((frame.feature, frame.enter));
            if tree.children(child).is_none() {
                let scale = share * tree.leaf_value(child).unwrap_or(0.0);
                let weights = product.iter().zip(&RULE.1);
                for (below, (product, weight)) in below.iter_mut().zip(weights) {
                    *below = product.map(|product| product * scale * weight);
                }
            } else {
                self.factors[frame.feature] = frame.enter;
                self.frames.push(Frame::new(child, product, share));
            }
        }
    }
}

impl Frame {
    fn new(node: usize, product: Basis, share: f32) -> Self {
        Self {
            node,
            stage: Stage::Neither,
            product,
            share,
            exit: [UNSEEN; LANES],
            enter: [UNSEEN; LANES],
            goes_left: [false; LANES],
            feature: 0,
            left: [[0.0; LANES]; POINTS],
        }
    }

    /// The product with the feature's factor in place of the one it had above.
    fn product_below(&self) -> Basis {
        let mut product = self.product;
        for (values, point) in product.iter_mut().zip(&RULE.0) {
            for (value, enter) in values.iter_mut().zip(self.enter) {
                *value *= 1.0 + (enter - 1.0) * point;
            }
        }
        if self.exit[0] != UNSEEN {
            for (values, point) in product.iter_mut().zip(&RULE.0) {
                for (value, exit) in values.iter_mut().zip(self.exit) {
                    *value /= 1.0 + (exit - 1.0) * point;
                }
            }
        }
        product
    }
}
