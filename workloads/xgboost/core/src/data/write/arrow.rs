//! An Arrow IPC file.

use std::io::{self, Write};

use super::{
    CellKind, Columns, Counted,
    flat::{Builder, Field, Place},
};

/// Version 5 of the metadata, the only one written since 2020.
const VERSION: Field = Field::I16(4);
const MAGIC: &[u8] = b"ARROW1";

pub(super) struct ArrowWriter {
    names: Vec<String>,
    kind: CellKind,
    /// Of each batch: where it is, and how long its header and its body are.
    blocks: Vec<i64>,
}

impl ArrowWriter {
    pub(super) fn new<W: Write>(
        out: &mut Counted<W>,
        names: &[String],
        kind: CellKind,
    ) -> io::Result<Self> {
        let writer = Self {
            names: names.to_vec(),
            kind,
            blocks: Vec::new(),
        };
        out.write_all(MAGIC)?;
        out.write_all(&[0, 0])?;
        let mut builder = Builder::default();
        let schema = writer.schema(&mut builder);
        let message = builder.table(&[
            (3, Field::I64(0)),
            (2, Field::To(schema)),
            (0, VERSION),
            (1, Field::U8(1)),
        ]);
        write_message(out, &builder.finish(message))?;
        Ok(writer)
    }

    fn schema(&self, builder: &mut Builder) -> Place {
        let mut fields = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let children = builder.vector(&[]);
            let (number, kind) = match self.kind {
                // Whole numbers of 32 bits with a sign.
                CellKind::Int => (2, builder.table(&[(0, Field::I32(32)), (1, Field::U8(1))])),
                // Single precision.
                CellKind::Float => (3, builder.table(&[(0, Field::I16(1))])),
            };
            let name = builder.text(name);
            fields.push(builder.table(&[
                (0, Field::To(name)),
                (3, Field::To(kind)),
                (5, Field::To(children)),
                (2, Field::U8(number)),
            ]));
        }
        let fields = builder.vector(&fields);
        builder.table(&[(1, Field::To(fields)), (0, Field::I16(0))])
    }

    pub(super) fn write<W: Write>(
        &mut self,
        out: &mut Counted<W>,
        columns: &Columns,
    ) -> io::Result<()> {
        if columns.rows == 0 {
            return Ok(());
        }
        let length = (columns.rows * 4).next_multiple_of(8) as i64;
        let (mut nodes, mut buffers) = (Vec::new(), Vec::new());
        for index in 0..columns.columns.len() as i64 {
            nodes.extend([columns.rows as i64, 0]);
            // No value is missing, so the buffer that says which is empty.
            buffers.extend([index * length, 0, index * length, columns.rows as i64 * 4]);
        }
        let body = columns.columns.len() as i64 * length;
        let mut builder = Builder::default();
        let buffers = builder.structures(&buffers, 2);
        let nodes = builder.structures(&nodes, 2);
        let batch = builder.table(&[
            (0, Field::I64(columns.rows as i64)),
            (1, Field::To(nodes)),
            (2, Field::To(buffers)),
        ]);
        let message = builder.table(&[
            (3, Field::I64(body)),
            (2, Field::To(batch)),
            (0, VERSION),
            (1, Field::U8(3)),
        ]);
        let start = out.count as i64;
        let header = write_message(out, &builder.finish(message))?;
        // The header's length has 32 bits and is padded to 64.
        self.blocks.extend([start, header, body]);
        for column in &columns.columns {
            out.write_all(column)?;
            out.write_all(&[0; 8][..length as usize - column.len()])?;
        }
        Ok(())
    }

    pub(super) fn finish<W: Write>(self, out: &mut Counted<W>) -> io::Result<()> {
        out.write_all(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])?;
        let mut builder = Builder::default();
        let blocks = builder.structures(&self.blocks, 3);
        let none = builder.structures(&[], 3);
        let schema = self.schema(&mut builder);
        let footer = builder.table(&[
            (1, Field::To(schema)),
            (2, Field::To(none)),
            (3, Field::To(blocks)),
            (0, VERSION),
        ]);
        let footer = builder.finish(footer);
        out.write_all(&footer)?;
        out.write_all(&(footer.len() as u32).to_le_bytes())?;
        out.write_all(MAGIC)
    }
}

/// Writes a message's header with its mark, and says how long that was.
fn write_message(out: &mut impl Write, message: &[u8]) -> io::Result<i64> {
    out.write_all(&[0xff; 4])?;
    out.write_all(&(message.len() as u32).to_le_bytes())?;
    out.write_all(message)?;
    Ok(message.len() as i64 + 8)
}
