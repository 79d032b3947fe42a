//! Bins in whatever can be written, read and searched, for instance a scratch file.

use std::io::{Read, Seek, SeekFrom, Write};

use super::BinStore;

/// Keeps bins in a file that nobody else uses.
#[derive(Debug)]
pub struct FileStore<F> {
    file: F,
    /// Bytes written.
    end: u64,
}

impl<F> FileStore<F> {
    /// Uses `file`, which is empty.
    pub fn new(file: F) -> Self {
        Self { file, end: 0 }
    }
}

impl<F: Read + Write + Seek + Send> BinStore for FileStore<F> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = self
            .file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.write_all(bytes));
        written.map_err(|error| format!("writing {} bytes: {error}", bytes.len()))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), String> {
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(bytes))
            .map_err(|error| format!("reading {} bytes at {at}: {error}", bytes.len()))
    }
}
