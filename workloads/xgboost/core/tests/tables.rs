//! Parquet and Arrow IPC as pyarrow writes them, held against the same table as CSV.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use xgboost_core::data::{
    Categories, DataError, Expect, FeatureKind, File, Format, Roles, Schema, Source as _, Table,
    Values, table::Share,
};

fn path(name: &str) -> PathBuf {
    Path::new("tests/fixtures/tables").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

fn file(name: &str, bytes: Vec<u8>) -> File {
    File {
        name: name.to_owned(),
        input: name.to_owned(),
        format: Format::detect(name, "", &bytes[..bytes.len().min(Format::START)]).unwrap(),
        bytes: Box::new(bytes),
    }
}

fn roles() -> Roles {
    Roles {
        label: Some("label".to_owned()),
        ..Roles::default()
    }
}

struct Read {
    schema: Schema,
    labels: Vec<f32>,
    rows: Vec<Vec<f32>>,
}

fn read_files(files: Vec<File>, roles: &Roles) -> Result<Read, DataError> {
    let mut table = Table::open(files, roles, Expect::Any, Share::ALL)?;
    let width = table.schema().features.len();
    let mut rows = Vec::new();
    // Twice, because a source must give the same again.
    for _ in 0..2 {
        table.rewind()?;
        rows.clear();
        while let Some(batch) = table.next_batch()? {
            match batch.values {
                Values::Dense(values) => rows.extend(values.chunks(width).map(<[f32]>::to_vec)),
                Values::Sparse { .. } => panic!("a table of columns gives dense rows"),
            }
        }
    }
    Ok(Read {
        schema: table.schema().clone(),
        labels: table.info().labels.clone(),
        rows,
    })
}

fn read(name: &str, roles: &Roles) -> Result<Read, DataError> {
    read_files(vec![file(name, bytes(name))], roles)
}

fn csv() -> Read {
    let categorical = vec!["color".to_owned(), "name".to_owned()];
    read(
        "table.csv",
        &Roles {
            categorical,
            ..roles()
        },
    )
    .unwrap()
}

/// All columns the same but for the unit of times.
fn assert_same(name: &str, read: &Read, expected: &Read, time: f32) {
    assert_eq!(read.labels, expected.labels, "{name}");
    assert_eq!(read.rows.len(), expected.rows.len(), "{name}");
    let features = expected.schema.features.iter().zip(&read.schema.features);
    for (index, (wanted, found)) in features.enumerate() {
        assert_eq!(
            (&wanted.name, &wanted.categories),
            (&found.name, &found.categories),
            "{name}"
        );
        for (row, (wanted_row, found_row)) in expected.rows.iter().zip(&read.rows).enumerate() {
            let factor = if wanted.name == "time" { time } else { 1.0 };
            let (wanted_value, found_value) = (wanted_row[index] * factor, found_row[index]);
            let same = wanted_value == found_value
                || (wanted_value.is_nan() && found_value.is_nan())
                || (factor != 1.0 && (wanted_value / found_value - 1.0).abs() < 1e-6);
            assert!(
                same,
                "{name}, row {row}, {}: {wanted_value} {found_value}",
                wanted.name
            );
        }
    }
}

#[test]
fn every_way_of_parquet_gives_the_table() {
    let expected = csv();
    for (name, time) in [
        ("plain.parquet", 1e3),
        ("snappy.parquet", 1e3),
        ("gzip.parquet", 1e3),
        ("zstd.parquet", 1e3),
        ("lz4.parquet", 1e3),
        ("small_pages.parquet", 1e3),
        ("encodings.parquet", 1e3),
        ("int96.parquet", 1e9),
    ] {
        let read = read(name, &roles()).unwrap_or_else(|error| panic!("{error}"));
        assert_same(name, &read, &expected, time);
    }
}

#[test]
fn every_way_of_arrow_gives_the_table() {
    let expected = csv();
    for name in ["file", "stream", "lz4", "zstd", "dictionary", "large"] {
        let name = format!("{name}.arrow");
        let read = read(&name, &roles()).unwrap_or_else(|error| panic!("{error}"));
        assert_same(&name, &read, &expected, 1.0);
    }
}

#[test]
fn types_are_kept_as_kinds_of_features() {
    for name in ["zstd.parquet", "file.arrow"] {
        let schema = read(name, &roles()).unwrap().schema;
        let kind = |name: &str| {
            schema
                .features
                .iter()
                .find(|feature| feature.name == name)
                .unwrap()
                .kind
        };
        for (column, expected) in [
            ("int32", FeatureKind::Int),
            ("uint64", FeatureKind::Int),
            ("date", FeatureKind::Int),
            ("time", FeatureKind::Int),
            ("price", FeatureKind::Float),
            ("double", FeatureKind::Float),
            ("bool", FeatureKind::Indicator),
            ("color", FeatureKind::Categorical),
        ] {
            assert_eq!(kind(column), expected, "{name} {column}");
        }
    }
}

#[test]
fn columns_with_columns_in_them_are_no_features_and_no_hindrance() {
    let ignored = vec!["list".to_owned(), "pair".to_owned()];
    let without = Roles { ignored, ..roles() };
    let expected = csv();
    for (name, time) in [("nested.parquet", 1e3), ("nested.arrow", 1.0)] {
        let error = read(name, &roles()).err().unwrap().to_string();
        assert!(
            error.contains("column `pair`") && error.contains("--ignore"),
            "{error}"
        );
        assert_same(name, &read(name, &without).unwrap(), &expected, time);
    }
}

#[test]
fn dictionaries_may_grow_within_a_stream() {
    let table = read("delta.arrow", &Roles::default()).unwrap();
    let names = ["blue", "green", "red"].map(str::to_owned).to_vec();
    assert_eq!(
        table.schema.features[1].categories,
        Some(Categories::Text(names))
    );
    let colors: Vec<f32> = table.rows.iter().map(|row| row[1]).collect();
    assert_eq!(colors, [2.0, 2.0, 0.0, 2.0, 0.0, 1.0]);
}

#[test]
fn a_dictionary_of_whole_numbers_is_categories_and_pools_with_numbers() {
    let coded = || file("coded.arrow", bytes("coded.arrow"));
    let read = read_files(vec![coded()], &roles()).unwrap();
    let size = &read.schema.features[0];
    assert_eq!(size.kind, FeatureKind::Categorical);
    assert_eq!(size.categories, Some(Categories::Int(vec![-100, 4, 30])));
    let values = |read: &Read| read.rows.iter().map(|row| row[0]).collect::<Vec<f32>>();
    assert_eq!(values(&read)[..2], [2.0, 1.0]);
    assert!(values(&read)[2].is_nan());
    assert_eq!(values(&read)[3..], [0.0, 1.0]);

    let csv = file("own.csv", b"label,size\n1,7\n0,30\n".to_vec());
    let pooled = read_files(vec![coded(), csv], &roles()).unwrap();
    assert_eq!(
        pooled.schema.features[0].categories,
        Some(Categories::Int(vec![-100, 4, 7, 30]))
    );
    assert_eq!(values(&pooled)[5..], [2.0, 3.0]);
}

#[test]
fn formats_are_pooled_and_types_that_differ_are_named() {
    let pooled = ["zstd.parquet", "dictionary.arrow"].map(|name| file(name, bytes(name)));
    let read = read_files(pooled.into(), &roles()).unwrap();
    assert_eq!(read.rows.len(), 800);
    assert_eq!(read.rows[17][14..], read.rows[417][14..]);

    let text = String::from_utf8(bytes("table.csv")).unwrap();
    let header = text.lines().next().unwrap().to_owned();
    let row = text.lines().nth(1).unwrap().to_owned();
    let together = |csv: String| {
        let csv = file("own.csv", csv.into_bytes());
        read_files(
            vec![file("zstd.parquet", bytes("zstd.parquet")), csv],
            &roles(),
        )
    };
    assert_eq!(
        together(format!("{header}\n{row}\n")).unwrap().rows.len(),
        401
    );
    let without = header.replace(",late", ",later");
    let error = together(format!("{without}\n{row}\n"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("`own.csv` differs from `zstd.parquet`: it has no column `late`"),
        "{error}"
    );

    let files = ["delta.arrow", "colors.parquet"].map(|name| file(name, bytes(name)));
    let error = read_files(files.into(), &Roles::default())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("column `color` is whole numbers in it and text there"),
        "{error}"
    );
}

#[test]
fn what_is_not_read_is_said() {
    let error = read("brotli.parquet", &roles()).err().unwrap().to_string();
    assert!(
        error.contains("compressed with Brotli") && error.contains("Zstandard"),
        "{error}"
    );
}

#[test]
fn what_is_written_in_every_format_is_read_back() {
    use xgboost_core::data::write::{CellKind, Cells, OutputFormat, TableWriter};

    let names = ["plain", "with \"quote\"", "with, comma", "größe"].map(str::to_owned);
    let rows = 1_500_000;
    let floats: Vec<f32> = (0..rows * 4)
        .map(|cell| (cell as f32 - 7.0) / 3.0 * 2_f32.powi(cell as i32 % 60 - 30))
        .collect();
    let ints: Vec<u32> = (0..rows as u32 * 4).map(|cell| cell % 7_919).collect();
    for (format, ending) in [
        (OutputFormat::Csv, "csv"),
        (OutputFormat::Parquet, "parquet"),
        (OutputFormat::Arrow, "arrow"),
    ] {
        for kind in [CellKind::Float, CellKind::Int] {
            let mut writer = TableWriter::new(format, Vec::new(), names.to_vec(), kind).unwrap();
            for part in 0..15 {
                let cells = part * rows / 15 * 4..(part + 1) * rows / 15 * 4;
                writer
                    .write(match kind {
                        CellKind::Float => Cells::Floats(&floats[cells]),
                        CellKind::Int => Cells::Ints(&ints[cells]),
                    })
                    .unwrap();
            }
            let written = writer.finish().unwrap();
            if let Some(folder) = std::env::var_os("XGBOOST_WRITTEN") {
                fs::write(
                    PathBuf::from(folder).join(format!("{kind:?}.{ending}")),
                    &written,
                )
                .unwrap();
            }
            let name = format!("written.{ending}");
            let read = read_files(vec![file(&name, written)], &Roles::default()).unwrap();
            let found: Vec<&String> = read
                .schema
                .features
                .iter()
                .map(|feature| &feature.name)
                .collect();
            assert_eq!(found, names.iter().collect::<Vec<_>>());
            let wanted: Vec<f32> = match kind {
                CellKind::Float => floats.clone(),
                CellKind::Int => ints.iter().map(|cell| *cell as f32).collect(),
            };
            assert!(read.rows.concat() == wanted, "{ending} {kind:?}");
        }
    }
}
