//! What is refused, and what must not depend on how it is done.

use std::io::Cursor;

use super::*;
use crate::{
    bins::FileStore,
    collective::Alone,
    data::{Batch, Feature, FeatureKind, Info, Schema, Values},
};

/// Rows in memory, some at a time.
#[derive(Clone)]
struct Rows {
    schema: Schema,
    info: Info,
    values: Vec<f32>,
    at_once: usize,
    next: usize,
    /// Rows it keeps to itself after the first time it was read.
    hides: usize,
}

impl Source for Rows {
    type Error = String;

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn info(&self) -> &Info {
        &self.info
    }

    fn rewind(&mut self) -> Result<(), String> {
        self.next = 0;
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        let width = self.schema.features.len();
        let rows = self.at_once.min(self.info.rows - self.hides - self.next);
        if rows == 0 {
            return Ok(None);
        }
        let values = self.values[self.next * width..][..rows * width].to_vec();
        self.next += rows;
        Ok(Some(Batch {
            rows,
            values: Values::Dense(values),
        }))
    }
}

/// 300 rows of four features whose first three decide the label.
fn rows() -> Rows {
    let mut random = crate::random::Mt19937::new(3);
    let count = 300;
    let values: Vec<f32> = (0..4 * count)
        .map(|_| (random.unit() * 20.0).floor() as f32)
        .map(|value| if value == 7.0 { f32::NAN } else { value })
        .collect();
    let label = |row: &[f32]| {
        let sum: f32 = row[..3].iter().filter(|value| !value.is_nan()).sum();
        if sum > 28.0 { 1.0 } else { 0.0 }
    };
    let feature = |index| Feature {
        name: format!("f{index}"),
        kind: FeatureKind::Float,
        categories: None,
    };
    Rows {
        schema: Schema {
            features: (0..4).map(feature).collect(),
        },
        info: Info {
            rows: count,
            labels: values.chunks(4).map(label).collect(),
            ..Info::default()
        },
        values,
        at_once: 64,
        next: 0,
        hides: 0,
    }
}

fn params(pairs: &[(&str, &str)]) -> ParamSet {
    let mut params = ParamSet::default();
    for (name, value) in pairs {
        params.set(name, *value).unwrap();
    }
    params
}

fn options(pairs: &[(&str, &str)]) -> TrainOptions {
    TrainOptions::parse(params(pairs), &rows().schema, None).unwrap()
}

const BINARY: [(&str, &str); 3] = [
    ("objective", "binary:logistic"),
    ("max_depth", "3"),
    ("rounds", "5"),
];

fn trained(options: &TrainOptions) -> Trained {
    let mut evals = [("test".to_owned(), rows())];
    train(options, &mut rows(), &mut evals, None, &mut Alone, &mut ()).unwrap()
}

#[test]
fn what_cannot_be_is_refused_by_its_name() {
    let refused = [
        ("booster", "gblinear", "gbtree, dart"),
        ("tree_method", "approx", "auto, hist, exact"),
        ("tree_method", "gpu_hist", "auto, hist, exact"),
        ("device", "cuda", "cpu"),
        ("objective", "reg:unheard", "reg:squarederror"),
        ("eval_metric", "luck", "logloss"),
        ("eval_metric", "[\"auc\"", "a list of names"),
        ("num_class", "3", "multi:softprob"),
        ("num_parallel_tree", "0", "at least 1"),
        ("rate_drop", "1.5", "at most 1"),
        ("base_score", "much", "a number"),
        ("base_score", "[0.2,0.3]", "expected one number; found"),
        ("early_stopping_rounds", "0", "a whole number at least 1"),
        (
            "seed",
            "1.5",
            "a whole number at least -9223372036854775808",
        ),
        ("base_score", "1.5", "0"),
        ("updater", "refresh", "accepted here"),
        ("max_depht", "3", "max_depth"),
        ("nthread", "4", "at most 1"),
    ];
    for (name, value, said) in refused {
        let mut params = params(&[(name, value)]);
        if name != "objective" {
            params.set("objective", "binary:logistic").unwrap();
        }
        let error = TrainOptions::parse(params, &rows().schema, None)
            .err()
            .unwrap();
        assert_eq!(error.name, name);
        assert!(error.reason.contains(said), "{error}");
    }
}

#[test]
fn what_has_no_effect_on_the_exact_method_is_refused() {
    let refused = [
        ("max_depth", "0"),
        ("max_leaves", "4"),
        ("grow_policy", "lossguide"),
        ("colsample_bynode", "0.5"),
        ("sampling_method", "gradient_based"),
        ("max_bin", "16"),
        ("max_cat_to_onehot", "2"),
    ];
    for (name, value) in refused {
        let params = params(&[("tree_method", "exact"), (name, value)]);
        let error = TrainOptions::parse(params, &rows().schema, None)
            .err()
            .unwrap();
        assert_eq!(error.name, name);
    }
}

#[test]
fn metrics_come_as_a_name_or_names_or_a_list_and_each_once() {
    let names = |text| options::metric_names(&params(&[("eval_metric", text)])).unwrap();
    assert_eq!(names("auc"), ["auc"]);
    assert_eq!(names("auc, logloss,auc"), ["auc", "logloss"]);
    assert_eq!(names("[\"error@0.7\", \"auc\"]"), ["error@0.7", "auc"]);
}

#[test]
fn more_than_one_class_without_an_objective_means_softmax() {
    let options = options(&[("num_class", "3")]);
    assert_eq!(options.objective().unwrap().name(), "multi:softmax");
}

#[test]
fn bins_outside_of_memory_make_the_same_model() {
    let settings: [&[(&str, &str)]; 4] = [
        &[],
        &[("grow_policy", "lossguide"), ("max_leaves", "6")],
        &[("subsample", "0.6"), ("colsample_bylevel", "0.6")],
        &[("rate_drop", "0.5"), ("max_bin", "5")],
    ];
    for more in settings {
        let pairs = [&BINARY, more].concat();
        let mut options = options(&pairs);
        let expected = trained(&options);
        for block in [1, 500, 1 << 20] {
            options.spilling = Some(BinSpilling {
                memory: 0,
                block,
                open: Box::new(|| Ok(Box::new(FileStore::new(Cursor::new(Vec::new()))))),
            });
            let found = trained(&options);
            assert!(
                found.model.to_json() == expected.model.to_json(),
                "{more:?}, {block}"
            );
            assert_eq!(found.history, expected.history);
        }
    }
}

#[test]
fn bins_of_two_bytes_can_be_outside_of_memory_too() {
    let mut many = rows();
    let mut random = crate::random::Mt19937::new(9);
    many.values.fill_with(|| random.unit() as f32);
    let mut options = options(&[&BINARY[..], &[("max_bin", "1000")]].concat());
    let mut model = || train(&options, &mut many, &mut [], None, &mut Alone, &mut ()).unwrap();
    let expected = model().model.to_json();
    options.spilling = Some(BinSpilling {
        memory: 0,
        block: 800,
        open: Box::new(|| Ok(Box::new(FileStore::new(Cursor::new(Vec::new()))))),
    });
    let found = train(&options, &mut many, &mut [], None, &mut Alone, &mut ()).unwrap();
    assert!(found.model.to_json() == expected);
}

#[test]
fn a_store_that_fails_is_an_error() {
    /// Has no room.
    struct Full;
    impl crate::bins::BinStore for Full {
        fn append(&mut self, _: &[u8]) -> Result<(), String> {
            Err("no room".to_owned())
        }
        fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), String> {
            Err("nothing there".to_owned())
        }
    }
    let mut options = options(&BINARY);
    for open in [|| Ok(Box::new(Full) as _), || Err("no room".to_owned())] {
        options.spilling = Some(BinSpilling {
            memory: 100,
            block: 100,
            open: Box::new(open),
        });
        let error = train(&options, &mut rows(), &mut [], None, &mut Alone, &mut ());
        assert!(error.err().unwrap().to_string().contains("no room"));
    }
}

#[test]
fn tables_that_are_not_kept_score_the_same() {
    for more in [
        ("rate_drop", "0"),
        ("rate_drop", "0.5"),
        ("tree_method", "exact"),
    ] {
        let mut options = options(&[&BINARY[..], &[more]].concat());
        let expected = trained(&options);
        options.keep_bytes = 1000;
        let found = trained(&options);
        assert_eq!(found.history, expected.history);
        let last = |table: &str| {
            let scores = expected.history.last().unwrap().iter();
            scores
                .filter(|score| score.table == table)
                .map(|score| score.value)
                .sum::<f64>()
        };
        // The tables are the same, so the margins followed by leaves and by values are too.
        assert_eq!(last("train"), last("test"), "{more:?}");
    }
}

#[test]
fn a_table_that_shrinks_is_refused() {
    let mut hiding = rows();
    hiding.hides = 1;
    let mut evals = [("test".to_owned(), hiding.clone())];
    let options = options(&BINARY);
    let error = train(&options, &mut rows(), &mut evals, None, &mut Alone, &mut ())
        .err()
        .unwrap();
    assert!(
        matches!(&error, TrainError::Table { table, .. } if table == "test"),
        "{error}"
    );
    assert!(train(&options, &mut hiding, &mut [], None, &mut Alone, &mut ()).is_err());
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    type Change = fn(&mut Rows);
    let changes: [(&str, Change); 7] = [
        (
            "table test, row 5: expected a number from 0 to 1 as label; found 7 (binary:logistic)",
            |rows| rows.info.labels[4] = 7.0,
        ),
        ("labels", |rows| {
            rows.info.labels.pop();
        }),
        ("weights", |rows| rows.info.weights = vec![1.0; 3]),
        ("base margins", |rows| rows.info.base_margin = vec![0.0; 7]),
        ("groups", |rows| {
            rows.info.group_starts = vec![0, 200, 100, 300]
        }),
        ("features", |rows| {
            rows.schema.features.pop();
        }),
        ("\"f0\"", |rows| {
            rows.schema.features[0].name = "other".to_owned()
        }),
    ];
    for (said, change) in changes {
        let mut other = rows();
        change(&mut other);
        let mut evals = [("test".to_owned(), other)];
        let options = options(&BINARY);
        let error = train(&options, &mut rows(), &mut evals, None, &mut Alone, &mut ());
        let error = error.err().unwrap().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
    let mut empty = rows();
    empty.info = Info::default();
    let error = train(
        &options(&BINARY),
        &mut empty,
        &mut [],
        None,
        &mut Alone,
        &mut (),
    );
    assert!(error.err().unwrap().to_string().contains("no rows"));
}

#[test]
fn the_exact_method_takes_no_categories() {
    let mut rows = rows();
    rows.schema.features[2].kind = FeatureKind::Categorical;
    let params = params(&[("tree_method", "exact")]);
    let options = TrainOptions::parse(params, &rows.schema, None).unwrap();
    let error = train(&options, &mut rows, &mut [], None, &mut Alone, &mut ())
        .err()
        .unwrap();
    assert!(error.to_string().contains("f2"), "{error}");
}

#[test]
fn stopping_early_needs_something_to_go_by() {
    let stopping = [&BINARY[..], &[("early_stopping_rounds", "2")]].concat();
    let error = train(
        &options(&stopping),
        &mut rows(),
        &mut [],
        None,
        &mut Alone,
        &mut (),
    );
    assert!(matches!(error, Err(TrainError::NothingToStopBy)));
    let silent = [&stopping[..], &[("disable_default_eval_metric", "1")]].concat();
    let mut evals = [("test".to_owned(), rows())];
    let error = train(
        &options(&silent),
        &mut rows(),
        &mut evals,
        None,
        &mut Alone,
        &mut (),
    );
    assert!(matches!(error, Err(TrainError::NothingToStopBy)));
}

#[test]
fn an_initial_model_fixes_objective_outputs_trees_and_features() {
    let model = trained(&options(
        &[&BINARY[..], &[("num_parallel_tree", "2")]].concat(),
    ))
    .model;
    let schema = rows().schema;
    let parse = |pairs: &[(&str, &str)]| TrainOptions::parse(params(pairs), &schema, Some(&model));
    let more = parse(&[("rounds", "1")]).unwrap();
    assert_eq!(more.objective().unwrap().name(), "binary:logistic");
    assert_eq!(more.parallel_trees, 2);
    let refused = [
        ("base_score", "0.5"),
        ("num_parallel_tree", "3"),
        ("objective", "reg:quantileerror"),
    ];
    for (name, value) in refused {
        let error = parse(&[(name, value), ("quantile_alpha", "[0.2,0.8]")])
            .err()
            .unwrap();
        assert_eq!(error.name, name, "{error}");
    }
    let mut other = rows();
    other.schema.features[1].name = "other".to_owned();
    let error = train(&more, &mut other, &mut [], Some(model), &mut Alone, &mut ());
    assert!(error.err().unwrap().to_string().contains("other"));
}

#[test]
fn a_model_scores_on_a_table_what_it_scored_in_training() {
    let settings = [
        [("eval_metric", "auc,error"), ("num_parallel_tree", "2")],
        [("eval_metric", "logloss"), ("rate_drop", "0.5")],
    ];
    for more in settings {
        let trained = trained(&options(&[&BINARY[..], &more].concat()));
        let given = params(&more[..1]);
        let scores = evaluate(&trained.model, given, "test", &mut rows(), &mut Alone).unwrap();
        let last = trained.history.last().unwrap();
        assert_eq!(scores, last[last.len() - scores.len()..]);
    }
    let model = trained(&options(&BINARY)).model;
    let unknown = params(&[("eta", "1")]);
    assert!(evaluate(&model, unknown, "test", &mut rows(), &mut Alone).is_err());
}

#[test]
fn progress_hears_of_every_round() {
    struct Heard(Vec<(u32, u32, usize)>);
    impl Progress for Heard {
        fn round(&mut self, round: u32, rounds: u32, scores: &[Score]) {
            self.0.push((round, rounds, scores.len()));
        }
    }
    let mut heard = Heard(Vec::new());
    let options = options(&BINARY);
    train(&options, &mut rows(), &mut [], None, &mut Alone, &mut heard).unwrap();
    assert_eq!(
        heard.0,
        [(0, 5, 1), (1, 5, 1), (2, 5, 1), (3, 5, 1), (4, 5, 1)]
    );
}
