//! The parsers of the XGBoost component: models, tables in all formats, parameters.
//! `workloads/xgboost/core/tests/mutations.rs` runs the same functions over broken copies of good
//! files.
//!
//! A parser promises never to panic and never to need more memory than its input's length or its
//! caps allow; and that what it accepts is the same however it is read: again from the start, in
//! shares, as the other format, by the schema it gave itself.

use xgboost_core::{
    data::{
        Batch, DataError, Expect, FeatureKind, File, Format, Roles, Schema, Source as _, Table,
        Values,
        arrow::ArrowReader,
        columns::{ColumnInfo, ColumnType, Reader},
        csv::CsvReader,
        parquet::ParquetReader,
        table::Share,
    },
    model::{Model, dump, importance, plot},
    objective,
    params::ParamSet,
    predict::{Explainer, Explanation, Predictor},
    train::TrainOptions,
};

/// A parser under test.
pub type Parser = fn(&[u8]);

/// Every parser by the name of its target.
pub const ALL: [(&str, Parser); 6] = [
    ("model", model),
    ("csv", csv),
    ("libsvm", libsvm),
    ("parquet", parquet),
    ("arrow", arrow),
    ("parameters", parameters),
];

/// More values than this are not read: it would be slow, and say nothing new.
const MOST_VALUES: usize = 1 << 18;

/// [`Model::parse`], and whatever can be done with a model.
pub fn model(bytes: &[u8]) {
    if let Ok(model) = Model::parse(bytes) {
        use_up(&model);
    }
}

/// Does with a model whatever can be done with one.
pub fn use_up(model: &Model) {
    let nodes: usize = model.trees.iter().map(|tree| tree.nodes.len()).sum();
    if model.features.len() > 4096 || nodes * model.features.len() > 1 << 20 {
        return;
    }
    let json = model.to_json();
    let from_json = Model::parse(&json).expect("own JSON parses");
    assert!(from_json.to_json() == json, "JSON changes");
    let ubjson = model.to_ubjson();
    let from_ubjson = Model::parse(&ubjson).expect("own UBJSON parses");
    assert!(from_ubjson.to_ubjson() == ubjson, "UBJSON changes");
    assert!(from_ubjson.to_json() == json, "UBJSON is not the JSON");
    for rounds in [usize::MAX, model.rounds() / 2] {
        let margins = predict(model, rounds);
        for again in [&from_json, &from_ubjson] {
            assert_eq!(bits(&predict(again, rounds)), bits(&margins));
        }
    }
    explain(model);
    for format in ["text", "json", "dot"] {
        let format = dump::Format::parse(format).expect("a known format");
        let _ = dump::all(model, format, true);
    }
    importance::scores(model, importance::Importance::Gain);
    plot::importances(model, importance::Importance::Gain, 10);
    let _ = plot::tree(model, 0, 3);
}

/// Two rows of a model's features.
fn rows(model: &Model) -> Batch {
    let values = (0..2 * model.features.len())
        .map(|value| [1.5, f32::NAN, -2.0, 3.0][value % 4])
        .collect();
    Batch {
        rows: 2,
        values: Values::Dense(values),
    }
}

/// Margins by the first `rounds`, which are the same of dense rows and of sparse ones.
fn predict(model: &Model, rounds: usize) -> Vec<f32> {
    let batch = rows(model);
    let predictor = Predictor::new(model, 0..rounds);
    let margins = predictor.margins(&batch, None).expect("rows fit");
    let from_sparse = predictor
        .margins(&sparse(&batch, model.features.len()), None)
        .expect("rows fit");
    assert_eq!(bits(&margins), bits(&from_sparse));
    predictor.leaves(&batch).expect("rows fit");
    model.objective.transform(margins.clone());
    margins
}

fn explain(model: &Model) {
    if model.features.len() > 64 {
        return;
    }
    for what in [
        Explanation::Contributions,
        Explanation::Approximate,
        Explanation::Interactions,
    ] {
        if let Ok(explainer) = Explainer::new(model, 0..usize::MAX, what) {
            explainer.explain(&rows(model), None).expect("rows fit");
        }
    }
}

/// The same rows, sparse.
fn sparse(batch: &Batch, width: usize) -> Batch {
    let Values::Dense(dense) = &batch.values else {
        unreachable!("rows are made dense")
    };
    let (mut starts, mut features, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in dense.chunks_exact(width) {
        for (feature, value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            features.push(feature as u32);
            values.push(*value);
        }
        starts.push(values.len());
    }
    Batch {
        rows: batch.rows,
        values: Values::Sparse {
            starts,
            features,
            values,
        },
    }
}

/// Bits, in which a missing value is itself.
fn bits(values: &[f32]) -> Vec<u32> {
    let bits = |value: &f32| match value.is_nan() {
        true => u32::MAX,
        false => value.to_bits(),
    };
    values.iter().map(bits).collect()
}

/// CSV, with commas between.
pub fn csv(bytes: &[u8]) {
    let reader = CsvReader::open(String::new(), Box::new(bytes.to_vec()), b',');
    columns(Format::Csv { separator: b',' }, bytes, reader);
}

/// Parquet.
pub fn parquet(bytes: &[u8]) {
    let reader = ParquetReader::open(String::new(), Box::new(bytes.to_vec()));
    columns(Format::Parquet, bytes, reader);
}

/// Arrow IPC, files and streams.
pub fn arrow(bytes: &[u8]) {
    let reader = ArrowReader::open(String::new(), Box::new(bytes.to_vec()));
    columns(Format::Arrow, bytes, reader);
}

/// LibSVM.
pub fn libsvm(bytes: &[u8]) {
    table(Format::LibSvm, bytes, &Roles::default());
}

/// A table of columns, with the roles that its columns can have.
fn columns(format: Format, bytes: &[u8], reader: Result<impl Reader, DataError>) {
    let Ok(reader) = reader else {
        return;
    };
    if reader.columns().len() > 4096 {
        return;
    }
    let unusable = |column: &&ColumnInfo| matches!(column.kind, ColumnType::Other(_));
    let name = |column: &ColumnInfo| column.name.clone();
    let ignored = reader.columns().iter().filter(unusable).map(name);
    let plain = Roles {
        ignored: ignored.collect(),
        ..Roles::default()
    };
    table(format, bytes, &plain);
    // The first column of numbers is the label, the last column is categories.
    let usable = || reader.columns().iter().filter(|column| !unusable(column));
    let label = usable().find(|column| column.kind != ColumnType::Text);
    let last = usable().next_back();
    let label = label.map(name);
    let roles = Roles {
        categorical: last
            .map(name)
            .into_iter()
            .filter(|last| Some(last) != label.as_ref())
            .collect(),
        label,
        ..plain
    };
    table(format, bytes, &roles);
}

/// What was read of a table.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    /// Values row by row; of sparse rows feature and value in turns, and where each ends.
    values: Vec<u32>,
    rows: usize,
}

fn table(format: Format, bytes: &[u8], roles: &Roles) {
    let open = |expect: Expect<'_>, share: Share| {
        let file = File {
            name: "fuzz".to_owned(),
            input: "fuzz".to_owned(),
            format,
            bytes: Box::new(bytes.to_vec()),
        };
        Table::open(vec![file], roles, expect, share)
    };
    let Ok(mut table) = open(Expect::Any, Share::ALL) else {
        return;
    };
    let schema = table.schema().clone();
    if table.info().rows.saturating_mul(schema.features.len()) > MOST_VALUES {
        return;
    }
    let whole = read(&mut table, &schema);
    table.rewind().expect("a table is read again");
    let again = read(&mut table, &schema);
    let Ok(whole) = whole else {
        assert!(again.is_err(), "broken rows are read the second time");
        return;
    };
    assert_eq!(Ok(&whole), again.as_ref(), "the second reading differs");
    assert_eq!(whole.rows, table.info().rows);
    let labels = table.info().labels.clone();
    assert!(labels.is_empty() || labels.len() == whole.rows);

    // By its own schema, and in shares.
    let expect = Expect::These(&schema.features);
    let mut by_schema = open(expect, Share::ALL).expect("a table fits itself");
    assert_eq!(by_schema.info(), table.info());
    let same = read(&mut by_schema, &schema);
    assert_eq!(Ok(&whole), same.as_ref(), "by its own schema it differs");
    let mut shared = Read {
        values: Vec::new(),
        rows: 0,
    };
    let mut shared_labels = Vec::new();
    for rank in 0..3 {
        let mut part = open(expect, Share { rank, size: 3 }).expect("a share can be empty");
        let read = read(&mut part, &schema).expect("a share of good rows is good");
        assert_eq!(read.rows, part.info().rows);
        shared.values.extend(read.values);
        shared.rows += read.rows;
        shared_labels.extend(part.info().labels.iter().map(|label| label.to_bits()));
    }
    assert_eq!(shared, whole, "shares together differ from the whole");
    assert_eq!(
        shared_labels,
        labels
            .iter()
            .map(|label| label.to_bits())
            .collect::<Vec<_>>()
    );
}

/// Reads all rows, and checks what a [`Batch`] promises.
fn read(table: &mut Table, schema: &Schema) -> Result<Read, String> {
    let mut read = Read {
        values: Vec::new(),
        rows: 0,
    };
    let width = schema.features.len();
    let check = |feature: usize, value: f32| {
        assert!(!value.is_infinite());
        let kind = schema.features[feature].kind;
        let code = value.fract() == 0.0 && (0.0..16_777_216.0).contains(&value);
        assert!(kind != FeatureKind::Categorical || value.is_nan() || code);
    };
    while let Some(batch) = table.next_batch().map_err(|error| error.to_string())? {
        assert!(batch.rows > 0);
        read.rows += batch.rows;
        match batch.values {
            Values::Dense(values) => {
                assert_eq!(values.len(), batch.rows * width);
                for (index, value) in values.iter().enumerate() {
                    check(index % width, *value);
                }
                read.values.extend(bits(&values));
            }
            Values::Sparse {
                starts,
                features,
                values,
            } => {
                assert_eq!((starts.len(), starts[0]), (batch.rows + 1, 0));
                assert_eq!(
                    (starts[batch.rows], features.len()),
                    (values.len(), values.len())
                );
                for row in starts.windows(2) {
                    let (features, values) = (&features[row[0]..row[1]], &values[row[0]..row[1]]);
                    assert!(features.windows(2).all(|two| two[0] < two[1]));
                    for (feature, value) in features.iter().zip(values) {
                        assert!(!value.is_nan());
                        check(*feature as usize, *value);
                        read.values.extend([*feature, value.to_bits()]);
                    }
                    read.values.push(u32::MAX);
                }
            }
        }
    }
    Ok(read)
}

/// [`TrainOptions::parse`] of lines `name=value`, for a table of three features, the last of them
/// categories.
pub fn parameters(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut params = ParamSet::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if params.set(name, value).is_err() {
            return;
        }
    }
    let Ok(options) = TrainOptions::parse(params, &three_features(), None) else {
        return;
    };
    let objective = options.objective().expect("it was parsed before");
    let outputs = objective.outputs();
    assert!(outputs >= 1);
    if let Some(scores) = &options.base_score {
        assert_eq!(scores.len(), outputs);
    }
    options
        .metrics(objective.as_ref())
        .expect("they were parsed before");
    let json = objective.to_json();
    let again = objective::from_json(&json).expect("own JSON parses");
    assert_eq!((again.name(), again.outputs()), (objective.name(), outputs));
    assert_eq!(again.to_json(), json);
}

fn three_features() -> Schema {
    let feature = |name: &str, kind| xgboost_core::data::Feature {
        name: name.to_owned(),
        kind,
        categories: None,
    };
    Schema {
        features: vec![
            feature("a", FeatureKind::Float),
            feature("b", FeatureKind::Int),
            feature("c", FeatureKind::Categorical),
        ],
    }
}
