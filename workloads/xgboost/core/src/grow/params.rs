//! What a tree is grown by: XGBoost's `TrainParam`.

use std::{collections::BTreeMap, fmt::Display};

use serde_json::Value;

use crate::{
    bins::MAX_BINS,
    data::Schema,
    params::{self, ParamError, ParamSet},
};

/// In which order nodes are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrowPolicy {
    /// Level by level.
    #[default]
    Depthwise,
    /// Largest gain first.
    Lossguide,
}

/// How rows are drawn where `subsample` is less than 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamplingMethod {
    /// All alike.
    #[default]
    Uniform,
    /// Likelier where the gradient is large, and then scaled down.
    GradientBased,
}

/// Parameters of one tree, by XGBoost's names.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeParams {
    /// `eta`: what leaves are multiplied by; growers are given it anew for each tree.
    pub eta: f32,
    /// `gamma`: least gain of a split.
    pub gamma: f32,
    /// Most splits from root to leaf; 0 is any number.
    pub max_depth: u32,
    /// Most leaves; 0 is any number.
    pub max_leaves: u32,
    /// Most bins of a feature.
    pub max_bin: u32,
    /// In which order nodes are split.
    pub grow_policy: GrowPolicy,
    /// Features with fewer categories are split one category against the others.
    pub max_cat_to_onehot: u32,
    /// Most categories on the smaller side of other categorical splits.
    pub max_cat_threshold: u32,
    /// Least sum of second derivatives in a child.
    pub min_child_weight: f32,
    /// `lambda`: L2 regularisation.
    pub lambda: f32,
    /// `alpha`: L1 regularisation.
    pub alpha: f32,
    /// Largest weight of a leaf before `eta`; 0 is any.
    pub max_delta_step: f32,
    /// Share of rows a tree is grown on.
    pub subsample: f32,
    /// How these rows are drawn.
    pub sampling_method: SamplingMethod,
    /// Share of features a tree may use.
    pub colsample_bytree: f32,
    /// Share of those that a level may use.
    pub colsample_bylevel: f32,
    /// Share of those that a node may use.
    pub colsample_bynode: f32,
    /// Sign of each feature's effect, 0 where it is free; empty without `monotone_constraints`.
    pub monotone: Vec<i8>,
    /// Groups of features that may be used together; `None` without `interaction_constraints`.
    pub interactions: Option<Vec<Vec<u32>>>,
}

impl TreeParams {
    /// Reads what concerns trees. Features of `schema` may be named in the constraints.
    ///
    /// # Errors
    /// A parameter is out of range, or a constraint names no feature.
    pub fn read(params: &ParamSet, schema: &Schema) -> Result<Self, ParamError> {
        let share = |name| params.read(name, 1.0_f32, 0.0..=1.0);
        Ok(Self {
            eta: params.read("eta", 0.3_f32, 0.0..)?,
            gamma: params.read("gamma", 0.0_f32, 0.0..)?,
            max_depth: params.read("max_depth", 6_u32, 0..=i32::MAX as u32)?,
            max_leaves: params.read("max_leaves", 0_u32, 0..=i32::MAX as u32)?,
            max_bin: params.read("max_bin", 256_u32, 2..=MAX_BINS)?,
            grow_policy: params.choice(
                "grow_policy",
                &[
                    ("depthwise", GrowPolicy::Depthwise),
                    ("lossguide", GrowPolicy::Lossguide),
                ],
            )?,
            max_cat_to_onehot: params.read("max_cat_to_onehot", 4_u32, 1..)?,
            max_cat_threshold: params.read("max_cat_threshold", 64_u32, 1..)?,
            min_child_weight: params.read("min_child_weight", 1.0_f32, 0.0..)?,
            lambda: params.read("lambda", 1.0_f32, 0.0..)?,
            alpha: params.read("alpha", 0.0_f32, 0.0..)?,
            max_delta_step: params.read("max_delta_step", 0.0_f32, 0.0..)?,
            subsample: share("subsample")?,
            sampling_method: params.choice(
                "sampling_method",
                &[
                    ("uniform", SamplingMethod::Uniform),
                    ("gradient_based", SamplingMethod::GradientBased),
                ],
            )?,
            colsample_bytree: share("colsample_bytree")?,
            colsample_bylevel: share("colsample_bylevel")?,
            colsample_bynode: share("colsample_bynode")?,
            monotone: monotone(params.text("monotone_constraints"), schema)?,
            interactions: interactions(params.text("interaction_constraints"), schema)?,
        })
    }
}

/// `(1, 0, -1)` or `[1, 0, -1]` in the order of features, or `{"name": 1}`.
fn monotone(text: Option<&str>, schema: &Schema) -> Result<Vec<i8>, ParamError> {
    const NAME: &str = "monotone_constraints";
    let bad = |found: &dyn Display| {
        ParamError::new(
            NAME,
            format!(
                "expected -1, 0 or 1 for each feature as in (1,0,-1), or for some by name as in \
                 {{\"name\": 1}}; found {found}"
            ),
        )
    };
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    let count = schema.features.len();
    if text.starts_with('{') {
        let named: BTreeMap<String, i64> = json(text).map_err(|found| bad(&found))?;
        let mut signs = vec![0; count];
        for (name, sign) in named {
            let feature = feature(NAME, schema, &Value::String(name))?;
            signs[feature as usize] = known_sign(sign).ok_or_else(|| bad(&sign))?;
        }
        return Ok(signs);
    }
    let open = text.strip_prefix(['(', '[']).unwrap_or(text);
    let inner = open.strip_suffix([')', ']']).unwrap_or(open).trim();
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    let signs = inner.split(',').map(|sign| {
        let sign = sign.trim().parse().ok().and_then(known_sign);
        sign.ok_or_else(|| bad(&text))
    });
    let mut signs = signs.collect::<Result<Vec<i8>, ParamError>>()?;
    if signs.len() > count {
        return Err(ParamError::new(
            NAME,
            format!(
                "expected at most {count}, one for each feature; found {}",
                signs.len()
            ),
        ));
    }
    signs.resize(count, 0);
    Ok(signs)
}

/// -1, 0 or 1. XGBoost takes any number for its sign; here it is more likely a slip.
fn known_sign(sign: i64) -> Option<i8> {
    i8::try_from(sign).ok().filter(|sign| sign.abs() <= 1)
}

/// `[[0, 1], ["name", "other"]]`.
fn interactions(text: Option<&str>, schema: &Schema) -> Result<Option<Vec<Vec<u32>>>, ParamError> {
    const NAME: &str = "interaction_constraints";
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let groups: Vec<Vec<Value>> = json(text).map_err(|found| {
        ParamError::new(
            NAME,
            format!(
                "expected lists of features as in [[0, 1], [\"name\", \"other\"]]; found {found}"
            ),
        )
    })?;
    let groups = groups.iter().map(|group| {
        group
            .iter()
            .map(|item| feature(NAME, schema, item))
            .collect::<Result<Vec<u32>, ParamError>>()
    });
    Ok(Some(groups.collect::<Result<_, _>>()?))
}

/// The index of a feature given as number or name.
fn feature(parameter: &str, schema: &Schema, given: &Value) -> Result<u32, ParamError> {
    let features = &schema.features;
    let index = match given {
        Value::String(name) => features.iter().position(|feature| feature.name == *name),
        other => other
            .as_f64()
            .filter(|index| index.fract() == 0.0 && *index >= 0.0)
            .map(|index| index as usize)
            .filter(|index| *index < features.len()),
    };
    index.map(|index| index as u32).ok_or_else(|| {
        let last = features.len().saturating_sub(1);
        ParamError::new(
            parameter,
            format!("expected a feature's name or its number from 0 to {last}; found {given}"),
        )
    })
}

/// JSON, or what Python prints for it; where it is neither, what was found.
fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = match params::json(text) {
        Err(_) if text.contains('\'') => params::json(&text.replace('\'', "\"")),
        other => other,
    };
    value
        .and_then(serde_json::from_value)
        .map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Feature, FeatureKind};

    fn read(pairs: &[(&str, &str)]) -> Result<TreeParams, ParamError> {
        let mut params = ParamSet::default();
        for (name, value) in pairs {
            params.set(name, *value).unwrap();
        }
        let feature = |name: &str| Feature {
            name: name.to_owned(),
            kind: FeatureKind::Float,
            categories: None,
        };
        let schema = Schema {
            features: ["age", "it's", "size"].map(feature).to_vec(),
        };
        TreeParams::read(&params, &schema)
    }

    #[test]
    fn monotone_constraints_come_in_all_the_ways_xgboost_takes_them() {
        let monotone = |text| read(&[("monotone_constraints", text)]).unwrap().monotone;
        for text in [
            "(1,0,-1)",
            "[1, 0, -1]",
            "1,0,-1",
            "{\"age\": 1, \"size\": -1}",
        ] {
            assert_eq!(monotone(text), [1, 0, -1], "{text}");
        }
        assert_eq!(monotone("{'size': -1}"), [0, 0, -1]);
        assert_eq!(monotone("(-1,)"), [-1, 0, 0]);
        assert_eq!(monotone("()"), [0_i8; 0]);
        assert_eq!(monotone("{\"it's\": 1}"), [0, 1, 0]);
    }

    #[test]
    fn interaction_constraints_take_numbers_and_names() {
        let interactions = |text| {
            read(&[("interaction_constraints", text)])
                .unwrap()
                .interactions
        };
        assert_eq!(
            interactions("[[0, 2], [1]]"),
            Some(vec![vec![0, 2], vec![1]])
        );
        assert_eq!(interactions("[['age', 'size']]"), Some(vec![vec![0, 2]]));
        assert_eq!(interactions(""), None);
    }

    #[test]
    fn constraints_that_mean_nothing_are_refused_in_words() {
        for (name, text) in [
            ("monotone_constraints", "(1,0,0,1)"),
            ("monotone_constraints", "(1,x)"),
            ("monotone_constraints", "{\"weight\": 1}"),
            ("monotone_constraints", "{1: 1}"),
            ("monotone_constraints", "(2,0,0)"),
            ("monotone_constraints", "{\"age\": -7}"),
            ("monotone_constraints", "{\"age\": 1, \"age\": -1}"),
            ("interaction_constraints", "[[3]]"),
            ("interaction_constraints", "[[0.5]]"),
            ("interaction_constraints", "[[-1]]"),
            ("interaction_constraints", "[0, 1]"),
            ("interaction_constraints", "[[\"weight\"]]"),
        ] {
            let error = read(&[(name, text)]).unwrap_err();
            assert!(
                error.name == name && error.reason.contains("expected"),
                "{text}: {error}"
            );
        }
    }
}
