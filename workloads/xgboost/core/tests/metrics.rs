//! Metrics against XGBoost 3.4.1 (`fixtures/metrics.py`).

#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

mod cases;

use cases::numbers;
use serde_json::Value;
use xgboost_core::{
    collective::{Alone, Collective},
    metric::{self, MetricError},
    objective,
};

fn all_cases() -> Vec<Value> {
    let json: Value = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    json.as_array().unwrap().clone()
}

/// Predictions as metrics see them, and how many a row has.
fn predictions(case: &Value) -> (Vec<f32>, usize) {
    let name = case["objective"].as_str().unwrap();
    let objective = objective::parse(name, &cases::params(case)).unwrap();
    (
        objective.eval_transform(numbers(case, "margins")),
        objective.outputs(),
    )
}

/// Name, XGBoost's name, and value of each metric of a case.
fn values(case: &Value) -> Vec<(&str, &str, f64)> {
    let value = |of: &'_ Value| of.as_f64().unwrap();
    let metrics = case["metrics"].as_array().unwrap().iter();
    metrics
        .map(|m| (m[0].as_str().unwrap(), m[1].as_str().unwrap(), value(&m[2])))
        .collect()
}

#[test]
fn every_metric_is_in_the_fixture() {
    let cases = all_cases();
    for name in metric::NAMES {
        let word = name.split('@').next().unwrap();
        let of = |case: &Value| {
            values(case)
                .iter()
                .any(|(given, ..)| given.starts_with(word))
        };
        assert!(cases.iter().any(of), "{name}");
    }
}

#[test]
fn values_and_names_are_those_of_xgboost() {
    for case in all_cases() {
        let (predictions, outputs) = predictions(&case);
        let info = cases::info(&case);
        for (given, name, theirs) in values(&case) {
            let metric = metric::parse(given, &cases::params(&case)).unwrap();
            let ours = metric
                .evaluate(&predictions, outputs, &info, &mut Alone)
                .unwrap();
            let what = format!("{given} of {} with {}", case["objective"], case["params"]);
            assert_eq!(metric.name(), name, "{what}");
            assert!(
                (ours - theirs).abs() <= 1e-5 * theirs.abs(),
                "{what}: {ours}, not {theirs}"
            );
        }
    }
}

#[test]
fn several_instances_get_the_value_of_one() {
    for case in all_cases() {
        let (predictions, outputs) = predictions(&case);
        let parts = cases::cut(&cases::info(&case));
        for (given, _, theirs) in values(&case) {
            let several = cases::together(parts.len(), |peer| {
                let (rows, info) = &parts[peer.rank()];
                let metric = metric::parse(given, &cases::params(&case)).unwrap();
                let own = &predictions[rows.start * outputs..rows.end * outputs];
                metric.evaluate(own, outputs, info, peer).unwrap()
            });
            // Rows without groups are one group of each instance that has some.
            if case["groups"] == serde_json::json!([]) && given.contains("@5") {
                continue;
            }
            for ours in several {
                assert!(
                    (ours - theirs).abs() <= 1e-5 * theirs.abs(),
                    "{given}: {ours} {theirs}"
                );
            }
        }
    }
}

#[test]
fn more_is_better_for_areas_shares_and_rankings_alone() {
    let better = [
        "auc",
        "aucpr",
        "ndcg@3",
        "map-",
        "pre",
        "interval-regression-accuracy",
        "ams@1",
    ];
    let worse = [
        "rmse",
        "mape",
        "error@0.3",
        "merror",
        "cox-nloglik",
        "gamma-deviance",
        "mphe",
    ];
    let maximize = |name: &&str| {
        metric::parse(name, &xgboost_core::params::ParamSet::default())
            .unwrap()
            .maximize()
    };
    assert!(better.iter().all(maximize) && !worse.iter().any(maximize));
}

#[test]
fn an_unknown_metric_is_refused_with_those_there_are() {
    for name in [
        "rsme",
        "auc@3",
        "rmse-",
        "error@",
        "error@much",
        "ndcg@",
        "ndcg@0",
        "pre@x-",
        "",
    ] {
        let error = metric::parse(name, &xgboost_core::params::ParamSet::default())
            .err()
            .unwrap();
        let says = error.to_string();
        assert!(says.contains("eval_metric") && says.contains('@'), "{says}");
    }
}

#[test]
fn an_area_of_one_label_alone_is_undefined() {
    let info = xgboost_core::data::Info {
        rows: 2,
        labels: vec![1.0, 1.0],
        ..xgboost_core::data::Info::default()
    };
    for name in ["auc", "aucpr"] {
        let metric = metric::parse(name, &xgboost_core::params::ParamSet::default()).unwrap();
        let value = metric.evaluate(&[0.1, 0.2], 1, &info, &mut Alone);
        assert!(
            matches!(value, Err(MetricError::Undefined { .. })),
            "{name}"
        );
    }
}
