//! Cross-validation as `xgboost.cv` does it.

use std::{cell::RefCell, rc::Rc};

use crate::{
    collective::Alone,
    data::Source,
    train::{
        Best, Score, TrainError, TrainOptions,
        folds::{Fold, assign, check_classes},
        setup::{self, Rows},
        stop::EarlyStopping,
        table::{self, DynSource, Worded},
        trainer::Trainer,
    },
};

/// How rows are parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CvOptions {
    /// Parts, each tested once; XGBoost's `nfold`.
    pub folds: usize,
    /// Whether each part gets its share of every class.
    pub stratified: bool,
    /// Whether rows (or groups) are shuffled first. Stratified ones always are.
    pub shuffle: bool,
    /// Seed of the shuffle, as `numpy`'s.
    pub seed: u32,
}

impl Default for CvOptions {
    fn default() -> Self {
        Self {
            folds: 3,
            stratified: false,
            shuffle: true,
            seed: 0,
        }
    }
}

/// A metric over all folds.
#[derive(Clone, Debug, PartialEq)]
pub struct CvScore {
    /// `train` or `test`.
    pub table: String,
    /// The metric's name with its parameters.
    pub metric: String,
    /// Mean of the folds' values.
    pub mean: f64,
    /// Their standard deviation, of the population.
    pub std: f64,
}

/// Hears of every round of cross-validation when it is over.
pub trait CvRound {
    /// Round `round`, from 0, of `rounds` is over in all folds.
    fn round(&mut self, round: u32, rounds: u32, scores: &[CvScore]);
}

/// Hears nothing.
impl CvRound for () {
    fn round(&mut self, _: u32, _: u32, _: &[CvScore]) {}
}

/// What came of a cross-validation.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossValidated {
    /// Scores of each round; those after the best are cut off where early stopping stopped.
    pub history: Vec<Vec<CvScore>>,
    /// The best round, where early stopping looked for it.
    pub best: Option<Best>,
}

/// Trains a model on all parts but one, for each part, and evaluates it on the part left out.
/// Groups stay together. All models are in memory at once, since the mean decides when to stop.
///
/// # Errors
/// As [`train`](super::train); or the table has too few rows, groups or rows of a class for so many
/// parts.
pub fn cross_validate<S: Source>(
    options: &TrainOptions,
    cv: &CvOptions,
    source: &mut S,
    progress: &mut dyn CvRound,
) -> Result<CrossValidated, TrainError> {
    run(options, cv, Box::new(Worded(source)), progress)
}

fn run(
    options: &TrainOptions,
    cv: &CvOptions,
    source: Box<DynSource<'_>>,
    progress: &mut dyn CvRound,
) -> Result<CrossValidated, TrainError> {
    table::check(
        setup::TRAINING,
        source.as_ref(),
        options.objective()?.as_ref(),
    )?;
    if options.metrics(options.objective()?.as_ref())?.is_empty() {
        return Err(TrainError::NothingToJudgeBy);
    }
    if cv.stratified {
        check_classes(source.as_ref())?;
    }
    let fold_of_row: Rc<[u32]> = assign(cv, source.info())?.into();
    let shared = Rc::new(RefCell::new(source));
    // `assign` saw to it that there are no more folds than rows, which it counts in 32 bits.
    let folds = 0..cv.folds as u32;
    let part = |fold, tested| Box::new(Fold::new(&shared, &fold_of_row, fold, tested));
    let rows = |fold| Rows::new(options, part(fold, false).as_mut(), &mut Alone);
    let mut rows = folds.clone().map(rows).collect::<Result<Vec<_>, _>>()?;
    let mut trainers = Vec::with_capacity(cv.folds);
    for (fold, rows) in folds.zip(&mut rows) {
        let evals: Vec<(String, Box<DynSource<'_>>)> = vec![("test".to_owned(), part(fold, true))];
        let training = part(fold, false);
        trainers.push(Trainer::new(
            options, rows, training, evals, None, &mut Alone,
        )?);
    }
    boost(options, trainers, progress)
}

fn boost(
    options: &TrainOptions,
    mut trainers: Vec<Trainer<'_>>,
    progress: &mut dyn CvRound,
) -> Result<CrossValidated, TrainError> {
    let mut stop = match options.early_stopping {
        None => None,
        Some(patience) => {
            let maximize = trainers.first().and_then(|trainer| trainer.maximize());
            Some(EarlyStopping::new(
                patience,
                maximize.ok_or(TrainError::NothingToStopBy)?,
            ))
        }
    };
    let mut history: Vec<Vec<CvScore>> = Vec::new();
    for round in 0..options.rounds {
        let mut folds = Vec::with_capacity(trainers.len());
        for trainer in &mut trainers {
            trainer.boost(&mut Alone)?;
            folds.push(trainer.evaluate(&mut Alone)?);
        }
        let scores = aggregate(&folds);
        progress.round(round, options.rounds, &scores);
        let deciding = scores.last().map(|score| score.mean);
        history.push(scores);
        if let (Some(stop), Some(score)) = (&mut stop, deciding)
            && stop.observe(round as usize, score)
        {
            history.truncate(stop.best().map_or(history.len(), |best| best.iteration + 1));
            break;
        }
    }
    Ok(CrossValidated {
        history,
        best: stop.and_then(|stop| stop.best()),
    })
}

/// Mean and deviation over folds, which have the same scores in the same order.
fn aggregate(folds: &[Vec<Score>]) -> Vec<CvScore> {
    let Some(first) = folds.first() else {
        return Vec::new();
    };
    let count = folds.len() as f64;
    let of = |at: usize| folds.iter().map(move |scores| scores[at].value);
    let score = |(at, score): (usize, &Score)| {
        let mean = of(at).sum::<f64>() / count;
        let variance = of(at).map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        CvScore {
            table: score.table.clone(),
            metric: score.metric.clone(),
            mean,
            std: variance.sqrt(),
        }
    };
    first.iter().enumerate().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_folds_come_to_their_mean_and_deviation() {
        let score = |value| {
            vec![Score {
                table: "test".into(),
                metric: "rmse".into(),
                value,
            }]
        };
        let all = aggregate(&[score(1.0), score(3.0)]);
        assert_eq!((all.len(), all[0].mean, all[0].std), (1, 2.0, 1.0));
    }
}
