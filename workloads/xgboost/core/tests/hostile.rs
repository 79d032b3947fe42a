//! Broken and hostile models are refused in words, or are models like any other.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../../../../fuzz/src/xgboost.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "it is the public interface of the fuzz crate"
)]
mod parsers;
mod support;

use parsers::use_up;
use support::{Fixture, sparse};
use xgboost_core::{
    data::{Batch, Feature, FeatureKind, Schema, Values},
    model::{Model, ModelError, dump},
    predict::{Explainer, Explanation, PredictError, Predictor},
};

fn small() -> Vec<Fixture> {
    let names = [
        "onehot.json",
        "stumps.json",
        "softmax.ubj",
        "onehot_softprob.ubj",
        "frame.ubj",
    ];
    let mut all = Fixture::all();
    all.retain(|fixture| names.contains(&fixture.name.as_str()));
    assert_eq!(all.len(), names.len());
    all
}

#[test]
fn every_truncation_is_refused() {
    for fixture in small() {
        for length in 0..fixture.bytes.len() {
            let cut = Model::parse(&fixture.bytes[..length]);
            assert!(cut.is_err(), "{} cut to {length} is a model", fixture.name);
        }
    }
}

/// `text` of a fixture with the first `from` replaced.
fn with(from: &str, to: &str) -> Result<Model, ModelError> {
    let fixture = Fixture::all()
        .into_iter()
        .find(|fixture| fixture.name == "onehot.json")
        .unwrap();
    let text = String::from_utf8(fixture.bytes).unwrap();
    assert!(text.contains(from), "{from}");
    Model::parse(text.replacen(from, to, 1).as_bytes())
}

#[test]
fn an_error_names_the_field() {
    for (from, to, field) in [
        ("\"tree_info\":[0,", "\"tree_info\":[1,", "model.tree_info"),
        ("\"tree_info\":[0,", "\"tree_info\":[", "model.tree_info"),
        (
            "\"left_children\":[1,",
            "\"left_children\":[2,",
            "trees[0].left_children",
        ),
        (
            "\"left_children\":[1,",
            "\"left_children\":[0,",
            "trees[0].left_children",
        ),
        (
            "\"left_children\":[1,",
            "\"left_children\":[999,",
            "trees[0].left_children",
        ),
        (
            "\"left_children\":[1,",
            "\"left_children\":[-7,",
            "trees[0].left_children",
        ),
        (
            "\"parents\":[2147483647,0",
            "\"parents\":[2147483647,1",
            "trees[0].parents",
        ),
        (
            "\"parents\":[2147483647,",
            "\"parents\":[5,",
            "trees[0].parents",
        ),
        (
            "\"split_indices\":[1,",
            "\"split_indices\":[5,",
            "trees[0].split_indices",
        ),
        (
            "\"split_indices\":[1,",
            "\"split_indices\":[-1,",
            "trees[0].split_indices",
        ),
        (
            "\"iteration_indptr\":[0,1",
            "\"iteration_indptr\":[0,9",
            "iteration_indptr",
        ),
        (
            "\"categories\":[",
            "\"categories\":[-1,",
            "trees[0].categories",
        ),
        (
            "\"categories_segments\":[0",
            "\"categories_segments\":[700",
            "trees[0].categories_segments",
        ),
        (
            "\"num_trees\":\"4\"",
            "\"num_trees\":\"5\"",
            "gbtree_model_param.num_trees",
        ),
        (
            "\"num_feature\":\"5\",\"num_t",
            "\"num_feature\":\"6\",\"num_t",
            "learner.feature_names",
        ),
        (
            "\"num_class\":\"0\"",
            "\"num_class\":\"99999999\"",
            "learner_model_param.num_class",
        ),
        (
            "\"base_score\":\"[",
            "\"base_score\":\"[nan,",
            "learner_model_param.base_score",
        ),
        (
            "\"base_score\":\"[",
            "\"base_score\":\"[1,",
            "learner_model_param.base_score",
        ),
        (
            "\"name\":\"reg:squarederror\"",
            "\"name\":\"reg:unheard\"",
            "objective",
        ),
        (
            "\"loss_changes\":[",
            "\"loss_changes\":[{},",
            "trees[0].loss_changes",
        ),
        (
            "\"learner_model_param\"",
            "\"other\"",
            "learner.learner_model_param",
        ),
        (
            "\"feature_types\":[\"float\"",
            "\"feature_types\":[\"flat\"",
            "learner.feature_types",
        ),
    ] {
        let error = with(from, to)
            .err()
            .unwrap_or_else(|| panic!("{to} is a model"));
        assert!(error.to_string().contains(field), "{to}: {error}");
    }
}

#[test]
fn kinds_of_models_that_are_not_supported_are_refused_by_name() {
    for (from, to, name) in [
        ("\"name\":\"gbtree\"", "\"name\":\"gblinear\"", "gblinear"),
        (
            "\"size_leaf_vector\":\"1\"",
            "\"size_leaf_vector\":\"3\"",
            "multi_output_tree",
        ),
    ] {
        let error = with(from, to).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
    let binary = Model::parse(b"binf\0\0\0\x3f").err().unwrap().to_string();
    assert!(binary.contains("saved as JSON"), "{binary}");
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    for open in ["[", "{\"a\":"] {
        let text = format!("{{\"x\":{}", open.repeat(1_000_000));
        let error = Model::parse(text.as_bytes()).err().unwrap().to_string();
        assert!(error.contains("deeper"), "{error}");
    }
    let mut bytes = b"{L\0\0\0\0\0\0\0\x01x".to_vec();
    bytes.extend(b"[".repeat(1_000_000));
    let error = Model::parse(&bytes).err().unwrap().to_string();
    assert!(error.contains("deeper"), "{error}");
}

#[test]
fn a_length_beyond_the_end_is_refused() {
    let fixtures = Fixture::all();
    let fixture = fixtures
        .iter()
        .find(|fixture| fixture.name == "softmax.ubj")
        .unwrap();
    let at = fixture
        .bytes
        .windows(4)
        .position(|window| window == b"[$d#")
        .unwrap();
    for length in [
        u64::MAX,
        i64::MAX as u64,
        1 << 40,
        fixture.bytes.len() as u64,
    ] {
        let mut bytes = fixture.bytes.clone();
        bytes[at + 5..at + 13].copy_from_slice(&length.to_be_bytes());
        let error = Model::parse(&bytes).err().unwrap().to_string();
        assert!(error.contains("length"), "{error}");
    }
}

#[test]
fn models_as_older_versions_wrote_them_are_read() {
    let same = |from: &str, to: &str| {
        let original = with("\"version\"", "\"version\"").unwrap().to_json();
        assert!(with(from, to).unwrap().to_json() == original, "{to}");
    };
    let model = with("\"version\"", "\"version\"").unwrap();
    let score = model.base_score[0];
    let text = format!("\"base_score\":\"[{score:E}]\"");
    same(&text, &format!("\"base_score\":\"{score:E}\""));
    same("\"iteration_indptr\":[0,1,2,3,4],", "");
    same("\"num_deleted\":\"0\",", "");
    same(",\"num_target\":\"1\"", "");
    same(
        "\"cats\":{\"enc\":[],\"feature_segments\":[],\"sorted_idx\":[]},",
        "",
    );
    same("\"default_left\":[0,", "\"default_left\":[false,");
}

#[test]
fn a_chain_of_splits_overflows_no_stack() {
    let depth = 20_000;
    let nodes = 2 * depth + 1;
    let list = |number: &dyn Fn(usize) -> i64| {
        let numbers: Vec<String> = (0..nodes).map(|node| number(node).to_string()).collect();
        numbers.join(",")
    };
    let is_split = |node: usize| node == 0 || (node % 2 == 1 && node + 1 < 2 * depth);
    // Node 0 splits into 1 and 2, 1 into 3 and 4, 3 into 5 and 6, …
    let left = |node: usize| match (is_split(node), node) {
        (true, 0) => 1,
        (true, node) => node as i64 + 2,
        (false, _) => -1,
    };
    let zeros = list(&|_| 0);
    let tree = format!(
        "{{\"left_children\":[{}],\"right_children\":[{}],\"parents\":[{}],\
         \"split_conditions\":[{}],\"sum_hessian\":[{}],\"split_indices\":[{zeros}],\
         \"default_left\":[{zeros}],\"loss_changes\":[{zeros}],\"base_weights\":[{zeros}],\
         \"tree_param\":{{\"num_nodes\":\"{nodes}\",\"size_leaf_vector\":\"1\"}}}}",
        list(&left),
        list(&|node| if is_split(node) { left(node) + 1 } else { -1 }),
        list(&|node| match node {
            0 => i64::from(i32::MAX),
            1 | 2 => 0,
            node => (node as i64 - 1) / 2 * 2 - 1,
        }),
        list(&|_| 1),
        list(&|_| 1),
    );
    let text = format!(
        "{{\"learner\":{{\"attributes\":{{}},\"gradient_booster\":{{\"name\":\"gbtree\",\"model\":\
         {{\"trees\":[{tree}],\"tree_info\":[0]}}}},\"learner_model_param\":{{\"base_score\":\
         \"0\",\"num_class\":\"0\",\"num_feature\":\"1\"}},\"objective\":{{\"name\":\
         \"reg:squarederror\"}}}}}}"
    );
    let model = Model::parse(text.as_bytes()).unwrap();
    use_up(&model);
    assert!(dump::tree(&model, 0, dump::Format::Json, true).is_err());
}

#[test]
fn rows_of_another_shape_are_refused() {
    let model = with("\"version\"", "\"version\"").unwrap();
    let predictor = Predictor::new(&model, 0..usize::MAX);
    let wide = Batch {
        rows: 1,
        values: Values::Dense(vec![0.0; 6]),
    };
    let expected = PredictError::Width {
        expected: 5,
        found: 6,
    };
    assert_eq!(predictor.margins(&wide, None), Err(expected.clone()));
    assert_eq!(predictor.margins(&sparse(&wide, 6), None), Err(expected));
    let ragged = Batch {
        rows: 2,
        values: Values::Dense(vec![0.0; 5]),
    };
    assert!(matches!(
        predictor.margins(&ragged, None),
        Err(PredictError::Batch(_))
    ));
    let row = Batch {
        rows: 1,
        values: Values::Dense(vec![0.0; 5]),
    };
    let few = predictor.margins(&row, Some(&[]));
    assert!(matches!(
        few,
        Err(PredictError::BaseMargin {
            expected: 1,
            found: 0
        })
    ));
}

#[test]
fn tables_unlike_the_one_trained_on_are_told_apart() {
    let model = with("\"version\"", "\"version\"").unwrap();
    let mut schema = Schema {
        features: model.features.clone(),
    };
    assert_eq!(model.check_schema(&schema), Ok(()));
    schema.features[3].kind = FeatureKind::Float;
    let error = model.check_schema(&schema).unwrap_err().to_string();
    assert!(
        error.contains("\"cat\" is c, in the table float"),
        "{error}"
    );
    schema.features[3] = Feature {
        name: "dog".to_owned(),
        ..model.features[3].clone()
    };
    let error = model.check_schema(&schema).unwrap_err().to_string();
    assert!(error.contains("\"cat\", in the table \"dog\""), "{error}");
    schema.features.pop();
    let error = model.check_schema(&schema).unwrap_err().to_string();
    assert!(error.contains("5 features, the table 4"), "{error}");
}

#[test]
fn what_takes_too_much_memory_is_refused() {
    let mut model = with("\"version\"", "\"version\"").unwrap();
    model.base_score = vec![0.0; 1 << 16];
    let batch = Batch {
        rows: 1 << 13,
        values: Values::Dense(vec![0.0; 5 << 13]),
    };
    let predictor = Predictor::new(&model, 0..usize::MAX);
    assert!(matches!(
        predictor.margins(&batch, None),
        Err(PredictError::Size { .. })
    ));
    let explainer = Explainer::new(&model, 0..usize::MAX, Explanation::Contributions).unwrap();
    assert!(matches!(
        explainer.explain(&batch, None),
        Err(PredictError::Size { .. })
    ));
    model.features = vec![model.features[0].clone(); 1 << 14];
    let explainer = Explainer::new(&model, 0..usize::MAX, Explanation::Interactions);
    assert!(matches!(explainer.err(), Some(PredictError::Size { .. })));
}
