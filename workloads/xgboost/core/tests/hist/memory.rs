//! However little memory histograms have, the model is the same to the byte.

use std::{io::Cursor, thread};

use serde_json::json;
use xgboost_core::{
    bins::FileStore,
    collective::{Alone, Collective},
    grow::GrowError,
    params::ParamSet,
    train::{BinSpilling, TrainError, TrainOptions, train},
};

use crate::{
    table::{Table, part, table},
    threads::{Board, Threads},
};

/// Rows whose weights are of so many orders of magnitude that sums of them depend on the order:
/// histograms that come about in another way differ, and so do trees.
fn rows(count: usize) -> Table {
    let mut table = table(&json!({
        "seed": 11,
        "kinds": [["real", null], ["real", null], ["category", 9], ["whole", 40]],
        "missing": 0.05,
        "weighted": true,
        "rows": count,
    }));
    for (row, weight) in table.info.weights.iter_mut().enumerate() {
        *weight *= 2.0_f32.powi(24 - row as i32 * 7 % 47);
    }
    table
}

const SETTINGS: [&[(&str, &str)]; 3] = [
    &[("max_depth", "7"), ("min_child_weight", "0")],
    &[
        ("grow_policy", "lossguide"),
        ("max_depth", "0"),
        ("max_leaves", "200"),
    ],
    &[
        ("max_depth", "8"),
        ("subsample", "0.7"),
        ("colsample_bynode", "0.6"),
        ("min_child_weight", "1e-4"),
    ],
];

/// Makes more nodes in a level than are split at once, 256.
const WIDE: &[(&str, &str)] = &[
    ("max_depth", "12"),
    ("min_child_weight", "0"),
    ("max_bin", "40"),
];

fn options(table: &Table, setting: &[(&str, &str)]) -> TrainOptions {
    let mut params = ParamSet::default();
    for (name, value) in [("rounds", "3"), ("lambda", "0")].iter().chain(setting) {
        params.set(name, *value).unwrap();
    }
    TrainOptions::parse(params, &table.schema, None).unwrap()
}

/// The model in JSON, of one instance.
fn model(
    options: &TrainOptions,
    table: &mut Table,
    all: &mut dyn Collective,
) -> Result<Vec<u8>, TrainError> {
    let trained = train(options, table, &mut [], None, all, &mut ())?;
    Ok(trained.model.to_json())
}

/// The least bytes for histograms there are trees with.
fn least(table: &mut Table, setting: &[(&str, &str)]) -> usize {
    let mut options = options(table, setting);
    options.histogram_bytes = 0;
    match model(&options, table, &mut Alone) {
        Err(TrainError::Grow(GrowError::Memory { least, .. })) => least,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("trained without memory for histograms"),
    }
}

/// Bins that are read block by block.
fn spilling() -> BinSpilling {
    BinSpilling {
        memory: 0,
        block: 3000,
        open: Box::new(|| Ok(Box::new(FileStore::new(Cursor::new(Vec::new()))))),
    }
}

#[test]
fn one_instance_grows_the_same_trees_in_little_memory() {
    for setting in SETTINGS {
        let mut table = rows(3000);
        let mut options = options(&table, setting);
        let expected = model(&options, &mut table, &mut Alone).unwrap();
        let least = least(&mut table, setting);
        for spills in [false, true] {
            options.spilling = spills.then(spilling);
            for memory in [least, 2 * least, 5 * least] {
                options.histogram_bytes = memory;
                let found = model(&options, &mut table, &mut Alone).unwrap();
                assert!(found == expected, "{setting:?}, {memory} bytes, {spills}");
            }
        }
    }
}

#[test]
fn several_instances_grow_the_same_trees_in_little_memory() {
    for setting in SETTINGS {
        let mut whole = rows(3000);
        let least = least(&mut whole, setting);
        let together = |memory: Option<usize>, spills: bool| {
            let (mut parts, board) = (part(&whole, 1100), Board::new(2));
            let [one, other] = thread::scope(|scope| {
                let mut rank = 0;
                let threads = parts.each_mut().map(|part| {
                    let mut all = Threads::new(rank, &board);
                    rank += 1;
                    scope.spawn(move || {
                        let mut options = options(part, setting);
                        options.spilling = spills.then(spilling);
                        options.histogram_bytes = memory.unwrap_or(options.histogram_bytes);
                        model(&options, part, &mut all).unwrap()
                    })
                });
                threads.map(|thread| thread.join().unwrap())
            });
            assert!(one == other, "{setting:?}");
            one
        };
        let expected = together(None, false);
        for (memory, spills) in [(least, false), (least, true), (3 * least, false)] {
            let found = together(Some(memory), spills);
            assert!(found == expected, "{setting:?}, {memory} bytes, {spills}");
        }
    }
}

#[test]
fn levels_of_many_nodes_come_in_parts_in_little_memory() {
    let mut table = rows(8000);
    let mut options = options(&table, WIDE);
    let least = least(&mut table, WIDE);
    let trained = train(&options, &mut table, &mut [], None, &mut Alone, &mut ()).unwrap();
    for tree in &trained.model.trees {
        let mut splits = [0; 13];
        for (node, depth) in tree.depths().into_iter().enumerate() {
            splits[depth as usize] += usize::from(tree.children(node).is_some());
        }
        assert!(splits.iter().any(|splits| *splits > 256), "{splits:?}");
    }
    let expected = trained.model.to_json();
    for memory in [least, 20 * least, 100 * least] {
        options.histogram_bytes = memory;
        let found = model(&options, &mut table, &mut Alone).unwrap();
        assert!(found == expected, "{memory} bytes");
    }
}

#[test]
fn less_memory_than_the_least_is_refused_in_words() {
    let mut table = rows(3000);
    let least = least(&mut table, &[]);
    let mut options = options(&table, &[]);
    options.histogram_bytes = least - 1;
    let error = model(&options, &mut table, &mut Alone)
        .unwrap_err()
        .to_string();
    for said in [&*least.to_string(), "allow the job more memory", "max_bin"] {
        assert!(error.contains(said), "{error}");
    }
}
