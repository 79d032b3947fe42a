//! Parquet: flat tables of numbers, truth values, times, decimals and text.
//!
//! A reader of our own, because the component must stay small, has no C in it, and files are
//! hostile: the crate `parquet` brings zstd's C for the codec most files are written with. What
//! is read: data pages of both versions; plain, dictionary, delta and byte-stream-split encodings;
//! no compression, Snappy, gzip, Zstandard, LZ4. [`footer`] says where columns are, [`cursor`]
//! finds the pages of one, [`page`] decodes them with [`dictionary`], [`encoding`] and [`values`].

mod cursor;
mod dictionary;
mod encoding;
mod failure;
mod footer;
mod page;
mod thrift;
mod values;

use self::{
    cursor::Cursor,
    failure::Failure,
    footer::{Footer, TableColumn},
};
use super::{
    DataError, ReadAt,
    bytes::read_vec,
    columns::{Column, ColumnInfo, Reader},
    le,
    limits::{TextRoom, check_rows, most_held},
};

/// The longest footer.
const MAX_FOOTER: u64 = 64 << 20;
/// Magic at both ends.
const MAGIC: &[u8] = b"PAR1";

/// A Parquet file.
pub struct ParquetReader {
    name: String,
    bytes: Box<dyn ReadAt>,
    columns: Vec<ColumnInfo>,
    footer: Footer,
    /// The row group being read, and what of it is left.
    group: usize,
    left: u64,
    /// What reads each column of it, where that was wanted, and how many rows were read.
    cursors: Vec<Option<Box<Cursor>>>,
    read: u64,
    /// Bytes that the cursors hold.
    held: u64,
    text: TextRoom,
}

impl ParquetReader {
    /// Reads the metadata of the file called `name`.
    ///
    /// # Errors
    /// The file is cut short, encrypted, or no Parquet.
    pub fn open(name: String, bytes: Box<dyn ReadAt>) -> Result<Self, DataError> {
        let malformed = |reason: String| DataError::Malformed {
            file: name.clone(),
            format: "Parquet",
            reason,
        };
        let unreadable = |error| DataError::Read {
            file: name.clone(),
            error,
        };
        let size = bytes.size();
        let mut tail = Vec::new();
        if size < 12 {
            return Err(malformed(format!("it has only {size} bytes")));
        }
        read_vec(&*bytes, size - 8, 8, &mut tail).map_err(unreadable)?;
        if tail.ends_with(b"PARE") {
            return Err(DataError::Unsupported {
                file: name,
                reason: "it is encrypted Parquet".to_owned(),
            });
        }
        if !tail.ends_with(MAGIC) {
            return Err(malformed(
                "it does not end in PAR1: was it cut short?".to_owned(),
            ));
        }
        let length = u64::from(le::u32(&tail, 0).unwrap_or(u32::MAX));
        if length > MAX_FOOTER || length > size - 12 {
            return Err(malformed(format!("its footer would have {length} bytes")));
        }
        let mut footer = Vec::new();
        read_vec(&*bytes, size - 8 - length, length, &mut footer).map_err(unreadable)?;
        let footer = footer::parse(&footer).map_err(|reason| malformed(reason.to_owned()))?;
        check_sums(&footer, size).map_err(malformed)?;
        let columns = footer
            .columns
            .iter()
            .map(|column| ColumnInfo {
                name: column.name.clone(),
                kind: column.kind.clone(),
            })
            .collect();
        let mut reader = Self {
            name,
            bytes,
            columns,
            cursors: Vec::new(),
            footer,
            group: 0,
            left: 0,
            read: 0,
            held: 0,
            text: TextRoom::default(),
        };
        reader.rewind();
        Ok(reader)
    }

    fn fail(&self, column: &str, failure: Failure) -> DataError {
        let malformed = |reason: String| DataError::Malformed {
            file: self.name.clone(),
            format: "Parquet",
            reason: format!("column `{column}`, row group {}: {reason}", self.group),
        };
        match failure {
            Failure::Read(error) => DataError::Read {
                file: self.name.clone(),
                error,
            },
            Failure::Malformed(reason) => malformed(reason.to_owned()),
            Failure::Piece(reason) => malformed(reason),
            Failure::Unsupported(what) => DataError::Unsupported {
                file: self.name.clone(),
                reason: format!(
                    "column `{column}` is {what}, which is not read here; write it with Zstandard or Snappy, \
                     text as UTF-8"
                ),
            },
        }
    }

    /// Starts on row group `group`.
    fn enter(&mut self, group: usize) {
        self.group = group;
        self.left = self.footer.groups.get(group).map_or(0, |group| group.rows);
        (self.read, self.held) = (0, 0);
        self.cursors = self.columns.iter().map(|_| None).collect();
    }

    /// Appends the next rows of one column, passing over what it was not asked for before.
    fn read_column(&mut self, index: usize, rows: usize, out: &mut Column) -> Result<(), Failure> {
        let TableColumn { leaf, .. } = &self.footer.columns[index];
        let Some((number, leaf)) = leaf else {
            return Err(Failure::Unsupported("neither number nor text"));
        };
        let cursor = &mut self.cursors[index];
        let before = cursor.as_ref().map_or(0, |cursor| cursor.held());
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => {
                let group = &self.footer.groups[self.group];
                let made = Cursor::new(leaf, &group.chunks[*number], group.rows)?;
                let cursor = cursor.insert(Box::new(made));
                let mut before = self.read;
                let mut nowhere = match out {
                    Column::Text(..) => {
                        Column::Text(Vec::new(), super::columns::Interner::default())
                    }
                    _ => Column::Number(Vec::new()),
                };
                while before > 0 {
                    let rows = before.min(1 << 16) as usize;
                    cursor.read(&*self.bytes, rows, &mut nowhere, &mut self.text)?;
                    nowhere.clear();
                    before -= rows as u64;
                }
                // What was passed over gave numbers of nobody's.
                cursor.forget_ids();
                cursor
            }
        };
        cursor.read(&*self.bytes, rows, out, &mut self.text)?;
        self.held = self.held - before + cursor.held();
        if self.held > most_held(self.bytes.size()) {
            return Err(Failure::Malformed(
                "the pages of all columns together decompress to far more than the file has; \
                 write smaller pages",
            ));
        }
        Ok(())
    }
}

/// Refuses a footer that makes far more of the file than it has.
fn check_sums(footer: &Footer, size: u64) -> Result<(), String> {
    let groups = footer.groups.iter();
    let rows = groups.fold(0_u64, |sum, group| sum.saturating_add(group.rows));
    check_rows(rows, size)?;
    let chunks = footer.groups.iter().flat_map(|group| &group.chunks);
    if chunks.fold(0_u64, |sum, chunk| sum.saturating_add(chunk.length)) > size {
        return Err("the chunks of its columns overlap".to_owned());
    }
    Ok(())
}

impl Reader for ParquetReader {
    fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    fn rewind(&mut self) {
        self.text = TextRoom::of(self.bytes.size());
        self.enter(0);
    }

    fn read(
        &mut self,
        most: usize,
        targets: &[Option<usize>],
        out: &mut [Column],
    ) -> Result<usize, DataError> {
        while self.left == 0 {
            if self.group + 1 >= self.footer.groups.len() {
                return Ok(0);
            }
            self.enter(self.group + 1);
        }
        let rows = self.left.min(most as u64) as usize;
        for (index, target) in targets.iter().enumerate() {
            let Some(target) = target else { continue };
            self.read_column(index, rows, &mut out[*target])
                .map_err(|failure| self.fail(&self.columns[index].name, failure))?;
        }
        self.left -= rows as u64;
        self.read += rows as u64;
        Ok(rows)
    }
}
