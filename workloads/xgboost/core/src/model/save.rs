//! Writing a model by XGBoost's schema.

use super::{Model, cats, json, tree_fields, writer, writer::Writer};
use crate::data::FeatureKind;

/// The version of XGBoost whose models these are.
const VERSION: [i64; 3] = [3, 4, 1];

/// Writes a whole model. Keys are in the order XGBoost has them in, the alphabet's.
pub(super) fn write(writer: &mut dyn Writer, model: &Model) {
    writer.object();
    writer.key("learner");
    write_learner(writer, model);
    writer.key("version");
    write_ints(writer, VERSION.into_iter());
    writer.end_object();
}

fn write_learner(writer: &mut dyn Writer, model: &Model) {
    writer.object();
    writer.key("attributes");
    writer.object();
    for (key, value) in &model.attributes {
        write_text(writer, key, value);
    }
    writer.end_object();
    let named = model.has_names();
    writer.key("feature_names");
    let names = || model.features.iter().map(|feature| feature.name.as_str());
    write_texts(writer, named, model.features.len(), &mut names());
    // Without names or types XGBoost has neither.
    let typed = named
        || model
            .features
            .iter()
            .any(|feature| feature.kind != FeatureKind::Float);
    writer.key("feature_types");
    let kinds = || model.features.iter().map(|feature| kind_name(feature.kind));
    write_texts(writer, typed, model.features.len(), &mut kinds());
    writer.key("gradient_booster");
    write_booster(writer, model);
    writer.key("learner_model_param");
    write_param(writer, model);
    writer.key("objective");
    writer::value(writer, &model.objective.to_json());
    writer.end_object();
}

/// XGBoost's name for what a feature holds.
pub(super) fn kind_name(kind: FeatureKind) -> &'static str {
    match kind {
        FeatureKind::Float => "float",
        FeatureKind::Int => "int",
        FeatureKind::Indicator => "i",
        FeatureKind::Categorical => "c",
    }
}

/// XGBoost 3.4 writes `dart`, too, as `gbtree`: with weights of its trees.
fn write_booster(writer: &mut dyn Writer, model: &Model) {
    writer.object();
    writer.key("model");
    writer.object();
    writer.key("cats");
    cats::write(writer, &model.features);
    writer.key("gbtree_model_param");
    writer.object();
    write_text(
        writer,
        "num_parallel_tree",
        &model.num_parallel_tree.to_string(),
    );
    write_text(writer, "num_trees", &model.trees.len().to_string());
    writer.end_object();
    writer.key("iteration_indptr");
    write_ints(
        writer,
        model.iteration_indptr.iter().map(|start| i64::from(*start)),
    );
    writer.key("tree_info");
    write_ints(
        writer,
        model.tree_info.iter().map(|output| i64::from(*output)),
    );
    writer.key("trees");
    writer.array(model.trees.len());
    for (index, tree) in model.trees.iter().enumerate() {
        tree_fields::write(writer, tree, index, model.features.len());
    }
    writer.end_array();
    if let Some(weights) = model
        .weight_drop
        .as_ref()
        .filter(|weights| !weights.is_empty())
    {
        writer.key("weight_drop");
        writer.array(weights.len());
        for weight in weights {
            writer.float(*weight);
        }
        writer.end_array();
    }
    writer.end_object();
    write_text(writer, "name", "gbtree");
    writer.end_object();
}

fn write_param(writer: &mut dyn Writer, model: &Model) {
    let scores: Vec<String> = model
        .base_score
        .iter()
        .map(|score| json::float(*score))
        .collect();
    let targets = if model.num_class > 1 {
        1
    } else {
        model.outputs()
    };
    writer.object();
    write_text(writer, "base_score", &format!("[{}]", scores.join(",")));
    write_text(
        writer,
        "boost_from_average",
        &u8::from(model.boost_from_average).to_string(),
    );
    write_text(writer, "num_class", &model.num_class.to_string());
    write_text(writer, "num_feature", &model.features.len().to_string());
    write_text(writer, "num_target", &targets.to_string());
    writer.end_object();
}

fn write_text(writer: &mut dyn Writer, key: &str, text: &str) {
    writer.key(key);
    writer.text(text);
}

fn write_texts(
    writer: &mut dyn Writer,
    any: bool,
    count: usize,
    texts: &mut dyn Iterator<Item = &str>,
) {
    writer.array(if any { count } else { 0 });
    if any {
        texts.for_each(|text| writer.text(text));
    }
    writer.end_array();
}

fn write_ints(writer: &mut dyn Writer, values: impl ExactSizeIterator<Item = i64>) {
    writer.array(values.len());
    for value in values {
        writer.int(value);
    }
    writer.end_array();
}
