//! Taking a packed folder apart: the table of its paths first, then its files end to end.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    vec,
};

use mc2_protocol::sealed::paths::{PathEntry, PathTable, PathTableError, START_LEN};

use crate::files::{FileError, failed};

/// Takes the plaintext of a packed folder and makes its files below a folder that is nobody's yet.
pub(crate) struct Unpacker<'a> {
    root: &'a Path,
    /// The stream's length with padding, and without where that is known.
    length: u64,
    exact: Option<u64>,
    /// The table, as far as it came.
    table: Vec<u8>,
    content: u64,
    /// What comes after the table; `None` before its end.
    files: Option<vec::IntoIter<PathEntry>>,
    current: Option<Current>,
    error: Option<UnpackError>,
}

/// The file that is being written.
struct Current {
    path: PathBuf,
    file: File,
    missing: u64,
}

/// Why a packed folder was not taken apart.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// Its table is not a good one, or the stream ends before its files.
    Paths(PathTableError),
    /// The system refused.
    File(FileError),
}

impl<'a> Unpacker<'a> {
    /// Unpacks a stream of `length` bytes below `root`, of which `exact` are no padding.
    pub(crate) fn new(root: &'a Path, length: u64, exact: Option<u64>) -> Self {
        Self {
            root,
            length,
            exact,
            table: Vec::new(),
            content: 0,
            files: None,
            current: None,
            error: None,
        }
    }

    /// Bytes of all files, once all are there.
    ///
    /// # Errors
    /// What went wrong first.
    pub(crate) fn finish(self) -> Result<u64, UnpackError> {
        match (self.error, self.files, self.current) {
            (Some(error), _, _) => Err(error),
            (None, Some(_), None) => Ok(self.content),
            _ => Err(UnpackError::Paths(PathTableError::Bytes)),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), UnpackError> {
        if self.files.is_none() {
            bytes = self.take_table(bytes)?;
        }
        while let Some(current) = &mut self.current
            && !bytes.is_empty()
        {
            let more = current.missing.min(bytes.len() as u64) as usize;
            let written = current.file.write_all(&bytes[..more]);
            written.map_err(failed("write", &current.path))?;
            current.missing -= more as u64;
            bytes = &bytes[more..];
            if current.missing == 0 {
                self.next_file()?;
            }
        }
        // What is left stands after the last file: padding.
        Ok(())
    }

    /// Returns what is not the table's.
    fn take_table<'b>(&mut self, mut bytes: &'b [u8]) -> Result<&'b [u8], UnpackError> {
        loop {
            let wanted = match self.table.first_chunk() {
                Some(start) => PathTable::stated_len(start).map_err(UnpackError::Paths)?,
                None => START_LEN,
            };
            let missing = wanted - self.table.len();
            if missing == 0 {
                break;
            }
            if bytes.is_empty() {
                return Ok(bytes);
            }
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.table.extend_from_slice(now);
            bytes = later;
        }
        let table = PathTable::parse(&self.table).map_err(UnpackError::Paths)?;
        table
            .check_packed(self.length, self.exact)
            .map_err(UnpackError::Paths)?;
        self.table = Vec::new();
        self.content = table.content();
        self.files = Some(table.files().to_vec().into_iter());
        self.next_file()?;
        Ok(bytes)
    }

    /// Ends the current file and makes the next, and those without bytes before it.
    fn next_file(&mut self) -> Result<(), UnpackError> {
        if let Some(Current { path, file, .. }) = self.current.take() {
            file.sync_all().map_err(failed("store", &path))?;
        }
        for entry in self.files.iter_mut().flatten() {
            let (path, file) = create_below(self.root, &entry.path)?;
            if entry.length > 0 {
                self.current = Some(Current {
                    path,
                    file,
                    missing: entry.length,
                });
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Write for Unpacker<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.error.get_or_insert(error);
                Err(io::Error::other("the folder cannot be unpacked"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<FileError> for UnpackError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Makes a file of a folder, and the folders it lies in. `path` is a table's: clean and relative.
pub(crate) fn create_below(root: &Path, path: &str) -> Result<(PathBuf, File), FileError> {
    let path = root.join(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed("make the folder", folder))?;
    }
    let file = File::create_new(&path).map_err(failed("write", &path))?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let entries = files.iter().map(|(path, bytes)| PathEntry {
            path: (*path).to_owned(),
            length: bytes.len() as u64,
        });
        let mut packed = PathTable::new(entries.collect()).unwrap().encode();
        for (_, bytes) in files {
            packed.extend_from_slice(bytes);
        }
        packed
    }

    fn unpack(
        packed: &[u8],
        exact: Option<u64>,
        piece: usize,
    ) -> (tempfile::TempDir, Result<u64, UnpackError>) {
        let folder = tempfile::tempdir().unwrap();
        let mut unpacker = Unpacker::new(folder.path(), packed.len() as u64, exact);
        for piece in packed.chunks(piece) {
            if unpacker.write_all(piece).is_err() {
                break;
            }
        }
        let length = unpacker.finish();
        (folder, length)
    }

    #[test]
    fn a_folder_comes_apart_however_it_comes_in() {
        let files: [(&str, &[u8]); 4] = [("a", b""), ("b/c", b"12345"), ("d", b"6"), ("e", b"")];
        let mut packed = packed(&files);
        let exact = packed.len() as u64;
        packed.resize(1024, 0);
        for piece in [1, 2, 7, 1024] {
            for exact in [None, Some(exact)] {
                let (folder, length) = unpack(&packed, exact, piece);
                assert_eq!(length.unwrap(), 6);
                for (path, bytes) in files {
                    assert_eq!(fs::read(folder.path().join(path)).unwrap(), bytes);
                }
            }
        }
        let (folder, length) = unpack(&PathTable::new(vec![]).unwrap().encode(), Some(9), 4);
        assert_eq!(length.unwrap(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_cut_off_or_longer_than_told_is_refused() {
        let whole = packed(&[("a", b"123"), ("b", b"456")]);
        let exact = whole.len() as u64;
        for length in 0..whole.len() {
            let (_folder, unpacked) = unpack(&whole[..length], None, 5);
            assert!(matches!(unpacked, Err(UnpackError::Paths(_))), "{length}");
        }
        for wrong in [exact - 1, exact + 1] {
            let (_folder, unpacked) = unpack(&whole, Some(wrong), 5);
            assert!(matches!(unpacked, Err(UnpackError::Paths(_))), "{wrong}");
        }
    }
}
