//! `predict`.

use mc2_guest::{Context as _, Error, Job, Result};
use workload_shared::Target;
use xgboost_core::{
    data::{
        Batch, Expect, Source as _,
        table::Share,
        write::{CellKind, Cells, OutputFormat, TableWriter},
    },
    model::Model,
    predict::{Explainer, Explanation, Predictor},
};

use crate::{
    clock::{self, Spent, Timed},
    inputs::{self, Inputs},
    options::{Predict, Prediction},
    output::{check_declared, format_of},
    together,
};

/// Predicts all inputs' rows in order and writes them as they come.
pub(crate) fn predict(job: &Job, command: &Predict) -> Result {
    check_declared(job, [command.output.as_deref()])?;
    let format = match &command.output {
        None => OutputFormat::Csv,
        Some(name) => format_of(
            job,
            name,
            command.format,
            OutputFormat::of_media_type,
            OutputFormat::of_name,
            OutputFormat::Csv,
        )?,
    };
    together::alone(job, "predict")?;
    let mut inputs = Inputs::new(job);
    let model = inputs.model("--model", &command.model)?;
    let expect = Expect::These(&model.features);
    let (reading, predicting, written) = (Spent::default(), Spent::default(), Spent::default());
    let rest = inputs.rest()?;
    let mut table = reading.on(|| inputs::table(&rest, &command.roles, expect, Share::ALL))?;
    let mut table = Timed::new(&mut table, &reading);
    let how = How::new(&model, command)?;
    how.check_width()?;
    let target = Target::of(job, command.output.as_deref())?;
    let writing = || match &command.output {
        Some(name) => format!("writing the output `{name}`"),
        None => "writing to standard output".to_owned(),
    };
    let mut writer =
        TableWriter::new(format, target, how.names(&model), how.kind()).with_context(writing)?;
    let rows = table.info().rows;
    let mut done = 0;
    table.rewind()?;
    while let Some(batch) = table.next_batch()? {
        let outputs = model.outputs();
        let margins = table
            .info()
            .base_margin
            .get(done * outputs..(done + batch.rows) * outputs);
        let margins = margins.filter(|margins| !margins.is_empty());
        if margins.is_none() && !table.info().base_margin.is_empty() {
            return Err(Error::new(format!(
                "--base-margin: the model has {outputs} outputs, and there is one column an output, not {}",
                table.info().base_margin.len() / rows.max(1)
            )));
        }
        predicting.on(|| {
            how.each(&batch, margins, |cells| {
                written.on(|| writer.write(cells)).with_context(writing)
            })
        })?;
        done += batch.rows;
        job.progress(
            done as f64 / rows.max(1) as f64 * 0.99,
            &format!("predicted {done} of {rows} rows"),
        );
    }
    let predicting = predicting.without(&written);
    written.on(|| writer.finish().with_context(writing)?.finish())?;
    if command.verbose {
        clock::tell(&[
            ("reading", reading.time()),
            ("predicting", predicting),
            ("writing", written.time()),
        ]);
    }
    job.progress(1.0, &format!("predicted {rows} rows"));
    Ok(())
}

/// What makes the numbers.
enum How<'m> {
    Predict {
        model: &'m Model,
        predictor: Predictor,
        what: Prediction,
    },
    Explain {
        explainer: Explainer<'m>,
        what: Explanation,
    },
}

impl<'m> How<'m> {
    fn new(model: &'m Model, command: &Predict) -> Result<Self> {
        let rounds = command.rounds.clone();
        if rounds.end != usize::MAX && rounds.end > model.rounds() {
            return Err(Error::new(format!(
                "--iteration-range: the model has {} rounds, not {}",
                model.rounds(),
                rounds.end
            )));
        }
        Ok(match command.what {
            Prediction::Explained(what) => Self::Explain {
                explainer: Explainer::new(model, rounds, what)?,
                what,
            },
            what => Self::Predict {
                model,
                predictor: Predictor::new(model, rounds),
                what,
            },
        })
    }

    fn kind(&self) -> CellKind {
        match self {
            Self::Predict {
                what: Prediction::Leaf,
                ..
            } => CellKind::Int,
            _ => CellKind::Float,
        }
    }

    /// Refuses so many columns that their names alone would use up the memory.
    fn check_width(&self) -> Result {
        const MOST: usize = 1 << 20;
        let columns = match self {
            Self::Explain { explainer, .. } => explainer.row_len(),
            Self::Predict { .. } => return Ok(()),
        };
        match columns <= MOST {
            true => Ok(()),
            false => Err(Error::new(format!(
                "this explanation has {columns} columns, more than the {MOST} that are written; \
                 a model of fewer features or outputs has fewer"
            ))),
        }
    }

    /// Names of the columns.
    fn names(&self, model: &Model) -> Vec<String> {
        let outputs = model.outputs();
        let numbered = |name: &str, count: usize| match count {
            1 => vec![name.to_owned()],
            _ => (0..count).map(|index| format!("{name}_{index}")).collect(),
        };
        let what = match self {
            Self::Explain { what, .. } => *what,
            Self::Predict {
                what: Prediction::Leaf,
                predictor,
                ..
            } => {
                return (0..predictor.forest().trees())
                    .map(|tree| format!("tree_{tree}"))
                    .collect();
            }
            Self::Predict {
                what: Prediction::Margin,
                ..
            } => return numbered("margin", outputs),
            Self::Predict { model, .. } => {
                let made = model.objective.transform(vec![0.0; outputs]);
                return numbered("prediction", made.len());
            }
        };
        let mut columns: Vec<String> = (0..model.features.len())
            .map(|index| model.feature_name(index))
            .collect();
        columns.push("bias".to_owned());
        if what == Explanation::Interactions {
            let pairs = columns
                .iter()
                .flat_map(|one| columns.iter().map(move |other| format!("{one}:{other}")));
            columns = pairs.collect();
        }
        match outputs {
            1 => columns,
            // No feature's name has brackets in it, so no two columns have one name.
            _ => (0..outputs)
                .flat_map(|output| columns.iter().map(move |name| format!("{name}[{output}]")))
                .collect(),
        }
    }

    /// Hands on the numbers of a batch, one or more rows at a time.
    fn each(
        &self,
        batch: &Batch,
        margins: Option<&[f32]>,
        mut take: impl FnMut(Cells<'_>) -> Result,
    ) -> Result {
        match self {
            Self::Predict {
                model,
                predictor,
                what,
            } => match what {
                Prediction::Leaf => take(Cells::Ints(&predictor.leaves(batch)?)),
                Prediction::Margin => take(Cells::Floats(&predictor.margins(batch, margins)?)),
                _ => {
                    let margins = predictor.margins(batch, margins)?;
                    take(Cells::Floats(&model.objective.transform(margins)))
                }
            },
            Self::Explain { explainer, .. } => {
                let mut result = Ok(());
                explainer.for_each_row(batch, margins, |numbers| {
                    if result.is_ok() {
                        result = take(Cells::Floats(numbers));
                    }
                })?;
                result
            }
        }
    }
}
