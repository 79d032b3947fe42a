//! Objectives against XGBoost 3.4.1 (`fixtures/objectives.py`): derivatives, starting constants,
//! predictions, default metrics and what models say of them.

#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

mod cases;

use cases::numbers;
use serde_json::Value;
use xgboost_core::{
    collective::{Alone, Collective},
    data::Info,
    gradient::GradientPair,
    objective::{self, Objective},
    params::ParamSet,
};

/// One case of the fixture.
struct Case {
    json: Value,
    info: Info,
    params: ParamSet,
}

fn all_cases() -> Vec<Case> {
    let json: Value = serde_json::from_str(include_str!("fixtures/objectives.json")).unwrap();
    json.as_array()
        .unwrap()
        .iter()
        .cloned()
        .map(Case::new)
        .collect()
}

impl Case {
    fn new(json: Value) -> Self {
        Self {
            info: cases::info(&json),
            params: cases::params(&json),
            json,
        }
    }

    fn objective(&self) -> Box<dyn Objective> {
        let objective = objective::parse(self.json["name"].as_str().unwrap(), &self.params);
        let objective = objective.unwrap();
        self.params.finish().unwrap();
        objective.check(&self.info).unwrap();
        objective
    }

    /// What the case is, for people who read that it failed.
    fn title(&self) -> String {
        let weighted = if self.info.weights.is_empty() {
            ""
        } else {
            ", weighted"
        };
        format!(
            "{} with {}{weighted}",
            self.json["name"], self.json["params"]
        )
    }
}

/// Whether two numbers differ by at most 1e-5 of them, or of `unit`.
fn close(ours: f32, theirs: f32, unit: f32) -> bool {
    ours == theirs || (ours - theirs).abs() <= 1e-5 * theirs.abs().max(unit)
}

fn assert_close(ours: &[f32], theirs: &[f32], unit: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            close(*ours, *theirs, unit),
            "{what}: at {index} {ours}, XGBoost {theirs}"
        );
    }
}

#[test]
fn every_objective_is_in_the_fixture() {
    let cases = all_cases();
    for name in objective::NAMES {
        assert!(cases.iter().any(|case| case.json["name"] == name), "{name}");
    }
}

#[test]
fn derivatives_are_those_of_xgboost() {
    for case in all_cases() {
        let mut objective = case.objective();
        let mut margins = numbers(&case.json, "margins");
        let unbiased = case.json["params"].get("lambdarank_unbiased").is_some();
        for (number, round) in case.json["rounds"].as_array().unwrap().iter().enumerate() {
            let title = format!("{}, round {number}", case.title());
            let mut pairs = vec![GradientPair::default(); margins.len()];
            let iteration = u32::try_from(number).unwrap();
            objective
                .gradient(&margins, &case.info, iteration, &mut Alone, &mut pairs)
                .unwrap();
            let grad: Vec<f32> = pairs.iter().map(|pair| pair.grad).collect();
            let hess: Vec<f32> = pairs.iter().map(|pair| pair.hess).collect();
            // Sums of pairs of a ranking cancel out, which leaves errors of the largest.
            let unit = grad.iter().fold(0.0_f32, |most, grad| most.max(grad.abs()));
            let unit = if case.info.group_starts.is_empty() {
                0.01 * unit
            } else {
                unit
            };
            assert_close(
                &grad,
                &numbers(round, "grad"),
                unit,
                &format!("{title}: grad"),
            );
            assert_close(
                &hess,
                &numbers(round, "hess"),
                1e-6,
                &format!("{title}: hess"),
            );
            for (margin, leaf) in margins.iter_mut().zip(numbers(round, "leaves")) {
                *margin += leaf;
            }
        }
        let (ours, theirs) = (objective.to_json(), &case.json["objective"]);
        if !unbiased {
            assert_eq!(&ours, theirs, "{}", case.title());
            continue;
        }
        for bias in ["ti+", "tj-"] {
            let what = format!("{}: {bias}", case.title());
            assert_close(&numbers(&ours, bias), &numbers(theirs, bias), 1e-3, &what);
        }
    }
}

#[test]
fn starting_constants_are_those_of_xgboost() {
    for case in all_cases() {
        let objective = case.objective();
        let ours = objective.base_score(&case.info, &mut Alone).unwrap();
        let theirs = numbers(&case.json, "base_score");
        assert_eq!(ours.len(), objective.outputs());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let apart = (ours - theirs).abs();
            assert!(
                apart <= 1e-6 * theirs.abs().max(1.0),
                "{}: {ours}, XGBoost {theirs}",
                case.title()
            );
        }
        assert_eq!(ours.len(), theirs.len(), "{}", case.title());
    }
}

#[test]
fn predictions_are_those_of_xgboost() {
    for case in all_cases() {
        let ours = case.objective().transform(numbers(&case.json, "margins"));
        assert_close(
            &ours,
            &numbers(&case.json, "predictions"),
            1e-6,
            &case.title(),
        );
    }
}

#[test]
fn default_metrics_are_those_of_xgboost() {
    for case in all_cases() {
        let objective = case.objective();
        let metric = objective.default_metric();
        assert_eq!(metric.name(), case.json["metric"], "{}", case.title());
        let predictions = objective.eval_transform(numbers(&case.json, "margins"));
        let outputs = objective.outputs();
        let ours = metric
            .evaluate(&predictions, outputs, &case.info, &mut Alone)
            .unwrap();
        let theirs = case.json["value"].as_f64().unwrap();
        let apart = (ours - theirs).abs();
        assert!(
            apart <= 1e-5 * theirs.abs(),
            "{}: {ours}, XGBoost {theirs}",
            case.title()
        );
    }
}

#[test]
fn what_a_model_says_of_its_objective_is_read_and_written_back() {
    for case in all_cases() {
        let theirs = &case.json["objective"];
        let read = objective::from_json(theirs).unwrap();
        assert_eq!(read.name(), case.json["name"]);
        assert_eq!(read.default_metric().name(), case.json["metric"]);
        let ours = read.to_json();
        for key in ["ti+", "tj-"]
            .into_iter()
            .filter(|key| theirs.get(key).is_some())
        {
            assert_close(&numbers(&ours, key), &numbers(theirs, key), 0.0, key);
        }
        let rest = |json: &Value| {
            let mut json = json.as_object().unwrap().clone();
            json.retain(|key, _| !["ti+", "tj-"].contains(&key.as_str()));
            json
        };
        assert_eq!(rest(&ours), rest(theirs));
    }
}

#[test]
fn several_instances_get_the_derivatives_of_one() {
    // Rows without groups are one group of each instance that has some.
    let grouped = |case: &Case| {
        let ranks = case.title().contains("rank:");
        !ranks || !case.info.group_starts.is_empty()
    };
    for case in all_cases().into_iter().filter(grouped) {
        let margins = numbers(&case.json, "margins");
        let outputs = case.objective().outputs();
        let parts = cases::cut(&case.info);
        let mut one = vec![GradientPair::default(); margins.len()];
        case.objective()
            .gradient(&margins, &case.info, 0, &mut Alone, &mut one)
            .unwrap();
        let start = case.objective().base_score(&case.info, &mut Alone).unwrap();
        let (name, params) = (&case.json["name"], cases::params);
        let several = cases::together(parts.len(), |peer| {
            let (rows, info) = &parts[peer.rank()];
            let params = params(&case.json);
            let mut objective = objective::parse(name.as_str().unwrap(), &params).unwrap();
            objective.check(info).unwrap();
            let margins = &margins[rows.start * outputs..rows.end * outputs];
            let mut pairs = vec![GradientPair::default(); margins.len()];
            objective
                .gradient(margins, info, 0, peer, &mut pairs)
                .unwrap();
            let params = cases::params(&case.json);
            let fresh = objective::parse(name.as_str().unwrap(), &params).unwrap();
            (pairs, fresh.base_score(info, peer).unwrap())
        });
        let pairs: Vec<_> = several
            .iter()
            .flat_map(|(pairs, _)| pairs.clone())
            .collect();
        let split = |pairs: &[GradientPair]| -> Vec<f32> {
            pairs
                .iter()
                .flat_map(|pair| [pair.grad, pair.hess])
                .collect()
        };
        assert_close(&split(&pairs), &split(&one), 1e-4, &case.title());
        for (_, other) in &several {
            assert_eq!(other, &several[0].1, "{}", case.title());
        }
        if case.json["name"] != "reg:quantileerror" {
            assert_close(&several[0].1, &start, 1e-2, &case.title());
        }
    }
}
