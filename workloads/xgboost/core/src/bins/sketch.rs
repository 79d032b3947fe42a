//! The weighted quantile sketch of every feature, and cut points from it.
//!
//! XGBoost's `WQuantileSketch` and `HostSketchContainer` as `tree_method=hist` uses them: values
//! are pushed row by row with the weights the person gave, second derivatives do not count.

use std::borrow::Cow;

use super::{
    BinsError, Cuts, MAX_BINS,
    summary::{Entry, Summary},
};
use crate::{
    collective::{Collective, CollectiveError, Reduce},
    data::{Batch, FeatureKind, Info, Source, Values},
};

/// How much finer a sketch is than the bins asked for.
const OVERSAMPLING: f64 = 2.0;

/// Rows taken at once, so that what is read of them stays in the processor's cache while every
/// feature gets its turn.
const ROWS_AT_ONCE: usize = 128;

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
    read(source, |feature, value, weight| {
        match &mut sketches[feature] {
            Some(sketch) => {
                sketch.push(value, weight);
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
                sketch.push(value, weight);
            }
            Ok(())
        })?;
    }

    let mut counted = Vec::new();
    for sketch in sketches.iter_mut().flatten() {
        counted.push((sketch.pushed, sketch.finish(limit(max_bin, sketch.pushed))));
    }
    if all.size() > 1 {
        counted = merge(&counted, max_bin, all)?;
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

/// How many entries a level of a sketch keeps so that `count` values fit in `max_bin` bins
/// (`LimitSizeLevel`).
fn limit(max_bin: u32, count: u64) -> usize {
    if count == 0 {
        return 1;
    }
    let precision = 1.0 / count.min(u64::from(max_bin)) as f64 / OVERSAMPLING;
    let mut levels = 1_u32;
    loop {
        let limit = ((f64::from(levels) / precision).ceil() as u64 + 1).min(count);
        if levels >= 63 || (1_u64 << levels).saturating_mul(limit) >= count {
            return limit as usize;
        }
        levels += 1;
    }
}

/// The sketch of one feature.
struct Sketch {
    /// Entries a level may have.
    limit: usize,
    /// Values not yet in a level: order-preserving bits above, weight's bits below.
    queue: Vec<u64>,
    /// Level `l` stands for up to `2^l` times `limit` values.
    levels: Vec<Summary>,
    /// Values there were, those without weight included.
    seen: u64,
    /// Values that had a weight.
    pushed: u64,
    /// Read a second time.
    again: bool,
    /// Room to work in.
    taken: Summary,
    sorted: Vec<u64>,
    merged: Vec<Entry>,
}

impl Sketch {
    fn new(max_bin: u32, count: u64) -> Self {
        Self {
            limit: limit(max_bin, count),
            queue: Vec::new(),
            levels: Vec::new(),
            seen: 0,
            pushed: 0,
            again: false,
            taken: Summary::default(),
            sorted: Vec::new(),
            merged: Vec::new(),
        }
    }

    /// Takes one value in.
    #[inline]
    fn push(&mut self, value: f32, weight: f32) {
        self.seen += 1;
        if weight == 0.0 {
            return;
        }
        self.pushed += 1;
        let key = ordered(value);
        if let Some(last) = self.queue.last_mut()
            && *last >> 32 == key
        {
            *last = (key << 32) | u64::from((weight_of(*last) + weight).to_bits());
            return;
        }
        if self.queue.len() == self.limit * 2 {
            self.flush();
        }
        self.queue.push((key << 32) | u64::from(weight.to_bits()));
    }

    /// Moves the queue into the levels.
    fn flush(&mut self) {
        sort(&mut self.queue, &mut self.sorted);
        self.taken.set_sorted(
            self.queue
                .iter()
                .map(|packed| (value_of(*packed), weight_of(*packed))),
        );
        self.queue.clear();
        let mut level = 0;
        loop {
            if self.levels.len() <= level {
                self.levels.push(Summary::default());
            }
            self.taken.prune(self.limit);
            self.taken.combine(&self.levels[level], &mut self.merged);
            self.levels[level].entries.clear();
            if self.taken.entries.len() <= self.limit {
                break;
            }
            level += 1;
        }
        std::mem::swap(&mut self.levels[level], &mut self.taken);
    }

    /// All of it in at most `size` entries (`GetSummary`).
    fn finish(&mut self, size: usize) -> Summary {
        self.flush();
        let between = size.max(self.limit);
        let mut out = Summary::default();
        for level in &self.levels {
            out.combine(level, &mut self.merged);
            out.prune(between);
        }
        out.prune(size);
        self.levels.clear();
        out
    }
}

/// Bits of `value` that order as values do. Both zeros are one value.
#[inline]
fn ordered(value: f32) -> u64 {
    let bits = (value + 0.0).to_bits();
    let mask = ((bits as i32 >> 31) as u32) | 0x8000_0000;
    u64::from(bits ^ mask)
}

/// The value in a packed pair.
fn value_of(packed: u64) -> f32 {
    let key = (packed >> 32) as u32;
    let mask = if key & 0x8000_0000 == 0 {
        u32::MAX
    } else {
        0x8000_0000
    };
    f32::from_bits(key ^ mask)
}

/// The weight in a packed pair.
fn weight_of(packed: u64) -> f32 {
    f32::from_bits(packed as u32)
}

/// Sorts packed pairs by value, equal ones in the order they came; by radix, since queues have
/// thousands of them and every value passes through one.
fn sort(queue: &mut Vec<u64>, other: &mut Vec<u64>) {
    const BITS: u32 = 11;
    const DIGITS: usize = 1 << BITS;
    if queue.len() < DIGITS / 4 {
        queue.sort_by_key(|packed| packed >> 32);
        return;
    }
    let digit = |packed: u64, pass: usize| (packed >> (32 + BITS * pass as u32)) as usize % DIGITS;
    let mut counts = [[0_u32; DIGITS]; 3];
    for packed in queue.iter() {
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(*packed, pass)] += 1;
        }
    }
    other.clear();
    other.resize(queue.len(), 0);
    for (pass, counts) in counts.iter_mut().enumerate() {
        let mut sum = 0;
        for count in counts.iter_mut() {
            sum += std::mem::replace(count, sum);
        }
        for packed in queue.iter() {
            let place = &mut counts[digit(*packed, pass)];
            other[*place as usize] = *packed;
            *place += 1;
        }
        std::mem::swap(queue, other);
    }
}

/// Puts the summaries of all instances together, rank by rank (`AllReduce`).
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
    fn packed_values_order_and_come_back_as_they_were() {
        let values = [f32::MIN, -1.5, -1e-40, 0.0, 1e-40, 0.1, 3.0, f32::MAX];
        let pack = |value| (ordered(value) << 32) | u64::from(2.5_f32.to_bits());
        assert!(values.is_sorted_by(|a, b| pack(*a) < pack(*b)));
        for value in values {
            assert_eq!(
                (value_of(pack(value)), weight_of(pack(value))),
                (value, 2.5)
            );
        }
        assert_eq!(ordered(-0.0), ordered(0.0));
    }

    #[test]
    fn long_queues_are_sorted_as_short_ones_are() {
        let mut bits = 1_u64;
        let mut next = || {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few distinct values, so that the order of equal ones shows.
            (bits >> 33 << 32 & 0x8000_ff00_0000_0000) | (bits >> 32)
        };
        let mut queue: Vec<u64> = (0..5000).map(|_| next()).collect();
        let mut expected = queue.clone();
        expected.sort_by_key(|packed| packed >> 32);
        sort(&mut queue, &mut Vec::new());
        assert_eq!(queue, expected);
    }

    #[test]
    fn a_sketch_keeps_enough_for_its_bins() {
        // Levels times 2 · 256 + 1, until two to that power times it reaches the count.
        assert_eq!(limit(256, 0), 1);
        assert_eq!(limit(256, 100), 100);
        assert_eq!(limit(256, 1_000_000), 8 * 512 + 1);
        assert_eq!(limit(2, 1 << 40), 33 * 4 + 1);
    }

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
