//! Tables made by the rules of `fixtures/hist.py`.

use std::convert::Infallible;

use serde_json::Value;
use xgboost_core::data::{Batch, Feature, FeatureKind, Info, Schema, Source, Values};

/// A table in memory, handed out in batches of an odd size.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) schema: Schema,
    pub(crate) info: Info,
    pub(crate) values: Vec<f32>,
    /// Whether batches hold only what is there.
    pub(crate) sparse: bool,
    next: usize,
}

const BATCH: usize = 173;

impl Source for Table {
    type Error = Infallible;

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn info(&self) -> &Info {
        &self.info
    }

    fn rewind(&mut self) -> Result<(), Infallible> {
        self.next = 0;
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, Infallible> {
        let columns = self.schema.features.len();
        let rows = BATCH.min(self.info.rows - self.next);
        let values = &self.values[self.next * columns..(self.next + rows) * columns];
        self.next += rows;
        let values = if self.sparse {
            sparse(values, columns)
        } else {
            Values::Dense(values.to_vec())
        };
        Ok((rows > 0).then_some(Batch { rows, values }))
    }
}

fn sparse(dense: &[f32], columns: usize) -> Values {
    let (mut starts, mut features, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in dense.chunks(columns) {
        for (feature, value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            features.push(feature as u32);
            values.push(*value);
        }
        starts.push(values.len());
    }
    Values::Sparse {
        starts,
        features,
        values,
    }
}

/// 1,024 rows that a tree without limits parts in halves ten times, until each is alone.
pub(crate) fn halves() -> Table {
    let numbers: Vec<f32> = (0..1024).map(|row| row as f32).collect();
    Table {
        schema: Schema {
            features: vec![Feature {
                name: "f0".into(),
                kind: FeatureKind::Float,
                categories: None,
            }],
        },
        info: Info {
            rows: numbers.len(),
            labels: numbers.clone(),
            ..Info::default()
        },
        values: numbers,
        sparse: false,
        next: 0,
    }
}

/// `numbers` of hist.py.
struct Numbers(u64);

impl Numbers {
    fn draw(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / 16_777_216.0
    }
}

/// `table` of hist.py.
pub(crate) fn table(case: &Value) -> Table {
    let mut numbers = Numbers(case["seed"].as_u64().unwrap());
    let kinds: Vec<(&str, f32)> = case["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| {
            (
                kind[0].as_str().unwrap(),
                kind[1].as_f64().unwrap_or(1.0) as f32,
            )
        })
        .collect();
    let missing = case["missing"].as_f64().unwrap() as f32;
    let weighted = case["weighted"].as_bool().unwrap();
    let rows = case["rows"].as_u64().unwrap() as usize;
    let mut info = Info {
        rows,
        ..Info::default()
    };
    let mut values = Vec::new();
    for _ in 0..rows {
        let mut label = 0.0_f32;
        for (column, (kind, count)) in kinds.iter().enumerate() {
            let (mut value, present) = (numbers.draw(), numbers.draw());
            if *kind != "real" {
                value = (value * count).floor();
            }
            if present < missing {
                values.push(f32::NAN);
                continue;
            }
            values.push(value);
            let mut share = if *kind == "real" {
                value
            } else {
                value * (1.0 / count)
            };
            if *kind == "category" {
                share = (value as u32 * 7 % 5) as f32 / 4.0;
            }
            label += if column % 2 == 0 {
                share * (column + 1) as f32
            } else {
                -share * share * 2.0
            };
        }
        let weight = if weighted {
            0.5 + numbers.draw() * 2.0
        } else {
            1.0
        };
        if weighted {
            info.weights.push(weight);
        }
        info.labels.push(label + numbers.draw() - 0.5);
    }
    let feature = |(index, (kind, _)): (usize, &(&str, f32))| Feature {
        name: format!("x{index}"),
        kind: if *kind == "category" {
            FeatureKind::Categorical
        } else {
            FeatureKind::Float
        },
        categories: None,
    };
    Table {
        schema: Schema {
            features: kinds.iter().enumerate().map(feature).collect(),
        },
        info,
        values,
        sparse: false,
        next: 0,
    }
}

/// The first `rows` rows of a table, and the others.
pub(crate) fn part(table: &Table, rows: usize) -> [Table; 2] {
    let columns = table.schema.features.len();
    let mut parts = [table.clone(), table.clone()];
    for (part, range) in parts.iter_mut().zip([0..rows, rows..table.info.rows]) {
        part.values = table.values[range.start * columns..range.end * columns].to_vec();
        part.info.rows = range.len();
        part.info.labels = table.info.labels[range.clone()].to_vec();
        if !table.info.weights.is_empty() {
            part.info.weights = table.info.weights[range].to_vec();
        }
    }
    parts
}
