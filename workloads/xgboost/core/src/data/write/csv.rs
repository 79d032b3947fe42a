//! CSV.

use std::io::{self, Write};

use super::Cells;

pub(super) struct CsvWriter {
    text: Vec<u8>,
}

impl CsvWriter {
    pub(super) fn new(out: &mut impl Write, names: &[String]) -> io::Result<Self> {
        let mut text = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            if name.contains(['"', ',', '\n', '\r']) {
                text.extend_from_slice(format!("\"{}\"", name.replace('"', "\"\"")).as_bytes());
            } else {
                text.extend_from_slice(name.as_bytes());
            }
        }
        text.push(b'\n');
        out.write_all(&text)?;
        Ok(Self { text })
    }

    pub(super) fn write(
        &mut self,
        out: &mut impl Write,
        cells: Cells<'_>,
        columns: usize,
    ) -> io::Result<()> {
        /// How much is formatted before it is written.
        const ENOUGH: usize = 64 << 10;
        self.text.clear();
        let mut buffer = zmij::Buffer::new();
        for index in 0..cells.len() {
            match cells {
                Cells::Floats(values) => {
                    let text = buffer.format(values[index]);
                    // Whole numbers as people write them.
                    let text = text.strip_suffix(".0").unwrap_or(text);
                    self.text.extend_from_slice(text.as_bytes());
                }
                Cells::Ints(values) => write!(self.text, "{}", values[index])?,
            }
            self.text.push(if (index + 1) % columns == 0 {
                b'\n'
            } else {
                b','
            });
            if self.text.len() > ENOUGH {
                out.write_all(&self.text)?;
                self.text.clear();
            }
        }
        out.write_all(&self.text)
    }
}
