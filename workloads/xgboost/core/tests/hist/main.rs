//! Cut points and first trees of `tree_method=hist` are XGBoost's.
//!
//! `fixtures/hist.py` says which tables and settings; the tables are made here by its rules. The
//! gradient of squared error at a prediction of 0 is known, so one tree needs no training loop.

#![allow(
    clippy::unwrap_used,
    reason = "a test that finds something else has failed"
)]

mod ahead;
mod memory;
mod table;
mod threads;

use std::{collections::BTreeMap, thread};

use serde_json::{Value, json};
use xgboost_core::{
    bins::{BinnedMatrix, sketch::sketch},
    collective::{Alone, Collective},
    data::{Info, Schema},
    gradient::GradientPair,
    grow::{GrowError, Grower, Grown, HistGrower, RowSampler, TreeParams},
    params::ParamSet,
    tree::{NodeKind, Split, Tree},
};

use table::{Table, halves, part, table};
use threads::{Board, Threads};

fn cases() -> Vec<Value> {
    let text = include_str!("../fixtures/hist.json");
    serde_json::from_str(text).unwrap()
}

fn params(case: &Value, schema: &Schema) -> TreeParams {
    let mut set = ParamSet::default();
    for (name, value) in case["params"].as_object().unwrap() {
        set.set(name, value.as_str().unwrap()).unwrap();
    }
    let params = TreeParams::read(&set, schema).unwrap();
    set.finish().unwrap();
    params
}

/// Squared error's at a prediction of 0.
fn gradients(info: &Info) -> Vec<GradientPair> {
    let pair = |(row, label): (usize, &f32)| {
        GradientPair::new((0.0 - label) * info.weight(row), info.weight(row))
    };
    info.labels.iter().enumerate().map(pair).collect()
}

/// Room for every histogram.
const ROOM: usize = 1 << 30;

fn grow(table: &mut Table, params: TreeParams, all: &mut dyn Collective) -> (BinnedMatrix, Grown) {
    grow_within(ROOM, table, params, all)
}

/// In so many bytes, or as many as it takes at least.
fn grow_within(
    memory: usize,
    table: &mut Table,
    params: TreeParams,
    all: &mut dyn Collective,
) -> (BinnedMatrix, Grown) {
    let cuts = sketch(table, params.max_bin, all).unwrap();
    let matrix = BinnedMatrix::build(table, cuts).unwrap();
    let eta = params.eta;
    let grower = |memory| HistGrower::new(params.clone(), &matrix, 0, memory);
    let Err(GrowError::Memory { least, .. }) = grower(0) else {
        panic!("a grower without memory");
    };
    let grown = grower(memory.max(least))
        .unwrap()
        .grow(&gradients(&table.info), eta, all)
        .unwrap();
    (matrix, grown)
}

fn floats(value: &Value) -> Vec<f32> {
    let floats = value.as_array().unwrap().iter();
    floats
        .map(|number| number.as_f64().unwrap() as f32)
        .collect()
}

#[test]
fn leaves_weigh_what_their_rows_do_however_many_bins_there_are() {
    for (max_bin, missing) in [
        ("200", 0.0),
        ("256", 0.1),
        ("1500", 0.1),
        ("5000", 0.1),
        ("9000", 0.1),
    ] {
        let mut table = table(&json!({
            "seed": 3,
            "kinds": vec![("real", Value::Null); 5],
            "missing": missing,
            "weighted": false,
            "rows": 12_000,
        }));
        let case = json!({"params": {"max_bin": max_bin, "max_depth": "5"}});
        let params = params(&case, &table.schema);
        let (matrix, grown) = grow(&mut table, params, &mut Alone);
        let widest = (0..5)
            .map(|feature| matrix.cuts().bins(feature).len())
            .max();
        assert!(widest.unwrap() * 10 > 9 * max_bin.parse::<usize>().unwrap());
        let nodes = &grown.tree.nodes;
        let mut rows = vec![0.0_f32; nodes.len()];
        for leaf in &grown.leaf_of_row {
            rows[*leaf as usize] += 1.0;
        }
        assert!(nodes.len() > 20, "{max_bin}");
        for (node, rows) in nodes.iter().zip(rows) {
            if let NodeKind::Leaf { .. } = node.kind {
                assert!(
                    node.sum_hessian == rows && rows > 0.0,
                    "{max_bin}: {node:?}, {rows}"
                );
            }
        }
    }
}

#[test]
fn cut_points_are_xgboosts_to_the_bit() {
    for case in cases() {
        let mut table = table(&case);
        let max_bin = params(&case, &table.schema).max_bin;
        for sparse in [false, true] {
            table.sparse = sparse;
            let cuts = sketch(&mut table, max_bin, &mut Alone).unwrap();
            for (feature, expected) in case["expected"]["cuts"]
                .as_array()
                .unwrap()
                .iter()
                .enumerate()
            {
                // Of categories XGBoost shows all but the first.
                let found = &cuts.of(feature)[usize::from(cuts.categorical[feature])..];
                assert_eq!(found, floats(expected), "{} {feature}", case["name"]);
            }
        }
    }
}

/// The differences between a tree and what XGBoost grew.
fn compare(tree: &Tree, expected: &Value) -> Result<(), String> {
    let numbers = |name: &str| {
        let numbers = expected[name].as_array().unwrap().iter();
        numbers
            .map(|number| number.as_i64().unwrap())
            .collect::<Vec<i64>>()
    };
    let (lefts, rights) = (numbers("left_children"), numbers("right_children"));
    let (features, defaults) = (numbers("split_indices"), numbers("default_left"));
    let conditions = floats(&expected["split_conditions"]);
    let (weights, gains) = (
        floats(&expected["base_weights"]),
        floats(&expected["loss_changes"]),
    );
    let hessians = floats(&expected["sum_hessian"]);
    let (listed, categories) = (numbers("categories_nodes"), numbers("categories"));
    let (segments, sizes) = (numbers("categories_segments"), numbers("categories_sizes"));
    let close = |a: f32, b: f32| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    let same = |name: &str, node: usize, same: bool, found: &dyn std::fmt::Debug| {
        if same {
            Ok(())
        } else {
            Err(format!("node {node}: {name} differs: {found:?}"))
        }
    };
    same(
        "size",
        0,
        tree.nodes.len() == lefts.len(),
        &tree.nodes.len(),
    )?;
    for (index, node) in tree.nodes.iter().enumerate() {
        let weight = node.base_weight;
        same(
            "weight",
            index,
            close(weight, weights[index]),
            &(weight, weights[index]),
        )?;
        same(
            "cover",
            index,
            close(node.sum_hessian, hessians[index]),
            &node.sum_hessian,
        )?;
        match &node.kind {
            NodeKind::Leaf { value } => {
                same("kind", index, lefts[index] == -1, node)?;
                same(
                    "leaf",
                    index,
                    close(*value, conditions[index]),
                    &(value, conditions[index]),
                )?;
            }
            NodeKind::Split {
                left,
                right,
                feature,
                default_left,
                split,
                loss_change,
            } => {
                same("left", index, i64::from(*left) == lefts[index], left)?;
                same("right", index, i64::from(*right) == rights[index], right)?;
                same(
                    "feature",
                    index,
                    i64::from(*feature) == features[index],
                    feature,
                )?;
                same(
                    "default",
                    index,
                    i64::from(*default_left) == defaults[index],
                    node,
                )?;
                let gain = gains[index];
                // Single and double precision are used where XGBoost uses them, so not even the last
                // bit differs.
                same("gain", index, *loss_change == gain, &(loss_change, gain))?;
                match split {
                    Split::Below(bound) => {
                        let bound = bound.max(-3.4e38);
                        same("bound", index, bound == conditions[index], node)?;
                    }
                    Split::Categories(right) => {
                        let place = listed.iter().position(|listed| *listed == index as i64);
                        let place = place.ok_or(format!("node {index} has no categories"))?;
                        let first = segments[place] as usize;
                        let expected = &categories[first..first + sizes[place] as usize];
                        let right: Vec<i64> = right.iter().map(|code| i64::from(*code)).collect();
                        same("categories", index, right == expected, &(&right, expected))?;
                    }
                }
            }
            NodeKind::Deleted => return Err(format!("node {index} was deleted")),
        }
    }
    Ok(())
}

#[test]
fn trees_are_xgboosts() {
    let mut failures = Vec::new();
    for case in cases() {
        let mut table = table(&case);
        for sparse in [false, true] {
            table.sparse = sparse;
            let params = params(&case, &table.schema);
            let (matrix, grown) = grow(&mut table, params, &mut Alone);
            if let Err(difference) = compare(&grown.tree, &case["expected"]["tree"]) {
                failures.push(format!("{} (sparse {sparse}): {difference}", case["name"]));
                continue;
            }
            let leaves = case["expected"]["leaves"].as_array().unwrap();
            for (row, leaf) in leaves.iter().enumerate() {
                assert_eq!(
                    Some(u64::from(grown.leaf_of_row[row])),
                    leaf.as_u64(),
                    "{}",
                    case["name"]
                );
            }
            assert_eq!(
                matrix.leaves(&grown.tree).unwrap(),
                Some(grown.leaf_of_row),
                "{}",
                case["name"]
            );
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What instances grow that have one of `parts` each.
fn grow_together(parts: &mut [Table], params: &TreeParams) -> Vec<(BinnedMatrix, Grown)> {
    let board = Board::new(parts.len());
    thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter_mut()
            .enumerate()
            .map(|(rank, part)| {
                let (params, board) = (params.clone(), &board);
                scope.spawn(move || grow(part, params, &mut Threads::new(rank, board)))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn instances_that_share_many_bins_grow_the_tree_of_one() {
    let category = ["category", "9"];
    let numbers = ["whole", "900"];
    let kinds: Vec<_> = (0..60)
        .map(|at| if at % 20 == 18 { category } else { numbers })
        .map(|[kind, count]| serde_json::json!([kind, count.parse::<u32>().unwrap()]))
        .collect();
    let case = serde_json::json!({
        "seed": 77, "kinds": kinds, "missing": 0.1, "weighted": false, "rows": 1500,
        "params": { "max_bin": "1024", "max_depth": "5", "colsample_bynode": "0.8" },
    });
    let whole = table(&case);
    let params = params(&case, &whole.schema);
    let (matrix, alone) = grow(&mut whole.clone(), params.clone(), &mut Alone);
    let bins: usize = (0..60).map(|feature| matrix.cuts().of(feature).len()).sum();
    assert!(bins > 1 << 15, "{bins} bins are not shared");
    let questions = |tree: &Tree| -> Vec<_> {
        let nodes = tree.nodes.iter().map(|node| match &node.kind {
            NodeKind::Split { feature, split, .. } => Some((*feature, split.clone())),
            _ => None,
        });
        nodes.collect()
    };
    let kinds: Vec<u32> = questions(&alone.tree)
        .iter()
        .flatten()
        .filter(|(_, split)| matches!(split, Split::Categories(_)))
        .map(|(feature, _)| *feature)
        .collect();
    assert!(!kinds.is_empty(), "no split asks for categories");
    let [first, rest] = part(&whole, 400);
    let [second, third] = part(&rest, 600);
    let grown = grow_together(&mut [first, second, third], &params);
    let leaves = grown
        .iter()
        .flat_map(|(_, grown)| grown.leaf_of_row.clone());
    assert_eq!(leaves.collect::<Vec<u32>>(), alone.leaf_of_row);
    let first_tree = grown[0].1.tree.clone();
    for (_, grown) in &grown {
        assert_eq!(grown.tree, first_tree);
        assert_eq!(questions(&grown.tree), questions(&alone.tree));
    }
}

#[test]
fn instances_with_some_of_the_rows_each_grow_the_tree_of_all_rows() {
    for case in cases() {
        let mut whole = table(&case);
        let params = params(&case, &whole.schema);
        // With more distinct values than bins the cut points differ, as they do in XGBoost.
        let exact = case["params"]["max_bin"].is_null();
        let (matrix, alone) = grow(&mut whole, params.clone(), &mut Alone);
        let mut parts = part(&whole, whole.info.rows / 3);
        if case["name"] == "wide" {
            // The layout of histograms must not depend on what is missing here or there.
            for value in parts[0].values.iter_mut().filter(|value| value.is_nan()) {
                *value = 0.5;
            }
        }
        let grown = grow_together(&mut parts, &params);
        let [(first, one), (second, other)] = &grown[..] else {
            panic!("two instances");
        };
        assert_eq!(first.cuts(), second.cuts(), "{}", case["name"]);
        assert_eq!(one.tree, other.tree, "{}", case["name"]);
        if exact {
            assert_eq!(first.cuts(), matrix.cuts(), "{}", case["name"]);
            // Sums in another order may differ in the last place, and so may defaults where
            // nothing is missing, but rows go where they went.
            let leaves = [&one.leaf_of_row[..], &other.leaf_of_row].concat();
            assert_eq!(leaves, alone.leaf_of_row, "{}", case["name"]);
            for (a, b) in one.tree.nodes.iter().zip(&alone.tree.nodes) {
                assert!(
                    (a.base_weight - b.base_weight).abs() < 1e-5,
                    "{}",
                    case["name"]
                );
            }
        }
    }
}

#[test]
fn trees_are_xgboosts_where_no_histogram_has_room() {
    for case in cases() {
        let mut table = table(&case);
        let params = params(&case, &table.schema);
        let (_, roomy) = grow(&mut table, params.clone(), &mut Alone);
        // Histograms here have up to 80 KiB: none has room, or but a few have.
        for memory in [0, 400 << 10] {
            let (_, grown) = grow_within(memory, &mut table, params.clone(), &mut Alone);
            let compared = compare(&grown.tree, &case["expected"]["tree"]);
            assert_eq!(compared, Ok(()), "{} in {memory} bytes", case["name"]);
            assert_eq!(grown.leaf_of_row, roomy.leaf_of_row, "{}", case["name"]);
        }
    }
}

#[test]
fn a_level_of_many_nodes_is_split_in_pieces_whatever_room_there_is() {
    let mut table = halves();
    let pairs = [("max_bin", "1024"), ("lambda", "0"), ("max_depth", "0")];
    let case = serde_json::json!({ "params": BTreeMap::from(pairs) });
    let grow = |table: &mut Table, memory, all: &mut dyn Collective| {
        let params = params(&case, &table.schema);
        grow_within(memory, table, params, all).1
    };
    let roomy = grow(&mut table, ROOM, &mut Alone);
    // Every row has a leaf of its own, so the last level had 512 nodes to split.
    assert_eq!(roomy.tree.nodes.len(), 2 * table.info.rows - 1);
    // All sums are of whole numbers, so no order of them makes a difference.
    assert_eq!(grow(&mut table, 0, &mut Alone), roomy);
    let mut parts = part(&table, 300);
    let board = Board::new(2);
    let grown = thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter_mut()
            .enumerate()
            .map(|(rank, part)| {
                let (grow, board) = (&grow, &board);
                scope.spawn(move || grow(part, 0, &mut Threads::new(rank, board)))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(grown.iter().all(|grown| grown.tree == roomy.tree));
    let leaves = grown.iter().flat_map(|grown| grown.leaf_of_row.clone());
    assert_eq!(leaves.collect::<Vec<u32>>(), roomy.leaf_of_row);
}

#[test]
fn rows_left_out_by_sampling_find_their_leaves() {
    for name in ["missing", "sparse", "partition"] {
        let case = cases()
            .into_iter()
            .find(|case| case["name"] == name)
            .unwrap();
        let mut table = table(&case);
        let mut params = params(&case, &table.schema);
        params.subsample = 0.4;
        let cuts = sketch(&mut table, params.max_bin, &mut Alone).unwrap();
        let matrix = BinnedMatrix::build(&mut table, cuts).unwrap();
        let mut gradients = gradients(&table.info);
        RowSampler::new(&params, 3).sample(&mut gradients);
        let left_out = gradients.iter().filter(|pair| pair.hess == 0.0).count();
        let share = left_out as f64 / gradients.len() as f64;
        assert!((share - 0.6).abs() < 0.1, "{share} of the rows left out");
        let grown = HistGrower::new(params, &matrix, 0, ROOM)
            .unwrap()
            .grow(&gradients, 0.3, &mut Alone)
            .unwrap();
        assert!(grown.tree.nodes.len() > 10);
        assert_eq!(matrix.leaves(&grown.tree).unwrap(), Some(grown.leaf_of_row));
    }
}

#[test]
fn a_tree_uses_the_share_of_features_it_may() {
    let case = cases()
        .into_iter()
        .find(|case| case["name"] == "sparse_real")
        .unwrap();
    let mut table = table(&case);
    let cuts = sketch(&mut table, 32, &mut Alone).unwrap();
    let matrix = BinnedMatrix::build(&mut table, cuts).unwrap();
    let gradients = gradients(&table.info);
    let used = |by_tree: f32, by_level: f32, by_node: f32, seed| {
        let mut params = params(&case, &table.schema);
        (params.colsample_bytree, params.colsample_bylevel) = (by_tree, by_level);
        params.colsample_bynode = by_node;
        let mut grower = HistGrower::new(params, &matrix, seed, ROOM).unwrap();
        let tree = grower.grow(&gradients, 0.3, &mut Alone).unwrap().tree;
        let mut features: Vec<u32> = tree
            .nodes
            .iter()
            .filter_map(|node| match node.kind {
                NodeKind::Split { feature, .. } => Some(feature),
                _ => None,
            })
            .collect();
        features.sort_unstable();
        features.dedup();
        features
    };
    assert!(used(1.0, 1.0, 1.0, 0).len() > 5);
    assert!(used(0.1, 1.0, 1.0, 0).len() <= 2);
    assert_eq!(used(0.0, 1.0, 1.0, 0).len(), 1);
    assert_eq!(used(0.25, 0.5, 0.5, 7), used(0.25, 0.5, 0.5, 7));
    assert!((0..10).any(|seed| used(0.2, 1.0, 1.0, seed) != used(0.2, 1.0, 1.0, seed + 10)));
    let by_node: Vec<u32> = used(1.0, 1.0, 0.1, 0);
    assert!(by_node.len() > 2, "nodes draw for themselves");
}
