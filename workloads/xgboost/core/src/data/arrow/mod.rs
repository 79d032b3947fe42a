//! Arrow IPC, as a file (also called Feather) and as a stream.
//!
//! A reader of our own: it needs a few of the format's parts, and the crates `arrow-*` bring
//! kernels and zstd's C along. [`flat`] reads flatbuffers, [`schema`] columns, [`batch`] values.

mod batch;
mod flat;
mod schema;

use std::collections::HashMap;

use self::{
    batch::{Failure, Header, Lookup, Pieces, Scratch, UNASKED},
    flat::Table,
    schema::{Field, fields},
};
use super::{
    DataError, ReadAt,
    bytes::read_vec,
    columns::{Column, ColumnInfo, ColumnType, Interner, Reader},
    le,
    limits::{MAX_VALUES, check_rows, most_held},
};

/// The longest header of a message.
const MAX_METADATA: u64 = 64 << 20;
/// In front of a message.
const CONTINUATION: u32 = u32::MAX;

/// Where a message is.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// Its header, a flatbuffer.
    metadata: (u64, u64),
    /// Its body.
    body: (u64, u64),
}

/// What a message holds.
enum Message {
    Dictionary {
        id: i64,
        delta: bool,
        header: Header,
    },
    Batch(Header),
    Other,
}

/// An Arrow IPC file or stream.
pub struct ArrowReader {
    name: String,
    bytes: Box<dyn ReadAt>,
    columns: Vec<ColumnInfo>,
    fields: Vec<Field>,
    /// Dictionaries and batches, in the order in which they are to be read.
    blocks: Vec<Block>,
    next: usize,
    dictionaries: HashMap<i64, Column>,
    /// Of each column with a dictionary of text, the numbers its texts were given; [`UNASKED`] for
    /// those that were not met.
    ids: Vec<Vec<u32>>,
    /// How many more of them there may be.
    ids_left: u64,
    /// The batch being read.
    pieces: Vec<Pieces>,
    row: u64,
    rows: u64,
    /// Rows of all batches up to this one.
    total: u64,
    scratch: Scratch,
}

impl ArrowReader {
    /// Reads the schema of the file or stream called `name`, and finds its messages.
    ///
    /// # Errors
    /// It is cut short or no Arrow IPC.
    pub fn open(name: String, bytes: Box<dyn ReadAt>) -> Result<Self, DataError> {
        let mut reader = Self {
            name,
            bytes,
            columns: Vec::new(),
            fields: Vec::new(),
            blocks: Vec::new(),
            next: 0,
            dictionaries: HashMap::new(),
            ids: Vec::new(),
            ids_left: 0,
            pieces: Vec::new(),
            row: 0,
            rows: 0,
            total: 0,
            scratch: Scratch::default(),
        };
        let mut magic = [0; 6];
        let file = reader.bytes.read_exact_at(&mut magic, 0).is_ok() && &magic == b"ARROW1";
        let opened = if file {
            reader.open_file()
        } else {
            reader.open_stream()
        };
        opened.map_err(|failure| reader.fail(failure))?;
        reader.columns = reader
            .fields
            .iter()
            .map(|field| ColumnInfo {
                name: field.name.clone(),
                kind: field.column_type(),
            })
            .collect();
        Ok(reader)
    }

    fn fail(&self, failure: Failure) -> DataError {
        let malformed = |reason: String| DataError::Malformed {
            file: self.name.clone(),
            format: "Arrow IPC",
            reason,
        };
        match failure {
            Failure::Read(error) => DataError::Read {
                file: self.name.clone(),
                error,
            },
            Failure::Malformed(reason) => malformed(reason.to_owned()),
            Failure::Piece(reason) => malformed(reason),
        }
    }

    fn open_file(&mut self) -> Result<(), Failure> {
        const CUT: Failure = Failure::Malformed("it does not end in ARROW1: was it cut short?");
        let size = self.bytes.size();
        let mut tail = Vec::new();
        read_vec(&*self.bytes, size.saturating_sub(10), 10, &mut tail)?;
        if size < 18 || !tail.ends_with(b"ARROW1") {
            return Err(CUT);
        }
        let length = u64::from(le::u32(&tail, 0).unwrap_or(u32::MAX));
        if length > MAX_METADATA || length > size - 18 {
            return Err(CUT);
        }
        let mut footer = Vec::new();
        read_vec(&*self.bytes, size - 10 - length, length, &mut footer)?;
        (self.fields, self.blocks) = parse_footer(&footer).map_err(Failure::Malformed)?;
        // So that no bytes are read again and again.
        let length = |block: &Block| block.metadata.1.saturating_add(block.body.1);
        let sum = self.blocks.iter().map(length).fold(0, u64::saturating_add);
        if sum > size {
            return Err(Failure::Malformed("its messages overlap"));
        }
        Ok(())
    }

    fn open_stream(&mut self) -> Result<(), Failure> {
        const CUT: Failure = Failure::Malformed("it ends within a message");
        let size = self.bytes.size();
        let mut at = 0;
        let mut buffer = Vec::new();
        // The stream may end with a mark or simply end.
        while at < size {
            read_vec(&*self.bytes, at, 8, &mut buffer).map_err(|_| CUT)?;
            let (mark, length) = le::u32(&buffer, 0).zip(le::u32(&buffer, 4)).ok_or(CUT)?;
            if mark != CONTINUATION {
                return Err(Failure::Malformed("a message does not start with its mark"));
            }
            if length == 0 {
                break;
            }
            let metadata = (at + 8, u64::from(length));
            if metadata.1 > MAX_METADATA {
                return Err(Failure::Malformed(
                    "a message's header is longer than 64 MiB",
                ));
            }
            read_vec(&*self.bytes, metadata.0, metadata.1, &mut buffer).map_err(|_| CUT)?;
            let message = Table::root(&buffer).ok_or(CUT)?;
            let body = u64::try_from(message.i64(3).unwrap_or(0)).map_err(|_| CUT)?;
            let start = metadata.0 + metadata.1;
            let end = start
                .checked_add(body)
                .filter(|end| *end <= size)
                .ok_or(CUT)?;
            match message.u8(1) {
                Some(1) if at == 0 => {
                    let schema = message.table(2).ok_or("its schema is none");
                    self.fields = schema.and_then(parse_schema).map_err(Failure::Malformed)?;
                }
                _ if at == 0 => return Err(Failure::Malformed("it does not start with a schema")),
                Some(2 | 3) => self.blocks.push(Block {
                    metadata,
                    body: (start, body),
                }),
                _ => {}
            }
            at = end;
        }
        Ok(())
    }

    /// Reads a message's header.
    fn message(&self, block: Block) -> Result<Message, Failure> {
        if block.metadata.1 > MAX_METADATA {
            return Err(Failure::Malformed(
                "a message's header is longer than 64 MiB",
            ));
        }
        let mut buffer = Vec::new();
        read_vec(
            &*self.bytes,
            block.metadata.0,
            block.metadata.1,
            &mut buffer,
        )?;
        parse_message(&buffer, block).ok_or(Failure::Malformed("a message is none"))
    }

    /// Takes in messages up to the next batch with rows; `false` at the end.
    fn next_batch(&mut self) -> Result<bool, Failure> {
        while let Some(block) = self.blocks.get(self.next).copied() {
            self.next += 1;
            match self.message(block)? {
                Message::Dictionary { id, delta, header } => self.dictionary(id, delta, &header)?,
                Message::Batch(header) if header.rows > 0 => {
                    self.total = self.total.saturating_add(header.rows);
                    check_rows(self.total, self.bytes.size()).map_err(Failure::Piece)?;
                    self.scratch.room = most_held(self.bytes.size());
                    let pieces = header.columns(&self.fields);
                    self.pieces = pieces.ok_or(Failure::Malformed(
                        "a batch has too few buffers for its schema",
                    ))?;
                    (self.row, self.rows) = (0, header.rows);
                    return Ok(true);
                }
                _ => {}
            }
        }
        Ok(false)
    }

    fn dictionary(&mut self, id: i64, delta: bool, header: &Header) -> Result<(), Failure> {
        const UNKNOWN: Failure = Failure::Malformed("a dictionary belongs to no column");
        // A column within another may have one too; nobody will ask for it.
        let Some(field) = self
            .fields
            .iter()
            .find(|field| field.dictionary.as_ref().is_some_and(|(own, _)| *own == id))
        else {
            return Ok(());
        };
        let plain = Field {
            dictionary: None,
            ..field.clone()
        };
        let pieces = header.columns(std::slice::from_ref(&plain));
        let mut piece = pieces.and_then(|mut pieces| pieces.pop()).ok_or(UNKNOWN)?;
        let of_id = |field: &Field| field.dictionary.as_ref().is_some_and(|(own, _)| *own == id);
        let old = self.dictionaries.remove(&id).filter(|_| delta);
        let mut values = match (old, plain.column_type()) {
            (Some(old), _) => old,
            (None, kind) => {
                // Its texts have other numbers than those of the one before.
                for (field, ids) in self.fields.iter().zip(&mut self.ids) {
                    if of_id(field) {
                        self.ids_left += ids.len() as u64;
                        ids.clear();
                    }
                }
                match kind {
                    ColumnType::Text => Column::Text(Vec::new(), Interner::default()),
                    _ => Column::Exact(Vec::new()),
                }
            }
        };
        let held = self.dictionaries.values().map(Column::len).sum::<usize>() as u64;
        let total = held.saturating_add(header.rows);
        if header.rows.saturating_add(values.len() as u64) > MAX_VALUES as u64
            || total > (MAX_VALUES as u64).saturating_add(self.bytes.size())
        {
            return Err(Failure::Malformed(
                "a dictionary of more than 2^24 values, or so many small ones",
            ));
        }
        self.scratch.room = most_held(self.bytes.size());
        let rows = (0, header.rows as usize);
        piece.read(
            &*self.bytes,
            &plain,
            None,
            rows,
            &mut self.scratch,
            &mut values,
        )?;
        self.dictionaries.insert(id, values);
        Ok(())
    }

    fn read_column(&mut self, index: usize, rows: usize, out: &mut Column) -> Result<(), Failure> {
        let field = &self.fields[index];
        let lookup = match &field.dictionary {
            None => None,
            Some((id, _)) => {
                let dictionary = self.dictionaries.get(id);
                let dictionary =
                    dictionary.ok_or(Failure::Malformed("a column's dictionary is missing"))?;
                let ids = &mut self.ids[index];
                if let Column::Text(_, names) = dictionary {
                    // Many columns may have the same dictionary.
                    let more = names.names().len().saturating_sub(ids.len()) as u64;
                    self.ids_left = self.ids_left.checked_sub(more).ok_or(Failure::Malformed(
                        "a large dictionary that too many columns have",
                    ))?;
                    ids.resize(names.names().len(), UNASKED);
                }
                Some(Lookup { dictionary, ids })
            }
        };
        self.pieces[index].read(
            &*self.bytes,
            field,
            lookup,
            (self.row, rows),
            &mut self.scratch,
            out,
        )
    }

    fn read_rows(
        &mut self,
        most: usize,
        targets: &[Option<usize>],
        out: &mut [Column],
    ) -> Result<usize, (usize, Failure)> {
        if self.row == self.rows && !self.next_batch().map_err(|failure| (usize::MAX, failure))? {
            return Ok(0);
        }
        let rows = (self.rows - self.row).min(most as u64) as usize;
        for (index, target) in targets.iter().enumerate() {
            let Some(target) = target else { continue };
            self.read_column(index, rows, &mut out[*target])
                .map_err(|failure| (index, failure))?;
        }
        self.row += rows as u64;
        Ok(rows)
    }
}

impl Reader for ArrowReader {
    fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    fn rewind(&mut self) {
        (self.next, self.row, self.rows, self.total) = (0, 0, 0, 0);
        self.dictionaries.clear();
        self.pieces.clear();
        self.ids = vec![Vec::new(); self.fields.len()];
        self.ids_left = most_held(self.bytes.size());
        self.scratch = Scratch::new(self.bytes.size());
    }

    fn read(
        &mut self,
        most: usize,
        targets: &[Option<usize>],
        out: &mut [Column],
    ) -> Result<usize, DataError> {
        if self.ids.len() != self.fields.len() {
            self.rewind();
        }
        self.read_rows(most, targets, out)
            .map_err(
                |(index, failure)| match (failure, self.columns.get(index)) {
                    (Failure::Malformed(reason), Some(column)) => self.fail(Failure::Piece(
                        format!("column `{}`: {reason}", column.name),
                    )),
                    (Failure::Piece(reason), Some(column)) => self.fail(Failure::Piece(format!(
                        "column `{}`: {reason}",
                        column.name
                    ))),
                    (failure, _) => self.fail(failure),
                },
            )
    }
}

fn parse_schema(schema: Table<'_>) -> Result<Vec<Field>, &'static str> {
    // Numbers with the largest byte first are nowhere written today.
    if schema.i16(0).unwrap_or(0) != 0 {
        return Err("its numbers are big-endian; write them little-endian");
    }
    fields(schema)
}

fn parse_footer(footer: &[u8]) -> Result<(Vec<Field>, Vec<Block>), &'static str> {
    const BROKEN: &str = "its footer is none";
    let footer = Table::root(footer).ok_or(BROKEN)?;
    let fields = parse_schema(footer.table(1).ok_or(BROKEN)?)?;
    Ok((fields, parse_blocks(footer).ok_or(BROKEN)?))
}

fn parse_blocks(footer: Table<'_>) -> Option<Vec<Block>> {
    let mut blocks = Vec::new();
    for index in [2, 3] {
        let Some(vector) = footer.vector(index, 24) else {
            continue;
        };
        for entry in 0..vector.len() {
            let start = u64::try_from(vector.i64(entry, 24, 0)?).ok()?;
            let metadata = u64::try_from(vector.i32(entry, 24, 8)?).ok()?;
            let body = u64::try_from(vector.i64(entry, 24, 16)?).ok()?;
            blocks.push(Block {
                // The mark and the length come first.
                metadata: (start.checked_add(8)?, metadata.checked_sub(8)?),
                body: (start.checked_add(metadata)?, body),
            });
        }
    }
    Some(blocks)
}

fn parse_message(buffer: &[u8], block: Block) -> Option<Message> {
    let message = Table::root(buffer)?;
    Some(match message.u8(1)? {
        2 => {
            let dictionary = message.table(2)?;
            Message::Dictionary {
                id: dictionary.i64(0).unwrap_or(0),
                delta: dictionary.u8(2).unwrap_or(0) != 0,
                header: Header::parse(dictionary.table(1)?, block.body.0, block.body.1)?,
            }
        }
        3 => Message::Batch(Header::parse(
            message.table(2)?,
            block.body.0,
            block.body.1,
        )?),
        _ => Message::Other,
    })
}
