//! What `fixtures/parity.py` wrote: tables, and what XGBoost made of them.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use xgboost_core::{
    data::{Feature, FeatureKind, Info, Schema},
    params::ParamSet,
};

use crate::table::MemoryTable;

/// A table and its settings.
pub(crate) struct Fixture {
    header: Vec<String>,
    cells: Vec<Vec<f32>>,
    file: File,
}

#[derive(Deserialize)]
struct File {
    kinds: BTreeMap<String, String>,
    settings: Vec<Setting>,
    cv: Vec<CvSetting>,
}

/// Names of the columns that are no features.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct Columns {
    label: Option<String>,
    weight: Option<String>,
    group: Option<String>,
    lower: Option<String>,
    upper: Option<String>,
    margin: Option<String>,
}

/// One training, and its outcome.
#[derive(Clone, Deserialize)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) rounds: u32,
    /// Rounds of the model that training goes on from.
    pub(crate) init: u32,
    pub(crate) stop: Option<u32>,
    pub(crate) train_rows: usize,
    pub(crate) columns: Columns,
    pub(crate) base_score: Vec<f32>,
    pub(crate) tree_info: Vec<u32>,
    pub(crate) weights: Vec<f32>,
    pub(crate) trees: Vec<ExpectedTree>,
    pub(crate) best: Option<String>,
    /// Of the first 40 rows.
    pub(crate) predictions: Vec<f32>,
    pub(crate) scores: Vec<ExpectedScores>,
}

/// A tree as XGBoost's JSON has it.
#[derive(Clone, Deserialize)]
pub(crate) struct ExpectedTree {
    pub(crate) left: Vec<i32>,
    pub(crate) right: Vec<i32>,
    pub(crate) feature: Vec<u32>,
    pub(crate) value: Vec<f32>,
    pub(crate) missing_left: Vec<u8>,
    #[serde(default)]
    pub(crate) categories: BTreeMap<String, Vec<u32>>,
}

/// A metric's values over rounds.
#[derive(Clone, Deserialize)]
pub(crate) struct ExpectedScores {
    pub(crate) table: String,
    pub(crate) metric: String,
    pub(crate) values: Vec<f64>,
}

/// One cross-validation, and its outcome.
#[derive(Deserialize)]
pub(crate) struct CvSetting {
    pub(crate) name: String,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) rounds: u32,
    pub(crate) columns: Columns,
    pub(crate) cv: CvArguments,
    /// `test-rmse-mean` and the like.
    pub(crate) result: BTreeMap<String, Vec<f64>>,
}

/// Arguments of `xgboost.cv`.
#[derive(Deserialize)]
pub(crate) struct CvArguments {
    pub(crate) nfold: usize,
    pub(crate) seed: u32,
    pub(crate) metrics: Vec<String>,
    #[serde(default)]
    pub(crate) stratified: bool,
    pub(crate) early_stopping_rounds: Option<u32>,
}

impl Columns {
    /// Leaves out what rows cut anywhere have no use for.
    pub(crate) fn forget_groups(&mut self) {
        self.group = None;
        self.weight = None;
    }
}

impl Fixture {
    pub(crate) fn read(name: &str) -> Self {
        let path = |end: &str| Path::new("tests/fixtures").join(format!("parity_{name}.{end}"));
        let text = fs::read_to_string(path("csv")).unwrap();
        let mut lines = text.lines();
        let header: Vec<String> = lines
            .next()
            .unwrap()
            .split(',')
            .map(str::to_owned)
            .collect();
        let cell = |text: &str| {
            if text.is_empty() {
                f32::NAN
            } else {
                text.parse().unwrap()
            }
        };
        let cells: Vec<Vec<f32>> = lines
            .map(|line| line.split(',').map(cell).collect())
            .collect();
        assert!(cells.iter().all(|row| row.len() == header.len()));
        Self {
            header,
            cells,
            file: serde_json::from_slice(&fs::read(path("json")).unwrap()).unwrap(),
        }
    }

    pub(crate) fn settings(&self) -> &[Setting] {
        &self.file.settings
    }

    pub(crate) fn setting(&self, name: &str) -> &Setting {
        self.file
            .settings
            .iter()
            .find(|setting| setting.name == name)
            .unwrap()
    }

    pub(crate) fn cvs(&self) -> &[CvSetting] {
        &self.file.cv
    }

    pub(crate) fn rows(&self) -> usize {
        self.cells.len()
    }

    /// The rows in `rows` as a table.
    pub(crate) fn table(&self, columns: &Columns, rows: std::ops::Range<usize>) -> MemoryTable {
        let cells = &self.cells[rows];
        let index = |name: &str| self.header.iter().position(|head| head == name).unwrap();
        let column = |name: &Option<String>| -> Vec<f32> {
            let Some(name) = name else { return Vec::new() };
            let index = index(name);
            cells.iter().map(|row| row[index]).collect()
        };
        let groups = column(&columns.group);
        let mut starts: Vec<usize> = (0..groups.len())
            .filter(|at| *at == 0 || groups[*at] != groups[at - 1])
            .collect();
        let mut weights = column(&columns.weight);
        if !groups.is_empty() {
            if !weights.is_empty() {
                weights = starts.iter().map(|start| weights[*start]).collect();
            }
            starts.push(groups.len());
        }
        let features: Vec<usize> = (0..self.header.len())
            .filter(|at| !self.header[*at].starts_with('@'))
            .collect();
        let kind = |name: &str| match self.file.kinds.get(name).map(String::as_str) {
            Some("c") => FeatureKind::Categorical,
            _ => FeatureKind::Float,
        };
        let schema = Schema {
            features: features
                .iter()
                .map(|at| Feature {
                    name: self.header[*at].clone(),
                    kind: kind(&self.header[*at]),
                    categories: None,
                })
                .collect(),
        };
        let values = cells
            .iter()
            .flat_map(|row| features.iter().map(|at| row[*at]))
            .collect();
        let info = Info {
            rows: cells.len(),
            labels: column(&columns.label),
            lower: column(&columns.lower),
            upper: column(&columns.upper),
            weights,
            base_margin: column(&columns.margin),
            group_starts: starts,
        };
        MemoryTable::new(schema, info, values)
    }
}

/// Parameters as a person gives them.
pub(crate) fn params(given: &BTreeMap<String, String>, rounds: u32, stop: Option<u32>) -> ParamSet {
    let mut params = ParamSet::default();
    for (name, value) in given {
        params.set(name, value).unwrap();
    }
    params.set("rounds", rounds.to_string()).unwrap();
    if let Some(stop) = stop {
        params
            .set("early_stopping_rounds", stop.to_string())
            .unwrap();
    }
    params
}
