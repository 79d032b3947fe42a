//! What is refused, and in which words.

use std::fs;

use super::{Bench, TRAIN, table};

#[test]
fn command_lines_that_are_no_good_are_refused() {
    let bench = Bench::new(&[("t.csv", &table(0..20))]);
    for (line, said) in [
        ("", "a command is wanted: train, predict, cv"),
        ("learn", "`learn` is no command; there are train,"),
        ("train --label y", "`train` wants --model-out"),
        ("train --model-out", "--model-out wants a value"),
        ("train --model-out --label y", "--model-out wants a value"),
        (
            "train t.csv --model-out m",
            "`t.csv` stands where an option is expected",
        ),
        (
            "train --label y --label a --model-out m",
            "--label is given twice",
        ),
        (
            "train --label y --label-lower a --label-upper b --model-out m",
            "one number or two bounds",
        ),
        (
            "train --label-lower a --model-out m",
            "given both or not at all",
        ),
        (
            "train --label y --model-out m --model-format pickle",
            "--model-format: expected one of json, ubj; found \"pickle\"",
        ),
        ("predict --output p", "`predict` wants --model"),
        (
            "predict --model t.csv --leaf --contribs",
            "--contribs does not go with another kind",
        ),
        (
            "predict --model t.csv --max-depth 3",
            "`predict` has no option --max-depth; it has --model",
        ),
        (
            "predict --model t.csv --format parquet",
            "standard output is CSV",
        ),
        (
            "predict --model t.csv --output o --format xml",
            "expected one of csv, parquet, arrow",
        ),
        (
            "predict --model t.csv --iteration-range 5:2",
            "--iteration-range wants BEGIN:END",
        ),
        (
            "predict --model nothing",
            "--model: no input is called `nothing`; this job has t.csv",
        ),
        ("predict --model t.csv", "the model `t.csv`"),
        (
            "cv --label y --folds 1",
            "--folds wants a whole number of at least 2",
        ),
        (
            "dump --model t.csv --format yaml",
            "expected one of text, json, dot",
        ),
        (
            "importance --model t.csv --type luck",
            "--type: expected one of weight, gain, cover",
        ),
        ("plot --model t.csv --tree 1 --importance gain", "two plots"),
    ] {
        let error = bench.refused(line);
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn tables_and_parameters_that_are_no_good_are_refused_and_leave_no_model() {
    let good = table(0..40);
    let bench = Bench::new(&[("t.csv", &good)]);
    let line = "train --ignore id --ignore color --model-out m --rounds 2";
    for (more, said) in [
        ("", "no column is the label; --label COL names it"),
        (
            "--label z",
            "column `z`: `t.csv` has no such column; it has id, a, b, color, y",
        ),
        ("--label y --eval t.csv", "no input is a table"),
        ("--label y --eval v", "--eval: no input is called `v`"),
        (
            "--label y --max-depht 3",
            "parameter max_depht: not a parameter",
        ),
        (
            "--label y --evl t.csv",
            "Options of `train` are --params, --rounds, --eval",
        ),
        (
            "--label y --subsample 1.5",
            "parameter subsample: expected a number at least 0 and at most 1",
        ),
        ("--label y --max-depth 3 --max_depth 4", "given twice"),
        ("--label a --objective binary:logistic", "row"),
        (
            "--label a --objective multi:softmax --num-class 3",
            "num_class",
        ),
        (
            "--label y --params {\"eta\":null}",
            "parameter eta: expected a number",
        ),
        (
            "--label y --params {\"eta\"",
            "--params wants a JSON object",
        ),
        ("--label y --early-stopping 2", "early stopping"),
        ("--label y --eval-metric nothing", "eval_metric"),
        ("--label y --objective reg:linear", "objective"),
        (
            "--label y --booster gblinear",
            "parameter booster: expected one of gbtree, dart",
        ),
    ] {
        let error = bench.refused(&format!("{line} {more}"));
        assert!(error.contains(said), "{more}: {error}");
    }
    let text = "train --ignore id --label y --model-out m --rounds 2";
    let error = bench.refused(text);
    assert!(
        error.contains("`t.csv`, row 1, column `color`") && error.contains("--categorical"),
        "{error}"
    );
    bench.input("u.csv", b"id,a,c,color,y\n1,2,3,red,1\n");
    let error = bench.refused(&format!("{line} --label y"));
    assert!(
        error.contains("`u.csv` differs from `t.csv`: it has no column `b`"),
        "{error}"
    );
}

#[test]
fn tables_that_do_not_fit_the_model_are_refused() {
    let bench = Bench::new(&[("t.csv", &table(0..40))]);
    bench.run(&format!("{TRAIN} --model-out m")).unwrap();
    bench.hand_on("m");
    bench.input("t.csv", b"a,color\n1,red\n");
    let error = bench.refused("predict --model m --output p");
    assert!(
        error.contains("`t.csv` differs from the model: it has no feature `b`"),
        "{error}"
    );
    bench.input("t.csv", b"a,b,color\n1,1,pink\n");
    let error = bench.run("predict --model m --output p").unwrap_err();
    assert!(
        error.contains("row 1, column `color`: \"pink\" is none of the categories"),
        "{error}"
    );
    let broken = bench.0.path().join("in/m");
    let model = fs::read_to_string(&broken).unwrap();
    fs::write(&broken, &model[..model.len() / 2]).unwrap();
    assert!(
        bench
            .run("predict --model m --output p")
            .unwrap_err()
            .contains("the model `m`")
    );
}

/// What `line` is refused with, word for word.
fn assert_refused(bench: &Bench, line: &str, message: &str) {
    assert_eq!(bench.refused(line), message, "{line}");
}

#[test]
fn a_label_that_is_no_good_is_refused_with_its_file_row_and_column() {
    let bench = Bench::new(&[
        ("a.csv", "x,lo,hi,y,q\n1,1,2,0,1\n2,1,2,1,1\n"),
        ("b.csv", "x,lo,hi,y,q\n3,1,2,1,1\n4,3,2,7,1\n"),
    ]);
    let train = "train --model-out m --rounds 2 --ignore q";
    let plain = format!("{train} --ignore lo --ignore hi --label y --objective");
    for (line, message) in [
        (
            format!("{plain} binary:logistic"),
            "`b.csv`, row 2, column `y`: expected a number from 0 to 1 as label; found 7 \
             (binary:logistic)",
        ),
        (
            format!("{plain} multi:softprob --num-class 3"),
            "`b.csv`, row 2, column `y`: expected a whole number from 0 to 2 (num_class is 3) as \
             label; found 7 (multi:softprob)",
        ),
        (
            format!("{plain} reg:squarederror --eval-metric mlogloss"),
            "`a.csv`, row 2, column `y`: expected 0, the only class of the objective, as label; \
             found 1 (mlogloss)",
        ),
        (
            format!(
                "{train} --ignore y --label-lower lo --label-upper hi --objective survival:aft"
            ),
            "`b.csv`, row 2, column `hi`: expected an upper bound above 0 and not below the lower \
             one (inf where there is none); found the bounds 3 and 2 (survival:aft)",
        ),
        (
            "cv --rounds 2 --folds 2 --stratified --label x --ignore q --ignore lo --ignore hi \
             --objective reg:squarederror"
                .to_owned(),
            "folds: expected at most 1, the rows of the largest class; found 2",
        ),
        (
            "train --model-out m --rounds 2 --label y --group q --ignore lo --ignore hi \
             --objective rank:map"
                .to_owned(),
            "`b.csv`, row 2, column `y`: expected a relevance of 0 or 1 as label; found 7 (rank:map)",
        ),
    ] {
        assert_refused(&bench, &line, message);
    }
    bench.input("b.csv", b"x,lo,hi,y,q\n3,1,2,0.5,1\n");
    assert_refused(
        &bench,
        "cv --rounds 2 --folds 2 --stratified --label y --ignore q --ignore lo --ignore hi",
        "`b.csv`, row 1, column `y`: expected a whole number as label; found 0.5 (stratified parts \
         are of classes)",
    );
}

#[test]
fn a_label_of_an_evaluated_table_is_refused_before_anything_is_learned() {
    let bench = Bench::new(&[("t.csv", "x,y\n1,0\n2,1\n"), ("v.csv", "x,y\n1,0\n2,-1\n")]);
    assert_refused(
        &bench,
        "train --label y --objective binary:logistic --rounds 1000000000 --eval v.csv --model-out m",
        "`v.csv`, row 2, column `y`: expected a number from 0 to 1 as label; found -1 \
         (binary:logistic)",
    );
}

#[test]
fn nothing_that_is_asked_for_is_passed_over_in_silence() {
    let bench = Bench::new(&[("t.csv", &table(0..40))]);
    bench.run(&format!("{TRAIN} --model-out m")).unwrap();
    bench.hand_on("m");
    for (line, message) in [
        (
            "eval --model m --label y --categorical luck",
            "judging by `eval`: column `luck`: the model has no such feature to hold categories",
        ),
        (
            "eval --model m --label y --categorical a",
            "judging by `eval`: column `a`: the model has numbers in it, not categories",
        ),
        (
            "eval --model m --label y --ignore luck",
            "judging by `eval`: column `luck`: `t.csv` has no such feature; it has id, a, b, color, y",
        ),
        (
            "train --init-model m --label y --ignore luck --model-out n",
            "column `luck`: `t.csv` has no such feature; it has id, a, b, color, y",
        ),
        (
            "train --init-model m --label y --categorical b --model-out n",
            "column `b`: the model has numbers in it, not categories",
        ),
        (
            "predict --model m --categorical b",
            "column `b`: the model has numbers in it, not categories",
        ),
        (
            "train --init-model m --label y --model-out n --early-stopping 0",
            "parameter early_stopping_rounds: expected a whole number at least 1 and at most \
             4294967295; found \"0\"",
        ),
        (
            r#"train --init-model m --label y --model-out n --params {"eta":1,"eta":0.1}"#,
            "--params wants a JSON object of parameters: \"eta\" is there twice at line 1 column 19",
        ),
        (
            "train --init-model m --label y --model-out n --params [1]",
            "--params: no input is called `[1]`; this job has m, t.csv",
        ),
        (
            "train --init-model m --label y --model-out n --monotone-constraints (2,0,0)",
            "parameter monotone_constraints: expected -1, 0 or 1 for each feature as in (1,0,-1), \
             or for some by name as in {\"name\": 1}; found (2,0,0)",
        ),
        (
            "dump --model m",
            "the input `t.csv` is of no use to `dump`; name it by an option or leave it out",
        ),
        (
            "eval --model m",
            "no column is the label; --label COL names it: binary:logistic: expected one label a \
             row, 40 in all; found 0",
        ),
        (
            "cv --label y --ignore id --categorical color --disable-default-eval-metric 1",
            "cross-validation gives scores and nothing else: expected an eval_metric, or \
             disable_default_eval_metric to be 0",
        ),
    ] {
        if line.starts_with("cv") {
            bench.forget("m");
        }
        assert_refused(&bench, line, message);
    }
    bench
        .run("predict --model t.csv --ignore luck")
        .expect_err("a table is no model");
}

#[test]
fn an_input_without_rows_is_refused_and_an_empty_file_of_a_folder_is_not() {
    let bench = Bench::new(&[("t/1.csv", &table(0..40)), ("t/2.csv", "id,a,b,color,y\n")]);
    bench.run(&format!("{TRAIN} --model-out m")).unwrap();
    fs::remove_file(bench.0.path().join("out/m")).unwrap();
    bench.input("u.csv", b"id,a,b,color,y\n");
    assert_refused(
        &bench,
        &format!("{TRAIN} --model-out m"),
        "`u.csv` has no rows",
    );
}
