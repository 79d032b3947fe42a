//! Small files that would become large in memory are refused, and say why.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod flat;
mod thrift;

use flat::{Flat, Slot};
use thrift::{Structure, varint};
use xgboost_core::{
    data::{Expect, File, Format, Roles, Source as _, Table, table::Share},
    model::Model,
};

/// What is wrong with a file of that format, or how many rows it has.
fn read(format: Format, bytes: Vec<u8>, roles: &Roles) -> Result<usize, String> {
    let file = File {
        name: "bomb".to_owned(),
        input: "bomb".to_owned(),
        format,
        bytes: Box::new(bytes),
    };
    let mut table = Table::open(vec![file], roles, Expect::Any, Share::ALL)
        .map_err(|error| error.to_string())?;
    let mut rows = 0;
    while let Some(batch) = table.next_batch().map_err(|error| error.to_string())? {
        rows += batch.rows;
    }
    Ok(rows)
}

fn refused(format: Format, bytes: Vec<u8>, reason: &str) {
    let error = read(format, bytes, &label()).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

fn label() -> Roles {
    Roles {
        label: Some("y".to_owned()),
        ..Roles::default()
    }
}

/// A message of a stream, its body behind it.
fn message(flat: Flat, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::MAX.to_le_bytes().to_vec();
    bytes.extend((flat.0.len() as u32).to_le_bytes());
    bytes.extend(flat.0);
    bytes.extend(body);
    bytes
}

/// A message's root; gives the place of the reference to its header.
fn root(flat: &mut Flat, kind: u8, body: usize) -> usize {
    let body = Slot::Long(body as i64);
    let (message, places) = flat.table(&[Slot::None, Slot::Byte(kind), Slot::Reference, body]);
    flat.refer(0, message);
    places[2]
}

/// A field's table: its place, and those of the references to name, type and children.
fn field(flat: &mut Flat, kind: u8) -> (usize, [usize; 3]) {
    let (at, places) = flat.table(&[
        Slot::Reference,
        Slot::None,
        Slot::Byte(kind),
        Slot::Reference,
        Slot::None,
        Slot::Reference,
    ]);
    (at, [places[0], places[3], places[5]])
}

/// Fields within fields, each with `width` references to the next, `depth` levels of them.
fn nested(depth: usize, width: usize) -> Vec<u8> {
    const STRUCTURE: u8 = 13;
    let mut flat = Flat::new();
    let header = root(&mut flat, 1, 0);
    let (schema, places) = flat.table(&[Slot::None, Slot::Reference]);
    flat.refer(header, schema);
    let mut owner = places[1];
    let mut open = Vec::new();
    for level in 0..depth {
        let (children, references) = flat.references(if level == 0 { 1 } else { width });
        flat.refer(owner, children);
        let (at, [name, kind, within]) = field(&mut flat, STRUCTURE);
        for reference in references {
            flat.refer(reference, at);
        }
        open.extend([name, kind]);
        owner = within;
    }
    let (end, _) = flat.references(0);
    flat.refer(owner, end);
    let (nothing, _) = flat.table(&[]);
    for (index, place) in open.into_iter().enumerate() {
        flat.refer(place, if index % 2 == 0 { end } else { nothing });
    }
    message(flat, &[])
}

/// A schema of one column, called y.
fn schema(kind: u8) -> Vec<u8> {
    let mut flat = Flat::new();
    let header = root(&mut flat, 1, 0);
    let (schema, places) = flat.table(&[Slot::None, Slot::Reference]);
    flat.refer(header, schema);
    let (fields, references) = flat.references(1);
    flat.refer(places[1], fields);
    let (at, [name, inner, children]) = field(&mut flat, kind);
    flat.refer(references[0], at);
    let text = flat.vector(1);
    flat.0.push(b'y');
    flat.refer(name, text);
    let (end, _) = flat.references(0);
    flat.refer(children, end);
    let (nothing, _) = flat.table(&[]);
    flat.refer(inner, nothing);
    message(flat, &[])
}

/// A batch of `rows` rows, of which buffers are given by their places in `body`.
fn batch(rows: i64, missing: i64, buffers: &[(i64, i64)], body: &[u8]) -> Vec<u8> {
    let mut flat = Flat::new();
    let header = root(&mut flat, 3, body.len());
    let (batch, places) = flat.table(&[Slot::Long(rows), Slot::Reference, Slot::Reference]);
    flat.refer(header, batch);
    let nodes = flat.vector(1);
    flat.0
        .extend([rows.to_le_bytes(), missing.to_le_bytes()].concat());
    flat.refer(places[1], nodes);
    let vector = flat.vector(buffers.len());
    for (start, length) in buffers {
        flat.0
            .extend([start.to_le_bytes(), length.to_le_bytes()].concat());
    }
    flat.refer(places[2], vector);
    message(flat, body)
}

#[test]
fn columns_that_an_arrow_schema_refers_to_again_and_again_are_refused() {
    for (depth, width) in [(30, 2), (10, 8), (3, 4_000)] {
        let bytes = nested(depth, width);
        assert!(bytes.len() < 70_000);
        refused(Format::Arrow, bytes, "the same columns again and again");
    }
    refused(Format::Arrow, nested(40, 1), "deeper");
    // Each once is a schema.
    refused(Format::Arrow, nested(30, 1), "a column without a name");
}

#[test]
fn rows_of_no_bytes_are_refused_where_they_are_too_many() {
    const NULL: u8 = 1;
    let file = |rows: i64| [schema(NULL), batch(rows, rows, &[], &[])].concat();
    refused(Format::Arrow, file(1 << 50), "rows; of a file of");
    // These are read, and are then no labels.
    refused(Format::Arrow, file(1000), "missing");
    let twice = [file(4_000_000), batch(4_000_000, 0, &[], &[])].concat();
    refused(Format::Arrow, twice, "it claims 8000000 rows");
}

#[test]
fn texts_that_overlap_are_refused() {
    const TEXT: u8 = 5;
    let roles = Roles::default();
    let file = |offsets: &[i32]| {
        let mut body: Vec<u8> = offsets
            .iter()
            .flat_map(|offset| offset.to_le_bytes())
            .collect();
        let places = [(0, 0), (0, body.len() as i64), (body.len() as i64, 8)];
        body.extend(b"abcdefgh");
        let rows = offsets.len() as i64 - 1;
        [schema(TEXT), batch(rows, 0, &places, &body)].concat()
    };
    assert_eq!(read(Format::Arrow, file(&[0, 3, 3, 8]), &roles), Ok(3));
    let error = read(Format::Arrow, file(&[0, 8, 1, 8]), &roles).unwrap_err();
    assert!(error.contains("shorter than its rows"), "{error}");
}

#[test]
fn buffers_that_overlap_are_refused() {
    const INT: u8 = 10;
    let body = [0; 16];
    let file = |places| [schema(INT), batch(2, 0, places, &body)].concat();
    assert_eq!(
        read(Format::Arrow, file(&[(0, 0), (0, 16)]), &Roles::default()),
        Ok(2)
    );
    let error = read(Format::Arrow, file(&[(0, 8), (0, 16)]), &Roles::default()).unwrap_err();
    assert!(error.contains("Arrow"), "{error}");
}

/// A column in the schema of a footer, y.
fn element(kind: i64) -> Vec<u8> {
    Structure::default()
        .int32(1, kind)
        .int32(3, 0)
        .text(4, "y")
        .end()
}

/// A chunk whose pages are at `start`.
fn chunk(start: usize, length: usize) -> Vec<u8> {
    let metadata = Structure::default()
        .int32(4, 0)
        .int64(7, length as i64)
        .int64(9, start as i64);
    Structure::default().int64(2, 0).inner(3, metadata).end()
}

fn group(rows: i64, chunks: &[Vec<u8>]) -> Vec<u8> {
    Structure::default().list(1, chunks).int64(3, rows).end()
}

/// A Parquet file of some pages and what the footer says of them.
fn parquet(pages: &[u8], elements: &[Vec<u8>], groups: &[Vec<u8>]) -> Vec<u8> {
    let footer = Structure::default().list(2, elements).list(4, groups).end();
    let length = (footer.len() as u32).to_le_bytes();
    [b"PAR1", pages, &footer, &length, b"PAR1"].concat()
}

/// The same of one column, called y.
fn one_column(kind: i64, rows: i64, page: &[u8]) -> Vec<u8> {
    let root = Structure::default().text(4, "r").int32(5, 1).end();
    let groups = [group(rows, &[chunk(4, page.len())])];
    parquet(page, &[root, element(kind)], &groups)
}

/// A data page of version 1.
fn page(values: i64, encoding: i64, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as i64;
    let header = Structure::default()
        .int32(1, 0)
        .int32(2, length)
        .int32(3, length)
        .inner(5, Structure::default().int32(1, values).int32(2, encoding));
    [header.end(), bytes.to_vec()].concat()
}

const FLOAT: i64 = 4;
const INT64: i64 = 2;

#[test]
fn a_parquet_footer_that_claims_too_many_rows_is_refused() {
    let honest = page(2, 0, &[0; 8]);
    refused(
        Format::Parquet,
        one_column(FLOAT, 1 << 40, &honest),
        "rows; of a file of",
    );
    refused(
        Format::Parquet,
        one_column(FLOAT, 2, &honest),
        "no features",
    );
    refused(Format::Parquet, one_column(FLOAT, 3, &honest), "fewer rows");
}

#[test]
fn a_parquet_footer_of_structures_without_fields_is_refused() {
    let nothing = vec![vec![0]; 2 << 20];
    let root = Structure::default().text(4, "r").int32(5, 0).end();
    refused(Format::Parquet, parquet(&[], &nothing, &[]), "no metadata");
    let elements = std::slice::from_ref(&root);
    refused(
        Format::Parquet,
        parquet(&[], elements, &nothing),
        "no metadata",
    );
    let groups = [group(0, &nothing)];
    refused(
        Format::Parquet,
        parquet(&[], elements, &groups),
        "no metadata",
    );
    let columns = vec![element(FLOAT); 1 + (1 << 20)];
    refused(
        Format::Parquet,
        parquet(&[], &columns, &[]),
        "more than 2^20 columns",
    );
}

#[test]
fn chunks_that_overlap_are_refused() {
    let page = page(2, 0, &[0; 8]);
    let root = Structure::default().text(4, "r").int32(5, 50).end();
    let elements = [vec![root], vec![element(FLOAT); 50]].concat();
    let chunks = vec![chunk(4, 4000); 50];
    let pages = page.repeat(200);
    refused(
        Format::Parquet,
        parquet(&pages, &elements, &[group(2, &chunks)]),
        "overlap",
    );
}

#[test]
fn differences_of_no_bits_are_refused_where_they_are_too_many() {
    let differences = |total: u64| {
        // Blocks of 2^24 differences, all 0.
        let mut bytes = Vec::new();
        for number in [1 << 24, 1, total, 0] {
            varint(&mut bytes, number);
        }
        bytes.extend([0; 2].repeat(300));
        page(total as i64, 5, &bytes)
    };
    let file = one_column(INT64, 4, &differences(4));
    refused(Format::Parquet, file, "no features");
    let file = one_column(INT64, 4, &differences(i32::MAX as u64));
    refused(Format::Parquet, file, "more rows than the row group");
}

#[test]
fn a_header_line_of_separators_is_refused() {
    let bytes = b",".repeat(4 << 20);
    refused(Format::Csv { separator: b',' }, bytes, "columns");
}

#[test]
fn a_quote_behind_many_fields_is_not_looked_for_before_each() {
    let bytes = [&b"y,z\n1,"[..], &b",".repeat(4 << 20), b"\"\"\n"].concat();
    refused(
        Format::Csv { separator: b',' },
        bytes,
        "row 1 has 4194306 fields",
    );
}

#[test]
fn a_line_of_the_same_feature_is_refused_before_it_is_sorted() {
    let bytes = [&b"1"[..], &b" 1".repeat(3 << 20)].concat();
    let error = read(Format::LibSvm, bytes, &Roles::default()).unwrap_err();
    assert!(error.contains("given twice"), "{error}");
}

#[test]
fn a_model_of_more_features_than_a_table_may_have_is_refused() {
    let text = |features: u32| {
        format!(
            "{{\"learner\":{{\"gradient_booster\":{{\"name\":\"gbtree\",\"model\":{{\"trees\":[],\
             \"tree_info\":[]}}}},\"learner_model_param\":{{\"base_score\":\"0\",\
             \"num_feature\":\"{features}\"}},\"objective\":{{\"name\":\"reg:squarederror\"}}}}}}"
        )
    };
    assert!(Model::parse(text(3).as_bytes()).is_ok());
    for features in [(1 << 21) + 1, u32::MAX] {
        let error = Model::parse(text(features).as_bytes()).err().unwrap();
        assert!(error.to_string().contains("num_feature"), "{error}");
    }
}
