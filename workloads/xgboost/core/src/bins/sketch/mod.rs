//! The weighted quantile sketch of every feature, and cut points from it.
//!
//! XGBoost's `WQuantileSketch` and `HostSketchContainer` as `tree_method=hist` uses them: values
//! are pushed row by row with the weights the person gave, second derivatives do not count.

mod queue;

use std::borrow::Cow;

use self::queue::{Room, Sketch, limit};
use super::{
    BinsError, Cuts, MAX_BINS,
    summary::{Entry, Summary},
};
use crate::{
    collective::{Collective, CollectiveError, Reduce},
    data::{Batch, FeatureKind, Info, Source, Values},
};

/// Rows taken at once, so that what is read of them stays in the processor's cache while every
/// feature gets its turn.
const ROWS_AT_ONCE: usize = 128;

/// Features whose summaries instances tell each other at once: each instance has those of all
/// meanwhile, and of a million rows each takes 90 KB.
const FEATURES_AT_ONCE: usize = 16;

/// Cut points of at most `max_bin` bins a feature, of all instances' rows.
///
/// # Errors
/// The table cannot be read or does not fit its schema, a category's code is none, or other
/// instances are gone.
pub fn sketch<S: Source>(
    source: &mut S,
    max_bin: u32,
    all: &mut dyn Collective,
) -> Result<Cuts, BinsError> {
    let max_bin = max_bin.clamp(2, MAX_BINS);
    let rows = source.info().rows as u64;
    let columns: Vec<(String, bool)> = source
        .schema()
        .features
        .iter()
        .map(|feature| {
            (
                feature.name.clone(),
                feature.kind == FeatureKind::Categorical,
            )
        })
        .collect();
    let mut sketches: Vec<Option<Sketch>> = columns
        .iter()
        .map(|(_, categorical)| (!categorical).then(|| Sketch::new(max_bin, rows)))
        .collect();
    let mut largest = vec![0.0_f64; columns.len()];
    let mut room = Room::default();
    read(source, |feature, value, weight| {
        match &mut sketches[feature] {
            Some(sketch) => {
                sketch.push(value, weight, &mut room);
                Ok(())
            }
            None => {
                let known = value >= 0.0 && value < MAX_BINS as f32;
                if !known {
                    return Err(BinsError::Category {
                        feature: columns[feature].0.clone(),
                        found: value,
                    });
                }
                largest[feature] = largest[feature].max(f64::from(value.trunc()));
                Ok(())
            }
        }
    })?;
    // A sketch's size depends on how many values its feature has. It was taken to have one in
    // every row; where that made a difference, these features are read again.
    let mut again = false;
    for sketch in sketches.iter_mut().flatten() {
        sketch.again = sketch.limit != limit(max_bin, sketch.seen);
        if sketch.again {
            *sketch = Sketch {
                again: true,
                ..Sketch::new(max_bin, sketch.seen)
            };
            again = true;
        }
    }
    if again {
        read(source, |feature, value, weight| {
            if let Some(sketch) = sketches[feature].as_mut().filter(|sketch| sketch.again) {
                sketch.push(value, weight, &mut room);
            }
            Ok(())
        })?;
    }

    let mut counted = Vec::new();
    for sketch in sketches.into_iter().flatten() {
        let (pushed, size) = (sketch.pushed, limit(max_bin, sketch.pushed));
        counted.push((pushed, sketch.finish(size, &mut room)));
    }
    if all.size() > 1 {
        let mut merged = Vec::with_capacity(counted.len());
        for own in counted.chunks(FEATURES_AT_ONCE) {
            merged.extend(merge(own, max_bin, all)?);
        }
        counted = merged;
        all.allreduce(&mut largest, Reduce::Max)?;
    }
    let mut cuts = Cuts {
        starts: vec![0],
        ..Cuts::default()
    };
    let mut numeric = counted.into_iter();
    for ((_, categorical), largest) in columns.iter().zip(largest) {
        if *categorical {
            cuts.push((0..=largest as u32).map(|code| code as f32), true);
        } else {
            let (_, summary) = numeric.next().unwrap_or_default();
            let bins = summary.entries.len().min(max_bin as usize);
            cuts.push(summary.cuts(bins), false);
        }
        if cuts.values.len() > i32::MAX as usize {
            return Err(BinsError::TooLarge(format!("more than {} bins", i32::MAX)));
        }
    }
    Ok(cuts)
}

/// Puts some features' summaries of all instances together, rank by rank (`AllReduce`).
fn merge(
    own: &[(u64, Summary)],
    max_bin: u32,
    all: &mut dyn Collective,
) -> Result<Vec<(u64, Summary)>, BinsError> {
    let mut bytes = Vec::new();
    for (count, summary) in own {
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&(summary.entries.len() as u64).to_le_bytes());
        for entry in &summary.entries {
            for number in [entry.rank_min, entry.rank_max, entry.weight, entry.value] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
    let mut merged = vec![(0, Summary::default()); own.len()];
    let mut room = Vec::new();
    for bytes in all.allgather(&bytes)? {
        let mut bytes = bytes.as_slice();
        for (count, summary) in &mut merged {
            let (more, other) = parse(&mut bytes).ok_or_else(|| {
                CollectiveError("another instance's table has other features".to_owned())
            })?;
            *count += more;
            summary.combine(&other, &mut room);
            summary.prune(limit(max_bin, *count));
        }
        if !bytes.is_empty() {
            return Err(CollectiveError("another instance has more features".to_owned()).into());
        }
    }
    Ok(merged)
}

/// One feature's summary out of another instance's bytes.
fn parse(bytes: &mut &[u8]) -> Option<(u64, Summary)> {
    let mut number = || {
        let (head, tail) = bytes.split_first_chunk::<8>()?;
        *bytes = tail;
        Some(u64::from_le_bytes(*head))
    };
    let count = number()?;
    let size = usize::try_from(number()?)
        .ok()?
        .checked_mul(size_of::<Entry>())?;
    let (entries, tail) = bytes.split_at_checked(size)?;
    *bytes = tail;
    let entries = entries
        .as_chunks::<4>()
        .0
        .as_chunks::<4>()
        .0
        .iter()
        .map(|entry| {
            let [rank_min, rank_max, weight, value] = entry.map(f32::from_le_bytes);
            Entry {
                rank_min,
                rank_max,
                weight,
                value,
            }
        })
        .collect();
    Some((count, Summary { entries }))
}

/// Calls `take(feature, value, weight)` for every value of the table, each feature's values
/// in the order of rows.
fn read<S: Source>(
    source: &mut S,
    mut take: impl FnMut(usize, f32, f32) -> Result<(), BinsError>,
) -> Result<(), BinsError> {
    let said = |error: S::Error| BinsError::Source(error.to_string());
    let weights = row_weights(source.info()).into_owned();
    let features = source.schema().features.len();
    let weight = |row: usize| weights.get(row).copied().unwrap_or(1.0);
    source.rewind().map_err(said)?;
    let mut first = 0;
    while let Some(batch) = source.next_batch().map_err(said)? {
        check(&batch, features)?;
        match &batch.values {
            Values::Dense(values) if features > 0 => {
                for (block, values) in values.chunks(features * ROWS_AT_ONCE).enumerate() {
                    let first = first + block * ROWS_AT_ONCE;
                    for feature in 0..features {
                        let column = values[feature..].iter().step_by(features);
                        for (row, value) in column.enumerate() {
                            if !value.is_nan() {
                                take(feature, *value, weight(first + row))?;
                            }
                        }
                    }
                }
            }
            Values::Dense(_) => {}
            Values::Sparse {
                starts,
                features,
                values,
            } => {
                for (row, ends) in starts.windows(2).enumerate() {
                    let weight = weight(first + row);
                    let entries = ends[0]..ends[1];
                    for (feature, value) in features[entries.clone()].iter().zip(&values[entries]) {
                        take(*feature as usize, *value, weight)?;
                    }
                }
            }
        }
        first += batch.rows;
    }
    Ok(())
}

/// The weight of each row, where rows have weights; a group's is that of its rows.
fn row_weights(info: &Info) -> Cow<'_, [f32]> {
    if info.group_starts.len() < 2 || info.weights.is_empty() || info.weights.len() == info.rows {
        return Cow::Borrowed(&info.weights);
    }
    let groups = info.group_starts.windows(2).zip(&info.weights);
    let weights = groups.flat_map(|(ends, weight)| {
        let rows = ends[1].saturating_sub(ends[0]).min(info.rows);
        std::iter::repeat_n(*weight, rows)
    });
    Cow::Owned(weights.collect())
}

/// Refuses a batch whose parts do not fit together.
pub(super) fn check(batch: &Batch, features: usize) -> Result<(), BinsError> {
    match &batch.values {
        Values::Dense(values) => {
            if batch.rows.checked_mul(features) != Some(values.len()) {
                return Err(BinsError::Shape(format!(
                    "expected {} rows of {features} values; found {} values",
                    batch.rows,
                    values.len()
                )));
            }
        }
        Values::Sparse {
            starts,
            features: columns,
            values,
        } => {
            let whole = starts.len() == batch.rows + 1
                && starts.first() == Some(&0)
                && starts.last() == Some(&values.len())
                && columns.len() == values.len()
                && starts.is_sorted();
            if !whole {
                return Err(BinsError::Shape("a sparse batch's parts differ".to_owned()));
            }
            let ascending = starts
                .windows(2)
                .all(|ends| columns[ends[0]..ends[1]].is_sorted_by(|a, b| a < b));
            if !ascending || columns.iter().any(|feature| *feature as usize >= features) {
                return Err(BinsError::Shape(format!(
                    "expected a row's features to ascend and to be less than {features}"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_summary_are_refused() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&7_u64.to_le_bytes());
        bytes.extend_from_slice(&1_u64.to_le_bytes());
        bytes.extend_from_slice(&[0; size_of::<Entry>()]);
        assert!(parse(&mut bytes.as_slice()).is_some());
        for end in 0..bytes.len() {
            assert!(parse(&mut &bytes[..end]).is_none());
        }
        bytes[8..16].fill(0xff);
        assert!(parse(&mut bytes.as_slice()).is_none());
    }
}
