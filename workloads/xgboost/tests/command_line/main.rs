//! The command line from end to end, with inputs and outputs in a folder of the test's own.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod refusals;

use std::fs;

use mc2_guest::Job;
use tempfile::TempDir;

/// A job's folders.
struct Bench(TempDir);

impl Bench {
    fn new(inputs: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("in")).unwrap();
        fs::create_dir_all(folder.path().join("out")).unwrap();
        let bench = Self(folder);
        for (name, text) in inputs {
            bench.input(name, text.as_bytes());
        }
        bench
    }

    fn input(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn run(&self, line: &str) -> Result<(), String> {
        let job = Job::open_at(self.0.path())
            .unwrap()
            .with_arguments(line.split_whitespace());
        xgboost::run(&job).map_err(|error| error.to_string())
    }

    /// From here on the job has these inputs and wants data of this media type in the output `name`.
    fn wants(&self, inputs: &[&str], name: &str, media_type: &str) {
        let inputs = inputs.iter().map(|input| {
            format!(r#"{{"name":"{input}","media_type":"a/b","length":1,"folder":false}}"#)
        });
        let inputs = inputs.collect::<Vec<_>>().join(",");
        let job = format!(
            r#"{{"version":1,"name":"n","component":"c","arguments":[],"instance":0,"instances":1,
                "inputs":[{inputs}],
                "outputs":[{{"name":"{name}","media_type":"{media_type}","folder":false}}],
                "limits":null}}"#
        );
        let folder = self.0.path().join("run/mc2");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("job.json"), job).unwrap();
    }

    fn refused(&self, line: &str) -> String {
        let error = self.run(line).expect_err(line);
        let left: Vec<_> = fs::read_dir(self.0.path().join("out")).unwrap().collect();
        assert!(left.is_empty(), "{line} left {left:?}");
        error
    }

    fn output(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join("out").join(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.output(name)).unwrap()
    }

    fn forget(&self, name: &str) {
        fs::remove_file(self.0.path().join("in").join(name)).unwrap();
    }

    /// Makes an output of one run an input of the next.
    fn hand_on(&self, name: &str) {
        self.input(name, &self.output(name));
        fs::remove_file(self.0.path().join("out").join(name)).unwrap();
    }
}

/// y is 1 where a < 10, or where the color is red.
fn table(rows: std::ops::Range<usize>) -> String {
    let mut text = "id,a,b,color,y\n".to_owned();
    for row in rows {
        let a = row * 7 % 20;
        let color = ["red", "green", "blue"][row % 3];
        let y = u8::from(a < 10 || color == "red");
        text.push_str(&format!("r{row},{a},{},{color},{y}\n", row % 5));
    }
    text
}

const TRAIN: &str = "train --label y --ignore id --categorical color --rounds 8 --max-depth 3 \
                     --objective binary:logistic --eval-metric error,logloss";

#[test]
fn a_model_is_trained_judged_and_predicts() {
    let bench = Bench::new(&[
        ("one.csv", &table(0..150)),
        ("two.csv", &table(150..300)),
        ("valid.csv", &table(300..360)),
    ]);
    bench
        .run(&format!(
            "{TRAIN} --eval valid.csv --model-out m.json --metrics-out scores"
        ))
        .unwrap();
    let scores: serde_json::Value = serde_json::from_str(&bench.text("scores")).unwrap();
    let errors = scores["valid.csv"]["error"].as_array().unwrap();
    assert_eq!((errors.len(), errors[7].as_f64()), (8, Some(0.0)));
    assert_eq!(scores["train"]["logloss"].as_array().unwrap().len(), 8);

    let bench = Bench(bench.0);
    bench.hand_on("m.json");
    bench.forget("one.csv");
    bench.forget("two.csv");
    bench
        .run("eval --model m.json --label y --eval-metric error --metrics-out judged")
        .unwrap();
    let judged: serde_json::Value = serde_json::from_str(&bench.text("judged")).unwrap();
    assert_eq!(judged["eval"]["error"][0].as_f64(), Some(0.0));

    bench.run("predict --model m.json --output p.csv").unwrap();
    let predictions = bench.text("p.csv");
    let mut lines = predictions.lines();
    assert_eq!(lines.next(), Some("prediction"));
    let expected = table(300..360);
    for (line, row) in lines.by_ref().zip(expected.lines().skip(1)) {
        let probability: f32 = line.parse().unwrap();
        assert_eq!(probability > 0.5, row.ends_with('1'), "{row}: {line}");
    }
    assert_eq!(predictions.lines().count(), 61);
}

#[test]
fn the_kinds_of_prediction_have_their_columns() {
    let bench = Bench::new(&[("t.csv", &table(0..90))]);
    bench.run(&format!("{TRAIN} --model-out m.ubj")).unwrap();
    assert_eq!(bench.output("m.ubj")[..2], *b"{L");
    bench.hand_on("m.ubj");
    for (kind, header) in [
        ("--output-margin", "margin"),
        (
            "--leaf",
            "tree_0,tree_1,tree_2,tree_3,tree_4,tree_5,tree_6,tree_7",
        ),
        ("--leaf --iteration-range 2:4", "tree_0,tree_1"),
        ("--contribs", "a,b,color,bias"),
        ("--approx-contribs", "a,b,color,bias"),
        (
            "--interactions",
            "a:a,a:b,a:color,a:bias,b:a,b:b,b:color,b:bias,color:a",
        ),
    ] {
        bench
            .run(&format!("predict --model m.ubj {kind} --output p"))
            .unwrap();
        let text = bench.text("p");
        assert!(text.starts_with(header), "{kind}: {text}");
        assert_eq!(text.lines().count(), 91, "{kind}");
    }
    bench
        .run("predict --model m.ubj --output-margin --output margins.csv")
        .unwrap();
    bench
        .run("predict --model m.ubj --contribs --output parts.csv")
        .unwrap();
    let (margins, parts) = (bench.text("margins.csv"), bench.text("parts.csv"));
    for (margin, parts) in margins.lines().zip(parts.lines()).skip(1) {
        let sum: f32 = parts
            .split(',')
            .map(|part| part.parse::<f32>().unwrap())
            .sum();
        assert!(
            (sum - margin.parse::<f32>().unwrap()).abs() < 1e-4,
            "{margin} {parts}"
        );
    }
    bench
        .run("predict --model m.ubj --output p.parquet")
        .unwrap();
    assert!(bench.output("p.parquet").starts_with(b"PAR1"));
    bench
        .run("predict --model m.ubj --output p --format arrow")
        .unwrap();
    assert!(bench.output("p").starts_with(b"ARROW1"));
}

#[test]
fn parameters_come_as_flags_as_json_and_from_an_input() {
    let params = r#"{"max_depth": 2, "eta": 0.5, "eval_metric": ["error", "auc"], "objective": "binary:logistic"}"#;
    let bench = Bench::new(&[("t.csv", &table(0..90)), ("params", params)]);
    let line = "train --label y --ignore id --ignore color --rounds 3";
    bench
        .run(&format!("{line} --params params --model-out one"))
        .unwrap();
    bench.forget("params");
    bench
        .run(&format!(
            "{line} --params {} --model-out two",
            params.replace(' ', "")
        ))
        .unwrap();
    let flags =
        "--max-depth 2 --learning-rate=0.5 --eval_metric error,auc --objective binary:logistic";
    bench
        .run(&format!("{line} {flags} --model-out three"))
        .unwrap();
    assert_eq!(bench.output("one"), bench.output("two"));
    assert_eq!(bench.output("one"), bench.output("three"));
}

#[test]
fn training_goes_on_from_a_model() {
    let bench = Bench::new(&[("t.csv", &table(0..90))]);
    bench.run(&format!("{TRAIN} --model-out whole")).unwrap();
    let half = TRAIN.replace("--rounds 8", "--rounds 4");
    bench.run(&format!("{half} --model-out half.json")).unwrap();
    bench.hand_on("half.json");
    bench
        .run(
            &format!("{half} --init-model half.json --model-out rest")
                .replace("--categorical color ", ""),
        )
        .unwrap();
    assert!(bench.text("whole") == bench.text("rest"));
}

#[test]
fn cross_validation_early_stopping_and_models_are_shown() {
    let bench = Bench::new(&[("t.csv", &table(0..120)), ("v.csv", &table(120..150))]);
    let line = TRAIN.replacen("train", "cv", 1);
    bench
        .run(&format!("{line} --folds 4 --stratified --metrics-out cv"))
        .unwrap();
    let scores: serde_json::Value = serde_json::from_str(&bench.text("cv")).unwrap();
    assert_eq!(scores["test-error-mean"].as_array().unwrap().len(), 8);
    assert!(scores["train-logloss-std"][7].as_f64().is_some());

    let line = TRAIN.replace("--rounds 8", "--rounds 200 --early-stopping 3 --eta 1");
    bench
        .run(&format!("{line} --eval v.csv --model-out m"))
        .unwrap();
    let model = bench.text("m");
    assert!(
        model.contains("best_iteration"),
        "it trained all 200 rounds"
    );
    bench.hand_on("m");
    bench.forget("t.csv");
    bench.forget("v.csv");
    for (format, start) in [
        ("text", "booster[0]:\n0:["),
        ("json", "[\n  { \"nodeid\": 0"),
        ("dot", "digraph {"),
    ] {
        bench
            .run(&format!("dump --model m --format {format} --output d"))
            .unwrap();
        assert!(bench.text("d").starts_with(start), "{}", bench.text("d"));
    }
    bench.run("dump --model m --stats --output d").unwrap();
    assert!(bench.text("d").contains("gain="));
    bench
        .run("importance --model m --type total_gain --output i")
        .unwrap();
    let text = bench.text("i");
    let values: Vec<f32> = text
        .lines()
        .skip(1)
        .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    assert!(
        text.starts_with("feature,total_gain\n")
            && values.is_sorted_by(|a, b| a >= b)
            && values.len() >= 2,
        "{text}"
    );
}

#[test]
fn trees_and_importances_are_drawn() {
    let bench = Bench::new(&[("t.csv", &table(0..90))]);
    bench.run(&format!("{TRAIN} --model-out m")).unwrap();
    bench.hand_on("m");
    bench.forget("t.csv");
    for (more, said) in [
        ("", "color"),
        ("--tree 7 --levels 1", "<svg"),
        ("--importance weight --top 1", "<svg"),
    ] {
        bench
            .run(&format!("plot --model m {more} --output p.svg"))
            .unwrap();
        let picture = bench.text("p.svg");
        assert!(
            picture.starts_with("<svg") && picture.contains(said),
            "{more}: {picture}"
        );
        fs::remove_file(bench.0.path().join("out/p.svg")).unwrap();
    }
    assert!(
        bench
            .refused("plot --model m --tree 8 --output p")
            .contains("the model has 8 trees")
    );
}

#[test]
fn a_folder_is_all_its_files() {
    let bench = Bench::new(&[
        ("days/1.csv", &table(0..50)),
        ("days/sub/2.csv", &table(50..100)),
        ("days/_SUCCESS", ""),
    ]);
    bench.run(&format!("{TRAIN} --model-out folder")).unwrap();
    let whole = Bench::new(&[("t.csv", &table(0..100))]);
    whole.run(&format!("{TRAIN} --model-out file")).unwrap();
    assert!(bench.text("folder") == whole.text("file"));
}

#[test]
fn models_and_predictions_are_written_as_the_job_wants_them_or_not_at_all() {
    let bench = Bench::new(&[("t.csv", &table(0..60))]);
    let train = format!("{TRAIN} --model-out m");
    bench.wants(&["t.csv"], "m", "application/ubjson");
    bench.run(&train).unwrap();
    assert!(bench.output("m").starts_with(b"{L"));
    bench.wants(&["t.csv"], "m", "application/json");
    bench.run(&train).unwrap();
    assert!(bench.output("m").starts_with(b"{\"learner\""));
    bench.hand_on("m");
    let error = bench.refused(&format!("{train} --model-format ubj"));
    assert!(error.contains("leave that out"), "{error}");
    bench.wants(&["t.csv"], "m", "text/markdown");
    let error = bench.refused(&train);
    assert!(error.contains("text/markdown there"), "{error}");

    bench.forget("t.csv");
    bench.wants(&["m"], "d", "application/json");
    bench.run("dump --model m --output d").unwrap();
    assert!(bench.text("d").starts_with("[\n"));
    bench.input("rows", table(0..3).as_bytes());
    bench.wants(&["m", "rows"], "p", "application/vnd.apache.parquet");
    bench.run("predict --model m --output p").unwrap();
    assert!(bench.output("p").starts_with(b"PAR1"));
}
