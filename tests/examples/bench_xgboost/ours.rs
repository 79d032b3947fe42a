//! `mc2-run` of the component.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use mc2_tests::component;
use serde_json::Value;
use tempfile::TempDir;

use super::shapes::Shape;

const PREDICT: &str = "predict --model model --output predictions.parquet --verbose";

/// The component, and what it trained last.
pub(super) struct Ours {
    home: TempDir,
}

/// How a run went.
pub(super) struct Run {
    /// From the job's start to its end, in seconds.
    pub(super) seconds: f64,
    /// The guests' memory, in bytes.
    pub(super) peak: f64,
    stderr: String,
}

impl Ours {
    pub(super) fn new() -> Self {
        Self {
            home: TempDir::with_prefix("mc2-bench-").expect("a folder"),
        }
    }

    /// Megabytes of the component.
    pub(super) fn size() -> f64 {
        let bytes = fs::metadata(component("xgboost")).expect("the component");
        bytes.len() as f64 / 1e6
    }

    /// Seconds that compiling it takes, the cache cold.
    pub(super) fn compilation() -> f64 {
        let cold = Self::new();
        let report = cold.report(&[], "--help");
        report["phases_ms"]["compile"].as_f64().expect("a time") / 1e3
    }

    pub(super) fn train(&self, shape: &Shape, table: &Path, instances: usize) -> Run {
        let mut options = vec!["--out".into(), format!("model={}", self.at("model"))];
        if instances != 1 {
            options.extend(["--instances".into(), instances.to_string()]);
        }
        self.run(options, table, &shape.train())
    }

    /// Predicts the rows of `table` by the model trained last.
    pub(super) fn predict(&self, table: &Path) -> Run {
        self.predicted(table, "")
    }

    /// Says what each feature contributed to them.
    pub(super) fn explain(&self, table: &Path) -> Run {
        self.predicted(table, " --contribs")
    }

    fn predicted(&self, table: &Path, more: &str) -> Run {
        let options = vec![
            "--in".into(),
            format!("model={}", self.at("model")),
            "--out".into(),
            format!("predictions.parquet={}", self.at("predictions")),
        ];
        self.run(options, table, &format!("{PREDICT}{more}"))
    }

    /// Seconds that training takes as a person waits for it: the process from start to end, all
    /// caches warm after the first time.
    pub(super) fn whole(&self, shape: &Shape, table: &Path) -> f64 {
        let start = Instant::now();
        let output = self
            .command(&["--out".into(), format!("model={}", self.at("model"))])
            .args(["--in", &format!("table={}", table.display()), "--"])
            .args(shape.train().split_whitespace())
            .output()
            .expect("mc2-run starts");
        let seconds = start.elapsed().as_secs_f64();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", shape.train());
        seconds
    }

    fn at(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn run(&self, mut options: Vec<String>, table: &Path, line: &str) -> Run {
        options.extend(["--in".into(), format!("table={}", table.display())]);
        let report = self.report(&options, line);
        let instances = report["usage"][0]["instances"].as_array().expect("a list");
        let peaks = instances.iter().map(|one| &one["memory_peak"]);
        Run {
            seconds: report["phases_ms"]["run"].as_f64().expect("a time") / 1e3,
            peak: peaks.map(|peak| peak.as_f64().expect("bytes")).sum(),
            stderr: report["stderr"].as_str().expect("text").to_owned(),
        }
    }

    /// What `mc2-run --json` says of a run that succeeds.
    fn report(&self, options: &[String], line: &str) -> Value {
        let output = self
            .command(options)
            .args(["--json", "--"])
            .args(line.split_whitespace())
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

    fn command(&self, options: &[String]) -> Command {
        let runner = env::var_os("MC2_BINARIES").expect("run this by `cargo xtask bench`");
        let mut command = Command::new(PathBuf::from(runner).join("mc2-run"));
        command
            .arg(component("xgboost"))
            .args(["--quiet", "--memory", "3GiB"])
            .args(options)
            .env("MC2_HOME", self.home.path().join("home"))
            .env("XDG_CACHE_HOME", self.home.path())
            .stdin(Stdio::null());
        command
    }
}

impl Run {
    /// Seconds that the component says something took: `took: reading 0.500 s, learning 9.100 s`.
    pub(super) fn took(&self, what: &str) -> f64 {
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
