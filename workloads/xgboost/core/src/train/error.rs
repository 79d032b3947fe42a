//! Why there is no model.

use crate::{
    bins::BinsError,
    collective::CollectiveError,
    data::RowError,
    grow::{GrowError, exact::ExactError},
    metric::MetricError,
    model::ModelError,
    objective::ObjectiveError,
    params::ParamError,
    train::table::DynSource,
};

/// Why training, cross-validation or evaluation ended without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A parameter was refused.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// The rows are not what the objective takes.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// A metric has no value.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// Other instances are gone.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// A table cannot be read.
    #[error("reading the table {table}: {reason}")]
    Source {
        /// The table's name.
        table: String,
        /// What its reader says.
        reason: String,
    },
    /// A table is not one that can be trained on or evaluated.
    #[error("table {table}: {reason}")]
    Table {
        /// The table's name.
        table: String,
        /// What was expected and found.
        reason: String,
    },
    /// A row is not what the objective, a metric or cross-validation takes.
    #[error("{place}: {reason} ({who})")]
    Row {
        /// Where a person finds it.
        place: String,
        /// What was expected and found.
        reason: String,
        /// The objective, metric or else what refused it.
        who: String,
    },
    /// A feature has no value in the rows of any instance.
    #[error("column `{0}`: it has no value in any row; leave it out with --ignore")]
    Missing(String),
    /// The model is of other features than the table.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model numbers its trees in 32 bits.
    #[error("the model would have more than 2^32 trees; ask for fewer rounds or parallel trees")]
    TooManyTrees,
    /// Early stopping was asked for, but there is no score to go by.
    #[error(
        "early stopping goes by the last metric of the last evaluation table; give a table to \
         evaluate and a metric"
    )]
    NothingToStopBy,
    /// Cross-validation has no metric.
    #[error(
        "cross-validation gives scores and nothing else: expected an eval_metric, or \
         disable_default_eval_metric to be 0"
    )]
    NothingToJudgeBy,
    /// Cross-validation cannot make its folds.
    #[error("folds: {0}")]
    Folds(String),
    /// A tree could not be grown.
    #[error(transparent)]
    Grow(#[from] GrowError),
    /// The training rows could not be binned.
    #[error(transparent)]
    Bins(#[from] BinsError),
    /// The exact method does not take the training rows.
    #[error(transparent)]
    Exact(#[from] ExactError),
}

impl TrainError {
    pub(super) fn source(table: &str, reason: String) -> Self {
        Self::Source {
            table: table.to_owned(),
            reason,
        }
    }

    pub(super) fn table(table: &str, reason: String) -> Self {
        Self::Table {
            table: table.to_owned(),
            reason,
        }
    }

    /// What the objective says of the rows of a table, called `name`.
    pub(super) fn of_objective(name: &str, table: &DynSource<'_>, error: ObjectiveError) -> Self {
        match error {
            ObjectiveError::Row { objective, error } => Self::row(name, table, error, objective),
            other => other.into(),
        }
    }

    /// What a metric says of the rows of a table, called `name`.
    pub(super) fn of_metric(name: &str, table: &DynSource<'_>, error: MetricError) -> Self {
        match error {
            MetricError::Row { metric, error } => Self::row(name, table, error, metric),
            other => other.into(),
        }
    }

    /// A row of a table, called `name`, that `who` refuses.
    pub(super) fn row(
        name: &str,
        table: &DynSource<'_>,
        error: RowError,
        who: impl Into<String>,
    ) -> Self {
        let RowError { row, value, reason } = error;
        let place = table.place(row, value);
        Self::Row {
            place: place.unwrap_or_else(|| format!("table {name}, row {}", row + 1)),
            reason,
            who: who.into(),
        }
    }

    pub(super) fn changed(table: &str) -> Self {
        Self::table(
            table,
            "it is not what it was when it was read first".to_owned(),
        )
    }
}
