//! Models that XGBoost saved, and what it says of some rows by them (`fixtures/models.py`).

#![allow(dead_code, reason = "each test uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "a fixture that is not there fails the test"
)]

use std::{fs, path::PathBuf};

use serde_json::Value;
use xgboost_core::{
    data::{Batch, Values},
    model::Model,
};

/// The folder of the fixtures.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from("tests/fixtures/models")
}

/// One model and what XGBoost says by it.
pub(crate) struct Fixture {
    /// Name of the file.
    pub(crate) name: String,
    /// Content of the file.
    pub(crate) bytes: Vec<u8>,
    /// The rest; `null` where there is nothing but the model.
    pub(crate) expected: Value,
}

impl Fixture {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.to_string_lossy().contains(".expect."))
            .collect();
        paths.sort();
        assert!(paths.len() > 30, "fixtures are missing");
        paths.into_iter().map(Self::at).collect()
    }

    fn at(path: PathBuf) -> Self {
        let expected = fs::read(path.with_extension("expect.json"));
        Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            bytes: fs::read(&path).unwrap(),
            expected: expected.map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap()),
        }
    }

    /// The fixtures that have an entry called `key`.
    pub(crate) fn with(key: &str) -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|fixture| !fixture.expected[key].is_null());
        assert!(!all.is_empty(), "no fixture has {key}");
        all
    }

    /// The model.
    pub(crate) fn model(&self) -> Model {
        match Model::parse(&self.bytes) {
            Ok(model) => model,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    /// The numbers called `key`; what is not finite is NaN.
    pub(crate) fn numbers(&self, key: &str) -> Vec<f32> {
        let numbers = self.expected[key].as_array().unwrap().iter();
        numbers
            .map(|number| number.as_f64().unwrap_or(f64::NAN) as f32)
            .collect()
    }

    /// The margins to start from, where there are some.
    pub(crate) fn base_margin(&self) -> Option<Vec<f32>> {
        (!self.expected["base_margin"].is_null()).then(|| self.numbers("base_margin"))
    }

    /// The rows, dense.
    pub(crate) fn batch(&self) -> Batch {
        let values = self.numbers("rows");
        let features = self.expected["features"].as_u64().unwrap() as usize;
        Batch {
            rows: values.len() / features,
            values: Values::Dense(values),
        }
    }

    /// Asserts that `found` are the numbers called `key` to within `tolerance`, relative where
    /// they are more than 1; gives back the largest difference.
    pub(crate) fn assert_near(&self, key: &str, found: &[f32], tolerance: f32) -> f32 {
        let expected = self.numbers(key);
        assert_eq!(
            found.len(),
            expected.len(),
            "{}: number of {key}",
            self.name
        );
        let mut worst = 0.0_f32;
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            if found.is_nan() && expected.is_nan() {
                continue;
            }
            let difference = (found - expected).abs() / expected.abs().max(1.0);
            assert!(
                difference <= tolerance,
                "{}: {key} {index} is {found}, expected {expected}",
                self.name
            );
            worst = worst.max(difference);
        }
        worst
    }
}

/// The same rows, sparse.
pub(crate) fn sparse(batch: &Batch, features: usize) -> Batch {
    let Values::Dense(dense) = &batch.values else {
        panic!("already sparse");
    };
    let (mut starts, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in dense.chunks_exact(features) {
        for (feature, value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            indices.push(feature as u32);
            values.push(*value);
        }
        starts.push(values.len());
    }
    Batch {
        rows: batch.rows,
        values: Values::Sparse {
            starts,
            features: indices,
            values,
        },
    }
}
