//! The XGBoost component against XGBoost itself, on one thread each: tables of many shapes.
//!
//! What is compared:
//! - **Training** is binning and boosting on both sides. XGBoost has the table in memory, in single
//!   precision; the component reads it from a sealed Parquet file, and says itself how long that
//!   took, which is left out. Of the first shape whole runs, reading included, are reported besides.
//! - **Prediction** and **contributions** likewise: the component's reading and writing are left out.
//! - **Memory**: all of the guest's linear memory at its peak while it trains (the program, what it
//!   reads, bins, gradients, the model) against what XGBoost's process grows by while it makes a
//!   `QuantileDMatrix` (for `exact` a `DMatrix`) and trains. The table that XGBoost is given does not
//!   count.
//! - **Two instances** against one, where there are many rows, and of the first shape against XGBoost
//!   with two threads: training likewise, as the first instance counts it, who waits for the other.
//! - **Whole processes** on small tables: `mc2-run` against a Python script that imports XGBoost.
//!
//! Both sides run in turns, so that a machine that is slow for a while is slow for both.
//! `MC2_SHAPE` names the one shape that is measured, where not all are.

mod ours;
mod shapes;
mod theirs;

use std::{env, fs, path::PathBuf};

use mc2_tests::bench_row;

use self::{
    ours::Ours,
    shapes::{FIRST, SHAPES, SMALL, Shape},
    theirs::{Python, Theirs},
};

const RUNS: usize = 3;
const MIB: f64 = (1 << 20) as f64;

/// Ratios of shapes, of which the geometric mean is told at the end.
#[derive(Default)]
struct Ratios {
    training: Vec<f64>,
    predicting: Vec<f64>,
    pairs: Vec<f64>,
}

fn main() {
    let Some(program) = env::var_os("MC2_PYTHON_XGBOOST") else {
        eprintln!("skipped: there is no Python of version 3.12 or newer with XGBoost");
        return;
    };
    let cache = PathBuf::from(env::var_os("MC2_CACHE").expect("run this by `cargo xtask bench`"));
    let python = Python {
        program,
        tables: cache.join("bench-xgboost-2"),
    };
    fs::create_dir_all(&python.tables).expect("a folder for the tables");
    let one = env::var("MC2_SHAPE").ok();
    let wanted = |shape: &&Shape| one.as_deref().is_none_or(|one| one == shape.name);
    let found = SHAPES.iter().chain(&SMALL).filter(wanted).count();
    let names: Vec<_> = SHAPES.iter().chain(&SMALL).map(|one| one.name).collect();
    assert!(found > 0, "no such shape: expected one of {names:?}");

    let ours = Ours::new();
    let mut ratios = Ratios::default();
    for shape in SHAPES.iter().filter(wanted) {
        eprintln!("{}: {}", shape.name, shape.what);
        if shape.name == FIRST {
            size_and_compilation();
        }
        measure(shape, &ours, &python, &mut ratios);
    }
    for shape in SMALL.iter().filter(wanted) {
        eprintln!("{}: {}, whole processes", shape.name, shape.what);
        whole(shape, &ours, &python);
    }
    if one.is_none() {
        let means = [
            ("training, all shapes", &ratios.training, 1.1),
            (
                "prediction and contributions, all shapes",
                &ratios.predicting,
                1.2,
            ),
        ];
        for (what, ratios, target) in means {
            let unit = "of XGBoost's time in the geometric mean";
            row(what, unit, geometric_mean(ratios), target, false);
        }
        let unit = "times as fast as one in the geometric mean";
        let pairs = geometric_mean(&ratios.pairs);
        row("two instances, all shapes", unit, pairs, 1.7, true);
    }
}

fn size_and_compilation() {
    row("size of the component", "MB", Ours::size(), 3.0, false);
    let mut times: Vec<f64> = (0..RUNS).map(|_| Ours::compilation()).collect();
    row("first compilation", "s", median(&mut times), 3.0, false);
}

/// Training, prediction and memory of one shape.
fn measure(shape: &Shape, ours: &Ours, python: &Python, ratios: &mut Ratios) {
    let first = shape.name == FIRST;
    let mut theirs = Theirs::start(python, shape);
    let table = python.table(shape.table);
    let (mut learning, mut whole) = (Vec::new(), Vec::new());
    let (mut native, mut native_whole) = (Vec::new(), Vec::new());
    let mut peak: f64 = 0.0;
    for _ in 0..RUNS {
        let run = ours.train(shape, &table, 1);
        learning.push(run.took("learning"));
        whole.push(run.seconds);
        peak = peak.max(run.peak);
        let seconds = theirs.ask("train 1");
        native.push(seconds);
        if first {
            native_whole.push(seconds + theirs.ask("read"));
        }
    }
    // Binning of what is in memory already is XGBoost's whole run but for reading.
    let ratio = against(shape, "training", (&mut learning, &mut native), 1.5);
    ratios.training.push(ratio);
    if first {
        let (ours, theirs) = (median(&mut whole), median(&mut native_whole));
        report(shape, "training as a whole run, read", "s", ours);
        report(shape, "XGBoost's training as a whole, read", "s", theirs);
    }

    let mut predicting = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        predicting.0.push(ours.predict(&table).took("predicting"));
        predicting.1.push(theirs.ask("predict"));
    }
    let (mine, native) = (&mut predicting.0, &mut predicting.1);
    let ratio = against(shape, "prediction", (mine, native), 1.6);
    ratios.predicting.push(ratio);
    if let Some(name) = shape.explained {
        let mut explaining = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            // First, since it makes the table.
            explaining.1.push(theirs.ask(&format!("explain {name}")));
            let run = ours.explain(&python.table(name));
            explaining.0.push(run.took("predicting"));
        }
        let (mine, native) = (&mut explaining.0, &mut explaining.1);
        let ratio = against(shape, "contributions", (mine, native), 1.6);
        ratios.predicting.push(ratio);
    }

    // In a process of its own: what the one before has freed would serve again.
    drop(theirs);
    let mut theirs = Theirs::start(python, shape);
    let grown = theirs.ask("memory");
    let what = format!("{}: peak memory", shape.name);
    row(&what, "of XGBoost's", peak / grown, 1.0, false);
    report(shape, "the component's peak memory", "MiB", peak / MIB);
    report(shape, "XGBoost's, its table aside", "MiB", grown / MIB);

    if shape.pair {
        let one = median(&mut learning);
        ratios
            .pairs
            .push(pair(shape, ours, &mut theirs, python, one));
    }
}

/// Two instances against one, which takes `one` second or so many; how many times as fast.
fn pair(shape: &Shape, ours: &Ours, theirs: &mut Theirs, python: &Python, one: f64) -> f64 {
    let table = python.table(shape.table);
    let (mut learning, mut whole, mut native) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let run = ours.train(shape, &table, 2);
        learning.push(run.took("learning"));
        whole.push(run.seconds);
        if shape.name == FIRST {
            native.push(theirs.ask("train 2"));
        }
    }
    let two = median(&mut learning);
    let what = format!("{}: two instances", shape.name);
    row(&what, "times as fast as one", one / two, 1.7, true);
    report(shape, "two instances", "s", two);
    if shape.name == FIRST {
        let native = median(&mut native);
        let unit = "of XGBoost's time on two threads";
        row(&what, unit, two / native, 1.4, false);
        report(shape, "XGBoost on two threads", "s", native);
        report(
            shape,
            "two instances as a whole run",
            "s",
            median(&mut whole),
        );
    }
    one / two
}

/// Training as a person waits for it, from a process's start to its end.
fn whole(shape: &Shape, ours: &Ours, python: &Python) {
    // It makes the table.
    drop(Theirs::start(python, shape));
    let table = python.table(shape.table);
    let folder = tempfile::tempdir().expect("a folder for the model");
    let model = folder.path().join("model.json");
    let mut times = (Vec::new(), Vec::new());
    // The first of each warms the caches.
    for run in 0..=2 * RUNS {
        let pair = (ours.whole(shape, &table), python.whole(shape, &model));
        if run > 0 {
            times.0.push(pair.0);
            times.1.push(pair.1);
        }
    }
    let (mine, native) = (&mut times.0, &mut times.1);
    against(shape, "whole processes, cache warm", (mine, native), 0.5);
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn geometric_mean(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    (sum / values.len() as f64).exp()
}

/// A ratio of medians, and what it is made of.
fn against(
    shape: &Shape,
    what: &str,
    (ours, theirs): (&mut [f64], &mut [f64]),
    target: f64,
) -> f64 {
    let (ours, theirs) = (median(ours), median(theirs));
    let name = format!("{}: {what}", shape.name);
    row(&name, "of XGBoost's time", ours / theirs, target, false);
    report(shape, &format!("{what}, the component"), "s", ours);
    report(shape, &format!("{what}, XGBoost"), "s", theirs);
    ours / theirs
}

fn row(what: &str, unit: &str, measured: f64, target: f64, more_is_better: bool) {
    bench_row(
        &format!("xgboost, {what}"),
        unit,
        measured,
        Some(target),
        more_is_better,
    );
}

/// A number without a target.
fn report(shape: &Shape, what: &str, unit: &str, measured: f64) {
    let name = format!("xgboost, {}: {what}", shape.name);
    bench_row(&name, unit, measured, None, false);
}
