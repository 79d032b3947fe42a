//! A trained model: what XGBoost's JSON and UBJSON hold.
//!
//! [`Model::parse`] reads what XGBoost 1.0 to 3.4 saves as JSON or UBJSON, [`Model::to_json`] and
//! [`Model::to_ubjson`] write what XGBoost 3.4 does. Files are hostile: whatever a file says, all
//! of it fits together once it is a [`Model`], or it is refused with the field that does not.
//!
//! Beside that: [`dump`] (trees as text), [`importance`] (what features count for), [`plot`]
//! (both as pictures).

use std::{collections::BTreeMap, ops::Range};

use crate::{
    data::{Feature, Schema},
    objective::Objective,
    tree::Tree,
};

mod cats;
pub mod dump;
mod error;
pub mod importance;
mod json;
mod load;
pub mod plot;

mod reader;
mod save;
mod tree_fields;
mod ubjson;
mod writer;

pub use error::ModelError;

/// A model of gradient boosted trees.
pub struct Model {
    /// The loss it was trained for.
    pub objective: Box<dyn Objective>,
    /// Constant prediction, one an output.
    pub base_score: Vec<f32>,
    /// Number of classes; 0 where there are none.
    pub num_class: u32,
    /// Whether `base_score` was estimated.
    pub boost_from_average: bool,
    /// Columns of a row. The names are empty where the model has none.
    pub features: Vec<Feature>,
    /// Trees grown at once for each output.
    pub num_parallel_tree: u32,
    /// The trees in the order they were grown.
    pub trees: Vec<Tree>,
    /// The output each tree adds to.
    pub tree_info: Vec<u32>,
    /// Where each round's trees start, and the end: rounds + 1 entries.
    pub iteration_indptr: Vec<u32>,
    /// Weight of each tree; `None` for `gbtree`, `Some` for `dart`.
    pub weight_drop: Option<Vec<f32>>,
    /// Free text, for instance `best_iteration` and `best_score`.
    pub attributes: BTreeMap<String, String>,
}

impl Model {
    /// Reads a model in JSON or UBJSON; which of them, the bytes tell.
    ///
    /// # Errors
    /// Neither of them, broken, not a model, or a model of a kind that is not supported (linear
    /// ones, trees with vector leaves). The error names the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, ModelError> {
        match bytes {
            // An object whose first key has a length: no JSON begins like this.
            [b'{', b'L', ..] => {
                let mut reader = ubjson::UbjsonReader::new(bytes);
                let model = load::read(&mut reader)?;
                reader.finish()?;
                Ok(model)
            }
            _ if bytes.trim_ascii_start().starts_with(b"{") => {
                let mut reader = json::JsonReader::new(bytes);
                let model = load::read(&mut reader)?;
                reader.finish()?;
                Ok(model)
            }
            [] => Err(ModelError::Format("found nothing".to_owned())),
            _ => Err(ModelError::Format(
                "found neither (models that XGBoost before 2.1 saved in its binary format have \
                 to be saved as JSON first)"
                    .to_owned(),
            )),
        }
    }

    /// The model as XGBoost's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut writer = json::JsonWriter::default();
        save::write(&mut writer, self);
        writer.into_bytes()
    }

    /// The model as XGBoost's UBJSON.
    pub fn to_ubjson(&self) -> Vec<u8> {
        let mut writer = ubjson::UbjsonWriter::default();
        save::write(&mut writer, self);
        writer.into_bytes()
    }

    /// Margins a row.
    pub fn outputs(&self) -> usize {
        self.base_score.len().max(1)
    }

    /// Rounds of boosting.
    pub fn rounds(&self) -> usize {
        self.iteration_indptr.len().saturating_sub(1)
    }

    /// The numbers of the trees grown in `rounds`, which are cut to those there are.
    pub fn trees_of(&self, rounds: Range<usize>) -> Range<usize> {
        let start = |round: usize| match self.iteration_indptr.get(round.min(self.rounds())) {
            Some(start) => *start as usize,
            None => 0,
        };
        let end = start(rounds.end);
        start(rounds.start).min(end)..end
    }

    /// The weight of tree number `tree`: 1 but for `dart`.
    pub fn weight(&self, tree: usize) -> f32 {
        let weights = self.weight_drop.as_deref().unwrap_or_default();
        weights.get(tree).copied().unwrap_or(1.0)
    }

    /// The constant to start from as a margin, one an output.
    pub fn base_margins(&self) -> Vec<f32> {
        let margin = |score: &f32| self.objective.score_to_margin(*score);
        self.base_score.iter().map(margin).collect()
    }

    /// Whether features have names.
    pub fn has_names(&self) -> bool {
        self.features.iter().any(|feature| !feature.name.is_empty())
    }

    /// The name of feature `index`, `f` and its number where it has none.
    pub fn feature_name(&self, index: usize) -> String {
        match self.features.get(index) {
            Some(feature) if !feature.name.is_empty() => feature.name.clone(),
            _ => format!("f{index}"),
        }
    }

    /// Refuses tables that are not like the one trained on: features by number, name (where the
    /// model has names) and kind (whether categorical).
    ///
    /// # Errors
    /// Names the first difference.
    pub fn check_schema(&self, schema: &Schema) -> Result<(), ModelError> {
        let differs = |reason| ModelError::field("feature_names", reason);
        let (expected, found) = (self.features.len(), schema.features.len());
        if expected != found {
            let reason = format!("the model has {expected} features, the table {found}");
            return Err(differs(reason));
        }
        let named = self.has_names();
        for (index, (ours, theirs)) in self.features.iter().zip(&schema.features).enumerate() {
            if named && ours.name != theirs.name {
                let names = format!("{:?}, in the table {:?}", ours.name, theirs.name);
                return Err(differs(format!("feature {index} is {names}")));
            }
            let categorical =
                |feature: &Feature| feature.kind == crate::data::FeatureKind::Categorical;
            if categorical(ours) != categorical(theirs) {
                let kinds = (save::kind_name(ours.kind), save::kind_name(theirs.kind));
                let name = self.feature_name(index);
                let reason = format!("{name:?} is {}, in the table {}", kinds.0, kinds.1);
                return Err(ModelError::field("feature_types", reason));
            }
        }
        Ok(())
    }
}
