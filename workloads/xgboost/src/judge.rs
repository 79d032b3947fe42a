//! `eval`.

use mc2_guest::{Context as _, Input, Job, Result};
use xgboost_core::{
    data::Expect,
    train::{self, TrainError},
};

use crate::{
    inputs::{self, Inputs},
    options::Evaluate,
    output::check_declared,
    scores, together,
    train::{refused, unlabelled},
};

/// What the table is called where none is named.
const EVAL: &str = "eval";

/// Judges a model by tables: each one named, or all inputs as one.
pub(crate) fn evaluate(job: &Job, command: Evaluate) -> Result {
    let Evaluate {
        model,
        roles,
        params,
        evals,
        metrics_out,
    } = command;
    check_declared(job, [metrics_out.as_deref()])?;
    let mut all = together::collective(job)?;
    let share = together::share(&*all);
    let mut inputs = Inputs::new(job);
    let model = inputs.model("--model", &model)?;
    let params = params.into_set(|name| inputs.text("--params", name))?;
    let tables: Vec<(String, Vec<Input>)> = if evals.is_empty() {
        vec![(EVAL.to_owned(), inputs.rest()?)]
    } else {
        let named = |name: String| Ok((name.clone(), vec![inputs.take("--eval", &name)?]));
        let tables = evals.into_iter().map(named).collect::<Result<_>>()?;
        inputs.finish("eval")?;
        tables
    };
    let mut found = Vec::new();
    for (name, inputs) in tables {
        let expect = Expect::These(&model.features);
        let mut table = inputs::table(&inputs, &roles, expect, share)
            .with_context(|| format!("judging by `{name}`"))?;
        let scores = train::evaluate(&model, params.clone(), &name, &mut table, &mut *all);
        let scores = scores.map_err(|error| match error {
            TrainError::Param(error) => refused("eval", error),
            other => unlabelled(&table, other),
        })?;
        found.push(scores);
    }
    if all.rank() != 0 {
        return Ok(());
    }
    println!("table,metric,value");
    for score in found.iter().flatten() {
        println!("{},{},{}", score.table, score.metric, score.value);
    }
    scores::write(job, metrics_out.as_deref(), &scores::history(&found))?;
    job.progress(1.0, "evaluated");
    Ok(())
}
