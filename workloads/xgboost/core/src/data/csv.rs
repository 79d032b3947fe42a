//! CSV: RFC 4180, with a header line.
//!
//! Fields are separated by one byte, may be quoted, and end a record with LF or CRLF. A record of
//! another number of fields than the header is an error; empty lines are skipped.

use std::{borrow::Cow, ops::Range};

use super::{
    DataError, ReadAt,
    bytes::Window,
    columns::{Column, ColumnInfo, ColumnType, Reader},
    limits::MAX_COLUMNS,
    number::{Parsed, is_missing, parse_f32, parse_f64, short_f32},
};

/// The longest record, in bytes.
const MAX_RECORD: usize = 64 << 20;

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
        let Some(names) = reader.header()? else {
            return Err(DataError::Empty(format!(
                "`{}` is empty: a CSV file starts with a line of column names",
                reader.name
            )));
        };
        for name in names {
            let name = String::from_utf8(name)
                .map_err(|_| reader.malformed("the header is not UTF-8".to_owned()))?;
            reader.columns.push(ColumnInfo {
                name: name.trim().to_owned(),
                kind: ColumnType::Untyped,
            });
        }
        // A folder may have thousands of files; none holds a block before its turn.
        reader.rewind();
        Ok(reader)
    }

    fn malformed(&self, reason: String) -> DataError {
        DataError::Malformed {
            file: self.name.clone(),
            format: "CSV",
            reason,
        }
    }

    /// Where the next record is in the window, and how long it is with its end; `None` where there
    /// is none.
    fn record(&mut self) -> Result<Option<(Range<usize>, usize)>, DataError> {
        loop {
            match next_record(self.window.rest(), self.window.ended()) {
                Next::Record(place, length) => return Ok(Some((place, length))),
                Next::End => return Ok(None),
                Next::More if self.window.rest().len() > MAX_RECORD => {
                    let row = self.row + 1;
                    let mebibytes = MAX_RECORD >> 20;
                    return Err(self.malformed(format!(
                        "row {row} is longer than {mebibytes} MiB: is a quote left open?"
                    )));
                }
                Next::More => {
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

    /// Reads the header.
    fn header(&mut self) -> Result<Option<Vec<Vec<u8>>>, DataError> {
        let Some((place, length)) = self.record()? else {
            return Ok(None);
        };
        let mut names = Vec::new();
        let mut rest = &self.window.rest()[place];
        loop {
            let (name, behind) = take_field(rest, self.separator)
                .map_err(|reason| self.malformed(format!("the header: {reason}")))?;
            names.push(name.into_owned());
            if names.len() > MAX_COLUMNS {
                return Err(self.malformed(format!("more than {MAX_COLUMNS} columns")));
            }
            match behind {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        self.window.consume(length);
        Ok(Some(names))
    }
}

enum Next {
    /// A record without its end, and how much there is up to the next one.
    Record(Range<usize>, usize),
    /// The record goes on behind what is there.
    More,
    End,
}

/// Finds the record at the front of `text`: it ends with the first line break that is not within
/// quotes.
fn next_record(text: &[u8], ended: bool) -> Next {
    let mut start = 0;
    if text.starts_with(b"\xef\xbb\xbf") {
        start = 3;
    }
    while let Some(b'\n' | b'\r') = text.get(start) {
        start += 1;
    }
    if start == text.len() {
        return if ended { Next::End } else { Next::More };
    }
    let mut quoted = false;
    for at in memchr::memchr2_iter(b'\n', b'"', &text[start..]) {
        match text[start + at] {
            // A quote within quotes is written twice, so it counts for none.
            b'"' => quoted = !quoted,
            _ if quoted => {}
            _ => {
                let end = start + at;
                let carriage = usize::from(end > start && text[end - 1] == b'\r');
                return Next::Record(start..end - carriage, end + 1);
            }
        }
    }
    match ended {
        true => Next::Record(start..text.len(), text.len()),
        false => Next::More,
    }
}

/// A field, and the record behind it where it goes on.
type Taken<'a> = (Cow<'a, [u8]>, Option<&'a [u8]>);

/// Takes a field off the front of what is left of a record.
fn take_field(record: &[u8], separator: u8) -> Result<Taken<'_>, &'static str> {
    let Some(mut rest) = record.strip_prefix(b"\"") else {
        return Ok(match memchr::memchr(separator, record) {
            None => (record.into(), None),
            Some(end) => (record[..end].into(), Some(&record[end + 1..])),
        });
    };
    let mut value = Vec::new();
    loop {
        let quote = memchr::memchr(b'"', rest).ok_or("a quote is left open")?;
        value.extend_from_slice(&rest[..quote]);
        rest = &rest[quote + 1..];
        match rest.strip_prefix(b"\"") {
            Some(behind) => rest = behind,
            None => break,
        }
        value.push(b'"');
    }
    match rest.split_first() {
        None => Ok((value.into(), None)),
        Some((byte, behind)) if *byte == separator => Ok((value.into(), Some(behind))),
        Some(_) => Err("something follows a closing quote"),
    }
}

/// Why a row cannot be used.
enum Bad {
    /// It is no record.
    Record(&'static str),
    /// Its column so and so is not what it should be.
    Value(usize, String),
}

/// Appends the fields of a record to their columns, and says how many there are.
fn take_record(
    record: &[u8],
    separator: u8,
    targets: &[Option<usize>],
    last: usize,
    out: &mut [Column],
) -> Result<usize, Bad> {
    let mut rest = record;
    let mut column = 0;
    loop {
        let target = targets.get(column).copied().flatten();
        if let Some(Column::Number(values)) = target.map(|target| &mut out[target])
            && let Some((value, length)) = short_f32(rest)
            && rest.get(length).is_none_or(|byte| *byte == separator)
        {
            values.push(value);
            column += 1;
            match rest.get(length + 1..) {
                Some(behind) => rest = behind,
                None => return Ok(column),
            }
            continue;
        }
        if column == last + 1 && memchr::memchr(b'"', rest).is_none() {
            // Nobody wants what is left, so it is only counted. Looked for once, not before every
            // field that is left.
            let more = rest.iter().filter(|byte| **byte == separator).count();
            return Ok(column + 1 + more);
        }
        let (field, behind) = take_field(rest, separator).map_err(Bad::Record)?;
        if let Some(target) = target {
            push(&field, &mut out[target]).map_err(|reason| Bad::Value(column, reason))?;
        }
        column += 1;
        match behind {
            Some(behind) => rest = behind,
            None => return Ok(column),
        }
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
            self.header()?;
            self.started = true;
        }
        // Where nothing is wanted, all is behind the last.
        let last = targets.iter().rposition(Option::is_some);
        let mut rows = 0;
        while rows < most {
            let Some((place, length)) = self.record()? else {
                break;
            };
            let record = &self.window.rest()[place];
            let (separator, columns, row) = (self.separator, self.columns.len(), self.row + 1);
            let fields = match last {
                Some(last) => take_record(record, separator, targets, last, out),
                None => take_record(record, separator, &[], 0, out),
            };
            match fields {
                Ok(fields) if fields == columns => {}
                Ok(fields) => {
                    return Err(self.malformed(format!(
                        "row {row} has {fields} fields, the header {columns}"
                    )));
                }
                Err(Bad::Record(reason)) => {
                    return Err(self.malformed(format!("row {row}: {reason}")));
                }
                Err(Bad::Value(column, reason)) => {
                    return Err(DataError::Value {
                        file: self.name.clone(),
                        row,
                        column: self.columns[column].name.clone(),
                        reason,
                    });
                }
            }
            self.window.consume(length);
            self.row = row;
            rows += 1;
        }
        Ok(rows)
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
