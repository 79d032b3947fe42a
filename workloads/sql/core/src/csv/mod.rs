//! A CSV looked at once from start to end, before a query reads it: whether every row has the
//! header's fields and every field is text, and which types the columns have.
//!
//! Rows are told apart as the engine's reader does, by `csv-core`, so that what is found here is
//! what the query sees. The engine reads by position and tells types from the first rows only;
//! [`Folder`] brings files together by their columns' names, with types that hold every row.

mod error;
mod folder;
mod types;

use std::{collections::BTreeMap, io::Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

pub use self::{
    error::{CsvError, Fault, FolderError},
    folder::{Folder, Group},
    types::{Seen, Type},
};

/// How much is read at once.
const BLOCK: usize = 256 * 1024;
/// The longest row. A quote that is never closed makes one row of all that follows.
const LONGEST: usize = 64 << 20;
/// The most fields of a row.
const WIDEST: usize = 1 << 20;
/// How much of a row an error shows, in characters.
const SHOWN: usize = 80;

/// How a CSV is read.
#[derive(Debug, Clone, Copy)]
pub struct Dialect<'a> {
    /// Between two fields.
    pub delimiter: u8,
    /// What stands for NULL beside an empty field.
    pub null: Option<&'a str>,
    /// How many rows types are told from; all where there is no number.
    pub rows: Option<u64>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The header's names in order.
    pub names: Vec<String>,
    /// What was seen of each column's values.
    pub columns: Vec<Seen>,
    /// Whether every row took part in that.
    pub whole: bool,
}

impl Scanned {
    /// Looks at a file.
    ///
    /// # Errors
    ///
    /// Where the header has no name for a column or one for two, where a row has more or fewer
    /// fields than it, where a quote is not closed or a field is no UTF-8; with the line.
    pub fn read(reader: impl Read, dialect: Dialect<'_>) -> Result<Self, CsvError> {
        let mut rows = Rows::new(reader, dialect.delimiter);
        let names = match rows.next()? {
            None => return Err(CsvError::at(1, Fault::NoHeader)),
            Some(row) => names(&row)?,
        };
        let mut scanned = Self {
            columns: vec![Seen::default(); names.len()],
            names,
            whole: true,
        };
        let null = dialect.null.map(str::as_bytes);
        let mut left = dialect.rows.unwrap_or(u64::MAX);
        while let Some(row) = rows.next()? {
            row.check(&scanned.names, dialect.delimiter)?;
            if left == 0 {
                scanned.whole = false;
                continue;
            }
            left -= 1;
            for (column, value) in scanned.columns.iter_mut().zip(row.fields()) {
                if Some(value) != null {
                    column.update(value);
                }
            }
        }
        Ok(scanned)
    }

    /// Looks at a file again, at values the types were not told from.
    ///
    /// # Errors
    ///
    /// Names the first value that is not of its column's type.
    pub fn check(
        &self,
        reader: impl Read,
        dialect: Dialect<'_>,
        of: impl Fn(&str) -> Option<Type>,
    ) -> Result<(), CsvError> {
        let types: Vec<_> = self.names.iter().map(|name| of(name)).collect();
        let mut rows = Rows::new(reader, dialect.delimiter);
        rows.next()?;
        let null = dialect.null.map(str::as_bytes);
        while let Some(row) = rows.next()? {
            for ((value, common), name) in row.fields().zip(&types).zip(&self.names) {
                let Some(common) = *common else { continue };
                let mut seen = Seen::default();
                if Some(value) != null {
                    seen.update(value);
                }
                if !seen.fits(common) {
                    let fault = Fault::Value {
                        column: name.clone(),
                        value: shown(value),
                        common,
                    };
                    return Err(CsvError::at(row.line, fault));
                }
            }
        }
        Ok(())
    }
}

/// The names that a header gives.
fn names(header: &Row<'_>) -> Result<Vec<String>, CsvError> {
    let mut names: Vec<String> = Vec::with_capacity(header.ends.len());
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, field) in header.fields().enumerate() {
        let at = |fault| CsvError::at(header.line, fault);
        let name = match std::str::from_utf8(field) {
            Ok(name) => name,
            Err(_) => return Err(at(not_utf8(None, field))),
        };
        if name.trim().is_empty() {
            return Err(at(Fault::NoName { number: index + 1 }));
        }
        if let Some(first) = known.insert(name, index) {
            return Err(at(Fault::SameName {
                name: name.to_owned(),
                first: first + 1,
                second: index + 1,
            }));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn not_utf8(column: Option<&str>, field: &[u8]) -> Fault {
    let valid = std::str::from_utf8(field)
        .err()
        .map_or(0, |error| error.valid_up_to());
    Fault::NotUtf8 {
        column: column.map(str::to_owned),
        byte: field.get(valid).copied().unwrap_or_default(),
    }
}

/// A value as an error shows it.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// A row: its line, and its fields one after the other.
struct Row<'a> {
    line: u64,
    data: &'a [u8],
    ends: &'a [usize],
    /// An empty line stood before it.
    after_blank: bool,
}

impl Row<'_> {
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(self.ends);
        starts
            .zip(self.ends)
            .map(|(from, to)| &self.data[*from..*to])
    }

    fn check(&self, names: &[String], delimiter: u8) -> Result<(), CsvError> {
        if self.ends.len() != names.len() {
            let separator = String::from_utf8_lossy(&[delimiter]).into_owned();
            let fields: Vec<_> = self.fields().map(String::from_utf8_lossy).collect();
            return Err(CsvError::at(
                self.line,
                Fault::Fields {
                    expected: names.len(),
                    found: self.ends.len(),
                    row: shown(fields.join(&separator).as_bytes()),
                    delimiter: char::from(delimiter),
                },
            ));
        }
        // The engine passes over an empty line; with one column it may be a row without a value.
        if self.after_blank && names.len() == 1 {
            return Err(CsvError::at(self.line - 1, Fault::Blank));
        }
        // Field by field: bytes on both sides of a delimiter may look like one character.
        if !self.data.is_ascii() {
            for (field, name) in self.fields().zip(names) {
                if std::str::from_utf8(field).is_err() {
                    return Err(CsvError::at(self.line, not_utf8(Some(name), field)));
                }
            }
        }
        Ok(())
    }
}

/// The rows of a CSV.
struct Rows<R> {
    reader: R,
    parser: Reader,
    block: Vec<u8>,
    /// What of the block is not yet parsed.
    from: usize,
    to: usize,
    data: Vec<u8>,
    ends: Vec<usize>,
    /// The line that the next byte is in.
    line: u64,
    /// The last row ended with a carriage return, to which a line feed may belong.
    returned: bool,
}

impl<R: Read> Rows<R> {
    fn new(reader: R, delimiter: u8) -> Self {
        Self {
            reader,
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            block: vec![0; BLOCK],
            from: 0,
            to: 0,
            data: vec![0; 4096],
            ends: vec![0; 64],
            line: 1,
            returned: false,
        }
    }

    fn next(&mut self) -> Result<Option<Row<'_>>, CsvError> {
        let Some(after_blank) = self.pass_line_ends()? else {
            return Ok(None);
        };
        let line = self.line;
        let (mut written, mut fields) = (0, 0);
        loop {
            if self.from == self.to {
                self.fill()?;
            }
            // A line end that the file lacks ends the last row, unless it is within quotes.
            let ended = self.to == 0;
            let input = match ended {
                true => &b"\n"[..],
                false => &self.block[self.from..self.to],
            };
            let (result, read, wrote, closed) =
                self.parser
                    .read_record(input, &mut self.data[written..], &mut self.ends[fields..]);
            self.line += line_feeds(&input[..read]);
            self.returned = input[..read].last() == Some(&b'\r');
            if !ended {
                self.from += read;
            }
            written += wrote;
            fields += closed;
            match result {
                ReadRecordResult::InputEmpty if ended => {
                    return Err(CsvError::at(line, Fault::OpenQuote));
                }
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::OutputFull if self.data.len() < LONGEST => {
                    self.data.resize(self.data.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < WIDEST => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(CsvError::at(line, Fault::TooLong));
                }
            }
        }
        Ok(Some(Row {
            line,
            data: &self.data[..written],
            ends: &self.ends[..fields],
            after_blank,
        }))
    }

    /// Passes over line ends before a row, where there is one; says whether a line was empty.
    fn pass_line_ends(&mut self) -> Result<Option<bool>, CsvError> {
        let mut blank = false;
        loop {
            if self.from == self.to {
                self.fill()?;
            }
            match self.block[self.from..self.to].first() {
                None => return Ok(None),
                Some(b'\n') if self.returned => self.line += 1,
                Some(b'\n') => {
                    self.line += 1;
                    blank = true;
                }
                Some(b'\r') => blank = true,
                Some(_) => return Ok(Some(blank)),
            }
            self.returned = self.block[self.from] == b'\r';
            self.from += 1;
        }
    }

    /// Reads on; at the end there is nothing more to parse.
    fn fill(&mut self) -> Result<(), CsvError> {
        self.from = 0;
        self.to = 0;
        // The parser knows a byte order mark where it sees all of it, and takes nothing after it for
        // the end.
        while self.to < 4 {
            match self.reader.read(&mut self.block[self.to..]) {
                Ok(0) => break,
                Ok(read) => self.to += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CsvError::at(self.line, Fault::Read(error.to_string()))),
            }
        }
        Ok(())
    }
}

fn line_feeds(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests;
