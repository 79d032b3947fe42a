//! A Parquet file: plain values, pages of at most a mebibyte, Snappy.

use std::io::{self, Write};

use super::{CellKind, Columns, Counted};

const MAGIC: &[u8] = b"PAR1";
const PAGE: usize = 1 << 20;

/// Thrift's types.
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A column's piece of a row group.
struct Chunk {
    start: u64,
    uncompressed: u64,
    compressed: u64,
}

pub(super) struct ParquetWriter {
    names: Vec<String>,
    kind: CellKind,
    /// Of each row group, its rows and chunks.
    groups: Vec<(usize, Vec<Chunk>)>,
    encoder: snap::raw::Encoder,
}

impl ParquetWriter {
    pub(super) fn new(
        out: &mut impl Write,
        names: Vec<String>,
        kind: CellKind,
    ) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self {
            names,
            kind,
            groups: Vec::new(),
            encoder: snap::raw::Encoder::new(),
        })
    }

    pub(super) fn write<W: Write>(
        &mut self,
        out: &mut Counted<W>,
        columns: &Columns,
    ) -> io::Result<()> {
        if columns.rows == 0 {
            return Ok(());
        }
        let mut chunks = Vec::with_capacity(columns.columns.len());
        for column in &columns.columns {
            let mut chunk = Chunk {
                start: out.count,
                uncompressed: 0,
                compressed: 0,
            };
            for page in column.chunks(PAGE) {
                let compressed = self.encoder.compress_vec(page).map_err(io::Error::other)?;
                let header = page_header(page.len(), compressed.len());
                out.write_all(&header)?;
                out.write_all(&compressed)?;
                chunk.uncompressed += (header.len() + page.len()) as u64;
                chunk.compressed += (header.len() + compressed.len()) as u64;
            }
            chunks.push(chunk);
        }
        self.groups.push((columns.rows, chunks));
        Ok(())
    }

    pub(super) fn finish<W: Write>(self, out: &mut Counted<W>) -> io::Result<()> {
        let footer = self.footer();
        out.write_all(&footer)?;
        out.write_all(&(footer.len() as u32).to_le_bytes())?;
        out.write_all(MAGIC)
    }

    fn footer(&self) -> Vec<u8> {
        let physical = match self.kind {
            CellKind::Int => 1,
            CellKind::Float => 4,
        };
        let mut thrift = Thrift::default();
        thrift.int(1, I32, 1);
        thrift.list(2, STRUCT, self.names.len() + 1);
        thrift.structure(|root| {
            root.text(4, "schema");
            root.int(5, I32, self.names.len() as i64);
        });
        for name in &self.names {
            thrift.structure(|element| {
                element.int(1, I32, physical);
                element.int(3, I32, 0);
                element.text(4, name);
            });
        }
        let rows: usize = self.groups.iter().map(|(rows, _)| rows).sum();
        thrift.int(3, I64, rows as i64);
        thrift.list(4, STRUCT, self.groups.len());
        for (rows, chunks) in &self.groups {
            thrift.structure(|group| {
                group.list(1, STRUCT, chunks.len());
                for (chunk, name) in chunks.iter().zip(&self.names) {
                    group.structure(|column| {
                        column.int(2, I64, 0);
                        column.field(3, STRUCT);
                        column.structure(|metadata| metadata.chunk(chunk, name, *rows, physical));
                    });
                }
                let size: u64 = chunks.iter().map(|chunk| chunk.uncompressed).sum();
                group.int(2, I64, size as i64);
                group.int(3, I64, *rows as i64);
            });
        }
        thrift.text(6, "mc2 xgboost");
        thrift.out.push(0);
        thrift.out
    }
}

fn page_header(uncompressed: usize, compressed: usize) -> Vec<u8> {
    let mut thrift = Thrift::default();
    thrift.int(1, I32, 0);
    thrift.int(2, I32, uncompressed as i64);
    thrift.int(3, I32, compressed as i64);
    thrift.field(5, STRUCT);
    thrift.structure(|data| {
        data.int(1, I32, (uncompressed / 4) as i64);
        data.int(2, I32, 0);
        // Levels, of which there are none, in runs.
        data.int(3, I32, 3);
        data.int(4, I32, 3);
    });
    thrift.out.push(0);
    thrift.out
}

/// Thrift's compact protocol.
#[derive(Default)]
struct Thrift {
    out: Vec<u8>,
    last: u8,
}

impl Thrift {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Fields come in order and are at most 15 apart.
    fn field(&mut self, id: u8, kind: u8) {
        self.out.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    fn int(&mut self, id: u8, kind: u8, value: i64) {
        self.field(id, kind);
        self.number(value);
    }

    fn number(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    fn text(&mut self, id: u8, text: &str) {
        self.field(id, BINARY);
        self.bytes(text);
    }

    fn bytes(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn list(&mut self, id: u8, kind: u8, count: usize) {
        self.field(id, LIST);
        match u8::try_from(count) {
            Ok(count @ 0..15) => self.out.push(count << 4 | kind),
            _ => {
                self.out.push(0xf0 | kind);
                self.varint(count as u64);
            }
        }
    }

    fn structure(&mut self, fields: impl FnOnce(&mut Self)) {
        let last = std::mem::take(&mut self.last);
        fields(self);
        self.out.push(0);
        self.last = last;
    }

    /// A column chunk's metadata.
    fn chunk(&mut self, chunk: &Chunk, name: &str, rows: usize, physical: i64) {
        self.int(1, I32, physical);
        self.list(2, I32, 1);
        self.number(0);
        self.list(3, BINARY, 1);
        self.bytes(name);
        self.int(4, I32, 1);
        self.int(5, I64, rows as i64);
        self.int(6, I64, chunk.uncompressed as i64);
        self.int(7, I64, chunk.compressed as i64);
        self.int(9, I64, chunk.start as i64);
    }
}
