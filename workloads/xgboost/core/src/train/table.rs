//! Tables whose margins follow the model: evaluation sets, and the training set where dropout
//! changes all trees' weights.
//!
//! They are kept as the raw values they came in, not as bins: an initial model, the exact method
//! and values outside the training set's cuts all need the values themselves. What exceeds the
//! budget is read anew every time.

use crate::{
    data::{Batch, Info, RowValue, Schema, Source, Values},
    objective::Objective,
    predict::Forest,
    train::TrainError,
};

/// A table of any kind; errors are words.
pub(super) type DynSource<'a> = dyn Source<Error = String> + 'a;

/// Lets one type of reader stand for all, so that training is compiled once.
pub(super) struct Worded<'a, S>(pub(super) &'a mut S);

impl<S: Source> Source for Worded<'_, S> {
    type Error = String;

    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    fn info(&self) -> &Info {
        self.0.info()
    }

    fn present(&self) -> Option<&[bool]> {
        self.0.present()
    }

    fn place(&self, row: usize, value: RowValue) -> Option<String> {
        self.0.place(row, value)
    }

    fn rewind(&mut self) -> Result<(), String> {
        self.0.rewind().map_err(|error| error.to_string())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        self.0.next_batch().map_err(|error| error.to_string())
    }
}

impl Source for &mut DynSource<'_> {
    type Error = String;

    fn schema(&self) -> &Schema {
        (**self).schema()
    }

    fn info(&self) -> &Info {
        (**self).info()
    }

    fn present(&self) -> Option<&[bool]> {
        (**self).present()
    }

    fn place(&self, row: usize, value: RowValue) -> Option<String> {
        (**self).place(row, value)
    }

    fn rewind(&mut self) -> Result<(), String> {
        (**self).rewind()
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        (**self).next_batch()
    }
}

/// A table and its margins.
pub(super) struct Table<'a> {
    pub(super) name: String,
    pub(super) source: Box<DynSource<'a>>,
    kept: Option<Vec<Batch>>,
    /// Rows × outputs.
    pub(super) margins: Vec<f32>,
    outputs: usize,
}

impl<'a> Table<'a> {
    /// A table that [`check`] let pass, whose margins are where training starts: its own
    /// `base_margin`, or `start`.
    pub(super) fn new(name: String, source: Box<DynSource<'a>>, start: &[f32]) -> Self {
        let margins = start_margins(source.info(), start);
        Self {
            name,
            source,
            kept: None,
            margins,
            outputs: start.len(),
        }
    }

    pub(super) fn info(&self) -> &Info {
        self.source.info()
    }

    /// Keeps the feature values in memory if they are no more than `limit` bytes.
    pub(super) fn keep(&mut self, limit: usize) -> Result<(), TrainError> {
        let mut kept = Vec::new();
        let mut size = 0_usize;
        let name = self.name.clone();
        self.source
            .rewind()
            .map_err(|reason| TrainError::source(&name, reason))?;
        while let Some(batch) = self
            .source
            .next_batch()
            .map_err(|reason| TrainError::source(&name, reason))?
        {
            size = size.saturating_add(bytes(&batch));
            if size > limit {
                return Ok(());
            }
            kept.push(batch);
        }
        self.kept = Some(kept);
        Ok(())
    }

    /// Starts the margins anew and adds all trees of `forest`.
    pub(super) fn predict(&mut self, start: &[f32], forest: &Forest) -> Result<(), TrainError> {
        self.margins = start_margins(self.source.info(), start);
        self.add(forest)
    }

    /// Adds all trees of `forest` to the margins.
    pub(super) fn add(&mut self, forest: &Forest) -> Result<(), TrainError> {
        if forest.trees() == 0 || self.margins.is_empty() {
            return Ok(());
        }
        let mut left = self.margins.as_mut_slice();
        let name = &self.name;
        if let Some(kept) = &self.kept {
            for batch in kept {
                left = add_batch(name, batch, forest, self.outputs, left)?;
            }
        } else {
            self.source
                .rewind()
                .map_err(|reason| TrainError::source(name, reason))?;
            while let Some(batch) = self
                .source
                .next_batch()
                .map_err(|reason| TrainError::source(name, reason))?
            {
                left = add_batch(name, &batch, forest, self.outputs, left)?;
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(TrainError::changed(name))
        }
    }
}

/// Margins before any tree.
pub(super) fn start_margins(info: &Info, start: &[f32]) -> Vec<f32> {
    if info.base_margin.is_empty() {
        start.repeat(info.rows)
    } else {
        info.base_margin.clone()
    }
}

/// Refuses a table that `objective` cannot be trained on or evaluated on. Nothing is read for it, so
/// it comes before anything that takes long.
pub(super) fn check(
    name: &str,
    source: &DynSource<'_>,
    objective: &dyn Objective,
) -> Result<(), TrainError> {
    check_info(name, source.info(), objective.outputs())?;
    let checked = objective.check(source.info());
    checked.map_err(|error| TrainError::of_objective(name, source, error))
}

/// Refuses labels, weights and the rest that are not as many as they have to be.
fn check_info(table: &str, info: &Info, outputs: usize) -> Result<(), TrainError> {
    let rows = info.rows;
    let groups = info.group_starts.len().saturating_sub(1);
    let weights = if groups > 0 { groups } else { rows };
    let margins = rows.checked_mul(outputs);
    let columns = [
        ("labels", info.labels.len(), Some(rows)),
        ("lower bounds", info.lower.len(), Some(rows)),
        ("upper bounds", info.upper.len(), Some(rows)),
        ("weights", info.weights.len(), Some(weights)),
        ("base margins", info.base_margin.len(), margins),
    ];
    for (what, found, expected) in columns {
        if found != 0 && Some(found) != expected {
            let expected = expected.map_or("fewer".to_owned(), |expected| expected.to_string());
            return Err(TrainError::table(
                table,
                format!("expected {expected} {what} for {rows} rows; found {found}"),
            ));
        }
    }
    if !info.groups_cover_rows() {
        return Err(TrainError::table(
            table,
            "its groups don't cover its rows in order".to_owned(),
        ));
    }
    if margins.is_none() {
        return Err(TrainError::table(
            table,
            format!("{rows} rows are too many"),
        ));
    }
    Ok(())
}

fn bytes(batch: &Batch) -> usize {
    match &batch.values {
        Values::Dense(values) => 4 * values.len(),
        Values::Sparse { starts, values, .. } => {
            size_of::<usize>() * starts.len() + 8 * values.len()
        }
    }
}

/// Adds the trees to the margins of a batch's rows, the first of `margins`, and gives the rest.
fn add_batch<'m>(
    table: &str,
    batch: &Batch,
    forest: &Forest,
    outputs: usize,
    margins: &'m mut [f32],
) -> Result<&'m mut [f32], TrainError> {
    let split = margins.split_at_mut_checked(batch.rows.saturating_mul(outputs));
    let (here, rest) = split.ok_or_else(|| TrainError::changed(table))?;
    forest
        .add_margins(batch, here)
        .map_err(|error| TrainError::table(table, error.to_string()))?;
    Ok(rest)
}
