//! The XGBoost component against XGBoost itself: 1,000,000 rows of 28 columns, 50 rounds, depth 6,
//! 256 bins, one thread each.
//!
//! What is compared:
//! - **Training** is binning and boosting on both sides. XGBoost has the table in memory, in single
//!   precision; the component reads it from a sealed Parquet file, and says itself how long that
//!   took, which is left out. Whole runs, reading included, are reported besides.
//! - **Prediction** likewise: the component's reading and writing are left out.
//! - **Memory**: all of the guest's linear memory at its peak (the program, what it reads, bins,
//!   gradients, the model) against what XGBoost's process grows by while it makes a
//!   `QuantileDMatrix` and trains. The table that XGBoost is given, 107 MiB, does not count.
//! - **Two instances** against one, and against XGBoost with two threads: training likewise, as the
//!   first instance counts it, who waits for the other one.
//!
//! Both sides run in turns, so that a machine that is slow for a while is slow for both.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use mc2_tests::{bench_row, component};
use serde_json::Value;
use tempfile::TempDir;

const RUNS: usize = 3;
const MIB: f64 = (1 << 20) as f64;
const TRAIN: &str = "train --label y --objective binary:logistic --max-depth 6 --max-bin 256 \
                     --rounds 50 --disable-default-eval-metric 1 --model-out model --verbose";
const PREDICT: &str = "predict --model model --output predictions.parquet --verbose";

fn main() {
    let Some(python) = env::var_os("MC2_PYTHON_XGBOOST") else {
        eprintln!("skipped: there is no Python of version 3.12 or newer with XGBoost");
        return;
    };
    let cache = PathBuf::from(env::var_os("MC2_CACHE").expect("run this by `cargo xtask bench`"));
    let folder = cache.join("bench-xgboost-1");
    fs::create_dir_all(&folder).expect("a folder for the table");
    let mut theirs = Theirs::start(&python, &folder);
    let ours = Ours::new(&folder.join("higgs-like.parquet"));

    ours.size_and_compilation();
    let (mut learning, mut whole) = (Vec::new(), Vec::new());
    let (mut native, mut native_whole) = (Vec::new(), Vec::new());
    let mut peak: f64 = 0.0;
    for _ in 0..RUNS {
        let run = ours.train(1);
        learning.push(run.took("learning"));
        whole.push(run.seconds);
        peak = peak.max(run.peak);
        let seconds = theirs.ask("train 1");
        native.push(seconds);
        native_whole.push(seconds + theirs.ask("read"));
    }
    against(
        "training, binning included",
        &mut learning,
        &mut native,
        1.2,
    );
    report(
        "training as a whole run, sealed Parquet read",
        "s",
        median(&mut whole),
    );
    report(
        "XGBoost's training as a whole, Parquet read",
        "s",
        median(&mut native_whole),
    );

    let (mut predicting, mut native) = (Vec::new(), Vec::new());
    let mut whole = Vec::new();
    for _ in 0..RUNS {
        let run = ours.predict();
        predicting.push(run.took("predicting"));
        whole.push(run.seconds);
        native.push(theirs.ask("predict"));
    }
    against("prediction of all rows", &mut predicting, &mut native, 1.5);
    report(
        "prediction as a whole run, read and written",
        "s",
        median(&mut whole),
    );

    // In a process of its own: what the one before has freed would serve again.
    drop(theirs);
    let mut theirs = Theirs::start(&python, &folder);
    let grown = theirs.ask("memory");
    row("peak memory", "of XGBoost's", peak / grown, 1.0, false);
    report("the component's peak memory", "MiB", peak / MIB);
    report("XGBoost's, its table aside", "MiB", grown / MIB);

    let one = median(&mut learning);
    let (mut pair, mut whole) = (Vec::new(), Vec::new());
    let mut native = Vec::new();
    for _ in 0..RUNS {
        let run = ours.train(2);
        pair.push(run.took("learning"));
        whole.push(run.seconds);
        native.push(theirs.ask("train 2"));
    }
    let (two, native) = (median(&mut pair), median(&mut native));
    row(
        "two instances",
        "times as fast as one",
        one / two,
        1.7,
        true,
    );
    row(
        "two instances",
        "of XGBoost's time on two threads",
        two / native,
        1.4,
        false,
    );
    report("two instances", "s", two);
    report("XGBoost on two threads", "s", native);
    report("two instances as a whole run", "s", median(&mut whole));
}

/// `mc2-run` of the component.
struct Ours {
    table: PathBuf,
    home: TempDir,
}

/// How a run went.
struct Run {
    /// From the job's start to its end, in seconds.
    seconds: f64,
    /// The guests' memory, in bytes.
    peak: f64,
    stderr: String,
}

impl Ours {
    fn new(table: &Path) -> Self {
        Self {
            table: table.to_owned(),
            home: TempDir::with_prefix("mc2-bench-").expect("a folder"),
        }
    }

    fn size_and_compilation(&self) {
        let bytes = fs::metadata(component("xgboost")).expect("the component");
        row(
            "size of the component",
            "MB",
            bytes.len() as f64 / 1e6,
            3.0,
            false,
        );
        let mut times: Vec<f64> = (0..RUNS)
            .map(|_| {
                let home = TempDir::with_prefix("mc2-bench-").expect("a folder");
                let report = self.report(home.path(), &[], "--help");
                report["phases_ms"]["compile"].as_f64().expect("a time") / 1e3
            })
            .collect();
        row("first compilation", "s", median(&mut times), 3.0, false);
    }

    fn train(&self, instances: usize) -> Run {
        let instances = instances.to_string();
        let mut options = vec!["--out".into(), format!("model={}", self.at("model"))];
        if instances != "1" {
            options.extend(["--instances".into(), instances]);
        }
        self.run(options, TRAIN)
    }

    fn predict(&self) -> Run {
        let options = vec![
            "--in".into(),
            format!("model={}", self.at("model")),
            "--out".into(),
            format!("predictions.parquet={}", self.at("predictions")),
        ];
        self.run(options, PREDICT)
    }

    fn at(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn run(&self, mut options: Vec<String>, line: &str) -> Run {
        options.extend(["--in".into(), format!("table={}", self.table.display())]);
        let report = self.report(self.home.path(), &options, line);
        let instances = report["usage"][0]["instances"].as_array().expect("a list");
        let peaks = instances.iter().map(|one| &one["memory_peak"]);
        Run {
            seconds: report["phases_ms"]["run"].as_f64().expect("a time") / 1e3,
            peak: peaks.map(|peak| peak.as_f64().expect("bytes")).sum(),
            stderr: report["stderr"].as_str().expect("text").to_owned(),
        }
    }

    /// What `mc2-run --json` says of a run that succeeds.
    fn report(&self, home: &Path, options: &[String], line: &str) -> Value {
        let runner = env::var_os("MC2_BINARIES").expect("run this by `cargo xtask bench`");
        let output = Command::new(Path::new(&runner).join("mc2-run"))
            .arg(component("xgboost"))
            .args(["--quiet", "--json", "--memory", "3GiB"])
            .args(options)
            .arg("--")
            .args(line.split_whitespace())
            .env("MC2_HOME", home.join("home"))
            .env("XDG_CACHE_HOME", home)
            .stdin(Stdio::null())
            .output()
            .expect("mc2-run starts");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(
            report["status"], "succeeded",
            "{line}: {}",
            report["message"]
        );
        report
    }
}

impl Run {
    /// Seconds that the component says something took: `took: reading 0.500 s, learning 9.100 s`.
    fn took(&self, what: &str) -> f64 {
        let line = self
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("took: "));
        line.and_then(|line| {
            let mut parts = line.split(", ");
            parts.find_map(|part| {
                part.strip_prefix(what)?
                    .trim()
                    .strip_suffix(" s")?
                    .parse()
                    .ok()
            })
        })
        .unwrap_or_else(|| panic!("the component does not say how long {what} took"))
    }
}

/// XGBoost in a Python process that holds the table.
struct Theirs {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Theirs {
    fn start(python: &std::ffi::OsStr, folder: &Path) -> Self {
        let script = "../workloads/xgboost/tests/bench.py";
        let mut process = Command::new(python)
            .arg(mc2_tests::package().join(script))
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let (questions, answers) = (process.stdin.take(), process.stdout.take());
        let mut theirs = Self {
            process,
            questions,
            answers: BufReader::new(answers.expect("a pipe")),
        };
        assert_eq!(theirs.answer(), "ready");
        theirs
    }

    fn ask(&mut self, question: &str) -> f64 {
        let questions = self.questions.as_mut().expect("open until dropped");
        writeln!(questions, "{question}").expect("Python listens");
        self.answer().parse().expect("a number")
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Python answers");
        line.trim().to_owned()
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // It ends at the end of its input.
        self.questions = None;
        let _ = self.process.wait();
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A ratio of medians, and what it is made of.
fn against(what: &str, ours: &mut [f64], theirs: &mut [f64], target: f64) {
    let (ours, theirs) = (median(ours), median(theirs));
    row(what, "of XGBoost's time", ours / theirs, target, false);
    report(&format!("{what}: the component"), "s", ours);
    report(&format!("{what}: XGBoost"), "s", theirs);
}

fn row(what: &str, unit: &str, measured: f64, target: f64, more_is_better: bool) {
    bench_row(
        &format!("xgboost: {what}"),
        unit,
        measured,
        Some(target),
        more_is_better,
    );
}

/// A number without a target.
fn report(what: &str, unit: &str, measured: f64) {
    bench_row(&format!("xgboost: {what}"), unit, measured, None, false);
}
