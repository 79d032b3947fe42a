//! The later readings: batches of feature values.

use std::borrow::Cow;

use super::{Table, category::Recoder};
use crate::data::{
    Batch, DataError, Feature, FeatureKind, Values,
    columns::{Column, Interner, NO_TEXT, Reader},
    libsvm::{LibSvmReader, Row},
};

/// Values in a batch, about: 2 MiB of them.
const BATCH_VALUES: usize = 1 << 19;
/// Rows in a batch, at most.
const BATCH_ROWS: usize = 1 << 16;
/// XGBoost's codes are below this, so that single precision holds them.
const MAX_CODE: f32 = 16_777_216.0;

/// One file of the table.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) input: String,
    pub(super) reader: PartReader,
    /// How many rows the first reading found.
    pub(super) rows: u64,
}

/// What reads it.
pub(super) enum PartReader {
    /// A file of columns, and where they go.
    Columns {
        reader: Box<dyn Reader>,
        targets: Vec<Option<usize>>,
    },
    /// A file of sparse rows.
    Sparse(LibSvmReader),
}

impl Part {
    pub(super) fn new(name: String, input: String, reader: PartReader) -> Self {
        Self {
            name,
            input,
            reader,
            rows: 0,
        }
    }

    pub(super) fn rewind(&mut self) {
        match &mut self.reader {
            PartReader::Columns { reader, .. } => reader.rewind(),
            PartReader::Sparse(reader) => reader.rewind(),
        }
    }

    /// Appends up to `most` rows of the `wanted` columns.
    pub(super) fn read_columns(
        &mut self,
        most: usize,
        wanted: impl Fn(usize) -> bool,
        out: &mut [Column],
    ) -> Result<usize, DataError> {
        let PartReader::Columns { reader, targets } = &mut self.reader else {
            unreachable!("a table of columns has no sparse parts")
        };
        let targets: Vec<Option<usize>> = targets
            .iter()
            .map(|target| target.filter(|target| wanted(*target)))
            .collect();
        reader.read(most, &targets, out)
    }
}

impl Table {
    pub(super) fn read_batch(&mut self) -> Result<Option<Batch>, DataError> {
        loop {
            if self.at >= self.range.end || self.part == self.parts.len() {
                return self.end();
            }
            let left = self.parts[self.part].rows - self.part_row;
            if left == 0 {
                // It holds no memory any longer.
                self.parts[self.part].rewind();
                self.part += 1;
                self.part_row = 0;
                continue;
            }
            let before = self.range.start.saturating_sub(self.at);
            if before >= left && self.part_row == 0 {
                self.part += 1;
                self.at += left;
                continue;
            }
            let skip = before > 0;
            let until = if skip {
                before
            } else {
                self.range.end - self.at
            };
            let width = self.schema.features.len().max(1);
            let most = if skip {
                BATCH_ROWS
            } else {
                (BATCH_VALUES / width).clamp(1, BATCH_ROWS)
            };
            let most = until.min(left).min(most as u64) as usize;
            let batch = if self.sparse {
                self.read_sparse(most)?
            } else {
                self.read_dense(most, skip)?
            };
            if batch.rows == 0 {
                return Err(DataError::Changed(self.parts[self.part].name.clone()));
            }
            self.at += batch.rows as u64;
            self.part_row += batch.rows as u64;
            if !skip {
                return Ok(Some(batch));
            }
        }
    }

    /// The end of the rows: now it is known which features have no value at all.
    fn end(&mut self) -> Result<Option<Batch>, DataError> {
        let whole = self.refuse_missing && self.size == 1 && self.at >= self.range.end;
        match self.present.iter().position(|present| !present) {
            Some(feature) if whole => Err(DataError::Column {
                column: self.schema.features[feature].name.clone(),
                reason: "it has no value in any row; leave it out with --ignore".to_owned(),
            }),
            _ => Ok(None),
        }
    }

    fn read_dense(&mut self, most: usize, skip: bool) -> Result<Batch, DataError> {
        self.columns.iter_mut().for_each(Column::clear);
        let width = self.schema.features.len();
        let part = &mut self.parts[self.part];
        let rows = part.read_columns(most, |target| !skip && target < width, &mut self.columns)?;
        let mut singles: Vec<Cow<'_, [f32]>> = Vec::with_capacity(width);
        let place = Place {
            file: &part.name,
            row: self.part_row,
        };
        for (index, column) in self.columns.iter().enumerate().filter(|_| !skip) {
            let feature = (index, &self.schema.features[index]);
            let single = match (column, &mut self.recoders[index]) {
                (Column::Text(ids, names), Some(recoder)) => {
                    recoder.learn(names);
                    Cow::Owned(recode(ids, names, recoder, feature, place)?)
                }
                (Column::Number(numbers), _) => {
                    check(numbers, feature, place)?;
                    Cow::Borrowed(&**numbers)
                }
                _ => unreachable!("text is recoded and the rest are numbers"),
            };
            self.present[index] = self.present[index] || single.iter().any(|value| !value.is_nan());
            singles.push(single);
        }
        let values = interleave(&singles, if skip { 0 } else { rows });
        Ok(Batch {
            rows,
            values: Values::Dense(values),
        })
    }

    fn read_sparse(&mut self, most: usize) -> Result<Batch, DataError> {
        let part = &mut self.parts[self.part];
        let PartReader::Sparse(reader) = &mut part.reader else {
            unreachable!("a sparse table has sparse parts only")
        };
        let (mut starts, mut features, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut row = Row::default();
        // A row is whole, so a batch may have the entries of one row more than is due.
        while starts.len() <= most && values.len() < BATCH_VALUES && reader.read(&mut row)? {
            let place = Place {
                file: &part.name,
                row: self.part_row + starts.len() as u64 - 1,
            };
            for (feature, value) in &row.entries {
                let index = *feature as usize;
                let Some(known) = self.schema.features.get(index) else {
                    return Err(DataError::Changed(part.name.clone()));
                };
                check(&[*value], (index, known), place)?;
                self.present[index] = true;
                features.push(*feature);
                values.push(*value);
            }
            starts.push(values.len());
        }
        Ok(Batch {
            rows: starts.len() - 1,
            values: Values::Sparse {
                starts,
                features,
                values,
            },
        })
    }
}

/// Columns as rows. Some rows at a time, so that both sides stay in the cache.
fn interleave(columns: &[Cow<'_, [f32]>], rows: usize) -> Vec<f32> {
    const TILE: usize = 64;
    let width = columns.len().max(1);
    let mut values = vec![0.0; rows * columns.len()];
    for (tile, out) in values.chunks_mut(TILE * width).enumerate() {
        for (index, column) in columns.iter().enumerate() {
            let column = column.get(tile * TILE..).unwrap_or_default();
            for (row, value) in out.chunks_exact_mut(width).zip(column) {
                row[index] = *value;
            }
        }
    }
    values
}

/// A feature and its number.
type Numbered<'a> = (usize, &'a Feature);

/// Where a batch starts, for errors.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    /// Rows before it in the file.
    row: u64,
}

impl Place<'_> {
    fn refuse(self, row: usize, (index, feature): Numbered<'_>, reason: String) -> DataError {
        DataError::Value {
            file: self.file.to_owned(),
            row: self.row + row as u64 + 1,
            column: match feature.name.is_empty() {
                true => index.to_string(),
                false => feature.name.clone(),
            },
            reason,
        }
    }
}

/// Refuses infinite values, and codes that are none.
fn check(numbers: &[f32], feature: Numbered<'_>, place: Place<'_>) -> Result<(), DataError> {
    // Without a branch a value, so that it costs next to nothing.
    if numbers
        .iter()
        .fold(false, |bad, value| bad | value.is_infinite())
        && let Some(row) = numbers.iter().position(|value| value.is_infinite())
    {
        let reason = "the value is infinite, or too large for single precision".to_owned();
        return Err(place.refuse(row, feature, reason));
    }
    if feature.1.kind == FeatureKind::Categorical {
        let code = |value: f32| {
            value.is_nan() || (value.fract() == 0.0 && (0.0..MAX_CODE).contains(&value))
        };
        if let Some(row) = numbers.iter().position(|value| !code(*value)) {
            let reason = format!(
                "expected the code of a category, a whole number from 0 and below 2^24; found {}",
                numbers[row]
            );
            return Err(place.refuse(row, feature, reason));
        }
    }
    Ok(())
}

fn recode(
    ids: &[u32],
    names: &Interner,
    recoder: &Recoder,
    feature: Numbered<'_>,
    place: Place<'_>,
) -> Result<Vec<f32>, DataError> {
    let mut codes = Vec::with_capacity(ids.len());
    for (row, id) in ids.iter().enumerate() {
        codes.push(match (*id, recoder.code(*id)) {
            (NO_TEXT, _) => f32::NAN,
            (_, Some(code)) => code as f32,
            (id, None) => {
                let text = names.names().get(id as usize).map_or("", |name| &**name);
                let shown: String = text.chars().take(40).collect();
                let reason =
                    format!("{shown:?} is none of the categories the model was trained with");
                return Err(place.refuse(row, feature, reason));
            }
        });
    }
    Ok(codes)
}
