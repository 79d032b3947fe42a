//! Files below `/tmp` for what does not fit in memory. The runtime seals what leaves the enclave.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read as _, Write},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use datafusion::{
    error::{DataFusionError, Result},
    execution::{SpillFile, SpillWriter, TempFileFactory},
};
use futures_util::{Stream, stream};

/// How much is written or read at once: a few of the sealed pages it becomes.
const BLOCK: usize = 256 * 1024;

/// Makes files in the scratch folder.
pub(crate) struct Scratch {
    folder: PathBuf,
    made: AtomicU64,
}

impl Scratch {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            made: AtomicU64::new(0),
        }
    }
}

impl TempFileFactory for Scratch {
    fn create_temp_file(&self, description: &str) -> Result<Arc<dyn SpillFile>> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("spill-{number}"));
        File::create_new(&path).map_err(|error| {
            DataFusionError::ResourcesExhausted(format!(
                "{description} does not fit in memory and {} cannot be made: {error}",
                path.display()
            ))
        })?;
        Ok(Arc::new(Spilled {
            owned: Arc::new(Owned(path)),
            size: Arc::default(),
        }))
    }
}

/// One file; it is removed when its last user is gone.
struct Spilled {
    owned: Arc<Owned>,
    size: Arc<AtomicU64>,
}

struct Owned(PathBuf);

impl Drop for Owned {
    fn drop(&mut self) {
        // What stays is gone with the job.
        let _ = fs::remove_file(&self.0);
    }
}

impl SpillFile for Spilled {
    fn size(&self) -> Option<u64> {
        Some(self.size.load(Ordering::Relaxed))
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let file = File::open(&self.owned.0)?;
        let owned = Arc::clone(&self.owned);
        let blocks = stream::try_unfold((file, owned), |(mut file, owned)| async move {
            let mut block = Vec::with_capacity(BLOCK);
            (&mut file).take(BLOCK as u64).read_to_end(&mut block)?;
            Ok((!block.is_empty()).then(|| (Bytes::from(block), (file, owned))))
        });
        Ok(Box::pin(blocks))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let file = OpenOptions::new().append(true).open(&self.owned.0)?;
        Ok(Box::new(Writer {
            file: BufWriter::with_capacity(BLOCK, file),
            size: Arc::clone(&self.size),
            _owned: Arc::clone(&self.owned),
        }))
    }
}

struct Writer {
    file: BufWriter<File>,
    size: Arc<AtomicU64>,
    _owned: Arc<Owned>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        Ok(self.file.flush()?)
    }
}
