//! Pictures of models are well-formed, hold what they should, and carry nothing else along.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use support::Fixture;
use xgboost_core::model::{importance::Importance, plot};

/// Asserts that tags are closed in order and that nothing else looks like one.
fn assert_well_formed(picture: &str) {
    let mut open = Vec::new();
    for piece in picture.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        assert!(!text.contains('>'), "{text}");
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) => assert_eq!(open.pop(), Some(name), "{tag}"),
            (None, true) => assert!(["rect", "path", "line"].contains(&name), "{tag}"),
            (None, false) => {
                assert!(
                    ["svg", "title", "style", "g", "text"].contains(&name),
                    "{tag}"
                );
                open.push(name);
            }
        }
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
            assert!(
                known.iter().any(|known| entity.starts_with(known)),
                "{entity}"
            );
        }
    }
    assert!(open.is_empty() && picture.starts_with("<svg "));
    assert!(
        !picture.contains("NaN") && !picture.contains("inf"),
        "{picture}"
    );
}

#[test]
fn pictures_of_every_model_are_well_formed_and_always_the_same() {
    for fixture in Fixture::all() {
        let model = fixture.model();
        for index in 0..model.trees.len().min(3) {
            let picture = plot::tree(&model, index, 4).unwrap();
            assert_well_formed(&picture);
            assert_eq!(picture, plot::tree(&fixture.model(), index, 4).unwrap());
        }
        assert_well_formed(&plot::importances(&model, Importance::Gain, 3));
    }
}

#[test]
fn a_name_cannot_break_out() {
    let mut model = Fixture::with("text")[0].model();
    for feature in &mut model.features {
        feature.name = "</text><script>alert('&\"')</script>\u{1}".to_owned();
    }
    for picture in [
        plot::tree(&model, 0, 9).unwrap(),
        plot::importances(&model, Importance::Weight, 9),
    ] {
        assert_well_formed(&picture);
        assert!(!picture.contains("<script>") && !picture.contains('\u{1}'));
        assert!(picture.contains("&lt;script&gt;"));
    }
}

#[test]
fn each_node_has_a_box_and_what_lies_below_has_one_together() {
    let fixtures = Fixture::all();
    let fixture = fixtures
        .iter()
        .find(|fixture| fixture.name == "deep.json")
        .unwrap();
    let model = fixture.model();
    let boxes = |levels| {
        plot::tree(&model, 0, levels)
            .unwrap()
            .matches("<g>")
            .count()
    };
    assert_eq!(boxes(u32::MAX), model.trees[0].nodes.len());
    assert_eq!(boxes(0), 1);
    assert_eq!(boxes(1), 3);
    let leaves = model.trees[0].nodes.len() / 2 + 1;
    let picture = plot::tree(&model, 0, 0).unwrap();
    assert!(picture.contains(&format!(">{leaves} leaves<")), "{picture}");
}

#[test]
fn categories_are_called_by_name() {
    let fixtures = Fixture::all();
    let fixture = fixtures
        .iter()
        .find(|fixture| fixture.name == "frame.json")
        .unwrap();
    let mut model = fixture.model();
    model.features[1].kind = xgboost_core::data::FeatureKind::Categorical;
    let words = ["zebra", "ärger"].map(str::to_owned).to_vec();
    model.features[1].categories = Some(xgboost_core::data::Categories::Text(words));
    for node in &mut model.trees[0].nodes {
        if let xgboost_core::tree::NodeKind::Split {
            split, feature: 1, ..
        } = &mut node.kind
        {
            *split = xgboost_core::tree::Split::Categories(vec![1, 7]);
        }
    }
    let picture = plot::tree(&model, 0, 9).unwrap();
    assert!(picture.contains("b ∈ {ärger, 7}"), "{picture}");
}
