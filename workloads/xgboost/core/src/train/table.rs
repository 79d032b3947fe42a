//! Tables whose margins follow the model: evaluation sets, and the training set where dropout
//! changes all trees' weights.
//!
//! They are kept as the raw values they came in, not as bins: an initial model, the exact method
//! and values outside the training set's cuts all need the values themselves. What exceeds the
//! budget is read anew every time.

use crate::{
    data::{Batch, Info, Schema, Source, Values},
    train::TrainError,
    tree::{NodeKind, Split, Tree},
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

    fn rewind(&mut self) -> Result<(), String> {
        (**self).rewind()
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        (**self).next_batch()
    }
}

/// A tree as predictions use it.
#[derive(Clone, Copy)]
pub(super) struct Term<'a> {
    pub(super) tree: &'a Tree,
    pub(super) output: usize,
    pub(super) weight: f32,
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
    /// A table whose margins are where training starts: its own `base_margin`, or `start`.
    pub(super) fn new(
        name: String,
        source: Box<DynSource<'a>>,
        start: &[f32],
    ) -> Result<Self, TrainError> {
        check_info(&name, source.info(), start.len())?;
        let margins = start_margins(source.info(), start);
        Ok(Self {
            name,
            source,
            kept: None,
            margins,
            outputs: start.len(),
        })
    }

    pub(super) fn info(&self) -> &Info {
        self.source.info()
    }

    pub(super) fn features(&self) -> usize {
        self.source.schema().features.len()
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

    /// Starts the margins anew and adds all of `terms`.
    pub(super) fn predict(&mut self, start: &[f32], terms: &[Term<'_>]) -> Result<(), TrainError> {
        self.margins = start_margins(self.source.info(), start);
        self.add(terms)
    }

    /// Adds `terms` to the margins.
    pub(super) fn add(&mut self, terms: &[Term<'_>]) -> Result<(), TrainError> {
        if terms.is_empty() || self.margins.is_empty() {
            return Ok(());
        }
        let features = self.features();
        let outputs = self.outputs;
        let mut left = self.margins.as_mut_slice();
        if let Some(kept) = &self.kept {
            for batch in kept {
                left = add_batch(batch, features, terms, outputs, left)
                    .ok_or_else(|| TrainError::changed(&self.name))?;
            }
        } else {
            let name = &self.name;
            self.source
                .rewind()
                .map_err(|reason| TrainError::source(name, reason))?;
            while let Some(batch) = self
                .source
                .next_batch()
                .map_err(|reason| TrainError::source(name, reason))?
            {
                left = add_batch(&batch, features, terms, outputs, left)
                    .ok_or_else(|| TrainError::changed(name))?;
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(TrainError::changed(&self.name))
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

/// Refuses labels, weights and the rest that are not as many as they have to be.
pub(super) fn check_info(table: &str, info: &Info, outputs: usize) -> Result<(), TrainError> {
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
    let bounds = &info.group_starts;
    let whole = bounds.first() == Some(&0) && bounds.last() == Some(&rows);
    if !(bounds.is_empty() || whole && bounds.is_sorted()) {
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

/// Adds `terms` to the margins of a batch's rows, the first of `margins`, and gives the rest.
/// `None` where the batch has more rows than there are margins, or not the features it should.
fn add_batch<'m>(
    batch: &Batch,
    features: usize,
    terms: &[Term<'_>],
    outputs: usize,
    margins: &'m mut [f32],
) -> Option<&'m mut [f32]> {
    let (here, rest) = margins.split_at_mut_checked(batch.rows.checked_mul(outputs)?)?;
    let rows = here.chunks_exact_mut(outputs);
    match &batch.values {
        Values::Dense(values) => {
            if values.len() != batch.rows.checked_mul(features)? {
                return None;
            }
            for (row, margins) in values.chunks_exact(features.max(1)).zip(rows) {
                add_row(row, terms, margins);
            }
        }
        Values::Sparse {
            starts,
            features: columns,
            values,
        } => {
            let mut full = vec![f32::NAN; features];
            for (bounds, margins) in starts.windows(2).zip(rows) {
                let columns = columns.get(bounds[0]..bounds[1])?;
                let values = values.get(bounds[0]..bounds[1])?;
                for (column, value) in columns.iter().zip(values) {
                    *full.get_mut(*column as usize)? = *value;
                }
                add_row(&full, terms, margins);
                for column in columns {
                    full[*column as usize] = f32::NAN;
                }
            }
        }
    }
    Some(rest)
}

fn add_row(row: &[f32], terms: &[Term<'_>], margins: &mut [f32]) {
    for term in terms {
        margins[term.output] += leaf(term.tree, row) * term.weight;
    }
}

/// The value of the leaf that holds a row.
fn leaf(tree: &Tree, row: &[f32]) -> f32 {
    let mut node = 0;
    loop {
        match &tree.nodes[node].kind {
            NodeKind::Leaf { value } => return *value,
            NodeKind::Split {
                left,
                right,
                feature,
                default_left,
                split,
                ..
            } => {
                let value = row[*feature as usize];
                let goes_left = if value.is_nan() {
                    *default_left
                } else {
                    match split {
                        Split::Below(bound) => value < *bound,
                        Split::Categories(right) => {
                            // A float becomes the whole number towards 0; a negative one is none.
                            value < 0.0 || right.binary_search(&(value as u32)).is_err()
                        }
                    }
                };
                // A tree that was grown or parsed has the children it names.
                node = if goes_left { *left } else { *right } as usize;
            }
            NodeKind::Deleted => return 0.0,
        }
    }
}
