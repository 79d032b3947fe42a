//! Scores: as lines, as JSON in the shape of XGBoost's `evals_result`, as progress.

use mc2_guest::{Job, Result};
use serde_json::{Map, Value, json};
use xgboost_core::train::{CvRound, CvScore, Progress, Score};

use crate::output::write_whole;

/// Tells of each round, as XGBoost does, and how far the job is.
pub(crate) struct Rounds<'j> {
    pub(crate) job: &'j Job,
    /// Whether lines go to standard output; of several instances only the first one's do.
    pub(crate) print: bool,
}

impl Rounds<'_> {
    fn tell(&self, round: u32, rounds: u32, scores: &[(String, f64)]) {
        let line: Vec<String> = scores
            .iter()
            .map(|(name, value)| format!("{name}:{value:.5}"))
            .collect();
        if self.print && !line.is_empty() {
            println!("[{round}]\t{}", line.join("\t"));
        }
        let done = f64::from(round + 1) / f64::from(rounds.max(1));
        let words: Vec<String> = scores
            .iter()
            .map(|(name, value)| format!("{name} {}", short(*value)))
            .collect();
        let words = match words.is_empty() {
            true => String::new(),
            false => format!(": {}", words.join(", ")),
        };
        // What is left is writing the model.
        self.job
            .progress(done.min(0.99), &format!("round {}{words}", round + 1));
    }
}

impl Progress for Rounds<'_> {
    fn round(&mut self, round: u32, rounds: u32, scores: &[Score]) {
        let scores: Vec<(String, f64)> = scores
            .iter()
            .map(|score| (format!("{}-{}", score.table, score.metric), score.value))
            .collect();
        self.tell(round, rounds, &scores);
    }
}

impl CvRound for Rounds<'_> {
    fn round(&mut self, round: u32, rounds: u32, scores: &[CvScore]) {
        let scores: Vec<(String, f64)> = scores
            .iter()
            .map(|score| (format!("{}-{}", score.table, score.metric), score.mean))
            .collect();
        self.tell(round, rounds, &scores);
    }
}

/// Few digits, for people.
fn short(value: f64) -> String {
    match value.abs() {
        0.001..1e6 => format!("{value:.4}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        _ => format!("{value:.3e}"),
    }
}

/// Each table's scores of each metric, round by round: `{"train": {"rmse": [0.5, 0.4]}}`.
pub(crate) fn history(rounds: &[Vec<Score>]) -> Value {
    let mut tables = Map::new();
    for score in rounds.iter().flatten() {
        let table = tables.entry(&score.table).or_insert_with(|| json!({}));
        push(table, &score.metric, score.value);
    }
    Value::Object(tables)
}

/// Means and deviations of each round: `{"train-rmse-mean": […], "train-rmse-std": […]}`.
pub(crate) fn cv_history(rounds: &[Vec<CvScore>]) -> Value {
    let mut all = json!({});
    for CvScore {
        table,
        metric,
        mean,
        std,
    } in rounds.iter().flatten()
    {
        push(&mut all, &format!("{table}-{metric}-mean"), *mean);
        push(&mut all, &format!("{table}-{metric}-std"), *std);
    }
    all
}

fn push(object: &mut Value, name: &str, value: f64) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let list = object.entry(name).or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        // JSON has no NaN and no infinity: these become null.
        list.push(json!(value));
    }
}

/// Writes scores to the output called `name`, where one is named.
pub(crate) fn write(job: &Job, name: Option<&str>, scores: &Value) -> Result {
    let Some(name) = name else { return Ok(()) };
    write_whole(job, name, format!("{scores:#}\n").as_bytes())
}
