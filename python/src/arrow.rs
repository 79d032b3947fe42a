//! Arrow data by the C stream interface, as every library of tables offers and takes it.

use std::{
    ffi::CStr,
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use arrow_array::{
    RecordBatch, RecordBatchIterator, RecordBatchReader,
    ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream},
};
use arrow_buffer::Buffer;
use arrow_ipc::{
    reader::{FileDecoder, read_footer_length},
    root_as_footer,
    writer::StreamWriter,
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyCapsule},
};

use crate::raising::bad_input;

const STREAM: &CStr = c"arrow_array_stream";
/// What an Arrow IPC file ends with: the length of its footer, and this.
const MAGIC: &[u8] = b"ARROW1";
const TRAILER: usize = 4 + MAGIC.len();

/// A table given by Python, on its way to be sealed as an Arrow IPC stream.
pub(crate) struct Given {
    batches: ArrowArrayStreamReader,
    writer: StreamWriter<Vec<u8>>,
    /// What was written and not yet read, from `at` on.
    ready: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Given {
    /// What `__arrow_c_stream__` gave.
    ///
    /// # Errors
    /// It is no such stream, or a column has a type that no format of tables has.
    pub(crate) fn of(py: Python<'_>, name: &str, capsule: &Bound<'_, PyCapsule>) -> PyResult<Self> {
        let refused = |error: ArrowError| {
            let words = format!("the table given as {name} cannot be read: {error}");
            bad_input(py, &words)
        };
        let batches = imported(capsule)?.map_err(refused)?;
        let schema = batches.schema();
        for field in schema.fields() {
            if let Some(found) = unknown(field) {
                let column = field.name();
                return Err(bad_input(
                    py,
                    &format!(
                        "the column {column:?} of {name} has the type {found}, which no format of \
                         tables has; convert it first, to text or to columns of plain types"
                    ),
                ));
            }
        }
        let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(refused)?;
        Ok(Self {
            batches,
            writer,
            ready: Vec::new(),
            at: 0,
            ended: false,
        })
    }

    /// Writes the next batch, or the end.
    fn next(&mut self) -> Result<(), ArrowError> {
        match self.batches.next() {
            Some(batch) => self.writer.write(&batch?)?,
            None => {
                self.writer.finish()?;
                self.ended = true;
            }
        }
        self.ready.clear();
        self.at = 0;
        std::mem::swap(&mut self.ready, self.writer.get_mut());
        Ok(())
    }
}

impl Read for Given {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() && !self.ended {
            self.next().map_err(io::Error::other)?;
        }
        let length = into.len().min(self.ready.len() - self.at);
        into[..length].copy_from_slice(&self.ready[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// The type within a column that no format of tables has, where there is one.
fn unknown(field: &Field) -> Option<DataType> {
    match field.data_type() {
        found @ (DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_)) => Some(found.clone()),
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::Map(inner, _) => unknown(inner),
        DataType::Struct(fields) => fields.iter().find_map(|field| unknown(field)),
        _ => None,
    }
}

/// Takes the stream out of a capsule, which is empty from then on.
#[allow(
    unsafe_code,
    reason = "the C stream interface is a pointer in a capsule"
)]
fn imported(
    capsule: &Bound<'_, PyCapsule>,
) -> PyResult<Result<ArrowArrayStreamReader, ArrowError>> {
    let pointer = capsule.pointer_checked(Some(STREAM))?;
    // SAFETY: a capsule of this name holds a valid `ArrowArrayStream` by the PyCapsule interface of
    // Arrow, whose name was compared just now. The capsule is borrowed, and Python held, for the time
    // of the call, which moves the stream out and leaves an empty one, as the interface demands; the
    // capsule's destructor then frees the struct alone.
    Ok(unsafe { ArrowArrayStreamReader::from_raw(pointer.as_ptr().cast()) })
}

/// An output in memory, opened and not copied since.
#[pyclass(frozen, module = "mc2")]
pub(crate) struct Plain {
    bytes: Buffer,
    table: OnceLock<Result<Table, String>>,
}

/// An Arrow IPC file, read where it lies.
#[derive(Clone)]
struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

#[pymethods]
impl Plain {
    fn __len__(&self) -> usize {
        self.bytes.len()
    }

    /// A copy of its bytes.
    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes)
    }

    /// Its rows, where it is an Arrow IPC file.
    fn rows(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self
            .table(py)?
            .batches
            .iter()
            .map(RecordBatch::num_rows)
            .sum())
    }

    /// The table in it, by Arrow's PyCapsule interface; it must be an Arrow IPC file. A schema that is
    /// asked for is not followed, as the interface allows.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let Table { schema, batches } = self.table(py)?.clone();
        let batches = RecordBatchIterator::new(batches.into_iter().map(Ok), schema);
        let stream = FFI_ArrowArrayStream::new(Box::new(batches));
        PyCapsule::new_with_value(py, stream, STREAM)
    }
}

impl Plain {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Buffer::from_vec(bytes),
            table: OnceLock::new(),
        }
    }

    fn table(&self, py: Python<'_>) -> PyResult<&Table> {
        let table = py.detach(|| {
            self.table.get_or_init(|| {
                // A guest's bytes may be anything, and the decoder trusts some of them.
                let read = catch_unwind(AssertUnwindSafe(|| Table::read(&self.bytes)));
                let read =
                    read.unwrap_or_else(|_| Err("its parts contradict each other".to_owned()));
                read.map_err(|error| format!("this output is no Arrow IPC file: {error}"))
            })
        });
        table.as_ref().map_err(|words| bad_input(py, words))
    }
}

impl Table {
    /// Reads a file without copying its columns.
    fn read(bytes: &Buffer) -> Result<Self, String> {
        let text = |error: ArrowError| error.to_string();
        let end = bytes.len().checked_sub(TRAILER);
        let end = end.filter(|_| bytes.starts_with(MAGIC) && bytes.ends_with(MAGIC));
        let end = end.ok_or_else(|| "it does not begin and end as one".to_owned())?;
        let trailer = bytes[end..].try_into().map_err(|_| "it is cut off")?;
        let length = read_footer_length(trailer).map_err(text)?;
        let footer = end.checked_sub(length).ok_or("it is cut off")?;
        let footer = root_as_footer(&bytes[footer..end]).map_err(|error| error.to_string())?;
        let schema = footer.schema().ok_or("it has no schema")?;
        let schema: SchemaRef = Arc::new(arrow_ipc::convert::fb_to_schema(schema));
        let mut decoder = FileDecoder::new(Arc::clone(&schema), footer.version());
        let piece = |block: &arrow_ipc::Block| {
            let offset = usize::try_from(block.offset()).ok()?;
            let metadata = usize::try_from(block.metaDataLength()).ok()?;
            let length = usize::try_from(block.bodyLength())
                .ok()?
                .checked_add(metadata)?;
            let within = offset.checked_add(length)? <= bytes.len();
            within.then(|| bytes.slice_with_length(offset, length))
        };
        for block in footer.dictionaries().iter().flatten() {
            let data = piece(block).ok_or("it is cut off")?;
            decoder.read_dictionary(block, &data).map_err(text)?;
        }
        let mut batches = Vec::new();
        for block in footer.recordBatches().iter().flatten() {
            let data = piece(block).ok_or("it is cut off")?;
            batches.extend(decoder.read_record_batch(block, &data).map_err(text)?);
        }
        Ok(Self { schema, batches })
    }
}
