//! What a person asks of training, parsed once and checked before a row is read.

use crate::{
    bins::BinStore,
    data::Schema,
    grow::params::{GrowPolicy, SamplingMethod, TreeParams},
    metric::{self, Metric},
    model::Model,
    objective::{self, Objective},
    params::{ParamError, ParamSet},
    train::dart::Dropout,
};

/// How splits are looked for; XGBoost's `tree_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeMethod {
    /// Among cut points, with histograms of bins: `hist`, and `auto`.
    Hist,
    /// Among all values: `exact`.
    Exact,
}

/// All parameters of a training. Every parameter in it was read by somebody.
pub struct TrainOptions {
    params: ParamSet,
    objective: String,
    metrics: Vec<String>,
    /// `tree_method`.
    pub method: TreeMethod,
    /// What one tree is grown by.
    pub tree: TreeParams,
    /// `num_parallel_tree`: trees an output gets every round.
    pub parallel_trees: u32,
    /// `seed`.
    pub seed: i64,
    /// `base_score` as the person gave it: one for all outputs or one each.
    pub base_score: Option<Vec<f32>>,
    /// XGBoost's `num_boost_round`: rounds of boosting, those of an initial model not counted.
    pub rounds: u32,
    /// Rounds without a better score after which to stop; XGBoost's `early_stopping_rounds`.
    pub early_stopping: Option<u32>,
    /// Dropout (DART).
    pub(super) dropout: Dropout,
    /// Whether to evaluate the metrics on the training rows as well, under the name `train`.
    pub evaluate_training: bool,
    /// Where bins go that exceed the memory they may have.
    pub spilling: Option<BinSpilling>,
    /// How many bytes of raw feature values of tables other than the training set may be kept in
    /// memory, each; a larger table is read anew every round.
    pub keep_bytes: usize,
    /// How many bytes the histograms of `tree_method=hist` may take, the same in all instances; 256
    /// MiB unless set. With less than a tree's nodes need, some are summed from rows once more, so
    /// training takes longer, and the trees are the same to the bit. Less than five histograms are
    /// refused.
    pub histogram_bytes: usize,
}

/// Makes a place outside of memory for bins.
pub type OpenStore = Box<dyn Fn() -> Result<Box<dyn BinStore>, String>>;

/// When the training rows' bins are kept outside of memory.
pub struct BinSpilling {
    /// So many bytes of bins may be in memory; more are read anew, block by block, several times a
    /// tree.
    pub memory: usize,
    /// Bytes of a block; a few mebibytes.
    pub block: usize,
    /// Makes the place, once a training, or once a fold.
    pub open: OpenStore,
}

impl TrainOptions {
    /// Takes parameters by XGBoost's names, for training on tables of `schema`. Training that goes
    /// on from `init` takes its objective and the objective's parameters where the person gives
    /// none.
    ///
    /// # Errors
    /// A parameter is unknown, out of range, or has no meaning with the others; the error names it
    /// and states what is accepted.
    pub fn parse(
        mut params: ParamSet,
        schema: &Schema,
        init: Option<&Model>,
    ) -> Result<Self, ParamError> {
        params.choice("booster", &[("gbtree", ()), ("dart", ())])?;
        params.choice("device", &[("cpu", ())])?;
        params.choice("process_type", &[("default", ())])?;
        params.choice("multi_strategy", &[("one_output_per_tree", ())])?;
        params.read("nthread", 1_u32, 1..=1)?;
        let method = params.choice(
            "tree_method",
            &[
                ("auto", TreeMethod::Hist),
                ("hist", TreeMethod::Hist),
                ("exact", TreeMethod::Exact),
            ],
        )?;
        let objective = objective_name(&mut params, init)?;
        let loss = objective::parse(&objective, &params)?;
        check_outputs(&params, loss.as_ref(), init)?;
        if params.text("max_delta_step").is_none() {
            params.assume("max_delta_step", loss.default_max_delta_step().to_string());
        }
        let base_score = base_score(&params, loss.as_ref(), init)?;
        let metrics = metric_names(&params)?;
        for name in &metrics {
            metric::parse(name, &params)?;
        }
        let parallel_trees = parallel_trees(&params, init)?;
        let tree = TreeParams::read(&params, schema)?;
        if method == TreeMethod::Exact {
            check_exact(&params, &tree)?;
        }
        let stops = params.text("early_stopping_rounds").is_some();
        let patience = params.read("early_stopping_rounds", 1_u32, 1..)?;
        let early_stopping = stops.then_some(patience);
        let options = Self {
            objective,
            metrics,
            method,
            tree,
            parallel_trees,
            seed: params.read("seed", 0, ..)?,
            base_score,
            rounds: params.read("rounds", 10, ..)?,
            early_stopping,
            dropout: Dropout::parse(&params)?,
            evaluate_training: true,
            spilling: None,
            keep_bytes: usize::MAX,
            histogram_bytes: 256 << 20,
            params,
        };
        options.params.finish()?;
        Ok(options)
    }

    /// The objective, fresh.
    ///
    /// # Errors
    /// As [`objective::parse`]; none after it parsed before.
    pub fn objective(&self) -> Result<Box<dyn Objective>, ParamError> {
        objective::parse(&self.objective, &self.params)
    }

    /// The metrics to evaluate in their order, the objective's own where the person names none.
    ///
    /// # Errors
    /// As [`metric::parse`]; none after they parsed before.
    pub fn metrics(&self, objective: &dyn Objective) -> Result<Vec<Box<dyn Metric>>, ParamError> {
        if self.metrics.is_empty() {
            let disabled = self.params.switch("disable_default_eval_metric", false)?;
            return Ok(if disabled {
                Vec::new()
            } else {
                vec![objective.default_metric()]
            });
        }
        self.metrics
            .iter()
            .map(|name| metric::parse(name, &self.params))
            .collect()
    }
}

/// The objective's name: given, or the initial model's, whose parameters are then assumed too.
fn objective_name(params: &mut ParamSet, init: Option<&Model>) -> Result<String, ParamError> {
    let given = params.text("objective").map(str::to_owned);
    if let Some(model) = init {
        let name = model.objective.name();
        if given.is_none() || given.as_deref() == Some(name) {
            assume_parameters(params, model.objective.as_ref());
        }
        return Ok(given.unwrap_or_else(|| name.to_owned()));
    }
    let classes = params.read("num_class", 0_u32, ..)?;
    let default = if classes > 1 {
        "multi:softmax"
    } else {
        "reg:squarederror"
    };
    Ok(given.unwrap_or_else(|| default.to_owned()))
}

/// Assumes the parameters an objective was saved with, so that they need not be given again.
pub(super) fn assume_parameters(params: &mut ParamSet, objective: &dyn Objective) {
    let json = objective.to_json();
    let parts = json
        .as_object()
        .into_iter()
        .flat_map(|object| object.values());
    for (name, value) in parts.filter_map(|part| part.as_object()).flatten() {
        if let Some(text) = value.as_str() {
            params.assume(name, text);
        }
    }
}

/// Refuses `num_class` where the objective doesn't make as many outputs of it, and an initial model
/// of another number of outputs.
fn check_outputs(
    params: &ParamSet,
    objective: &dyn Objective,
    init: Option<&Model>,
) -> Result<(), ParamError> {
    let classes = params.read("num_class", 0_u32, ..)?;
    if classes > 1 && objective.num_class() != classes {
        let expected = "expected multi:softmax or multi:softprob with more than one class";
        let found = objective.name();
        return Err(ParamError::new(
            "num_class",
            format!("{expected}; found {found}"),
        ));
    }
    match init {
        Some(model) if model.outputs() != objective.outputs() => Err(ParamError::new(
            "objective",
            format!(
                "expected {} outputs as the initial model has; {} makes {}",
                model.outputs(),
                objective.name(),
                objective.outputs()
            ),
        )),
        _ => Ok(()),
    }
}

/// Refuses what has no effect on the exact method, or no place in it.
fn check_exact(params: &ParamSet, tree: &TreeParams) -> Result<(), ParamError> {
    let refuse = |name: &str, expected: &str| {
        Err(ParamError::new(
            name,
            format!("expected {expected} with tree_method=exact"),
        ))
    };
    if tree.max_depth == 0 {
        return refuse("max_depth", "a limit");
    }
    if tree.max_leaves != 0 {
        return refuse("max_leaves", "none");
    }
    if tree.grow_policy != GrowPolicy::Depthwise {
        return refuse("grow_policy", "depthwise");
    }
    if tree.colsample_bynode != 1.0 {
        return refuse("colsample_bynode", "1");
    }
    if tree.sampling_method != SamplingMethod::Uniform {
        return refuse("sampling_method", "uniform");
    }
    for name in ["max_bin", "max_cat_to_onehot", "max_cat_threshold"] {
        if params.text(name).is_some() {
            return refuse(name, "none");
        }
    }
    Ok(())
}

/// `base_score`: a number, or a list of them such as `[0.2, 0.8]`.
fn base_score(
    params: &ParamSet,
    objective: &dyn Objective,
    init: Option<&Model>,
) -> Result<Option<Vec<f32>>, ParamError> {
    let Some(text) = params.text("base_score") else {
        return Ok(None);
    };
    let refused = |expected: String| {
        Err(ParamError::new(
            "base_score",
            format!("expected {expected}; found {text:?}"),
        ))
    };
    if init.is_some() {
        return refused("none, because the initial model has one".to_owned());
    }
    let outputs = objective.outputs();
    let inner = text
        .trim()
        .trim_start_matches(['[', '('])
        .trim_end_matches([']', ')']);
    let scores: Result<Vec<f32>, _> = inner.split(',').map(|item| item.trim().parse()).collect();
    let Ok(mut scores) = scores else {
        return refused("a number, or a list of numbers".to_owned());
    };
    if scores.len() != 1 && scores.len() != outputs {
        return refused(match outputs {
            1 => "one number".to_owned(),
            _ => format!("one number, or {outputs}, one an output"),
        });
    }
    for score in &scores {
        objective.check_base_score(*score)?;
    }
    if scores.len() == 1 {
        scores = vec![scores[0]; outputs];
    }
    Ok(Some(scores))
}

/// `eval_metric`: a name, names with commas between them, or a JSON list of names; each once.
pub(super) fn metric_names(params: &ParamSet) -> Result<Vec<String>, ParamError> {
    let Some(text) = params.text("eval_metric") else {
        // Known wherever metrics are, whether it matters or not.
        params.switch("disable_default_eval_metric", false)?;
        return Ok(Vec::new());
    };
    params.switch("disable_default_eval_metric", false)?;
    let text = text.trim();
    let all: Vec<String> = if text.starts_with('[') {
        serde_json::from_str(text).map_err(|_| {
            ParamError::new(
                "eval_metric",
                format!("expected a list of names; found {text:?}"),
            )
        })?
    } else {
        text.split(',').map(|name| name.trim().to_owned()).collect()
    };
    let mut names: Vec<String> = Vec::with_capacity(all.len());
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// `num_parallel_tree`, which an initial model fixes.
fn parallel_trees(params: &ParamSet, init: Option<&Model>) -> Result<u32, ParamError> {
    let Some(model) = init else {
        return params.read("num_parallel_tree", 1, 1..);
    };
    let fixed = model.num_parallel_tree.max(1);
    params.read("num_parallel_tree", fixed, fixed..=fixed)
}
