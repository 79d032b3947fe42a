//! Parts of a table: which row is in which, and a part as a table of its own.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use crate::{
    data::{Batch, Info, RowError, RowValue, Schema, Source, Values},
    random::Mt19937,
    train::{CvOptions, TrainError, setup::TRAINING, table::DynSource},
};

/// The part each row is tested in. The same as `xgboost.cv` of the same seed has: rows and groups
/// by `numpy.random.permutation`, classes by scikit-learn's `StratifiedKFold`.
///
/// Stratified parts are of a table that [`check_classes`] let pass.
pub(super) fn assign(cv: &CvOptions, info: &Info) -> Result<Vec<u32>, TrainError> {
    let groups = info.group_starts.len().saturating_sub(1);
    let (things, many) = if groups > 0 {
        ("groups", groups)
    } else {
        ("rows", info.rows)
    };
    if cv.folds < 2 || cv.folds > many || u32::try_from(info.rows).is_err() {
        return Err(TrainError::Folds(format!(
            "expected at least 2 and at most {many}, the number of {things}; found {}",
            cv.folds
        )));
    }
    let mut random = Mt19937::new(cv.seed);
    if cv.stratified {
        if groups > 0 {
            return Err(TrainError::Folds(
                "stratified parts would tear groups apart; leave out one of the two".to_owned(),
            ));
        }
        return stratified(cv.folds, &info.labels, &mut random);
    }
    let mut order: Vec<usize> = (0..many).collect();
    if cv.shuffle {
        random.shuffle(&mut order);
    }
    let mut parts = vec![0; many];
    let mut left = order.as_slice();
    for fold in 0..cv.folds {
        // The first parts get what doesn't divide.
        let size = many / cv.folds + usize::from(fold < many % cv.folds);
        let (these, rest) = left.split_at(size);
        for item in these {
            parts[*item] = fold as u32;
        }
        left = rest;
    }
    if groups == 0 {
        return Ok(parts);
    }
    let sizes = info
        .group_starts
        .windows(2)
        .map(|bounds| bounds[1] - bounds[0]);
    Ok(parts
        .iter()
        .zip(sizes)
        .flat_map(|(part, size)| std::iter::repeat_n(*part, size))
        .collect())
}

/// Refuses labels that are no classes.
pub(super) fn check_classes(table: &DynSource<'_>) -> Result<(), TrainError> {
    let labels = &table.info().labels;
    let Some(row) = labels.iter().position(|label| label.fract() != 0.0) else {
        return Ok(());
    };
    let error = RowError {
        row,
        value: RowValue::Label,
        reason: format!("expected a whole number as label; found {}", labels[row]),
    };
    let who = "stratified parts are of classes";
    Err(TrainError::row(TRAINING, table, error, who))
}

/// Parts with their share of every class.
fn stratified(folds: usize, labels: &[f32], random: &mut Mt19937) -> Result<Vec<u32>, TrainError> {
    // Classes are numbered as they first come.
    let mut numbers: HashMap<u32, usize> = HashMap::new();
    let mut rows_of: Vec<Vec<usize>> = Vec::new();
    for (row, label) in labels.iter().enumerate() {
        // The sum makes one of both zeros.
        let number = *numbers
            .entry((label + 0.0).to_bits())
            .or_insert(rows_of.len());
        if number == rows_of.len() {
            rows_of.push(Vec::new());
        }
        rows_of[number].push(row);
    }
    let largest = rows_of.iter().map(Vec::len).max().unwrap_or(0);
    if folds > largest {
        return Err(TrainError::Folds(format!(
            "expected at most {largest}, the rows of the largest class; found {folds}"
        )));
    }
    let mut parts = vec![0; labels.len()];
    let mut before = 0;
    for rows in &rows_of {
        // Dealing out all rows in the order of classes gives each part its share of this one.
        let mut shares = vec![0; folds];
        for place in before..before + rows.len() {
            shares[place % folds] += 1;
        }
        before += rows.len();
        let mut dealt: Vec<u32> = shares
            .iter()
            .enumerate()
            .flat_map(|(fold, share)| std::iter::repeat_n(fold as u32, *share))
            .collect();
        random.shuffle(&mut dealt);
        for (row, part) in rows.iter().zip(dealt) {
            parts[*row] = part;
        }
    }
    Ok(parts)
}

/// The rows of a table that are in a part, or those that are not.
pub(super) struct Fold<'a> {
    table: Rc<RefCell<Box<DynSource<'a>>>>,
    fold_of_row: Rc<[u32]>,
    fold: u32,
    tested: bool,
    schema: Schema,
    info: Info,
    /// Rows read of the whole table.
    read: usize,
}

impl<'a> Fold<'a> {
    /// The rows `tested` in part `fold`, or the others.
    pub(super) fn new(
        table: &Rc<RefCell<Box<DynSource<'a>>>>,
        fold_of_row: &Rc<[u32]>,
        fold: u32,
        tested: bool,
    ) -> Self {
        let inner = table.borrow();
        let keep: Vec<bool> = fold_of_row
            .iter()
            .map(|of| (*of == fold) == tested)
            .collect();
        let (schema, info) = (inner.schema().clone(), part(inner.info(), &keep));
        drop(inner);
        Self {
            table: Rc::clone(table),
            fold_of_row: Rc::clone(fold_of_row),
            fold,
            tested,
            schema,
            info,
            read: 0,
        }
    }
}

impl Source for Fold<'_> {
    type Error = String;

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn info(&self) -> &Info {
        &self.info
    }

    fn place(&self, row: usize, value: RowValue) -> Option<String> {
        let own = |(_, fold): &(usize, &u32)| (**fold == self.fold) == self.tested;
        let mut rows = self.fold_of_row.iter().enumerate().filter(own);
        let row = rows.nth(row).map_or(row, |(row, _)| row);
        self.table.borrow().place(row, value)
    }

    fn rewind(&mut self) -> Result<(), String> {
        self.read = 0;
        self.table.borrow_mut().rewind()
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        loop {
            let Some(batch) = self.table.borrow_mut().next_batch()? else {
                return Ok(None);
            };
            let end = self.read.saturating_add(batch.rows);
            let folds = self
                .fold_of_row
                .get(self.read..end)
                .ok_or("it has more rows than when it was read first")?;
            self.read = end;
            let keep: Vec<bool> = folds
                .iter()
                .map(|fold| (*fold == self.fold) == self.tested)
                .collect();
            let batch = filter(&batch, &keep, self.schema.features.len());
            if batch.rows > 0 {
                return Ok(Some(batch));
            }
        }
    }
}

/// The rows of `batch` to `keep`.
fn filter(batch: &Batch, keep: &[bool], features: usize) -> Batch {
    let rows = keep.iter().filter(|keep| **keep).count();
    let values = match &batch.values {
        Values::Dense(values) => Values::Dense(pick(values, features, keep)),
        Values::Sparse {
            starts,
            features: columns,
            values,
        } => {
            let mut kept = (vec![0], Vec::new(), Vec::new());
            for (bounds, _) in starts.windows(2).zip(keep).filter(|(_, keep)| **keep) {
                kept.1.extend_from_slice(&columns[bounds[0]..bounds[1]]);
                kept.2.extend_from_slice(&values[bounds[0]..bounds[1]]);
                kept.0.push(kept.1.len());
            }
            Values::Sparse {
                starts: kept.0,
                features: kept.1,
                values: kept.2,
            }
        }
    };
    Batch { rows, values }
}

/// What is known of the rows to `keep`, which are whole groups where there are groups.
fn part(info: &Info, keep: &[bool]) -> Info {
    let whole: Vec<bool> = info
        .group_starts
        .windows(2)
        .filter(|at| at[0] < at[1])
        .map(|at| keep[at[0]])
        .collect();
    let filled: Vec<usize> = {
        // A group without rows is in no part.
        let mut starts = info.group_starts.clone();
        starts.dedup();
        starts
    };
    let weights = if info.group_starts.is_empty() {
        pick(&info.weights, 1, keep)
    } else {
        let of_filled: Vec<f32> = info
            .group_starts
            .windows(2)
            .zip(&info.weights)
            .filter(|(at, _)| at[0] < at[1])
            .map(|(_, weight)| *weight)
            .collect();
        pick(&of_filled, 1, &whole)
    };
    let mut group_starts = Vec::new();
    if !filled.is_empty() {
        group_starts.push(0);
        let mut end = 0;
        for (at, _) in filled.windows(2).zip(&whole).filter(|(_, keep)| **keep) {
            end += at[1] - at[0];
            group_starts.push(end);
        }
    }
    Info {
        rows: keep.iter().filter(|keep| **keep).count(),
        labels: pick(&info.labels, 1, keep),
        lower: pick(&info.lower, 1, keep),
        upper: pick(&info.upper, 1, keep),
        weights,
        base_margin: pick(
            &info.base_margin,
            info.base_margin.len() / info.rows.max(1),
            keep,
        ),
        group_starts,
    }
}

/// The items to keep, `width` numbers each.
fn pick(values: &[f32], width: usize, keep: &[bool]) -> Vec<f32> {
    values
        .chunks_exact(width.max(1))
        .zip(keep)
        .filter(|(_, keep)| **keep)
        .flat_map(|(item, _)| item.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cv(folds: usize, stratified: bool) -> CvOptions {
        CvOptions {
            folds,
            stratified,
            seed: 7,
            ..CvOptions::default()
        }
    }

    #[test]
    fn rows_are_parted_as_numpy_parts_them() {
        let info = Info {
            rows: 10,
            labels: vec![0.0; 10],
            ..Info::default()
        };
        // numpy.array_split([8 5 0 2 1 9 7 3 6 4], 3)
        assert_eq!(
            assign(&cv(3, false), &info).unwrap(),
            [0, 1, 0, 2, 2, 0, 2, 1, 0, 1]
        );
    }

    #[test]
    fn classes_are_parted_as_scikit_learn_parts_them() {
        let labels = vec![1.0, 0.0, 1.0, 1.0, 0.0, 2.0, 2.0, 1.0, 0.0, 0.0, 1.0, 2.0];
        let info = Info {
            rows: 12,
            labels,
            ..Info::default()
        };
        // StratifiedKFold(3, shuffle=True, random_state=7)
        assert_eq!(
            assign(&cv(3, true), &info).unwrap(),
            [0, 2, 1, 1, 1, 0, 1, 0, 0, 2, 2, 2]
        );
    }

    #[test]
    fn groups_stay_together_with_their_weights() {
        let info = Info {
            rows: 6,
            labels: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            weights: vec![10.0, 20.0, 30.0],
            group_starts: vec![0, 1, 3, 6],
            ..Info::default()
        };
        let rows = assign(
            &CvOptions {
                shuffle: false,
                ..cv(3, false)
            },
            &info,
        )
        .unwrap();
        assert_eq!(rows, [0, 1, 1, 2, 2, 2]);
        let keep: Vec<bool> = rows.iter().map(|part| *part != 1).collect();
        let rest = part(&info, &keep);
        assert_eq!(
            (rest.labels, rest.weights),
            (vec![1.0, 4.0, 5.0, 6.0], vec![10.0, 30.0])
        );
        assert_eq!((rest.rows, rest.group_starts), (4, vec![0, 1, 4]));
    }

    #[test]
    fn folds_there_are_no_rows_for_are_refused() {
        let info = Info {
            rows: 4,
            labels: vec![0.0, 1.0, 0.0, 2.0],
            ..Info::default()
        };
        for bad in [cv(0, false), cv(1, false), cv(5, false), cv(3, true)] {
            assert!(assign(&bad, &info).is_err(), "{bad:?}");
        }
    }
}
