//! `train` and `cv`.

use std::{cell::Cell, fs::File};

use mc2_guest::{Context as _, Error, Job, Result};
use xgboost_core::{
    bins::FileStore,
    data::{Expect, Roles, Source as _, Table, table::Share},
    params::ParamError,
    train::{self, BinSpilling, CvOptions, TrainError, TrainOptions},
};

use crate::{
    clock::{self, Spent, Timed},
    inputs::{self, Inputs},
    options::{CrossValidate, ModelFormat, Train, options_of},
    output::{check_declared, format_of, write_whole},
    scores::{self, Rounds},
    together,
};

/// What the training rows are called among evaluated tables.
const TRAINING: &str = "train";

/// Trains a model and writes it.
pub(crate) fn train(job: &Job, command: Train) -> Result {
    let Train {
        roles,
        params,
        evals,
        init_model,
        model_out,
        model_format,
        metrics_out,
        verbose,
    } = command;
    let (opening, learning, reading) = (Spent::default(), Spent::default(), Spent::default());
    check_declared(job, [Some(&*model_out), metrics_out.as_deref()])?;
    let model_format = format_of(
        job,
        &model_out,
        model_format,
        ModelFormat::of_media_type,
        ModelFormat::of_name,
        ModelFormat::Json,
    )?;
    if evals.iter().any(|name| name == TRAINING) {
        return Err(Error::new(format!(
            "--eval {TRAINING}: that is what the scores of the training rows are called; give the \
             input another name"
        )));
    }
    let mut all = together::collective(job)?;
    let share = together::share(&*all);
    let mut inputs = Inputs::new(job);
    let init = init_model
        .map(|name| inputs.model("--init-model", &name))
        .transpose()?;
    let params = params.into_set(|name| inputs.text("--params", name))?;
    let evals = evals
        .iter()
        .map(|name| inputs.take("--eval", name))
        .collect::<Result<Vec<_>>>()?;
    let expect = init
        .as_ref()
        .map_or(Expect::Any, |model| Expect::These(&model.features));
    let rest = inputs.rest()?;
    let mut training = opening.on(|| inputs::table(&rest, &roles, expect, share))?;
    let features = training.schema().clone();
    let mut tables = Vec::with_capacity(evals.len());
    for input in evals {
        let expect = Expect::These(&features.features);
        let files = std::slice::from_ref(&input);
        let table = opening.on(|| inputs::table(files, &judging(&roles), expect, share));
        let table = table.with_context(|| format!("--eval {}", input.name()))?;
        tables.push((input.name().to_owned(), table));
    }

    let mut options = TrainOptions::parse(params, &features, init.as_ref())
        .map_err(|error| refused("train", error))?;
    share_memory(job, &mut options, all.size(), tables.len() * all.size());
    let mut progress = Rounds {
        job,
        print: all.rank() == 0,
    };
    let mut timed: Vec<_> = tables
        .iter_mut()
        .map(|(name, table)| (name.clone(), Timed::new(table, &reading)))
        .collect();
    let trained = learning.on(|| {
        train::train(
            &options,
            &mut Timed::new(&mut training, &reading),
            &mut timed,
            init,
            &mut *all,
            &mut progress,
        )
    });
    let trained = trained.map_err(|error| unlabelled(&training, error))?;
    if all.rank() != 0 {
        return Ok(());
    }
    if let Some(best) = &trained.best {
        println!("best round: {} ({:.5})", best.iteration, best.score);
    }
    let model = match model_format {
        ModelFormat::Json => trained.model.to_json(),
        ModelFormat::Ubjson => trained.model.to_ubjson(),
    };
    scores::write(
        job,
        metrics_out.as_deref(),
        &scores::history(&trained.history),
    )?;
    write_whole(job, &model_out, &model)?;
    if verbose {
        clock::tell(&[
            ("reading", opening.time() + reading.time()),
            ("learning", learning.without(&reading)),
        ]);
    }
    job.progress(
        1.0,
        &format!("wrote the model of {} rounds", trained.model.rounds()),
    );
    Ok(())
}

/// Cross-validates parameters and writes the scores.
pub(crate) fn cross_validate(job: &Job, command: CrossValidate) -> Result {
    let CrossValidate {
        roles,
        params,
        folds,
        stratified,
        metrics_out,
    } = command;
    check_declared(job, [metrics_out.as_deref()])?;
    together::alone(job, "cv")?;
    let mut inputs = Inputs::new(job);
    let params = params.into_set(|name| inputs.text("--params", name))?;
    let mut table = inputs::table(&inputs.rest()?, &roles, Expect::Any, Share::ALL)?;
    let mut options =
        TrainOptions::parse(params, table.schema(), None).map_err(|error| refused("cv", error))?;
    let seed = u32::try_from(options.seed).map_err(|_| {
        ParamError::new(
            "seed",
            "expected a number of at least 0 and below 2^32 for the folds of cv",
        )
    })?;
    share_memory(job, &mut options, folds, folds);
    let cv = CvOptions {
        folds,
        stratified,
        seed,
        ..CvOptions::default()
    };
    let mut progress = Rounds { job, print: false };
    let validated = train::cross_validate(&options, &cv, &mut table, &mut progress)
        .map_err(|error| unlabelled(&table, error))?;
    print_cv(&validated.history);
    scores::write(
        job,
        metrics_out.as_deref(),
        &scores::cv_history(&validated.history),
    )?;
    job.progress(1.0, &format!("validated {folds} folds"));
    Ok(())
}

/// A line a round, with the columns of `xgboost.cv`.
fn print_cv(history: &[Vec<train::CvScore>]) {
    let names = |score: &train::CvScore| {
        let name = format!("{}-{}", score.table, score.metric);
        format!("{name}-mean,{name}-std")
    };
    let header: Vec<String> = history.first().into_iter().flatten().map(names).collect();
    println!("round,{}", header.join(","));
    for (round, scores) in history.iter().enumerate() {
        let cells: Vec<String> = scores
            .iter()
            .map(|score| format!("{},{}", score.mean, score.std))
            .collect();
        println!("{round},{}", cells.join(","));
    }
}

/// Roles of a table that is evaluated beside the training rows, by which categories are known and
/// what is ignored was checked.
fn judging(roles: &Roles) -> Roles {
    Roles {
        categorical: Vec::new(),
        ignored: Vec::new(),
        passed_over: roles.ignored.clone(),
        ..roles.clone()
    }
}

/// A parameter that nobody knows may be a slip in an option.
pub(crate) fn refused(command: &str, error: ParamError) -> Error {
    let unknown = error.reason.starts_with("not a parameter");
    let options = match unknown {
        true => format!(". Options of `{command}` are {}", options_of(command)),
        false => String::new(),
    };
    Error::new(format!("{error}{options}"))
}

/// Without a label the message says which option names one.
pub(crate) fn unlabelled(table: &Table, error: TrainError) -> Error {
    let info = table.info();
    let error = Error::from(error);
    match info.labels.is_empty() && info.lower.is_empty() {
        true => error.context("no column is the label; --label COL names it"),
        false => error,
    }
}

/// Shares the job's memory out: a third for bins, the rest of which goes to scratch files, and a
/// sixth for histograms, in all of `trainings` that are made at once, by all instances together; a
/// sixth for the values of `tables` that are evaluated, which otherwise are read anew every round.
fn share_memory(job: &Job, options: &mut TrainOptions, trainings: usize, tables: usize) {
    /// What a component can address, where no limit is stated.
    const ALL: u64 = 4 << 30;
    const BLOCK: usize = 4 << 20;
    let memory = job.limits().map_or(ALL, |limits| limits.memory);
    let part = |share: u64, among: usize| {
        usize::try_from(memory / share).unwrap_or(usize::MAX) / among.max(1)
    };
    options.keep_bytes = part(6, tables);
    options.histogram_bytes = part(6, trainings);
    let folder = job.scratch();
    let files = Cell::new(0_u32);
    options.spilling = Some(BinSpilling {
        memory: part(3, trainings),
        block: BLOCK,
        open: Box::new(move || {
            files.set(files.get() + 1);
            let path = folder.join(format!("bins-{}", files.get()));
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path);
            let file = file.map_err(|error| format!("creating {}: {error}", path.display()))?;
            Ok(Box::new(FileStore::new(file)))
        }),
    });
}
