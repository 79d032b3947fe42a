//! Tables made of text files.

use super::{Expect, File, Format, Roles, Share, Table};
use crate::data::{Batch, Categories, Feature, FeatureKind, Source as _, Values};

fn csv(name: &str, text: &str) -> File {
    File {
        name: name.to_owned(),
        input: name.to_owned(),
        format: Format::Csv { separator: b',' },
        bytes: Box::new(text.as_bytes().to_vec()),
    }
}

fn libsvm(name: &str, text: &str) -> File {
    File {
        format: Format::LibSvm,
        ..csv(name, text)
    }
}

fn labelled() -> Roles {
    Roles {
        label: Some("y".to_owned()),
        ..Roles::default()
    }
}

fn open(files: Vec<File>, roles: &Roles) -> Result<Table, String> {
    Table::open(files, roles, Expect::Any, Share::ALL).map_err(|error| error.to_string())
}

fn batches(table: &mut Table) -> Result<Vec<Batch>, String> {
    table.rewind().map_err(|error| error.to_string())?;
    let mut batches = Vec::new();
    while let Some(batch) = table.next_batch().map_err(|error| error.to_string())? {
        batches.push(batch);
    }
    Ok(batches)
}

/// All values, row by row; what is not there is NaN.
fn dense(table: &mut Table) -> Result<Vec<Vec<f32>>, String> {
    let width = table.schema().features.len();
    let mut rows = Vec::new();
    for batch in batches(table)? {
        match batch.values {
            Values::Dense(values) => rows.extend(values.chunks(width).map(<[f32]>::to_vec)),
            Values::Sparse {
                starts,
                features,
                values,
            } => {
                for bounds in starts.windows(2) {
                    let mut row = vec![f32::NAN; width];
                    for at in bounds[0]..bounds[1] {
                        row[features[at] as usize] = values[at];
                    }
                    rows.push(row);
                }
            }
        }
    }
    Ok(rows)
}

fn names(table: &Table) -> Vec<&str> {
    table
        .schema()
        .features
        .iter()
        .map(|feature| &*feature.name)
        .collect()
}

#[test]
fn csv_is_read_with_quotes_line_ends_and_missing_values() {
    let text = "\u{feff}a,\"b \"\"x\"\", c\",y\r\n1,\"2\",0\r\n\r\nNA,-1e2,1\r\n,true,0";
    let mut table = open(vec![csv("t", text)], &labelled()).unwrap();
    assert_eq!(names(&table), ["a", "b \"x\", c"]);
    assert_eq!(table.info().labels, [0.0, 1.0, 0.0]);
    for _ in 0..2 {
        let rows = dense(&mut table).unwrap();
        assert_eq!(rows[0], [1.0, 2.0]);
        assert!(rows[1][0].is_nan() && rows[1][1] == -100.0);
        assert!(rows[2][0].is_nan() && rows[2][1] == 1.0);
        assert_eq!(rows.len(), 3);
    }
}

#[test]
fn large_csv_is_read_in_batches_across_blocks() {
    let mut text = "y,a,b\n".to_owned();
    for row in 0..200_000 {
        text.push_str(&format!("{},{}.5,\"{row}\"\n", row % 2, row));
    }
    let mut table = open(vec![csv("t", &text)], &labelled()).unwrap();
    assert_eq!(table.info().rows, 200_000);
    assert!(batches(&mut table).unwrap().len() > 2);
    let rows = dense(&mut table).unwrap();
    let expected = |row: usize| [row as f32 + 0.5, row as f32];
    assert!(
        rows.iter()
            .enumerate()
            .all(|(row, values)| *values == expected(row))
    );
}

#[test]
fn text_where_a_number_belongs_is_refused_with_its_place() {
    let error = open(vec![csv("t", "a,y\n1,0\nhigh,1\n")], &labelled())
        .and_then(|mut table| dense(&mut table))
        .unwrap_err();
    for part in ["`t`, row 2, column `a`", "\"high\"", "--categorical"] {
        assert!(error.contains(part), "{error}");
    }
    let error = open(vec![csv("t", "a,y\n1,0\n2,yes\n")], &labelled())
        .err()
        .unwrap();
    assert!(error.contains("`t`, row 2, column `y`"), "{error}");
}

#[test]
fn bad_tables_are_refused_in_words() {
    let roles = labelled();
    for (text, said) in [
        ("", "is empty"),
        ("a,y\n", "`t` has no rows"),
        ("y\n1\n", "no features"),
        (
            "a,b\n1,2\n",
            "column `y`: `t` has no such column; it has a, b",
        ),
        ("a,y\n1\n", "row 1 has 1 fields, the header 2"),
        ("a,y\n1,2,3\n", "row 1 has 3 fields, the header 2"),
        ("a,y\n\"1,2\n", "a quote is left open"),
        ("a,y\n\"1\"x,2\n", "something follows a closing quote"),
        ("a,a,y\n1,1,2\n", "two columns of this name"),
        (",y\n1,2\n", "without a name"),
        ("a[0],y\n1,2\n", "rename it"),
        (
            "a,y\n1,\n",
            "row 1, column `y`: a number is wanted, and it is missing",
        ),
        ("a,y\n1,inf\n", "row 1, column `y`: a finite number"),
        (
            "a,y\n1,1\ninf,0\n",
            "row 2, column `a`: the value is infinite",
        ),
        (
            "a,y\n1,1\n1e39,0\n",
            "row 2, column `a`: the value is infinite, or too large",
        ),
        (
            "a,b,y\n1,,1\n2,NA,0\n",
            "column `b`: it has no value in any row",
        ),
    ] {
        let error = open(vec![csv("t", text)], &roles)
            .and_then(|mut table| dense(&mut table))
            .unwrap_err();
        assert!(error.contains(said), "{text:?}: {error}");
    }
}

#[test]
fn files_of_one_schema_in_any_order_are_one_table() {
    let files = vec![csv("one", "a,b,y\n1,2,0\n"), csv("two", "y,b,a\n1,20,10\n")];
    let mut table = open(files, &labelled()).unwrap();
    assert_eq!(dense(&mut table).unwrap(), [[1.0, 2.0], [10.0, 20.0]]);
    assert_eq!(table.info().labels, [0.0, 1.0]);
}

#[test]
fn files_that_differ_are_refused_with_the_difference() {
    let first = || csv("one", "a,b,y\n1,2,0\n");
    for (second, said) in [
        (
            csv("two", "a,y\n1,0\n"),
            "`two` differs from `one`: it has no column `b`",
        ),
        (
            csv("two", "a,b,c,y\n1,2,3,0\n"),
            "`two` differs from `one`: it has a column `c` more",
        ),
        (
            libsvm("two", "1 0:1\n"),
            "`two` differs from `one`: it is LibSVM",
        ),
        (
            csv("two", "a,b\n1,2\n"),
            "column `y`: `two` has no such column",
        ),
    ] {
        let error = open(vec![first(), second], &labelled()).err().unwrap();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn columns_with_roles_are_no_features() {
    let text = "lo,hi,w,m0,m1,a,id\n1,inf,0.5,0.1,0.2,7,x\n2,3,1,0.3,0.4,8,y\n";
    let name = |name: &str| Some(name.to_owned());
    let roles = Roles {
        lower: name("lo"),
        upper: name("hi"),
        weight: name("w"),
        base_margin: vec!["m1".to_owned(), "m0".to_owned()],
        ignored: vec!["id".to_owned()],
        ..Roles::default()
    };
    let mut table = open(vec![csv("t", text)], &roles).unwrap();
    let info = table.info();
    assert_eq!(
        (&*info.lower, &*info.upper),
        (&[1.0, 2.0][..], &[f32::INFINITY, 3.0][..])
    );
    assert_eq!(
        (&*info.weights, &*info.base_margin),
        (&[0.5, 1.0][..], &[0.2, 0.1, 0.4, 0.3][..])
    );
    assert_eq!(names(&table), ["a"]);
    assert_eq!(dense(&mut table).unwrap(), [[7.0], [8.0]]);
    let twice = Roles {
        label: name("w"),
        ..roles.clone()
    };
    assert!(
        open(vec![csv("t", text)], &twice)
            .err()
            .unwrap()
            .contains("named for two things")
    );
    let negative = text.replace("0.5", "-0.5");
    assert!(
        open(vec![csv("t", &negative)], &roles)
            .err()
            .unwrap()
            .contains("cannot be negative")
    );
}

#[test]
fn groups_are_runs_of_a_column_that_never_falls() {
    let roles = Roles {
        group: Some("q".to_owned()),
        weight: Some("w".to_owned()),
        ..labelled()
    };
    let one = "q,w,y,a\n1,2,0,1\n1,2,1,1\n5,3,0,1\n";
    let two = "q,w,y,a\n1,4,0,1\n2,5,0,1\n";
    let table = open(vec![csv("one", one), csv("two", two)], &roles).unwrap();
    assert_eq!(table.info().group_starts, [0, 2, 3, 4, 5]);
    assert_eq!(table.info().weights, [2.0, 3.0, 4.0, 5.0]);
    let file = |name: &str, text: &str| File {
        input: "folder".to_owned(),
        ..csv(name, text)
    };
    let fallen = open(vec![file("one", one), file("two", two)], &roles)
        .err()
        .unwrap();
    assert!(
        fallen.contains("`two`, row 1, column `q`: group 1 comes after group 5"),
        "{fallen}"
    );
    let uneven = open(vec![csv("t", "q,w,y,a\n1,2,0,1\n1,3,1,1\n")], &roles)
        .err()
        .unwrap();
    assert!(uneven.contains("a group has one weight"), "{uneven}");
}

#[test]
fn categories_are_sorted_over_all_files_and_kept() {
    let roles = Roles {
        categorical: vec!["c".to_owned(), "n".to_owned()],
        ..labelled()
    };
    let files = || {
        vec![
            csv("one", "c,n,y\nred,10,0\nblue,9,1\n"),
            csv("two", "c,n,y\ngreen,10.0,0\nNA,,0\n"),
        ]
    };
    let mut table = open(files(), &roles).unwrap();
    let features = table.schema().features.clone();
    let texts = ["blue", "green", "red"].map(str::to_owned).to_vec();
    assert_eq!(features[0].categories, Some(Categories::Text(texts)));
    assert_eq!(features[1].categories, Some(Categories::Int(vec![9, 10])));
    assert_eq!(features[0].kind, FeatureKind::Categorical);
    let rows = dense(&mut table).unwrap();
    assert_eq!(rows[..3], [[2.0, 1.0], [0.0, 0.0], [1.0, 1.0]]);
    assert!(rows[3][0].is_nan() && rows[3][1].is_nan());

    // A model's codes hold for a table that has only some of them.
    let text = csv("three", "extra,n,c\nx,9,red\n");
    let mut table = Table::open(
        vec![text],
        &Roles::default(),
        Expect::These(&features),
        Share::ALL,
    )
    .unwrap();
    assert_eq!(dense(&mut table).unwrap(), [[2.0, 0.0]]);
    let unknown = csv("three", "c,n\nred,9\npink,9\n");
    let mut table = Table::open(
        vec![unknown],
        &Roles::default(),
        Expect::These(&features),
        Share::ALL,
    )
    .unwrap();
    let error = dense(&mut table).unwrap_err();
    assert!(
        error.contains("`three`, row 2, column `c`: \"pink\" is none of the categories"),
        "{error}"
    );
}

#[test]
fn a_models_features_are_found_by_name_or_else_by_place() {
    let feature = |name: &str| Feature {
        name: name.to_owned(),
        kind: FeatureKind::Float,
        categories: None,
    };
    let named = [feature("b"), feature("a")];
    let file = || csv("t", "a,x,b\n1,2,3\n");
    let open = |file, features: &[Feature]| {
        Table::open(
            vec![file],
            &Roles::default(),
            Expect::These(features),
            Share::ALL,
        )
        .map_err(|error| error.to_string())
    };
    assert_eq!(
        dense(&mut open(file(), &named).unwrap()).unwrap(),
        [[3.0, 1.0]]
    );
    let error = open(file(), &[feature("c")]).err().unwrap();
    assert!(
        error.contains("`t` differs from the model: it has no feature `c`"),
        "{error}"
    );
    let nameless = [feature(""), feature(""), feature("")];
    assert_eq!(
        dense(&mut open(file(), &nameless).unwrap()).unwrap(),
        [[1.0, 2.0, 3.0]]
    );
    assert!(
        open(file(), &nameless[..2])
            .err()
            .unwrap()
            .contains("has 3 features; the model")
    );
    // LibSVM has places only.
    let rows = dense(&mut open(libsvm("s", "0 1:5\n"), &named).unwrap()).unwrap();
    assert!(rows[0][0].is_nan() && rows[0][1] == 5.0);
    let wide = open(libsvm("s", "0 2:5\n"), &named).err().unwrap();
    assert!(
        wide.contains("its last feature is 2, and the model has 2 features"),
        "{wide}"
    );
}

#[test]
fn libsvm_rows_stay_sparse() {
    let text = "1 qid:1 0:1 4:2\n0 qid:1 1:3\n1 qid:2 # nothing\n";
    let mut table = open(vec![libsvm("t", text)], &Roles::default()).unwrap();
    assert_eq!(table.info().labels, [1.0, 0.0, 1.0]);
    assert_eq!(table.info().group_starts, [0, 2, 3]);
    assert_eq!(table.schema().features.len(), 5);
    let expected = Values::Sparse {
        starts: vec![0, 2, 3, 3],
        features: vec![0, 4, 1],
        values: vec![1.0, 2.0, 3.0],
    };
    assert_eq!(batches(&mut table).unwrap()[0].values, expected);
    for (text, said) in [
        ("1:2 0:1\n1 0:1\n", "1 of 2 rows have a weight"),
        ("1 qid:1 0:1\n1 0:1\n", "1 of 2 rows have a qid"),
        ("nan 0:1\n", "row 1, column `label`"),
        ("1 0:inf\n", "row 1, column `0`: the value is infinite"),
        ("1\n", "no features"),
    ] {
        let error = open(vec![libsvm("t", text)], &Roles::default())
            .and_then(|mut table| dense(&mut table))
            .unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(
        open(vec![libsvm("t", text)], &labelled())
            .err()
            .unwrap()
            .contains("columns have no names")
    );
}

#[test]
fn csv_and_libsvm_give_the_same_table() {
    let mut state = 7_u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for round in 0..20 {
        let width = 1 + round % 5;
        let header: Vec<String> = (0..width).map(|index| format!("f{index}")).collect();
        let mut text = format!("y,{}\n", header.join(","));
        let mut lines = String::new();
        for _ in 0..50 {
            let label = next() % 2;
            text.push_str(&label.to_string());
            lines.push_str(&label.to_string());
            for index in 0..width {
                let value = f32::from_bits(next() as u32 & 0x7f7f_ffff);
                let missing = next() % 3 == 0 && index > 0;
                text.push(',');
                if !missing {
                    text.push_str(&format!("{value:e}"));
                    lines.push_str(&format!(" {index}:{value:e}"));
                }
            }
            text.push('\n');
            lines.push('\n');
        }
        let mut one = open(vec![csv("t", &text)], &labelled()).unwrap();
        let mut two = open(vec![libsvm("t", &lines)], &Roles::default()).unwrap();
        assert_eq!(one.info(), two.info());
        let bits = |rows: Vec<Vec<f32>>| {
            rows.concat()
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            bits(dense(&mut one).unwrap()),
            bits(dense(&mut two).unwrap())
        );
    }
}

#[test]
fn shares_are_all_rows_once_and_cut_no_group() {
    let mut one = "q,y,a\n".to_owned();
    for row in 0..100 {
        one.push_str(&format!("{},{},{row}\n", row / 7, row % 2));
    }
    let files = || {
        vec![
            csv("one", &one),
            csv("two", "q,y,a\n1,0,100\n1,0,101\n3,1,102\n"),
        ]
    };
    let grouped = Roles {
        group: Some("q".to_owned()),
        ..labelled()
    };
    let plain = Roles {
        ignored: vec!["q".to_owned()],
        ..labelled()
    };
    for (roles, size) in [(&grouped, 4), (&plain, 3), (&plain, 200)] {
        let mut rows = Vec::new();
        let mut labels = Vec::new();
        for rank in 0..size {
            let mut table = Table::open(files(), roles, Expect::Any, Share { rank, size }).unwrap();
            let own = dense(&mut table).unwrap();
            assert_eq!(own.len(), table.info().rows);
            if let Some(last) = table.info().group_starts.last() {
                assert_eq!((table.info().group_starts[0], *last), (0, own.len()));
            }
            labels.extend(table.info().labels.clone());
            rows.extend(own);
        }
        assert_eq!(
            rows.concat(),
            (0..103).map(|row| row as f32).collect::<Vec<_>>()
        );
        assert_eq!(labels.len(), 103);
    }
}
