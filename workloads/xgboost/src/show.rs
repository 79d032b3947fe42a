//! `dump`, `importance` and `plot`: models for people to look at.

use std::fmt::Write as _;

use mc2_guest::{Error, Job, Result};
use workload_shared::Target;
use xgboost_core::model::{
    Model,
    dump::{self as trees, Format},
    importance as counting, plot as pictures,
};

use crate::{
    inputs::Inputs,
    options::{Dump, Importances, Plot, Plotted},
    output::{check_declared, format_of},
    together,
};

/// The model a command is of, which reads nothing else and runs once.
fn model_alone(job: &Job, command: &str, name: &str) -> Result<Model> {
    together::alone(job, command)?;
    let mut inputs = Inputs::new(job);
    let model = inputs.model("--model", name)?;
    inputs.finish(command)?;
    Ok(model)
}

/// Writes the trees as text.
pub(crate) fn dump(job: &Job, command: &Dump) -> Result {
    check_declared(job, [command.output.as_deref()])?;
    let format = match &command.output {
        None => command.format.unwrap_or(Format::Text),
        Some(name) => format_of(
            job,
            name,
            command.format,
            Format::of_media_type,
            |_| None,
            Format::Text,
        )?,
    };
    let model = model_alone(job, "dump", &command.model)?;
    let mut text = trees::all(&model, format, command.stats)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Target::of(job, command.output.as_deref())?.print(&text)
}

/// Writes what features count for, most first.
pub(crate) fn importance(job: &Job, command: &Importances) -> Result {
    check_declared(job, [command.output.as_deref()])?;
    let model = model_alone(job, "importance", &command.model)?;
    let mut scores = counting::scores(&model, command.kind);
    scores.sort_by(|one, other| other.value.total_cmp(&one.value));
    let mut text = format!("feature,{}\n", command.kind.name());
    for score in scores {
        let name = model.feature_name(score.feature);
        let name = match name.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", name.replace('"', "\"\"")),
            false => name,
        };
        let _ = writeln!(text, "{name},{}", score.value);
    }
    Target::of(job, command.output.as_deref())?.print(&text)
}

/// Draws a tree, or what features count for.
pub(crate) fn plot(job: &Job, command: &Plot) -> Result {
    check_declared(job, [command.output.as_deref()])?;
    let model = model_alone(job, "plot", &command.model)?;
    let picture = match command.what {
        Plotted::Tree { number, .. } if number >= model.trees.len() => {
            return Err(Error::new(format!(
                "--tree {number}: the model has {} trees, counted from 0",
                model.trees.len()
            )));
        }
        Plotted::Tree { number, levels } => pictures::tree(&model, number, levels)?,
        Plotted::Importance { kind, top } => pictures::importances(&model, kind, top),
    };
    Target::of(job, command.output.as_deref())?.print(&picture)
}
