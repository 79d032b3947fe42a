//! What objectives ask of rows before they are trained on.

use crate::{
    data::{Info, RowError, RowValue},
    objective::ObjectiveError,
};

/// The rows an objective is to be trained on.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    objective: &'static str,
    info: &'a Info,
}

impl<'a> Rows<'a> {
    pub(super) fn new(objective: &'static str, info: &'a Info) -> Self {
        Self { objective, info }
    }

    /// One finite label a row, each `accepted`, which `range` puts in words.
    pub(super) fn labels(
        self,
        range: &str,
        accepted: impl Fn(f32) -> bool,
    ) -> Result<Self, ObjectiveError> {
        let labels = &self.info.labels;
        if labels.len() != self.info.rows {
            return Err(self.refuse(format!(
                "expected one label a row, {} in all; found {}",
                self.info.rows,
                labels.len()
            )));
        }
        let bad = labels
            .iter()
            .position(|label| !label.is_finite() || !accepted(*label));
        match bad {
            None => Ok(self),
            Some(row) => Err(self.refuse_row(
                row,
                RowValue::Label,
                format!("expected {range} as label; found {}", labels[row]),
            )),
        }
    }

    /// No weights or one a row, finite and not negative.
    pub(super) fn weights(self) -> Result<Self, ObjectiveError> {
        self.weights_of("row", self.info.rows, |row| row)
    }

    /// Groups of consecutive rows that cover all rows, and no weights or one a group. No groups
    /// are one group.
    pub(super) fn groups(self) -> Result<Self, ObjectiveError> {
        let starts = &self.info.group_starts;
        if starts.is_empty() {
            return self.weights_of("group", 1, |_| 0);
        }
        if !self.info.groups_cover_rows() {
            return Err(self.refuse(format!(
                "expected groups of consecutive rows from row 0 to row {}, each starting where \
                 the last one ends",
                self.info.rows
            )));
        }
        self.weights_of("group", starts.len() - 1, |group| starts[group])
    }

    /// One weight for each of `count` rows or groups, the first row of which `row_of` gives: there
    /// stands the weight.
    fn weights_of(
        self,
        what: &str,
        count: usize,
        row_of: impl Fn(usize) -> usize,
    ) -> Result<Self, ObjectiveError> {
        let weights = &self.info.weights;
        if weights.is_empty() {
            return Ok(self);
        }
        if weights.len() != count {
            return Err(self.refuse(format!(
                "expected one weight a {what}, {count} in all; found {}",
                weights.len()
            )));
        }
        match weights
            .iter()
            .position(|weight| !weight.is_finite() || *weight < 0.0)
        {
            None => Ok(self),
            Some(at) => {
                let reason = format!(
                    "expected a number at least 0 as weight; found {}",
                    weights[at]
                );
                Err(self.refuse_row(row_of(at), RowValue::Weight, reason))
            }
        }
    }

    /// The error of one of these rows.
    pub(super) fn refuse_row(self, row: usize, value: RowValue, reason: String) -> ObjectiveError {
        ObjectiveError::Row {
            objective: self.objective.to_owned(),
            error: RowError { row, value, reason },
        }
    }

    /// The error of these rows.
    pub(super) fn refuse(&self, reason: String) -> ObjectiveError {
        ObjectiveError::Labels {
            objective: self.objective.to_owned(),
            reason,
        }
    }
}
