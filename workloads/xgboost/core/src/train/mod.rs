//! The boosting loop: `gbtree` with or without dropout, evaluation, early stopping,
//! cross-validation.
//!
//! [`TrainOptions::parse`] takes what the person gave, [`train`] makes a model of it and tables,
//! [`cross_validate`] judges the parameters by models of parts of a table, [`evaluate`] judges a
//! model by a table. All three call a [`Progress`] after every round.

mod cv;
mod dart;
mod error;
mod folds;
mod options;
mod setup;
mod stop;
mod table;
#[cfg(test)]
mod tests;
mod trainer;

pub use cv::{CrossValidated, CvOptions, CvRound, CvScore, cross_validate};
pub use error::TrainError;
pub use options::{BinSpilling, OpenStore, TrainOptions, TreeMethod};
pub use stop::Best;

use crate::{
    collective::Collective,
    data::Source,
    metric,
    model::Model,
    params::ParamSet,
    train::{
        setup::Rows,
        stop::{EarlyStopping, deciding, python_float},
        table::{DynSource, Table, Worded},
        trainer::Trainer,
    },
};

/// What one metric says of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The table's name; `train` for the training rows.
    pub table: String,
    /// The metric's name with its parameters, as XGBoost prints it.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// Hears of every round when it is over.
pub trait Progress {
    /// Round `round`, from 0, of `rounds` is over; `scores` are in the order of evaluation, empty
    /// where nothing is evaluated.
    fn round(&mut self, round: u32, rounds: u32, scores: &[Score]);
}

/// Hears nothing.
impl Progress for () {
    fn round(&mut self, _: u32, _: u32, _: &[Score]) {}
}

/// What came of a training.
pub struct Trained {
    /// The model with all rounds, the ones after the best included. After early stopping its
    /// attributes `best_iteration` and `best_score` are what XGBoost's package sets.
    pub model: Model,
    /// Scores of each round of this training.
    pub history: Vec<Vec<Score>>,
    /// The best round, where early stopping looked for it.
    pub best: Option<Best>,
}

/// Trains a model on `training`, evaluated on it and `evals`, going on from `init` if given.
///
/// All instances of `all` call it with the same options, schema, initial model and names of tables,
/// each with its own rows, and get the same model.
///
/// # Errors
/// A parameter is of no use for these tables, a table cannot be read or is not what the objective
/// or a metric takes, the initial model is of other features, or other instances are gone.
pub fn train<S: Source>(
    options: &TrainOptions,
    training: &mut S,
    evals: &mut [(String, S)],
    init: Option<Model>,
    all: &mut dyn Collective,
    progress: &mut dyn Progress,
) -> Result<Trained, TrainError> {
    let evals = evals
        .iter_mut()
        .map(|(name, source)| (name.clone(), Box::new(Worded(source)) as Box<DynSource<'_>>))
        .collect();
    run(
        options,
        Box::new(Worded(training)),
        evals,
        init,
        all,
        progress,
    )
}

fn run(
    options: &TrainOptions,
    mut training: Box<DynSource<'_>>,
    evals: Vec<(String, Box<DynSource<'_>>)>,
    init: Option<Model>,
    all: &mut dyn Collective,
    progress: &mut dyn Progress,
) -> Result<Trained, TrainError> {
    if options.early_stopping.is_some() && evals.is_empty() {
        return Err(TrainError::NothingToStopBy);
    }
    let objective = options.objective()?;
    table::check(setup::TRAINING, training.as_ref(), objective.as_ref())?;
    for (name, source) in &evals {
        table::check(name, source.as_ref(), objective.as_ref())?;
    }
    let mut rows = Rows::new(options, training.as_mut(), all)?;
    let mut trainer = Trainer::new(options, &mut rows, training, evals, init, all)?;
    let mut stop = stopping(options, &trainer)?;
    let mut history = Vec::new();
    for round in 0..options.rounds {
        trainer.boost(all)?;
        let scores = trainer.evaluate(all)?;
        progress.round(round, options.rounds, &scores);
        let iteration = trainer.model().rounds() - 1;
        let stops = match (&mut stop, deciding(&scores)) {
            (Some(stop), Some(score)) => stop.observe(iteration, score),
            _ => false,
        };
        history.push(scores);
        if stops {
            break;
        }
    }
    let best = stop.and_then(|stop| stop.best());
    let mut model = trainer.into_model();
    if let Some(best) = best {
        model
            .attributes
            .insert("best_iteration".into(), best.iteration.to_string());
        model
            .attributes
            .insert("best_score".into(), python_float(best.score));
    }
    Ok(Trained {
        model,
        history,
        best,
    })
}

/// Early stopping, if asked for.
fn stopping(
    options: &TrainOptions,
    trainer: &Trainer<'_>,
) -> Result<Option<EarlyStopping>, TrainError> {
    let Some(patience) = options.early_stopping else {
        return Ok(None);
    };
    let maximize = trainer.maximize().ok_or(TrainError::NothingToStopBy)?;
    Ok(Some(EarlyStopping::new(patience, maximize)))
}

/// What `model` scores on the table called `name`: by the metrics that `params` name in
/// `eval_metric`, or else the objective's own. Parameters of the objective that a metric reads are
/// the model's where `params` have none.
///
/// # Errors
/// A parameter is unknown, the table cannot be read or is of other features, a metric is not
/// defined for it, or other instances are gone.
pub fn evaluate<S: Source>(
    model: &Model,
    mut params: ParamSet,
    name: &str,
    source: &mut S,
    all: &mut dyn Collective,
) -> Result<Vec<Score>, TrainError> {
    options::assume_parameters(&mut params, model.objective.as_ref());
    let names = options::metric_names(&params)?;
    let mut metrics = names
        .iter()
        .map(|name| metric::parse(name, &params))
        .collect::<Result<Vec<_>, _>>()?;
    params.finish()?;
    if metrics.is_empty() {
        metrics.push(model.objective.default_metric());
    }
    setup::check_model(model, source.schema())?;
    let source = Worded(source);
    table::check(name, &source, model.objective.as_ref())?;
    let start = model.base_margins();
    let mut table = Table::new(name.to_owned(), Box::new(source), &start);
    table.add(&trainer::forest(model, 0, None))?;
    trainer::evaluate(&table, model.objective.as_ref(), &metrics, all)
}
