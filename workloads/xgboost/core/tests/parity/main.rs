//! XGBoost 3.4.1 and this crate, on the same tables with the same parameters, make the same model:
//! the same trees to the threshold, leaf values and predictions within 1e-5.
//!
//! `fixtures/parity.py` made what is compared with. Columns have at most `max_bin` distinct values,
//! but for the tables called continuous.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::Cursor;

mod compare;
mod fixture;
mod peers;
mod table;

use fixture::{CvSetting, Fixture, Setting, params};
use peers::{Peer, peers};
use xgboost_core::{
    bins::FileStore,
    collective::{Alone, Collective},
    data::Source,
    model::Model,
    train::{BinSpilling, CvOptions, CvScore, TrainOptions, Trained, cross_validate, train},
};

/// Trains as a setting says; `sparse` tables give only what is there.
fn run(fixture: &Fixture, setting: &Setting, sparse: bool, all: &mut dyn Collective) -> Trained {
    let mut training = fixture.table(&setting.columns, 0..setting.train_rows);
    training.sparse = sparse;
    let mut evals = Vec::new();
    if setting.train_rows < fixture.rows() {
        let held_out = fixture.table(&setting.columns, setting.train_rows..fixture.rows());
        evals.push(("test".to_owned(), held_out));
    }
    let init: Option<Model> = (setting.init > 0).then(|| {
        let params = params(&setting.params, setting.init, None);
        let options = TrainOptions::parse(params, training.schema(), None).unwrap();
        train(&options, &mut training, &mut [], None, all, &mut ())
            .unwrap()
            .model
    });
    let params = params(&setting.params, setting.rounds, setting.stop);
    let options = TrainOptions::parse(params, training.schema(), init.as_ref()).unwrap();
    train(&options, &mut training, &mut evals, init, all, &mut ()).unwrap()
}

/// Every way a setting's outcome can differ.
fn check(fixture: &Fixture, setting: &Setting, trained: &Trained) -> Result<(), String> {
    compare::model(&trained.model, setting)?;
    let mut columns = setting.columns.clone();
    columns.forget_groups();
    let mut sample = fixture.table(&columns, 0..40);
    compare::predictions(&trained.model, &mut sample, &setting.predictions)?;
    compare::scores(&trained.history, &setting.scores)?;
    match (
        &trained.model.attributes.get("best_iteration"),
        &setting.best,
    ) {
        (found, expected) if *found == expected.as_ref() => Ok(()),
        (found, expected) => Err(format!("best_iteration {found:?}, not {expected:?}")),
    }
}

fn same_models(name: &str, sparse: bool) {
    let fixture = Fixture::read(name);
    let wrong: Vec<String> = fixture
        .settings()
        .iter()
        .filter_map(|setting| {
            let trained = run(&fixture, setting, sparse, &mut Alone);
            let outcome = check(&fixture, setting, &trained);
            outcome
                .err()
                .map(|reason| format!("{name}, {}: {reason}", setting.name))
        })
        .collect();
    let all = fixture.settings().len();
    assert!(all > 0, "{name} has no settings");
    assert!(
        wrong.is_empty(),
        "{} of {all} differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn breast_cancer() {
    same_models("breast", false);
}

#[test]
fn breast_cancer_with_values_missing() {
    same_models("missing", false);
}

#[test]
fn breast_cancer_with_values_left_out() {
    same_models("missing", true);
}

#[test]
fn diabetes() {
    same_models("diabetes", false);
}

#[test]
fn digits() {
    same_models("digits", false);
}

#[test]
fn agaricus() {
    same_models("agaricus", true);
}

#[test]
fn flights() {
    same_models("flights", false);
}

#[test]
fn bins_in_a_file_make_the_same_models() {
    for (name, sparse) in [("agaricus", true), ("missing", false), ("flights", false)] {
        let fixture = Fixture::read(name);
        let hist = |setting: &&Setting| !setting.name.contains("exact");
        for setting in fixture.settings().iter().filter(hist) {
            let mut training = fixture.table(&setting.columns, 0..fixture.rows());
            training.sparse = sparse;
            let params = params(&setting.params, setting.rounds, None);
            let mut options = TrainOptions::parse(params, training.schema(), None).unwrap();
            options.spilling = Some(BinSpilling {
                memory: 1000,
                block: 3000,
                open: Box::new(|| Ok(Box::new(FileStore::new(Cursor::new(Vec::new()))))),
            });
            let trained = train(&options, &mut training, &mut [], None, &mut Alone, &mut ());
            let outcome = check(&fixture, setting, &trained.unwrap());
            assert_eq!(outcome, Ok(()), "{name}, {}", setting.name);
        }
    }
}

/// Cuts a setting's rows between two groups, near the middle.
fn middle(fixture: &Fixture, setting: &Setting) -> usize {
    let whole = fixture.table(&setting.columns, 0..fixture.rows());
    let starts = &whole.info().group_starts;
    let half = fixture.rows() / 2 - 17;
    starts
        .iter()
        .copied()
        .find(|start| *start >= half)
        .unwrap_or(half)
}

/// Trains in two instances, each with its part of the rows, and sees that they agree.
fn run_in_two(fixture: &Fixture, setting: &Setting, cut: usize) -> Trained {
    let one = |mut peer: Peer| {
        let rows = if peer.rank() == 0 {
            0..cut
        } else {
            cut..fixture.rows()
        };
        let mut training = fixture.table(&setting.columns, rows);
        let params = params(&setting.params, setting.rounds, None);
        let options = TrainOptions::parse(params, training.schema(), None).unwrap();
        let trained = train(&options, &mut training, &mut [], None, &mut peer, &mut ()).unwrap();
        (trained.model.to_json(), trained.history)
    };
    let [first, second] = std::thread::scope(|scope| {
        let threads = peers().map(|peer| scope.spawn(move || one(peer)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(first == second, "{}: the instances differ", setting.name);
    let (model, history) = first;
    Trained {
        model: Model::parse(&model).unwrap(),
        history,
        best: None,
    }
}

#[test]
fn two_instances_make_the_model_of_one() {
    let settings = [
        ("breast", "hist"),
        ("breast", "hist by loss"),
        ("breast", "hist monotone"),
        ("breast", "hist weights"),
        ("breast", "dart dropping some"),
        ("missing", "hist"),
        ("diabetes", "squared error"),
        ("diabetes", "quantiles"),
        ("diabetes", "absolute error weights"),
        ("diabetes", "poisson"),
        ("diabetes", "cox"),
        ("diabetes", "aft normal"),
        ("digits", "softprob"),
        ("agaricus", "hist"),
        ("flights", "categories"),
        ("flights", "rank ndcg"),
        ("flights", "rank ndcg cut"),
    ];
    let mut wrong = Vec::new();
    for (name, setting) in settings {
        let fixture = Fixture::read(name);
        let setting = fixture.setting(setting);
        let trained = run_in_two(&fixture, setting, middle(&fixture, setting));
        if let Err(reason) = check(&fixture, setting, &trained) {
            wrong.push(format!("{name}, {}: {reason}", setting.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn an_instance_without_rows_changes_nothing() {
    for (name, setting) in [
        ("missing", "hist"),
        ("diabetes", "quantiles"),
        ("diabetes", "cox"),
        ("digits", "softprob"),
        ("flights", "categories"),
        ("flights", "rank ndcg"),
    ] {
        let fixture = Fixture::read(name);
        let setting = fixture.setting(setting);
        for cut in [0, fixture.rows()] {
            let trained = run_in_two(&fixture, setting, cut);
            let outcome = check(&fixture, setting, &trained);
            assert_eq!(outcome, Ok(()), "{name}, {}, {cut}", setting.name);
        }
    }
}

#[test]
fn instances_that_draw_rows_and_features_agree() {
    let fixture = Fixture::read("breast");
    let mut setting = fixture.setting("hist").clone();
    let sampled = [
        ("subsample", "0.5"),
        ("colsample_bytree", "0.5"),
        ("colsample_bynode", "0.7"),
    ];
    setting
        .params
        .extend(sampled.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let trained = run_in_two(&fixture, &setting, middle(&fixture, &setting));
    assert!(
        compare::model(&trained.model, &setting).is_err(),
        "nothing was left out"
    );
}

fn cross_validated(fixture: &Fixture, setting: &CvSetting) -> Result<(), String> {
    let mut table = fixture.table(&setting.columns, 0..fixture.rows());
    let mut given = setting.params.clone();
    given.insert("eval_metric".into(), setting.cv.metrics.join(","));
    let params = params(&given, setting.rounds, setting.cv.early_stopping_rounds);
    let options = TrainOptions::parse(params, table.schema(), None).unwrap();
    let cv = CvOptions {
        folds: setting.cv.nfold,
        seed: setting.cv.seed,
        stratified: setting.cv.stratified,
        ..CvOptions::default()
    };
    let outcome = cross_validate(&options, &cv, &mut table, &mut ()).unwrap();
    for (name, expected) in &setting.result {
        let of =
            |score: &CvScore, end: &str| name == &format!("{}-{}-{end}", score.table, score.metric);
        let values: Vec<f64> = outcome
            .history
            .iter()
            .flatten()
            .filter_map(|score| match score {
                score if of(score, "mean") => Some(score.mean),
                score if of(score, "std") => Some(score.std),
                _ => None,
            })
            .collect();
        compare::series(&values, expected).map_err(|reason| format!("{name}: {reason}"))?;
    }
    Ok(())
}

#[test]
fn folds_of_the_same_seed_score_the_same() {
    for name in ["breast", "flights"] {
        let fixture = Fixture::read(name);
        assert!(!fixture.cvs().is_empty());
        for setting in fixture.cvs() {
            let outcome = cross_validated(&fixture, setting);
            assert_eq!(outcome, Ok(()), "{name}, {}", setting.name);
        }
    }
}

/// The last score on rows held out, here and by XGBoost.
fn held_out(name: &str) -> (f64, f64) {
    let fixture = Fixture::read(name);
    let setting = &fixture.settings()[0];
    let trained = run(&fixture, setting, false, &mut Alone);
    let found = trained.history.last().unwrap().last().unwrap().clone();
    let expected = setting.scores.last().unwrap();
    assert_eq!(
        (&found.table, &found.metric),
        (&expected.table, &expected.metric)
    );
    (found.value, *expected.values.last().unwrap())
}

#[test]
fn models_of_continuous_columns_are_as_good_on_unseen_rows() {
    for name in [
        "continuous_diabetes",
        "continuous_breast",
        "continuous_ranks",
    ] {
        let (found, expected) = held_out(name);
        println!("{name}: {found}, XGBoost {expected}");
        assert!(
            (found - expected).abs() <= 0.002 * expected.abs(),
            "{name}: {found}, not {expected}"
        );
    }
}
