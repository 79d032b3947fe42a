use super::*;

const COMMAS: Dialect<'_> = Dialect {
    delimiter: b',',
    null: None,
    rows: None,
};

/// Gives a byte at a time, so that every boundary falls between two blocks.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.0.len().min(buffer.len()).min(1);
        buffer[..length].copy_from_slice(&self.0[..length]);
        self.0 = &self.0[length..];
        Ok(length)
    }
}

fn read(text: impl AsRef<[u8]>) -> Result<Scanned, CsvError> {
    let fast = Scanned::read(text.as_ref(), COMMAS);
    let slow = Scanned::read(Slow(text.as_ref()), COMMAS);
    assert_eq!(fast, slow, "{:?}", String::from_utf8_lossy(text.as_ref()));
    fast
}

fn types(text: &str) -> Vec<Type> {
    read(text)
        .unwrap()
        .columns
        .iter()
        .map(Seen::common)
        .collect()
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, line: u64, said: &str) {
    let error = read(text).unwrap_err();
    assert_eq!(error.line, line, "{error}");
    assert!(error.to_string().contains(said), "{error}");
}

#[test]
fn every_row_takes_part_in_a_columns_type() {
    let late = format!("id,note,n\n{}7,word,0.5\n", "1,,2\n".repeat(20_000));
    assert_eq!(types(&late), [Type::Integer, Type::Text, Type::Float]);
    assert_eq!(types("a,b\n"), [Type::Null, Type::Null]);
    assert_eq!(types("a,b\n1,\n"), [Type::Integer, Type::Null]);
}

#[test]
fn quotes_line_breaks_and_line_ends_are_read_as_the_engine_does() {
    for text in [
        "a,b\n\"x\ny\",1\nz,2\n",
        "a,b\r\n\"x\r\ny\",1\r\nz,2",
        "\u{feff}a,b\n\n\"x,\"\"\",1\n\nz,2\n\n",
    ] {
        let scanned = read(text).unwrap();
        assert_eq!(scanned.names, ["a", "b"], "{text:?}");
        assert_eq!(types(text), [Type::Text, Type::Integer], "{text:?}");
    }
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    refused("a,b\n\"x\ny\",1\nz\n", 4, "found 1: z");
    refused("a,b\r\n\"x\r\ny\",1\r\n\r\nz,1,2\r\n", 5, "found 3: z,1,2");
    refused("a,b\n1,2\n3,4,\n", 3, "expected 2 fields");
    refused("a,b\n1,2\n3", 3, "--delimiter");
}

#[test]
fn a_header_names_every_column_once() {
    refused("a,,c\n1,2,3\n", 1, "column 2 of the header has no name");
    refused("a,b,\n1,2,\n", 1, "column 3 of the header has no name");
    refused("\na, ,c\n", 2, "column 2 of the header has no name");
    refused(
        "a,b,a\n1,2,3\n",
        1,
        "columns 1 and 3 of the header are both called \"a\"",
    );
    refused("", 1, "nothing");
    refused("\n\r\n", 1, "nothing");
    assert_eq!(read("a,A, a\n").unwrap().names, ["a", "A", " a"]);
}

#[test]
fn text_of_another_encoding_is_named_where_it_stands() {
    refused(b"a,b\n1,x\n2,caf\xe9\n", 3, "column \"b\": byte 0xe9");
    refused(b"a,caf\xe9\n1,x\n", 1, "Latin-1");
    // The two halves of a character on both sides of a delimiter.
    refused(b"a,b\n\xc3,\xa9\n", 2, "column \"a\": byte 0xc3");
    assert!(read("a,b\nö,名\n").is_ok());
}

#[test]
fn a_quote_left_open_is_no_value() {
    refused("a,b\n1,\"x\n2,y\n3,z\n", 2, "not closed");
    refused("a,b\n1,\"", 2, "not closed");
    assert!(read("a,b\n1,\"x\"").is_ok());
    assert!(read("a,b\n1,x\"y").is_ok());
}

#[test]
fn an_empty_line_of_one_column_is_not_passed_over() {
    refused("a\n1\n\n2\n", 3, "empty line");
    refused("a\r\n1\r\n\r\n2\r\n", 3, "empty line");
    assert!(read("a\n1\n\"\"\n2\n\n\n").is_ok());
    assert!(read("a,b\n1,2\n\n3,4\n").is_ok());
}

#[test]
fn a_word_for_null_has_no_type() {
    let dialect = Dialect {
        null: Some("NA"),
        ..COMMAS
    };
    let scanned = Scanned::read(&b"a\n1\nNA\n"[..], dialect).unwrap();
    assert_eq!(scanned.columns[0].common(), Type::Integer);
}

#[test]
fn a_value_past_the_rows_that_types_are_told_from_is_checked() {
    let text = "a,b\n1,\n2,\nx,y\n";
    let dialect = Dialect {
        rows: Some(2),
        ..COMMAS
    };
    let scanned = Scanned::read(text.as_bytes(), dialect).unwrap();
    assert!(!scanned.whole);
    let folder = Folder::new(&[("t", scanned.clone())]).unwrap();
    assert_eq!(folder.type_of("a"), Some(Type::Integer));
    // It may have values yet.
    assert_eq!(folder.type_of("b"), Some(Type::Text));
    let of = |name: &str| folder.type_of(name);
    let error = scanned.check(text.as_bytes(), dialect, of).unwrap_err();
    assert_eq!(error.line, 4);
    for said in ["\"a\"", "an integer", "\"x\"", "--infer-rows", "--null"] {
        assert!(error.to_string().contains(said), "{error}");
    }
}

fn folder(files: &[(&str, &str)]) -> Result<Folder, FolderError> {
    let scanned: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, read(text).unwrap()))
        .collect();
    Folder::new(&scanned)
}

#[test]
fn files_come_together_by_their_columns_names() {
    let folder = folder(&[
        ("a", "id,qty\n1,2\n"),
        ("b", "price,qty,id\n2.5,x,3\n"),
        ("c", "id,qty\n,\n"),
        ("d", "qty,id\n"),
    ])
    .unwrap();
    let column = |name: &str, common| (name.to_owned(), common);
    assert_eq!(
        folder.columns,
        [
            column("id", Type::Integer),
            column("qty", Type::Text),
            column("price", Type::Float),
        ]
    );
    let files: Vec<_> = folder
        .groups
        .iter()
        .map(|group| group.files.as_slice())
        .collect();
    assert_eq!(files, [&[0, 2][..], &[1], &[3]]);
}

#[test]
fn files_that_each_lack_a_column_of_the_other_are_refused() {
    for (a, b, of_a, of_b) in [
        ("id,qty\n1,2\n", "id,quantity\n1,2\n", "qty", "quantity"),
        ("id,qty\n1,2\n", "1,2\n3,4\n", "id", "1"),
        ("a,b,c\n", "a,d\n", "b", "d"),
    ] {
        let error = folder(&[("one.csv", a), ("two.csv", b)]).unwrap_err();
        let error = error.to_string();
        for said in ["one.csv", "two.csv", of_a, of_b] {
            assert!(error.contains(&format!("{said:?}")), "{said}: {error}");
        }
    }
}
