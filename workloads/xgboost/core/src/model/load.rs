//! Reading a model by XGBoost's schema.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Model, cats,
    error::ModelError,
    reader::{self, Kind, Reader},
    tree_fields,
};
use crate::{
    data::{Categories, Feature, FeatureKind, libsvm},
    objective,
    tree::{NodeKind, Tree},
};

/// Most features a model may have, as many as a table: so many are kept, whether trees ask for them
/// or not.
const MAX_FEATURES: usize = libsvm::MAX_FEATURES as usize;

/// Most numbers a row a model may predict.
const MAX_OUTPUTS: usize = 1 << 16;

/// The object `learner`.
#[derive(Default)]
struct Learner {
    attributes: BTreeMap<String, String>,
    names: Vec<String>,
    kinds: Vec<FeatureKind>,
    booster: Option<Booster>,
    param: Option<Param>,
    objective: Option<Value>,
}

/// The object `learner_model_param`.
#[derive(Default)]
struct Param {
    base_score: Vec<f32>,
    num_class: usize,
    num_target: usize,
    num_feature: usize,
    boost_from_average: bool,
}

/// The object `gradient_booster`, with what `dart` of XGBoost before 3.4 has around it.
#[derive(Default)]
struct Booster {
    name: String,
    /// Where the trees are, for errors.
    place: &'static str,
    trees: Option<Vec<Tree>>,
    tree_info: Option<Vec<i32>>,
    iteration_indptr: Option<Vec<i32>>,
    weight_drop: Option<Vec<f32>>,
    cats: Vec<Option<Categories>>,
    num_trees: Option<usize>,
    num_parallel_tree: u32,
}

/// Reads a whole model.
pub(super) fn read(reader: &mut dyn Reader) -> Result<Model, ModelError> {
    let mut learner = None;
    reader.object()?;
    while let Some(key) = reader.key()? {
        match key.as_str() {
            "learner" => {
                learner = Some(read_learner(reader).map_err(|error| error.within("learner"))?);
            }
            // Whatever wrote it, the fields say whether it can be read.
            _ => reader::skip(reader)?,
        }
    }
    let learner = learner.ok_or_else(|| missing("learner"))?;
    learner.finish()
}

fn missing(field: &str) -> ModelError {
    ModelError::field(field, "missing")
}

fn read_learner(reader: &mut dyn Reader) -> Result<Learner, ModelError> {
    let mut learner = Learner::default();
    reader.object()?;
    while let Some(key) = reader.key()? {
        let read = match key.as_str() {
            "attributes" => read_attributes(reader).map(|value| learner.attributes = value),
            "feature_names" => reader::texts(reader).map(|value| learner.names = value),
            "feature_types" => read_kinds(reader).map(|value| learner.kinds = value),
            "gradient_booster" => {
                let mut booster = Booster::default();
                let read = booster.read(reader);
                learner.booster = Some(booster);
                read
            }
            "learner_model_param" => read_param(reader).map(|value| learner.param = Some(value)),
            "objective" => reader::value(reader).map(|value| learner.objective = Some(value)),
            _ => reader::skip(reader),
        };
        read.map_err(|error| error.within(&key))?;
    }
    Ok(learner)
}

fn read_attributes(reader: &mut dyn Reader) -> Result<BTreeMap<String, String>, ModelError> {
    let mut attributes = BTreeMap::new();
    reader.object()?;
    while let Some(key) = reader.key()? {
        let value = reader::text(reader).map_err(|error| error.within(&key))?;
        attributes.insert(key, value);
    }
    Ok(attributes)
}

fn read_kinds(reader: &mut dyn Reader) -> Result<Vec<FeatureKind>, ModelError> {
    let kind = |(index, name): (usize, String)| match name.as_str() {
        "float" | "q" => Ok(FeatureKind::Float),
        "int" => Ok(FeatureKind::Int),
        "i" => Ok(FeatureKind::Indicator),
        "c" => Ok(FeatureKind::Categorical),
        _ => {
            let reason = format!("element {index}: expected float, int, i, q or c; found {name:?}");
            Err(ModelError::field("", reason))
        }
    };
    reader::texts(reader)?
        .into_iter()
        .enumerate()
        .map(kind)
        .collect()
}

fn read_param(reader: &mut dyn Reader) -> Result<Param, ModelError> {
    let mut param = Param {
        num_target: 1,
        boost_from_average: true,
        ..Param::default()
    };
    reader.object()?;
    while let Some(key) = reader.key()? {
        let read = match key.as_str() {
            "base_score" => read_base_score(reader).map(|value| param.base_score = value),
            "num_class" => reader::number_in_text(reader).map(|value| param.num_class = value),
            "num_target" => reader::number_in_text(reader).map(|value| param.num_target = value),
            "num_feature" => reader::number_in_text(reader).map(|value| param.num_feature = value),
            "boost_from_average" => reader::number_in_text(reader)
                .map(|value: u8| param.boost_from_average = value != 0),
            _ => reader::skip(reader),
        };
        read.map_err(|error| error.within(&key))?;
    }
    Ok(param)
}

/// `[5E-1,5E-1]`, or one number as XGBoost before 3.1 had it.
fn read_base_score(reader: &mut dyn Reader) -> Result<Vec<f32>, ModelError> {
    let text = reader::text(reader)?;
    let inner = text.trim();
    let inner = inner
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(inner);
    inner
        .split(',')
        .map(|number| {
            number
                .trim()
                .parse()
                .ok()
                .filter(|score: &f32| score.is_finite())
        })
        .collect::<Option<Vec<f32>>>()
        .ok_or_else(|| ModelError::field("", format!("expected finite numbers; found {text:?}")))
}

impl Booster {
    fn read(&mut self, reader: &mut dyn Reader) -> Result<(), ModelError> {
        self.num_parallel_tree = 1;
        self.place = "learner.gradient_booster.model";
        self.read_outer(reader, true)
    }

    fn read_outer(&mut self, reader: &mut dyn Reader, outermost: bool) -> Result<(), ModelError> {
        reader.object()?;
        while let Some(key) = reader.key()? {
            let read = match key.as_str() {
                "name" if outermost => reader::text(reader).map(|name| self.name = name),
                "gbtree" if outermost => {
                    self.place = "learner.gradient_booster.gbtree.model";
                    self.read_outer(reader, false)
                }
                "model" => self.read_model(reader),
                "weight_drop" => reader::floats(reader).map(|value| self.weight_drop = Some(value)),
                _ => reader::skip(reader),
            };
            read.map_err(|error| error.within(&key))?;
        }
        Ok(())
    }

    fn read_model(&mut self, reader: &mut dyn Reader) -> Result<(), ModelError> {
        reader.object()?;
        while let Some(key) = reader.key()? {
            let read = match key.as_str() {
                "gbtree_model_param" => self.read_model_param(reader),
                "trees" => read_trees(reader).map(|value| self.trees = Some(value)),
                "tree_info" => reader::ints(reader).map(|value| self.tree_info = Some(value)),
                "iteration_indptr" => {
                    reader::ints(reader).map(|value| self.iteration_indptr = Some(value))
                }
                "weight_drop" => reader::floats(reader).map(|value| self.weight_drop = Some(value)),
                "cats" => cats::read(reader).map(|value| self.cats = value),
                _ => reader::skip(reader),
            };
            read.map_err(|error| match key.as_str() {
                "trees" => error,
                _ => error.within(&key),
            })?;
        }
        Ok(())
    }

    fn read_model_param(&mut self, reader: &mut dyn Reader) -> Result<(), ModelError> {
        reader.object()?;
        while let Some(key) = reader.key()? {
            let read = match key.as_str() {
                "num_trees" => {
                    reader::number_in_text(reader).map(|value| self.num_trees = Some(value))
                }
                "num_parallel_tree" => reader::number_in_text(reader)
                    .map(|value: u32| self.num_parallel_tree = value.max(1)),
                _ => reader::skip(reader),
            };
            read.map_err(|error| error.within(&key))?;
        }
        Ok(())
    }

    /// The first tree of each round and the end, checked against the trees.
    fn rounds(&mut self, trees: usize, tree_info: &[u32]) -> Result<Vec<u32>, ModelError> {
        let field = "iteration_indptr";
        let Some(starts) = self.iteration_indptr.take() else {
            // XGBoost before 2.0: every round has as many.
            let groups = tree_info.iter().max().map_or(1, |last| *last as usize + 1);
            let round = (self.num_parallel_tree as usize).saturating_mul(groups);
            if !trees.is_multiple_of(round) {
                let reason = format!("expected a multiple of {round} trees; found {trees}");
                return Err(ModelError::field("trees", reason));
            }
            return Ok((0..=trees)
                .step_by(round)
                .map(|start| start as u32)
                .collect());
        };
        let ascending = starts.is_sorted()
            && starts.first() == Some(&0)
            && starts.last().is_some_and(|end| *end as usize == trees);
        if !ascending {
            let reason = format!("expected an ascending order from 0 to {trees}");
            return Err(ModelError::field(field, reason));
        }
        Ok(starts.into_iter().map(|start| start as u32).collect())
    }
}

fn read_trees(reader: &mut dyn Reader) -> Result<Vec<Tree>, ModelError> {
    let mut trees = Vec::new();
    reader.array().map_err(|error| error.within("trees"))?;
    while reader.item()? {
        let place = format!("trees[{}]", trees.len());
        if reader.peek()? != Kind::Object {
            return Err(ModelError::field(&place, "expected an object"));
        }
        let tree = tree_fields::read(reader, trees.len());
        trees.push(tree.map_err(|error| error.within(&place))?);
    }
    Ok(trees)
}

impl Learner {
    /// Puts together what was read, if it fits.
    fn finish(self) -> Result<Model, ModelError> {
        let param = self
            .param
            .ok_or_else(|| missing("learner.learner_model_param"))?;
        let outputs = param.outputs()?;
        let booster = self
            .booster
            .ok_or_else(|| missing("learner.gradient_booster"))?;
        let features = features(param.num_feature, self.names, self.kinds, &booster.cats)
            .map_err(|error| error.within("learner"))?;
        let objective = self.objective.ok_or_else(|| missing("learner.objective"))?;
        let objective = objective::from_json(&objective)?;
        if objective.outputs() > 1 && objective.outputs() != outputs {
            let reason = format!("has {} outputs, the model {outputs}", objective.outputs());
            return Err(ModelError::field("learner.objective", reason));
        }
        let mut model = Model {
            objective,
            base_score: param.base_score(outputs)?,
            num_class: param.num_class as u32,
            boost_from_average: param.boost_from_average,
            features,
            num_parallel_tree: booster.num_parallel_tree,
            trees: Vec::new(),
            tree_info: Vec::new(),
            iteration_indptr: Vec::new(),
            weight_drop: None,
            attributes: self.attributes,
        };
        booster.finish(&mut model)?;
        Ok(model)
    }
}

impl Booster {
    fn finish(mut self, model: &mut Model) -> Result<(), ModelError> {
        if !matches!(self.name.as_str(), "gbtree" | "dart") {
            return Err(ModelError::Unsupported(format!(
                "booster {:?} is not supported; expected gbtree or dart",
                self.name
            )));
        }
        let place = self.place;
        let inside = |error: ModelError| error.within(place);
        let trees = self.trees.take().ok_or_else(|| inside(missing("trees")))?;
        if self.num_trees.is_some_and(|number| number != trees.len()) {
            let reason = format!("found {} trees", trees.len());
            return Err(inside(ModelError::field(
                "gbtree_model_param.num_trees",
                reason,
            )));
        }
        let tree_info = self
            .tree_info
            .take()
            .ok_or_else(|| inside(missing("tree_info")))?;
        model.tree_info =
            check_tree_info(&tree_info, trees.len(), model.outputs()).map_err(inside)?;
        model.iteration_indptr = self.rounds(trees.len(), &model.tree_info).map_err(inside)?;
        model.num_parallel_tree = self.num_parallel_tree;
        if let Some(mut weights) = self.weight_drop.take() {
            if weights.len() > trees.len() {
                return Err(inside(ModelError::field(
                    "weight_drop",
                    "more weights than trees",
                )));
            }
            weights.resize(trees.len(), 1.0);
            model.weight_drop = Some(weights);
        } else if self.name == "dart" {
            model.weight_drop = Some(vec![1.0; trees.len()]);
        }
        for (index, tree) in trees.iter().enumerate() {
            check_features(tree, &model.features)
                .map_err(|error| inside(error.within(&format!("trees[{index}]"))))?;
        }
        model.trees = trees;
        Ok(())
    }
}

fn check_tree_info(info: &[i32], trees: usize, outputs: usize) -> Result<Vec<u32>, ModelError> {
    if info.len() != trees {
        let reason = format!(
            "expected one entry for each of {trees} trees; found {}",
            info.len()
        );
        return Err(ModelError::field("tree_info", reason));
    }
    info.iter()
        .map(|output| {
            u32::try_from(*output)
                .ok()
                .filter(|output| (*output as usize) < outputs)
        })
        .collect::<Option<Vec<u32>>>()
        .ok_or_else(|| ModelError::field("tree_info", format!("expected less than {outputs}")))
}

/// Splits ask for features there are.
fn check_features(tree: &Tree, features: &[Feature]) -> Result<(), ModelError> {
    for (index, node) in tree.nodes.iter().enumerate() {
        if let NodeKind::Split { feature, .. } = node.kind
            && feature as usize >= features.len()
        {
            let reason = format!(
                "node {index}: expected less than num_feature, {}; found {feature}",
                features.len()
            );
            return Err(ModelError::field("split_indices", reason));
        }
    }
    Ok(())
}

impl Param {
    fn outputs(&self) -> Result<usize, ModelError> {
        let place = "learner.learner_model_param";
        if self.num_class > 1 && self.num_target > 1 {
            let reason = "several classes of several targets are not supported";
            return Err(ModelError::field("num_target", reason).within(place));
        }
        let outputs = self.num_class.max(self.num_target).max(1);
        if outputs > MAX_OUTPUTS {
            let reason = format!("expected at most {MAX_OUTPUTS} outputs; found {outputs}");
            return Err(ModelError::field("num_class", reason).within(place));
        }
        Ok(outputs)
    }

    /// One number an output; one for all is repeated.
    fn base_score(&self, outputs: usize) -> Result<Vec<f32>, ModelError> {
        match self.base_score.as_slice() {
            [] => Err(missing("learner.learner_model_param.base_score")),
            [score] => Ok(vec![*score; outputs]),
            scores if scores.len() == outputs => Ok(scores.to_vec()),
            scores => {
                let reason = format!("expected 1 or {outputs} numbers; found {}", scores.len());
                Err(ModelError::field(
                    "learner.learner_model_param.base_score",
                    reason,
                ))
            }
        }
    }
}

/// The columns, out of the lists there are of them.
fn features(
    count: usize,
    names: Vec<String>,
    kinds: Vec<FeatureKind>,
    cats: &[Option<Categories>],
) -> Result<Vec<Feature>, ModelError> {
    if count == 0 || count > MAX_FEATURES {
        let reason = format!("expected 1 to {MAX_FEATURES}; found {count}");
        return Err(ModelError::field("learner_model_param.num_feature", reason));
    }
    for (field, length) in [
        ("feature_names", names.len()),
        ("feature_types", kinds.len()),
        ("gradient_booster.model.cats.enc", cats.len()),
    ] {
        if length != 0 && length != count {
            let reason = format!("expected none or num_feature, {count}; found {length}");
            return Err(ModelError::field(field, reason));
        }
    }
    let mut names = names.into_iter();
    Ok((0..count)
        .map(|index| Feature {
            name: names.next().unwrap_or_default(),
            kind: kinds.get(index).copied().unwrap_or_default(),
            categories: cats.get(index).cloned().flatten(),
        })
        .collect())
}
