//! What objectives refuse: labels, weights, groups, parameters and models, in words.

#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

use serde_json::{Value, json};
use xgboost_core::{
    data::Info,
    objective::{self, Objective},
    params::ParamSet,
};

fn params(given: &[(&str, &str)]) -> ParamSet {
    let mut params = ParamSet::default();
    for (name, value) in given {
        params.set(name, *value).unwrap();
    }
    params
}

fn labelled(labels: &[f32]) -> Info {
    Info {
        rows: labels.len(),
        labels: labels.to_vec(),
        ..Info::default()
    }
}

/// An objective with what it needs.
fn of(name: &str) -> Box<dyn Objective> {
    let needed: &[(&str, &str)] = match name {
        "reg:quantileerror" => &[("quantile_alpha", "0.5")],
        "multi:softmax" | "multi:softprob" => &[("num_class", "3")],
        _ => &[],
    };
    objective::parse(name, &params(needed)).unwrap()
}

#[test]
fn a_label_out_of_range_is_refused_with_its_row_and_the_range() {
    for (name, good, bad, range) in [
        ("reg:squarederror", -3.0, f32::INFINITY, "finite"),
        ("reg:squaredlogerror", -0.5, -1.0, "above -1"),
        ("reg:logistic", 0.5, 1.5, "from 0 to 1"),
        ("reg:absoluteerror", -1.0, f32::NAN, "finite"),
        ("reg:quantileerror", -1.0, f32::NAN, "finite"),
        ("reg:pseudohubererror", -1.0, f32::NEG_INFINITY, "finite"),
        ("reg:gamma", 0.1, 0.0, "above 0"),
        ("reg:tweedie", 0.0, -0.1, "at least 0"),
        ("count:poisson", 0.0, -1.0, "at least 0"),
        ("binary:logistic", 1.0, -0.1, "from 0 to 1"),
        ("binary:logitraw", 1.0, 2.0, "from 0 to 1"),
        ("binary:hinge", 1.0, -1.0, "from 0 to 1"),
        ("multi:softmax", 2.0, 3.0, "from 0 to 2"),
        ("multi:softprob", 2.0, 0.5, "num_class is 3"),
        ("rank:pairwise", -1.0, f32::NAN, "finite"),
        ("rank:ndcg", 31.0, 32.0, "from 0 to 31"),
        ("rank:map", 1.0, 2.0, "0 or 1"),
        ("survival:cox", -2.0, f32::NAN, "time"),
    ] {
        of(name).check(&labelled(&[good, good])).unwrap();
        let error = of(name)
            .check(&labelled(&[good, good, bad]))
            .unwrap_err()
            .to_string();
        for part in [name, "row 3", range, &bad.to_string()] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let none = Info {
            rows: 3,
            ..Info::default()
        };
        let error = of(name).check(&none).unwrap_err().to_string();
        assert!(error.contains("one label a row, 3"), "{error}");
    }
}

#[test]
fn bounds_that_are_no_interval_are_refused() {
    let bounded = |lower: f32, upper: f32| Info {
        rows: 2,
        lower: vec![1.0, lower],
        upper: vec![f32::INFINITY, upper],
        ..Info::default()
    };
    for (lower, upper) in [(1.0, 1.0), (0.0, 2.0), (2.0, f32::INFINITY), (-1.0, 3.0)] {
        of("survival:aft").check(&bounded(lower, upper)).unwrap();
    }
    let infinity = f32::INFINITY;
    for (lower, upper) in [
        (2.0, 1.0),
        (0.0, 0.0),
        (-2.0, -1.0),
        (f32::NAN, 1.0),
        (1.0, f32::NAN),
        (infinity, infinity),
    ] {
        let error = of("survival:aft")
            .check(&bounded(lower, upper))
            .unwrap_err()
            .to_string();
        assert!(error.contains("row 2"), "{error}");
    }
    let error = of("survival:aft")
        .check(&labelled(&[1.0]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("one lower and one upper bound a row"),
        "{error}"
    );
}

#[test]
fn weights_and_groups_that_fit_no_rows_are_refused() {
    let rows = labelled(&[0.0, 1.0, 0.0]);
    let weighted = |weights: &[f32]| Info {
        weights: weights.to_vec(),
        ..rows.clone()
    };
    let grouped = |starts: &[usize], weights: &[f32]| Info {
        group_starts: starts.to_vec(),
        ..weighted(weights)
    };
    of("binary:logistic")
        .check(&weighted(&[1.0, 0.0, 2.0]))
        .unwrap();
    for (weights, says) in [
        (&[1.0_f32][..], "one weight a row, 3 in all; found 1"),
        (&[1.0, -1.0, 1.0], "row 2"),
        (&[1.0, 1.0, f32::NAN], "row 3"),
        (&[f32::INFINITY, 1.0, 1.0], "row 1"),
    ] {
        let error = of("binary:logistic")
            .check(&weighted(weights))
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{says} in {error}");
    }
    of("rank:ndcg")
        .check(&grouped(&[0, 1, 1, 3], &[1.0, 0.0, 2.0]))
        .unwrap();
    for (starts, weights, says) in [
        (&[0_usize, 1][..], &[][..], "to row 3"),
        (&[1, 3], &[], "from row 0"),
        (&[0, 2, 1, 3], &[], "consecutive"),
        (
            &[0, 1, 3],
            &[1.0_f32][..],
            "one weight a group, 2 in all; found 1",
        ),
        // The weight of a group stands in its first row.
        (
            &[0, 2, 3],
            &[1.0, -1.0],
            "row 3: expected a number at least 0 as weight; found -1",
        ),
    ] {
        let error = of("rank:ndcg")
            .check(&grouped(starts, weights))
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{says} in {error}");
    }
}

#[test]
fn rows_that_weigh_nothing_have_no_mean() {
    let info = Info {
        weights: vec![0.0, 0.0],
        ..labelled(&[1.0, 2.0])
    };
    for name in [
        "reg:squarederror",
        "reg:absoluteerror",
        "multi:softmax",
        "count:poisson",
    ] {
        let error = of(name)
            .base_score(&info, &mut xgboost_core::collective::Alone)
            .unwrap_err();
        assert!(error.to_string().contains("weight above 0"), "{error}");
    }
}

#[test]
fn a_parameter_out_of_range_is_refused_with_the_range() {
    for (objective, name, bad, range) in [
        ("reg:squarederror", "scale_pos_weight", "-1", "at least 0"),
        ("reg:pseudohubererror", "huber_slope", "0", "other than 0"),
        (
            "reg:tweedie",
            "tweedie_variance_power",
            "2",
            "at least 1 and less than 2",
        ),
        ("count:poisson", "max_delta_step", "-0.1", "at least 0"),
        (
            "reg:quantileerror",
            "quantile_alpha",
            "[0.5, 1.5]",
            "from 0 to 1",
        ),
        (
            "reg:quantileerror",
            "quantile_alpha",
            "[0.9, 0.1]",
            "ascending",
        ),
        ("reg:quantileerror", "quantile_alpha", "[]", "at least one"),
        ("reg:quantileerror", "quantile_alpha", "[0.1", "from 0 to 1"),
        ("reg:quantileerror", "seed", "0", "quantile_alpha"),
        ("multi:softmax", "num_class", "0", "at least 1"),
        (
            "multi:softprob",
            "num_class",
            "4000000000",
            "at most 100000",
        ),
        ("multi:softprob", "seed", "0", "num_class"),
        (
            "survival:aft",
            "aft_loss_distribution",
            "cauchy",
            "normal, logistic, extreme",
        ),
        (
            "survival:aft",
            "aft_loss_distribution_scale",
            "0",
            "more than 0",
        ),
        (
            "rank:ndcg",
            "lambdarank_num_pair_per_sample",
            "0",
            "at least 1",
        ),
        ("rank:ndcg", "lambdarank_pair_method", "all", "topk, mean"),
        ("rank:ndcg", "lambdarank_bias_norm", "-1", "at least 0"),
        ("rank:ndcg", "ndcg_exp_gain", "2", "0, 1"),
    ] {
        let error = objective::parse(objective, &params(&[(name, bad)]))
            .err()
            .unwrap();
        assert!(error.to_string().contains(range), "{range} in {error}");
    }
    let huge = [
        ("lambdarank_unbiased", "1"),
        ("lambdarank_num_pair_per_sample", "4000000000"),
    ];
    assert!(objective::parse("rank:ndcg", &params(&huge)).is_err());
}

#[test]
fn a_start_without_a_margin_is_refused() {
    for (name, good, bad) in [
        ("reg:squarederror", -5.0, f32::NAN),
        ("binary:logistic", 1.0, 1.1),
        ("reg:gamma", 0.1, 0.0),
        ("count:poisson", 0.1, -1.0),
        ("survival:cox", 1.0, 0.0),
        ("survival:aft", 0.5, f32::INFINITY),
        ("multi:softmax", -0.5, f32::INFINITY),
    ] {
        let objective = of(name);
        objective.check_base_score(good).unwrap();
        assert!(objective.score_to_margin(good).is_finite(), "{name}");
        assert_eq!(
            objective.check_base_score(bad).unwrap_err().name,
            "base_score"
        );
    }
}

#[test]
fn an_unknown_objective_is_refused_with_those_there_are() {
    let error = objective::parse("reg:squared", &ParamSet::default())
        .err()
        .unwrap()
        .to_string();
    for name in objective::NAMES {
        assert!(error.contains(name), "{name} in {error}");
        assert_eq!(of(name).name(), name);
    }
}

#[test]
fn what_an_objective_does_not_read_is_nobodys() {
    let given = params(&[("scale_pos_weight", "2")]);
    objective::parse("binary:hinge", &given).unwrap();
    assert_eq!(given.finish().unwrap_err().name, "scale_pos_weight");
    assert!((of("count:poisson").default_max_delta_step() - 0.7).abs() < 1e-6);
    assert!(of("reg:squarederror").default_max_delta_step() == 0.0);
}

/// Every way to replace or leave out one value of `json`, however deep.
fn broken(json: &Value) -> Vec<Value> {
    let Value::Object(object) = json else {
        let others = [
            json!(null),
            json!(-1),
            json!("x"),
            json!([]),
            json!({}),
            json!("1e99"),
        ];
        return others.into_iter().filter(|other| other != json).collect();
    };
    let mut all = Vec::new();
    for (key, value) in object {
        let mut without = object.clone();
        without.remove(key);
        all.push(Value::Object(without));
        for other in broken(value) {
            let mut changed = object.clone();
            changed.insert(key.clone(), other);
            all.push(Value::Object(changed));
        }
    }
    all
}

#[test]
fn a_broken_model_is_refused_or_has_an_objective_that_works() {
    let cases: Value = serde_json::from_str(include_str!("fixtures/objectives.json")).unwrap();
    let (mut refused, mut read) = (0, 0);
    for case in cases.as_array().unwrap() {
        for json in broken(&case["objective"]) {
            match objective::from_json(&json) {
                Err(error) => {
                    assert!(error.to_string().len() > 20, "{error}");
                    refused += 1;
                }
                Ok(objective) => {
                    let margins = vec![0.25; 2 * objective.outputs()];
                    objective.transform(margins);
                    objective::from_json(&objective.to_json()).unwrap();
                    read += 1;
                }
            }
        }
    }
    assert!(
        refused > 1000 && read > 100,
        "{refused} refused, {read} read"
    );
}

#[test]
fn a_model_without_parameters_has_their_defaults() {
    for name in [
        "reg:squarederror",
        "reg:pseudohubererror",
        "rank:ndcg",
        "survival:aft",
    ] {
        let read = objective::from_json(&json!({ "name": name })).unwrap();
        assert_eq!(read.to_json(), of(name).to_json());
    }
    for hopeless in [
        json!({}),
        json!(null),
        json!({ "name": 3 }),
        json!({ "name": "multi:softmax" }),
    ] {
        assert!(objective::from_json(&hopeless).is_err(), "{hopeless}");
    }
}
