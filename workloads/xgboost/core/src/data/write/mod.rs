//! Tables of numbers, written as they come: predictions and the like.

mod arrow;
mod csv;
mod flat;
mod parquet;

use std::io::{self, Write};

use self::{arrow::ArrowWriter, csv::CsvWriter, parquet::ParquetWriter};
use crate::params::ParamError;

/// Bytes held before they are written as a batch of rows or a row group.
const BATCH: usize = 16 << 20;

/// A format tables are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// With a header line; numbers as short as they can be read back.
    Csv,
    /// Plain values, Snappy.
    Parquet,
    /// An IPC file, not compressed.
    Arrow,
}

impl OutputFormat {
    /// The format called `name`.
    ///
    /// # Errors
    /// None of them.
    pub fn parse(name: &str) -> Result<Self, ParamError> {
        match name {
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            "arrow" => Ok(Self::Arrow),
            _ => Err(ParamError::unknown_value(
                "format",
                name,
                &["csv", "parquet", "arrow"],
            )),
        }
    }

    /// The format that data of this media type has.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "text/csv" => Some(Self::Csv),
            "application/vnd.apache.parquet" => Some(Self::Parquet),
            "application/vnd.apache.arrow.file" => Some(Self::Arrow),
            _ => None,
        }
    }

    /// The format that an output's name ends in.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match &*ending.to_ascii_lowercase() {
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            "arrow" | "feather" | "ipc" => Some(Self::Arrow),
            _ => None,
        }
    }
}

/// Rows of numbers, one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Cells<'a> {
    /// Single precision.
    Floats(&'a [f32]),
    /// Whole numbers.
    Ints(&'a [u32]),
}

impl Cells<'_> {
    fn len(self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Ints(values) => values.len(),
        }
    }

    /// The bytes of cell `index`, as both binary formats have them.
    fn bytes(self, index: usize) -> [u8; 4] {
        match self {
            Self::Floats(values) => values[index].to_le_bytes(),
            Self::Ints(values) => values[index].to_le_bytes(),
        }
    }
}

/// What a table's columns hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Single precision.
    Float,
    /// Whole numbers of 32 bits.
    Int,
}

/// Writes a table.
pub struct TableWriter<W: Write> {
    out: Counted<W>,
    columns: usize,
    inner: Inner,
}

enum Inner {
    Csv(CsvWriter),
    Parquet(Columns, Box<ParquetWriter>),
    Arrow(Columns, ArrowWriter),
}

impl<W: Write> TableWriter<W> {
    /// A table of columns of these names, all of one kind, written to `out`.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(
        format: OutputFormat,
        out: W,
        names: Vec<String>,
        kind: CellKind,
    ) -> io::Result<Self> {
        let mut out = Counted { out, count: 0 };
        let columns = names.len();
        let inner = match format {
            OutputFormat::Csv => Inner::Csv(CsvWriter::new(&mut out, &names)?),
            OutputFormat::Parquet => Inner::Parquet(
                Columns::new(columns),
                Box::new(ParquetWriter::new(&mut out, names, kind)?),
            ),
            OutputFormat::Arrow => Inner::Arrow(
                Columns::new(columns),
                ArrowWriter::new(&mut out, &names, kind)?,
            ),
        };
        Ok(Self {
            out,
            columns,
            inner,
        })
    }

    /// Writes whole rows.
    ///
    /// # Errors
    /// Writing fails.
    ///
    /// # Panics
    /// The cells are not rows of as many columns as the table has.
    pub fn write(&mut self, cells: Cells<'_>) -> io::Result<()> {
        assert!(
            cells.len().is_multiple_of(self.columns),
            "cells are whole rows"
        );
        match &mut self.inner {
            Inner::Csv(writer) => writer.write(&mut self.out, cells, self.columns),
            Inner::Parquet(columns, writer) => {
                columns.push(cells);
                if columns.is_full() {
                    writer.write(&mut self.out, columns)?;
                    columns.clear();
                }
                Ok(())
            }
            Inner::Arrow(columns, writer) => {
                columns.push(cells);
                if columns.is_full() {
                    writer.write(&mut self.out, columns)?;
                    columns.clear();
                }
                Ok(())
            }
        }
    }

    /// Writes what is held back, and the end.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        match self.inner {
            Inner::Csv(_) => {}
            Inner::Parquet(columns, mut writer) => {
                writer.write(&mut self.out, &columns)?;
                writer.finish(&mut self.out)?;
            }
            Inner::Arrow(columns, mut writer) => {
                writer.write(&mut self.out, &columns)?;
                writer.finish(&mut self.out)?;
            }
        }
        self.out.flush()?;
        Ok(self.out.out)
    }
}

/// Rows turned into columns of four bytes a value.
struct Columns {
    columns: Vec<Vec<u8>>,
    rows: usize,
}

impl Columns {
    fn new(columns: usize) -> Self {
        Self {
            columns: vec![Vec::new(); columns],
            rows: 0,
        }
    }

    fn push(&mut self, cells: Cells<'_>) {
        let width = self.columns.len();
        for (index, column) in self.columns.iter_mut().enumerate() {
            for cell in (index..cells.len()).step_by(width) {
                column.extend_from_slice(&cells.bytes(cell));
            }
        }
        self.rows += cells.len() / width.max(1);
    }

    fn is_full(&self) -> bool {
        self.rows * self.columns.len() * 4 >= BATCH
    }

    fn clear(&mut self) {
        self.columns.iter_mut().for_each(Vec::clear);
        self.rows = 0;
    }
}

/// Knows how much was written.
struct Counted<W> {
    out: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
