//! CSV: RFC 4180, with a header line.
//!
//! Fields are separated by one byte, may be quoted, and end a record with LF or CRLF. A record of
//! another number of fields than the header is an error; empty lines are skipped.

use super::{
    DataError, ReadAt,
    bytes::Window,
    columns::{Column, ColumnInfo, ColumnType, Reader},
    number::{Parsed, is_missing, parse_f32, parse_f64},
};

/// The longest record, in bytes.
const MAX_RECORD: usize = 64 << 20;
/// The most columns.
const MAX_COLUMNS: usize = 1 << 20;

/// A CSV file.
pub struct CsvReader {
    name: String,
    bytes: Box<dyn ReadAt>,
    separator: u8,
    columns: Vec<ColumnInfo>,
    window: Window,
    /// Whether the header is behind.
    started: bool,
    /// Rows read so far.
    row: u64,
}

impl CsvReader {
    /// Reads the header of the file called `name`.
    ///
    /// # Errors
    /// No header, two columns of one name, or bytes that cannot be read.
    pub fn open(name: String, bytes: Box<dyn ReadAt>, separator: u8) -> Result<Self, DataError> {
        let mut reader = Self {
            name,
            bytes,
            separator,
            columns: Vec::new(),
            window: Window::new(),
            started: true,
            row: 0,
        };
        let mut names: Vec<Vec<u8>> = Vec::new();
        let more = reader.record(|_, field| {
            names.push(field.to_vec());
            Ok(())
        })?;
        if !more {
            return Err(DataError::Empty(format!(
                "`{}` is empty: a CSV file starts with a line of column names",
                reader.name
            )));
        }
        if names.len() > MAX_COLUMNS {
            return Err(reader.malformed(format!("more than {MAX_COLUMNS} columns")));
        }
        for name in names {
            let name = String::from_utf8(name)
                .map_err(|_| reader.malformed("the header is not UTF-8".to_owned()))?;
            reader.columns.push(ColumnInfo {
                name: name.trim().to_owned(),
                kind: ColumnType::Untyped,
            });
        }
        Ok(reader)
    }

    fn malformed(&self, reason: String) -> DataError {
        DataError::Malformed {
            file: self.name.clone(),
            format: "CSV",
            reason,
        }
    }

    /// Hands the fields of the next record to `take`; `false` where there is none.
    fn record(
        &mut self,
        mut take: impl FnMut(usize, &[u8]) -> Result<(), DataError>,
    ) -> Result<bool, DataError> {
        loop {
            let ended = self.window.ended();
            match split(self.window.rest(), self.separator, ended, &mut take) {
                Split::Record(length) => {
                    self.window.consume(length);
                    return Ok(true);
                }
                Split::Failed(error) => return Err(error),
                Split::Bad(reason) => {
                    let row = self.row + 1;
                    return Err(self.malformed(format!("row {row}: {reason}")));
                }
                Split::End => return Ok(false),
                Split::More if self.window.rest().len() > MAX_RECORD => {
                    let row = self.row + 1;
                    let mebibytes = MAX_RECORD >> 20;
                    return Err(self.malformed(format!(
                        "row {row} is longer than {mebibytes} MiB: is a quote left open?"
                    )));
                }
                Split::More => {
                    self.window
                        .grow(&*self.bytes)
                        .map_err(|error| DataError::Read {
                            file: self.name.clone(),
                            error,
                        })?;
                }
            }
        }
    }
}

enum Split {
    /// A record of so many bytes, its end included.
    Record(usize),
    /// The record goes on behind what is there.
    More,
    End,
    Bad(&'static str),
    Failed(DataError),
}

/// Takes one record off the front of `text`. It is split only once it is known to be whole, so
/// that no field is handed on twice.
fn split(
    text: &[u8],
    separator: u8,
    ended: bool,
    take: &mut impl FnMut(usize, &[u8]) -> Result<(), DataError>,
) -> Split {
    let mut at = 0;
    if text.starts_with(b"\xef\xbb\xbf") {
        at = 3;
    }
    while let Some(b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    if at == text.len() {
        return if ended { Split::End } else { Split::More };
    }
    let end = match end_of_record(&text[at..]) {
        Some(length) => at + length,
        None if ended => text.len(),
        None => return Split::More,
    };
    let record = &text[at..end];
    match split_record(record, separator, take) {
        Ok(Ok(())) => Split::Record((end + 1).min(text.len())),
        Ok(Err(reason)) => Split::Bad(reason),
        Err(error) => Split::Failed(error),
    }
}

/// Where the line break is that ends the record: the first that is not within quotes.
fn end_of_record(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    let mut quoted = false;
    loop {
        let line = text.get(from..)?.iter().position(|byte| *byte == b'\n')? + from;
        // A quote within quotes is written twice, so it counts for none.
        let quotes = text[from..line]
            .iter()
            .filter(|byte| **byte == b'"')
            .count();
        quoted ^= quotes % 2 == 1;
        if !quoted {
            return Some(line);
        }
        from = line + 1;
    }
}

fn split_record(
    record: &[u8],
    separator: u8,
    take: &mut impl FnMut(usize, &[u8]) -> Result<(), DataError>,
) -> Result<Result<(), &'static str>, DataError> {
    let record = record.strip_suffix(b"\r").unwrap_or(record);
    let mut rest = record;
    let mut column = 0;
    loop {
        if rest.first() == Some(&b'"') {
            let mut value = Vec::new();
            rest = &rest[1..];
            loop {
                let Some(quote) = rest.iter().position(|byte| *byte == b'"') else {
                    return Ok(Err("a quote is left open"));
                };
                value.extend_from_slice(&rest[..quote]);
                rest = &rest[quote + 1..];
                if rest.first() != Some(&b'"') {
                    break;
                }
                value.push(b'"');
                rest = &rest[1..];
            }
            take(column, &value)?;
            match rest.split_first() {
                None => return Ok(Ok(())),
                Some((byte, behind)) if *byte == separator => rest = behind,
                Some(_) => return Ok(Err("something follows a closing quote")),
            }
        } else {
            match rest.iter().position(|byte| *byte == separator) {
                None => {
                    take(column, rest)?;
                    return Ok(Ok(()));
                }
                Some(end) => {
                    take(column, &rest[..end])?;
                    rest = &rest[end + 1..];
                }
            }
        }
        column += 1;
    }
}

impl Reader for CsvReader {
    fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    fn rewind(&mut self) {
        self.window = Window::new();
        self.started = false;
        self.row = 0;
    }

    fn read(
        &mut self,
        most: usize,
        targets: &[Option<usize>],
        out: &mut [Column],
    ) -> Result<usize, DataError> {
        if !self.started {
            self.record(|_, _| Ok(()))?;
            self.started = true;
        }
        let columns = std::mem::take(&mut self.columns);
        let name = self.name.clone();
        let mut rows = 0;
        let result = loop {
            if rows == most {
                break Ok(rows);
            }
            let mut fields = 0;
            let row = self.row + 1;
            let read = self.record(|column, field| {
                fields = column + 1;
                let Some(target) = targets.get(column).copied().flatten() else {
                    return Ok(());
                };
                let refused = |reason| DataError::Value {
                    file: name.clone(),
                    row,
                    column: columns[column].name.clone(),
                    reason,
                };
                push(field, &mut out[target]).map_err(refused)
            });
            match read {
                Ok(true) if fields == columns.len() => {
                    self.row = row;
                    rows += 1;
                }
                Ok(true) => {
                    let header = columns.len();
                    break Err(self.malformed(format!(
                        "row {row} has {fields} fields, the header {header}"
                    )));
                }
                Ok(false) => break Ok(rows),
                Err(error) => break Err(error),
            }
        };
        self.columns = columns;
        result
    }
}

/// Appends a field to its column.
fn push(field: &[u8], out: &mut Column) -> Result<(), String> {
    match out {
        Column::Number(values) => match parse_f32(field) {
            Parsed::Number(value) => values.push(value),
            Parsed::Missing => values.push(f32::NAN),
            Parsed::Text => return Err(no_number(field)),
        },
        Column::Exact(values) => match parse_f64(field) {
            Parsed::Number(value) => values.push(value),
            Parsed::Missing => values.push(f64::NAN),
            Parsed::Text => return Err(no_number(field)),
        },
        Column::Text(..) if is_missing(field) => out.push_missing(),
        Column::Text(ids, names) => {
            let text =
                std::str::from_utf8(field).map_err(|_| "the text is not UTF-8".to_owned())?;
            ids.push(names.id(text));
        }
    }
    Ok(())
}

/// What is said of text where a number was expected.
fn no_number(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let shown: String = text.chars().take(40).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!(
        "expected a number, found {shown:?}{more}; a column of text is a feature if \
         --categorical names it"
    )
}
