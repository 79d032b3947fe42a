//! The XGBoost component in the simulated enclave, by what a person sees: every command, what bad
//! input gets, and XGBoost itself, which reads the models and predicts the same.
//!
//! `cargo xtask test` says where a Python with XGBoost is (`MC2_PYTHON_XGBOOST`); without one the
//! tests that compare with it say that they skip.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{
    env,
    ffi::OsString,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use mc2_tests::{component, program};
use serde_json::Value;
use tempfile::TempDir;
use xgboost_core::data::write::{CellKind, Cells, OutputFormat, TableWriter};

/// A person's folder: inputs, outputs, their state.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        compiled();
        Self(TempDir::with_prefix("mc2-xgboost-").unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.at(name), bytes).unwrap();
    }

    /// `mc2-run OPTIONS xgboost.wasm -- LINE`, with `NAME=FILE` inputs and outputs.
    fn run(&self, options: &str, inputs: &[&str], outputs: &[&str], line: &str) -> Output {
        let mut command = Command::new(program("mc2-run"));
        command
            .arg(component("xgboost"))
            .args(options.split_whitespace());
        for input in inputs {
            command.args(["--in", input]);
        }
        for output in outputs {
            command.args(["--out", output]);
        }
        command
            .arg("--")
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .env("MC2_HOME", self.at("home"))
            .env("XDG_CACHE_HOME", mc2_tests::cache_folder())
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Standard output of a run that succeeds.
    #[track_caller]
    fn ok(&self, inputs: &[&str], outputs: &[&str], line: &str) -> String {
        let output = self.run("--quiet", inputs, outputs, line);
        succeeded(&output, line);
        text(&output.stdout)
    }

    /// What a run is told that fails, and leaves nothing behind.
    #[track_caller]
    fn refused(&self, inputs: &[&str], line: &str) -> String {
        let output = self.run("--quiet", inputs, &["m=refused"], line);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line}: {told}");
        assert!(!self.at("refused").exists(), "{line} left something");
        told
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn succeeded(output: &Output, what: &str) {
    assert!(
        output.status.success(),
        "{what}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Compiles the component once; tests that start together need not all do it.
fn compiled() {
    static COMPILED: OnceLock<()> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let home = TempDir::new().unwrap();
        let output = Command::new(program("mc2-run"))
            .args([&component("xgboost"), Path::new("--"), Path::new("--help")])
            .env("MC2_HOME", home.path().join("home"))
            .env("XDG_CACHE_HOME", mc2_tests::cache_folder())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        succeeded(&output, "--help");
    });
}

/// Numbers that look drawn, from 0 to below 1 in steps of 1/128: each has a bin of its own.
fn drawn(row: usize, column: usize) -> f32 {
    let mut bits = (row * 31 + column + 1) as u32;
    for _ in 0..3 {
        bits = (bits ^ (bits >> 15)).wrapping_mul(0x2c1b_3c6d);
    }
    (bits >> 25) as f32 / 128.0
}

const COLUMNS: [&str; 4] = ["a", "b", "c", "y"];

/// Three features and a label that follows them but for one row in ten.
fn row(row: usize) -> [f32; 4] {
    let [a, b, c] = [0, 1, 2].map(|column| drawn(row, column));
    let y = a + b * c > 0.8;
    let slip = drawn(row, 3) < 0.1;
    [a, b, c, f32::from(u8::from(y != slip))]
}

fn csv(rows: Range<usize>) -> Vec<u8> {
    table(rows, OutputFormat::Csv)
}

fn table(rows: Range<usize>, format: OutputFormat) -> Vec<u8> {
    let names = COLUMNS.map(str::to_owned).to_vec();
    let mut writer = TableWriter::new(format, Vec::new(), names, CellKind::Float).unwrap();
    let cells: Vec<f32> = rows.flat_map(row).collect();
    writer.write(Cells::Floats(&cells)).unwrap();
    writer.finish().unwrap()
}

const TRAIN: &str = "train --label y --objective binary:logistic --max-depth 4";

#[test]
fn parties_pool_their_rows_and_training_stops_early() {
    let place = Place::new();
    place.file("a.csv", csv(0..300));
    place.file("b.parquet", table(300..500, OutputFormat::Parquet));
    place.file("c.arrow", table(500..600, OutputFormat::Arrow));
    place.file("valid.csv", csv(600..800));
    let parties = [
        "bank-a=a.csv",
        "bank-b=b.parquet",
        "bank-c=c.arrow",
        "valid=valid.csv",
    ];
    let outputs = ["model=m.json", "scores=scores.json"];
    let line = format!(
        "{TRAIN} --rounds 200 --eval valid --early-stopping 5 --eval-metric auc,logloss \
         --model-out model --metrics-out scores"
    );
    let printed = place.ok(&parties, &outputs, &line);
    assert!(
        printed.contains("[0]\ttrain-auc:") && printed.contains("valid-logloss:"),
        "{printed}"
    );

    let scores: Value = serde_json::from_str(&place.read("scores.json")).unwrap();
    let losses: Vec<f64> = scores["valid"]["logloss"]
        .as_array()
        .unwrap()
        .iter()
        .map(|loss| loss.as_f64().unwrap())
        .collect();
    let best = (0..losses.len())
        .min_by(|one, other| losses[*one].total_cmp(&losses[*other]))
        .unwrap();
    assert_eq!(
        losses.len(),
        best + 6,
        "it stops five rounds after the best"
    );
    let model: Value = serde_json::from_str(&place.read("m.json")).unwrap();
    let attributes = &model["learner"]["attributes"];
    assert_eq!(attributes["best_iteration"], best.to_string());
    assert_eq!(model["learner"]["feature_names"][2], "c");

    // One file with the same rows makes the same model, as UBJSON too.
    place.file("all.csv", csv(0..600));
    let whole = ["all=all.csv", "valid=valid.csv"];
    place.ok(&whole, &["model=whole.json", "scores=s.json"], &line);
    assert!(
        place.read("whole.json") == place.read("m.json"),
        "the model depends on who had which rows"
    );
    let line = line.replace("--model-out model", "--model-out m.ubj");
    place.ok(&whole, &["m.ubj=m.ubj", "scores=s2.json"], &line);
    let predict = |model: &str| {
        let model = format!("model={model}");
        place.ok(&[&model, "valid=valid.csv"], &[], "predict --model model")
    };
    assert!(fs::read(place.at("m.ubj")).unwrap().starts_with(b"{L"));
    assert!(predict("m.json") == predict("m.ubj"));
    assert_eq!(predict("m.json").lines().count(), 201);
}

#[test]
fn a_long_training_tells_its_rounds_and_stopped_leaves_no_model() {
    let place = Place::new();
    place.file("t.csv", csv(0..2000));
    let line = format!("{TRAIN} --rounds 1000000 --model-out m");
    let options = "--verbose --timeout 3s";
    let output = place.run(options, &["t=t.csv"], &["m=m.json"], &line);
    let told = text(&output.stderr);
    assert!(
        !output.status.success() && told.contains("longer than allowed"),
        "{told}"
    );
    assert!(told.contains("progress: round "), "{told}");
    assert!(told.contains(": train-logloss 0."), "{told}");
    assert!(!place.at("m.json").exists());
}

#[test]
fn two_instances_train_the_model_of_one_up_to_rounding() {
    let place = Place::new();
    place.file("a.csv", csv(0..350));
    place.file("b.parquet", table(350..600, OutputFormat::Parquet));
    let parties = ["bank-a=a.csv", "bank-b=b.parquet"];
    let line = format!("{TRAIN} --rounds 5 --model-out m");
    place.ok(&parties, &["m=one.json"], &line);
    let output = place.run("--quiet --instances 2", &parties, &["m=two.json"], &line);
    succeeded(&output, &line);

    let printed = text(&output.stdout);
    assert_eq!(printed.matches("train-logloss").count(), 5, "{printed}");
    let dump = |model: &str| {
        let model = format!("m={model}");
        let text = place.ok(&[&model], &[], "dump --model m --format json");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_near(&dump("one.json"), &dump("two.json"));
}

/// Equal but for numbers' last digits.
#[track_caller]
fn assert_near(one: &Value, other: &Value) {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter()
                .zip(other)
                .for_each(|(one, other)| assert_near(one, other));
        }
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            one.values()
                .zip(other.values())
                .for_each(|(one, other)| assert_near(one, other));
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            assert!(
                (one - other).abs() < 1e-6 * one.abs().max(1.0),
                "{one} {other}"
            );
        }
        _ => assert_eq!(one, other),
    }
}

#[test]
fn every_kind_of_prediction_comes_in_every_format() {
    let place = Place::new();
    let colors = ["red", "green", "blue"];
    let lines: String = (0..200)
        .map(|at| {
            let [a, b, _, y] = row(at);
            let color = colors[(drawn(at, 9) * 3.0) as usize];
            format!("{a},{b},{color},{y}\n")
        })
        .collect();
    place.file("t.csv", format!("a,b,color,y\n{lines}"));
    let line = format!("{TRAIN} --categorical color --rounds 3 --model-out m");
    place.ok(&["t=t.csv"], &["m=m.json"], &line);

    let inputs = ["m=m.json", "t=t.csv"];
    let predict = |more: &str| -> (String, Vec<Vec<f32>>) {
        let printed = place.ok(&inputs, &[], &format!("predict --model m {more}"));
        let mut lines = printed.lines();
        let header = lines.next().unwrap().to_owned();
        let cells = |line: &str| line.split(',').map(|cell| cell.parse().unwrap()).collect();
        (header, lines.map(cells).collect())
    };
    let (header, margins) = predict("--output-margin");
    assert_eq!((&*header, margins.len()), ("margin", 200));
    let (header, predictions) = predict("");
    assert_eq!(header, "prediction");
    for (prediction, margin) in predictions.iter().zip(&margins) {
        let expected = 1.0 / (1.0 + (-margin[0]).exp());
        assert!((prediction[0] - expected).abs() < 1e-6);
    }
    let (header, leaves) = predict("--leaf");
    assert_eq!(header, "tree_0,tree_1,tree_2");
    assert!(leaves.iter().flatten().all(|leaf| leaf.fract() == 0.0));
    for (kind, names) in [
        ("--contribs", "a,b,color,bias"),
        ("--approx-contribs", "a,b,color,bias"),
        ("--interactions", "a:a,a:b,a:color,a:bias"),
    ] {
        let (header, parts) = predict(kind);
        assert!(header.starts_with(names), "{header}");
        for (parts, margin) in parts.iter().zip(&margins) {
            let sum: f32 = parts.iter().sum();
            assert!((sum - margin[0]).abs() < 1e-4, "{kind}: {sum} {margin:?}");
        }
    }
    for (name, start) in [("p.parquet", "PAR1"), ("p.arrow", "ARROW1")] {
        let line = format!("predict --model m --output {name}");
        place.ok(&inputs, &[&format!("{name}={name}")], &line);
        let written = fs::read(place.at(name)).unwrap();
        assert!(written.starts_with(start.as_bytes()), "{name}");
    }
}

#[test]
fn models_are_validated_judged_shown_and_trained_on() {
    let place = Place::new();
    place.file("t.csv", csv(0..300));
    let table = ["t=t.csv"];
    place.ok(
        &table,
        &["m=whole"],
        &format!("{TRAIN} --rounds 4 --model-out m"),
    );
    let half = format!("{TRAIN} --rounds 2 --model-out m");
    place.ok(&table, &["m=half"], &half);
    let line = format!("{half} --init-model half");
    place.ok(&["t=t.csv", "half=half"], &["m=rest"], &line);
    assert!(
        place.read("rest") == place.read("whole"),
        "two and two rounds are not four"
    );

    let cv = TRAIN.replacen("train", "cv", 1);
    let line = format!("{cv} --rounds 3 --folds 4 --stratified --eval-metric error");
    let printed = place.ok(&table, &[], &line);
    let header = "round,train-error-mean,train-error-std,test-error-mean,test-error-std\n0,";
    assert!(printed.starts_with(header), "{printed}");
    assert_eq!(printed.lines().count(), 4);

    let line = "eval --model m --label y --eval-metric auc,error";
    let judged = place.ok(&["m=whole", "t=t.csv"], &[], line);
    let auc = judged
        .lines()
        .find_map(|line| line.strip_prefix("eval,auc,")?.parse::<f64>().ok());
    assert!(auc.is_some_and(|auc| auc > 0.85), "{judged}");

    let model = ["m=whole"];
    for (line, start) in [
        ("dump --model m --stats", "booster[0]:\n0:["),
        ("dump --model m --format json", "[\n  { \"nodeid\": 0"),
        ("dump --model m --format dot", "digraph {"),
        (
            "importance --model m --type total_gain",
            "feature,total_gain\n",
        ),
        ("plot --model m --tree 3", "<svg "),
        ("plot --model m --importance cover", "<svg "),
    ] {
        let printed = place.ok(&model, &[], line);
        assert!(printed.starts_with(start), "{line}: {printed}");
    }
}

#[test]
fn bad_tables_and_parameters_are_told_and_leave_no_model() {
    let place = Place::new();
    place.file("t.csv", csv(0..20));
    let train = "train --model-out m --rounds 2";
    for (more, said) in [
        ("", "no column is the label; --label COL names it"),
        ("--label z", "it has a, b, c, y"),
        (
            "--label a --objective count:poisson --label-lower b",
            "one number or two bounds",
        ),
        ("--label y --max-depth -1", "parameter max_depth: expected"),
        (
            "--label y --subsample 1.5",
            "parameter subsample: expected a number at least 0 and at most 1; found \"1.5\"",
        ),
        (
            "--label y --objective reg:linear",
            "reg:squarederror, reg:squaredlogerror",
        ),
        (
            "--label y --booster gblinear",
            "expected one of gbtree, dart",
        ),
        ("--label y --gpu-id 0", "parameter gpu_id: not a parameter"),
        (
            "--label y --objective reg:gamma --num-class 3",
            "parameter num_class",
        ),
        (
            "--label a --objective multi:softmax --num-class 2",
            "num_class",
        ),
    ] {
        let told = place.refused(&["t=t.csv"], &format!("{train} {more}"));
        assert!(told.contains(said), "{more}: {told}");
    }
    let train = &format!("{train} --label y");
    for (table, more, said) in [
        (
            "a,y\n1,0\nN/A?,1\n",
            "",
            "`t`, row 2, column `a`: expected a number, found \"N/A?\"",
        ),
        ("a,y\n", "", "no row"),
        ("", "", "`t`"),
        (
            "a,b,y\n1,,0\n2,,1\n",
            "",
            "column `b`: it has no value in any row",
        ),
        ("a,y\n1,0\ninf,1\n", "", "row 2, column `a`"),
        ("a,y\n1,0\n2,\n", "", "row 2"),
        (
            "a,y\n1,0\n2,2\n",
            "--objective binary:logistic",
            "expected a number from 0 to 1",
        ),
        (
            "a,y\n1,0\n2,3\n",
            "--objective multi:softprob --num-class 3",
            "num_class is 3",
        ),
        ("a,y\n1,1\n2,-3\n", "--objective reg:gamma", "found -3"),
    ] {
        place.file("bad.csv", table);
        let told = place.refused(&["t=bad.csv"], &format!("{train} {more}"));
        assert!(told.contains(said), "{table:?} {more}: {told}");
    }
    place.file("other.csv", "a,b,d,y\n1,2,3,0\n");
    let told = place.refused(&["bank-a=t.csv", "bank-b=other.csv"], train);
    assert!(
        told.contains("`bank-b` differs from `bank-a`: it has no column `c`"),
        "{told}"
    );
}

#[test]
fn bad_models_are_told_and_predict_nothing() {
    let place = Place::new();
    place.file("t.csv", csv(0..50));
    let line = format!("{TRAIN} --rounds 2 --model-out m");
    place.ok(&["t=t.csv"], &["m=model"], &line);
    let model = place.read("model");
    let line = "predict --model model --output m";

    place.file("bad", &model[..model.len() / 2]);
    let told = place.refused(&["t=t.csv", "model=bad"], line);
    assert!(told.contains("the model `model`"), "{told}");
    place.file(
        "bad",
        model.replacen("\"left_children\":[1", "\"left_children\":[0", 1),
    );
    let told = place.refused(&["t=t.csv", "model=bad"], line);
    assert!(told.contains("the model `model`"), "{told}");
    place.file("narrow.csv", "a,b\n1,2\n");
    let told = place.refused(&["t=narrow.csv", "model=model"], line);
    assert!(
        told.contains("`t` differs from the model: it has no feature `c`"),
        "{told}"
    );
}

#[test]
fn models_and_predictions_are_xgboosts() {
    let Some(python) = python() else { return };
    let place = Place::new();
    let mut command = Command::new(python);
    command
        .arg(scripts().join("live.py"))
        .args([program("mc2-run"), component("xgboost")])
        .env("MC2_HOME", place.at("home"))
        .env("XDG_CACHE_HOME", mc2_tests::cache_folder());
    let output = command.output().unwrap();
    succeeded(&output, "live.py");
}

#[test]
fn xgboost_reads_what_is_written() {
    let Some(python) = python() else { return };
    let example = program("examples/rewrite_models");
    let mut command = Command::new(python);
    command
        .arg(scripts().join("written_models.py"))
        .arg(example);
    succeeded(&command.output().unwrap(), "written_models.py");
}

fn scripts() -> PathBuf {
    mc2_tests::package().join("../workloads/xgboost/tests")
}

/// Python with XGBoost.
fn python() -> Option<OsString> {
    let python = env::var_os("MC2_PYTHON_XGBOOST");
    if python.is_none() {
        eprintln!(
            "skipped: MC2_PYTHON_XGBOOST is not set; `cargo xtask test` sets it where there is a \
             Python of version 3.12 or newer"
        );
    }
    python
}
