//! What XGBoost saved is read, written, predicted and shown as XGBoost does.

mod support;

use support::{Fixture, sparse};
use xgboost_core::{
    data::{Batch, Categories, Values},
    model::{
        Model,
        dump::{self, Format},
        importance::{self, Importance},
    },
    predict::{Explainer, Explanation, Predictor},
    tree::NodeKind,
};

const PREDICTION: f32 = 1e-6;
const CONTRIBUTION: f32 = 1e-5;

#[test]
fn margins_are_xgboosts_from_dense_and_from_sparse_rows() {
    let mut worst = 0.0_f32;
    for fixture in Fixture::with("margin") {
        let model = fixture.model();
        let predictor = Predictor::new(&model, 0..usize::MAX);
        let base = fixture.base_margin();
        let dense = fixture.batch();
        let sparse = sparse(&dense, model.features.len());
        for batch in [&dense, &sparse] {
            let margins = predictor.margins(batch, base.as_deref()).unwrap();
            worst = worst.max(fixture.assert_near("margin", &margins, PREDICTION));
        }
    }
    println!("largest difference of margins: {worst:e}");
}

#[test]
fn predictions_are_xgboosts() {
    let mut worst = 0.0_f32;
    for fixture in Fixture::with("prediction") {
        let model = fixture.model();
        let predictor = Predictor::new(&model, 0..usize::MAX);
        let margins = predictor.margins(&fixture.batch(), fixture.base_margin().as_deref());
        let predictions = model.objective.transform(margins.unwrap());
        worst = worst.max(fixture.assert_near("prediction", &predictions, PREDICTION));
    }
    println!("largest difference of predictions: {worst:e}");
}

#[test]
fn some_rounds_predict_as_some_rounds_of_xgboost() {
    for fixture in Fixture::with("first_round") {
        let model = fixture.model();
        let base = fixture.base_margin();
        for (key, rounds) in [("first_round", 0..1), ("later_rounds", 1..3)] {
            let predictor = Predictor::new(&model, rounds);
            let margins = predictor
                .margins(&fixture.batch(), base.as_deref())
                .unwrap();
            fixture.assert_near(key, &margins, PREDICTION);
        }
    }
}

#[test]
fn leaves_are_xgboosts() {
    for fixture in Fixture::with("leaf") {
        let model = fixture.model();
        let predictor = Predictor::new(&model, 0..usize::MAX);
        let leaves = predictor.leaves(&fixture.batch()).unwrap();
        let expected: Vec<u32> = fixture
            .numbers("leaf")
            .into_iter()
            .map(|number| number as u32)
            .collect();
        assert_eq!(leaves, expected, "{}", fixture.name);
    }
}

#[test]
fn contributions_are_xgboosts() {
    let mut worst = [0.0_f32; 3];
    for (worst, (key, what)) in worst.iter_mut().zip([
        ("contribs", Explanation::Contributions),
        ("approx", Explanation::Approximate),
        ("interactions", Explanation::Interactions),
    ]) {
        for fixture in Fixture::with(key) {
            let model = fixture.model();
            let explainer = Explainer::new(&model, 0..usize::MAX, what).unwrap();
            let mut found = explainer
                .explain(&fixture.batch(), fixture.base_margin().as_deref())
                .unwrap();
            found.truncate(fixture.numbers(key).len());
            *worst = worst.max(fixture.assert_near(key, &found, CONTRIBUTION));
        }
    }
    println!("largest differences of contributions, approximate ones, interactions: {worst:?}");
}

#[test]
fn contributions_add_up_to_the_margin() {
    for fixture in Fixture::with("margin") {
        let model = fixture.model();
        let base = fixture.base_margin();
        let explainer = Explainer::new(&model, 0..usize::MAX, Explanation::Contributions);
        let found = explainer
            .unwrap()
            .explain(&fixture.batch(), base.as_deref())
            .unwrap();
        let sums: Vec<f32> = found
            .chunks_exact(model.features.len() + 1)
            .map(|contributions| contributions.iter().sum())
            .collect();
        fixture.assert_near("margin", &sums, CONTRIBUTION);
    }
}

#[test]
fn what_explains_a_row_does_not_depend_on_the_rows_beside_it() {
    for fixture in Fixture::with("contribs") {
        let model = fixture.model();
        let dense = fixture.batch();
        let width = model.features.len();
        let Values::Dense(values) = &dense.values else {
            panic!("fixtures are dense");
        };
        let base = fixture.base_margin();
        for what in [Explanation::Contributions, Explanation::Interactions] {
            let explainer = Explainer::new(&model, 0..usize::MAX, what).unwrap();
            let together = explainer.explain(&dense, base.as_deref()).unwrap();
            let from_sparse = explainer.explain(&sparse(&dense, width), base.as_deref());
            let bits =
                |numbers: &[f32]| numbers.iter().map(|one| one.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&together), bits(&from_sparse.unwrap()));
            let rows = together.chunks_exact(explainer.row_len()).enumerate();
            for (row, expected) in rows.take(19) {
                let alone = Batch {
                    rows: 1,
                    values: Values::Dense(values[row * width..][..width].to_vec()),
                };
                let outputs = model.outputs();
                let base = base.as_ref().map(|base| &base[row * outputs..][..outputs]);
                let found = explainer.explain(&alone, base).unwrap();
                assert_eq!(bits(&found), bits(expected), "{}, row {row}", fixture.name);
            }
        }
    }
}

#[test]
fn dumps_are_xgboosts_to_the_letter() {
    for fixture in Fixture::with("text") {
        let model = fixture.model();
        for (key, format, stats) in [
            ("text", Format::Text, false),
            ("text_stats", Format::Text, true),
            ("json", Format::Json, false),
            ("json_stats", Format::Json, true),
            ("dot", Format::Dot, false),
            ("dot_stats", Format::Dot, true),
        ] {
            let trees = 0..model.trees.len().min(2);
            let found: String = trees
                .map(|tree| dump::tree(&model, tree, format, stats).unwrap())
                .collect();
            assert_eq!(
                found,
                fixture.expected[key].as_str().unwrap(),
                "{}: {key}",
                fixture.name
            );
        }
    }
}

#[test]
fn importances_are_xgboosts() {
    for fixture in Fixture::with("weight") {
        let model = fixture.model();
        for key in ["weight", "gain", "cover", "total_gain", "total_cover"] {
            let scores = importance::scores(&model, Importance::parse(key).unwrap());
            let expected = fixture.expected[key].as_object().unwrap();
            assert_eq!(scores.len(), expected.len(), "{}: {key}", fixture.name);
            for score in scores {
                let expected = expected[&model.feature_name(score.feature)]
                    .as_f64()
                    .unwrap() as f32;
                assert!(
                    (score.value - expected).abs() <= 1e-6 * expected.abs(),
                    "{}: {key} of {} is {}, expected {expected}",
                    fixture.name,
                    score.feature,
                    score.value
                );
            }
        }
    }
}

/// Models that differ when written: pruned leaves forget their gain, and old models become new.
fn differs_when_written(name: &str) -> bool {
    name.starts_with("old_") || name == "exact_pruned.json"
}

#[test]
fn what_is_written_is_byte_by_byte_what_xgboost_wrote() {
    for fixture in Fixture::all() {
        if differs_when_written(&fixture.name) {
            continue;
        }
        let model = fixture.model();
        if fixture.name.ends_with(".json") {
            let written = String::from_utf8(model.to_json()).unwrap();
            let expected = std::str::from_utf8(&fixture.bytes).unwrap();
            let same = written
                .bytes()
                .zip(expected.bytes())
                .take_while(|(a, b)| a == b)
                .count();
            let near = same.saturating_sub(60);
            assert_eq!(
                written,
                expected,
                "{}: {}",
                fixture.name,
                &written[near..same]
            );
        } else {
            let same = model.to_ubjson() == fixture.bytes;
            assert!(same, "{} is written otherwise", fixture.name);
        }
    }
}

#[test]
fn both_formats_hold_the_whole_model() {
    for fixture in Fixture::all() {
        let model = fixture.model();
        let (json, ubjson) = (model.to_json(), model.to_ubjson());
        let again = Model::parse(&ubjson).unwrap();
        assert_eq!(again.to_json(), json, "{}", fixture.name);
        assert_eq!(
            Model::parse(&json).unwrap().to_ubjson(),
            ubjson,
            "{}",
            fixture.name
        );
        assert_eq!(again.trees, model.trees, "{}", fixture.name);
        assert_eq!(again.features, model.features, "{}", fixture.name);
        assert_eq!(again.weight_drop, model.weight_drop, "{}", fixture.name);
    }
}

#[test]
fn what_codes_stand_for_is_kept() {
    let fixtures = Fixture::all();
    let fixture = fixtures
        .iter()
        .find(|fixture| fixture.name == "frame.ubj")
        .unwrap();
    let features = fixture.model().features;
    let words = ["zebra", "ärger", "apple", "", "Zoo"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(features[2].categories, None);
    assert_eq!(features[3].categories, Some(Categories::Text(words)));
    assert_eq!(
        features[4].categories,
        Some(Categories::Int(vec![25, -5, 5, 15]))
    );
}

#[test]
fn attributes_are_kept() {
    let fixtures = Fixture::all();
    let fixture = fixtures
        .iter()
        .find(|fixture| fixture.name == "softmax.ubj")
        .unwrap();
    let model = fixture.model();
    assert_eq!(model.attributes["best_iteration"], "2");
    assert_eq!(model.attributes["note"], "a \"quoted\" \\ note\n");
}

#[test]
fn infinite_conditions_send_all_rows_one_way_and_are_written_as_read() {
    let fixtures = Fixture::all();
    let fixture = fixtures
        .iter()
        .find(|fixture| fixture.name == "deep.json")
        .unwrap();
    let text = String::from_utf8(fixture.bytes.clone()).unwrap();
    let (before, rest) = text.split_once("\"split_conditions\":[").unwrap();
    let after = rest.split_once(',').unwrap().1;
    // As XGBoost writes them; it reads 1E400 too.
    for (written, read, leftmost) in [
        ("-Infinity", "-Infinity", false),
        ("Infinity", "Infinity", true),
        ("1E400", "Infinity", true),
    ] {
        let json = format!("{before}\"split_conditions\":[{written},{after}");
        let model = Model::parse(json.as_bytes()).unwrap();
        let expected = format!("\"split_conditions\":[{read},");
        assert!(
            String::from_utf8(model.to_json())
                .unwrap()
                .contains(&expected)
        );
        let again = Model::parse(&model.to_ubjson()).unwrap();
        assert!(again.to_json() == model.to_json());

        // The root asks one feature; rows that have it all go the same way.
        let (left, right) = model.trees[0].children(0).unwrap();
        let leaves = Predictor::new(&model, 0..1)
            .leaves(&fixture.batch())
            .unwrap();
        let under = |mut node: usize| {
            while model.trees[0].nodes[node].parent > 0 {
                node = model.trees[0].nodes[node].parent as usize;
            }
            node
        };
        let NodeKind::Split { feature, .. } = model.trees[0].nodes[0].kind else {
            panic!("the root of `deep` is a split");
        };
        let Values::Dense(values) = fixture.batch().values else {
            panic!("the rows are dense");
        };
        let rows = values.chunks(model.features.len()).zip(&leaves);
        let mut known = rows
            .filter(|(row, _)| !row[feature as usize].is_nan())
            .peekable();
        assert!(known.peek().is_some());
        let side = if leftmost { left } else { right };
        assert!(
            known.all(|(_, leaf)| under(*leaf as usize) == side),
            "{written}"
        );
    }
}
