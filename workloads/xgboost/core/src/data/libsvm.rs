//! LibSVM text: one row a line, `label[:weight] [qid:N] index[:value] …`, `#` starts a comment.
//!
//! Indices count from 0, as XGBoost's own file reader takes them. A value left out is 1. An index
//! may stand anywhere in its line, but once.

use super::{
    DataError, ReadAt,
    bytes::Window,
    number::{Parsed, parse_f32},
};

/// The longest line, in bytes.
const MAX_LINE: usize = 64 << 20;
/// The most features; one line could otherwise ask for four milliards.
pub const MAX_FEATURES: u32 = 1 << 21;

/// One row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What is to be predicted.
    pub label: f32,
    /// How much the row counts, where the line says.
    pub weight: Option<f32>,
    /// The query it belongs to, where the line says.
    pub query: Option<u64>,
    /// Its features that are not missing, ascending.
    pub entries: Vec<(u32, f32)>,
}

/// A LibSVM file.
pub struct LibSvmReader {
    name: String,
    bytes: Box<dyn ReadAt>,
    window: Window,
    /// Rows read so far.
    row: u64,
}

impl LibSvmReader {
    /// The file called `name`, which is looked at when it is read.
    pub fn new(name: String, bytes: Box<dyn ReadAt>) -> Self {
        Self {
            name,
            bytes,
            window: Window::new(),
            row: 0,
        }
    }

    /// Goes back to the first row.
    pub fn rewind(&mut self) {
        self.window = Window::new();
        self.row = 0;
    }

    /// Puts the next row into `row`; `false` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or the line is none.
    pub fn read(&mut self, row: &mut Row) -> Result<bool, DataError> {
        loop {
            let rest = self.window.rest();
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (line, length) = match end {
                Some(end) => (&rest[..end], end + 1),
                None if self.window.ended() && rest.is_empty() => return Ok(false),
                None if self.window.ended() => (rest, rest.len()),
                None if rest.len() > MAX_LINE => {
                    let reason = format!("a line longer than {} MiB", MAX_LINE >> 20);
                    return Err(self.malformed(&reason));
                }
                None => {
                    self.window
                        .grow(&*self.bytes)
                        .map_err(|error| DataError::Read {
                            file: self.name.clone(),
                            error,
                        })?;
                    continue;
                }
            };
            let parsed = parse_line(line, row);
            self.window.consume(length);
            match parsed {
                Ok(false) => {}
                Ok(true) => {
                    self.row += 1;
                    return Ok(true);
                }
                Err(reason) => return Err(self.malformed(&reason)),
            }
        }
    }

    fn malformed(&self, reason: &str) -> DataError {
        DataError::Malformed {
            file: self.name.clone(),
            format: "LibSVM",
            reason: format!("row {}: {reason}", self.row + 1),
        }
    }
}

/// Whether a text that starts so looks like LibSVM: a number, then pairs.
pub(crate) fn looks_like(start: &[u8]) -> bool {
    let mut row = Row::default();
    for line in start.split(|byte| matches!(byte, b'\n' | b'\r')) {
        match parse_line(line, &mut row) {
            Ok(false) => {}
            Ok(true) => return !line.contains(&b',') && line.contains(&b':'),
            Err(_) => return false,
        }
    }
    false
}

/// Takes one line apart; `false` where there is nothing in it.
fn parse_line(line: &[u8], row: &mut Row) -> Result<bool, String> {
    let comment = line.iter().position(|byte| *byte == b'#');
    let line = &line[..comment.unwrap_or(line.len())];
    let mut words = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
        .peekable();
    let Some(first) = words.next() else {
        return Ok(false);
    };
    let (label, weight) = pair(first);
    row.label = number(label, "a label")?;
    row.weight = weight.map(|text| number(text, "a weight")).transpose()?;
    let query = words.next_if(|word| word.starts_with(b"qid:"));
    row.query = query
        .map(|word| whole(&word[4..]).ok_or_else(|| unexpected("a whole number after qid:", word)))
        .transpose()?;
    row.entries.clear();
    let mut ascending = true;
    for word in words {
        let (index, value) = pair(word);
        let index =
            whole(index).ok_or_else(|| unexpected("INDEX:VALUE with an index from 0", word))?;
        let index = u32::try_from(index)
            .ok()
            .filter(|index| *index < MAX_FEATURES)
            .ok_or_else(|| {
                format!(
                    "feature {index} is past the last possible, {}",
                    MAX_FEATURES - 1
                )
            })?;
        let value = match value.map_or(Parsed::Number(1.0), parse_f32) {
            Parsed::Number(value) => value,
            Parsed::Missing => continue,
            Parsed::Text => return Err(unexpected("a number as value", word)),
        };
        if let Some((last, _)) = row.entries.last() {
            ascending &= *last < index;
        }
        if row.entries.len() == MAX_FEATURES as usize {
            return Err(format!(
                "more than {MAX_FEATURES} features, so one is given twice"
            ));
        }
        row.entries.push((index, value));
    }
    if !ascending {
        row.entries.sort_by_key(|(index, _)| *index);
        if let Some(two) = row.entries.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(format!("feature {} is given twice", two[0].0));
        }
    }
    Ok(true)
}

fn pair(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|byte| *byte == b':') {
        Some(at) => (&word[..at], Some(&word[at + 1..])),
        None => (word, None),
    }
}

fn number(text: &[u8], what: &str) -> Result<f32, String> {
    match parse_f32(text) {
        Parsed::Number(value) => Ok(value),
        Parsed::Missing => Ok(f32::NAN),
        Parsed::Text => Err(unexpected(what, text)),
    }
}

fn whole(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unexpected(expected: &str, found: &[u8]) -> String {
    let found = String::from_utf8_lossy(found);
    let found: String = found.chars().take(40).collect();
    format!("expected {expected}, found {found:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<Row>, String> {
        let mut reader = LibSvmReader::new("t".to_owned(), Box::new(text.as_bytes().to_vec()));
        let mut rows = Vec::new();
        let mut row = Row::default();
        while reader.read(&mut row).map_err(|error| error.to_string())? {
            rows.push(row.clone());
        }
        Ok(rows)
    }

    #[test]
    fn lines_are_rows_with_weight_query_and_features_from_0() {
        let rows =
            rows("1:0.5 qid:7 0:1.5 3:-2 # 9:9\r\n\n# nothing\n-1 2 1:NaN 5:3e2\n0").unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!(
            (rows[0].label, rows[0].weight, rows[0].query),
            (1.0, Some(0.5), Some(7))
        );
        assert_eq!(rows[0].entries, [(0, 1.5), (3, -2.0)]);
        assert_eq!(rows[1].entries, [(2, 1.0), (5, 300.0)]);
        assert!(rows[2].entries.is_empty() && rows[2].query.is_none());
    }

    #[test]
    fn features_out_of_order_are_sorted_and_twice_is_refused() {
        assert_eq!(rows("1 4:4 2:2").unwrap()[0].entries, [(2, 2.0), (4, 4.0)]);
        assert!(
            rows("1 4:4 2:2 4:1")
                .unwrap_err()
                .contains("row 1: feature 4 is given twice")
        );
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_row() {
        for (text, said) in [
            ("1 0:1\nx 0:1", "row 2: expected a label, found \"x\""),
            ("1 a:1", "expected INDEX:VALUE"),
            ("1 0:x", "expected a number"),
            ("1 qid:x 0:1", "whole number after qid"),
            ("1 -1:1", "expected INDEX:VALUE"),
            ("1 4294967295:1", "past the last possible"),
        ] {
            let error = rows(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn libsvm_is_told_from_csv() {
        assert!(looks_like(b"# comment\n1 3:1 10:1\n"));
        assert!(looks_like(b"0.5:2 qid:1 3:1"));
        for csv in ["a,b\n1,2", "1,2\n3,4", "time 10:30,b\n", "a\n1", ""] {
            assert!(!looks_like(csv.as_bytes()), "{csv}");
        }
    }
}
