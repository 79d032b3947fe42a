//! Instances split leaves before it is their turn, and the tree is the one that comes of splitting one
//! after the other.

use std::thread;

use serde_json::json;
use xgboost_core::{
    collective::{Alone, Collective, CollectiveError, Reduce},
    grow::Grown,
};

use crate::{
    grow, params,
    table::{Table, halves, part},
    threads::{Board, Threads},
};

/// An instance that counts what it says.
struct Counting<'a>(Threads<'a>, usize);

impl Collective for Counting<'_> {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn allreduce(&mut self, values: &mut [f64], how: Reduce) -> Result<(), CollectiveError> {
        self.1 += 1;
        self.0.allreduce(values, how)
    }

    fn broadcast(&mut self, bytes: &mut Vec<u8>, root: usize) -> Result<(), CollectiveError> {
        self.1 += 1;
        self.0.broadcast(bytes, root)
    }

    fn allgather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.1 += 1;
        self.0.allgather(bytes)
    }
}

/// Rows of labels whose sums are whole numbers, so that no order of them makes a difference. Leaves gain
/// more and less, and many the same.
fn rows() -> Table {
    let mut table = halves();
    for (row, label) in table.info.labels.iter_mut().enumerate() {
        *label = (row * 37 % 101 + row * row / 4096) as f32;
    }
    table
}

/// What one instance grows by `setting`, what each of two grows, and how often those spoke.
fn grown(setting: &[(&str, &str)]) -> (Grown, Vec<Grown>, usize) {
    let table = rows();
    let usual = [
        ("grow_policy", "lossguide"),
        ("max_bin", "1024"),
        ("lambda", "0"),
    ];
    let pairs = usual.iter().chain(setting);
    let pairs: std::collections::BTreeMap<_, _> = pairs.copied().collect();
    let params = params(&json!({ "params": pairs }), &table.schema);
    let (_, alone) = grow(&mut table.clone(), params.clone(), &mut Alone);
    let board = Board::new(2);
    let mut parts = part(&table, 300);
    let (params, board) = (&params, &board);
    let told: Vec<(Grown, usize)> = thread::scope(|scope| {
        let grow = |(rank, part)| {
            scope.spawn(move || {
                let mut all = Counting(Threads::new(rank, board), 0);
                let (_, grown) = grow(part, params.clone(), &mut all);
                (grown, all.1)
            })
        };
        let threads: Vec<_> = parts.iter_mut().enumerate().map(grow).collect();
        let threads = threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    });
    let calls = told[0].1;
    (
        alone,
        told.into_iter().map(|(grown, _)| grown).collect(),
        calls,
    )
}

#[test]
fn the_tree_is_the_one_that_comes_of_splitting_one_leaf_after_the_other() {
    for leaves in ["2", "3", "16", "17", "18", "100", "255", "0"] {
        for other in [("gamma", "0"), ("gamma", "900"), ("max_depth", "5")] {
            let setting = [("max_depth", "0"), ("max_leaves", leaves), other];
            let (alone, together, _) = grown(&setting);
            for grown in &together {
                assert_eq!(grown.tree, alone.tree, "{setting:?}");
            }
            let rows = together.iter().flat_map(|grown| &grown.leaf_of_row);
            assert!(rows.eq(&alone.leaf_of_row), "{setting:?}");
        }
    }
}

#[test]
fn instances_speak_for_many_leaves_at_once() {
    let setting = [("max_depth", "0"), ("max_leaves", "255")];
    let (alone, _, calls) = grown(&setting);
    assert_eq!(alone.tree.nodes.len(), 509);
    assert!(calls < 100, "{calls} calls");
    // What is drawn for a node depends on which come before it, so they come one after the other.
    let drawn = [setting[0], setting[1], ("colsample_bynode", "0.9")];
    let (alone, together, calls) = grown(&drawn);
    assert!(calls > 255, "{calls} calls");
    assert_eq!(together[0].tree, alone.tree);
}
