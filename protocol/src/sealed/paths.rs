//! Tables of paths: what a folder's files are called and how long each is (protocol.md §5).
//!
//! A table stands nowhere in clear. That of a folder which its owner sealed is a sealed stream of
//! its own; that of a folder which a job left is the beginning of the one stream the folder was
//! packed into. Whoever opens a table parses it here, and here alone are paths checked.

use std::collections::BTreeSet;

/// Most files a folder may have.
pub const MAX_FILES: usize = 32 * 1024;
/// Most bytes of one table.
pub const MAX_LEN: usize = 8 * 1024 * 1024;
/// Bytes before the first entry: version, number of files, bytes of all entries.
pub const START_LEN: usize = 9;
/// The shortest padded table, in bytes.
pub const MIN_PADDED_LEN: usize = 4 * 1024;

/// What this release writes and reads.
const VERSION: u8 = 1;
/// Bytes of an entry without its path.
const ENTRY_LEN: usize = 10;
/// Most bytes of a path, and of each of its parts.
const MAX_PATH: usize = 1024;
const MAX_PART: usize = 255;

/// One file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathEntry {
    /// Its path below the folder, with `/` between its parts.
    pub path: String,
    /// Its length in bytes.
    pub length: u64,
}

/// The files of a folder, in the order of their paths' bytes. It holds only what was checked:
/// clean relative paths, none twice, none a folder of another.
///
/// ```
/// use mc2_protocol::sealed::paths::{PathEntry, PathTable};
///
/// let file = |path: &str, length| PathEntry { path: path.to_owned(), length };
/// let table = PathTable::new(vec![file("2025/a.csv", 10), file("2026/b.csv", 20)])?;
/// assert_eq!(table.content(), 30);
/// // As the host sees it, its length says little of the paths.
/// assert_eq!(table.encode_padded().len(), 4096);
/// assert_eq!(PathTable::parse_padded(&table.encode_padded())?, table);
/// assert!(PathTable::new(vec![file("../c.csv", 1)]).is_err());
/// # Ok::<(), mc2_protocol::sealed::paths::PathTableError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTable {
    files: Vec<PathEntry>,
    content: u64,
}

/// Why a table was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathTableError {
    /// Another version than this release's.
    #[error("the table of paths has format version {found}, this release reads version {VERSION}")]
    Version {
        /// The version it states.
        found: u8,
    },
    /// More files than a folder may have.
    #[error("the folder has {found} files, at most {MAX_FILES} are accepted")]
    Files {
        /// How many it has or states.
        found: usize,
    },
    /// More bytes than a table may have.
    #[error("the table of paths has {found} bytes, at most {MAX_LEN} are accepted")]
    TooLong {
        /// How many it has or states.
        found: usize,
    },
    /// Bytes are missing, left over, or do not add up.
    #[error("the table of paths is cut off, or its lengths do not add up")]
    Bytes,
    /// Something else than zeros after the table.
    #[error("the table of paths is followed by something else than zeros")]
    Padding,
    /// A path that leaves its folder, or cannot be a file's.
    #[error(
        "{path:?} is not a clean relative path: expected parts of 1 to {MAX_PART} bytes between \
         slashes, none of them . or .., no \\ and no control character, at most {MAX_PATH} bytes"
    )]
    Path {
        /// The path.
        path: String,
    },
    /// A path that is there twice, or out of order.
    #[error("{path:?} is repeated or out of order")]
    Order {
        /// The path.
        path: String,
    },
    /// A path that is a file and a folder.
    #[error("{path:?} is both a file and a folder")]
    FileAndFolder {
        /// The path.
        path: String,
    },
    /// The table is not that of this object's files.
    #[error("the table of paths is not that of this folder's files: their lengths differ")]
    OtherFiles,
}

impl PathTable {
    /// The table of these files, which stand in the order of their paths' bytes.
    ///
    /// # Errors
    /// [`PathTableError`].
    pub fn new(files: Vec<PathEntry>) -> Result<Self, PathTableError> {
        if files.len() > MAX_FILES {
            return Err(PathTableError::Files { found: files.len() });
        }
        for file in &files {
            if !is_clean_path(&file.path) {
                let path = file.path.chars().take(MAX_PATH).collect();
                return Err(PathTableError::Path { path });
            }
        }
        for pair in files.windows(2) {
            if pair[0].path >= pair[1].path {
                let path = pair[1].path.clone();
                return Err(PathTableError::Order { path });
            }
        }
        // Sorted by bytes, a file that is also a folder need not stand right before its children.
        let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        for path in &paths {
            let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(parent) = parents.find(|parent| paths.contains(parent)) {
                let path = parent.to_owned();
                return Err(PathTableError::FileAndFolder { path });
            }
        }
        let content = files
            .iter()
            .try_fold(0_u64, |sum, file| sum.checked_add(file.length))
            .ok_or(PathTableError::Bytes)?;
        let table = Self { files, content };
        let found = table.encoded_len();
        if found > MAX_LEN {
            return Err(PathTableError::TooLong { found });
        }
        Ok(table)
    }

    /// Reads a table that is all of `bytes`.
    ///
    /// # Errors
    /// [`PathTableError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PathTableError> {
        let start = bytes.first_chunk().ok_or(PathTableError::Bytes)?;
        let (count, length) = read_start(start)?;
        if length != bytes.len() {
            return Err(PathTableError::Bytes);
        }
        let mut rest = &bytes[START_LEN..];
        // `read_start` has compared the number with the bytes there are for it.
        let mut files = Vec::with_capacity(count);
        for _ in 0..count {
            let (length, path, after) = read_entry(rest).ok_or(PathTableError::Bytes)?;
            let path = std::str::from_utf8(path).map_err(|_| PathTableError::Path {
                path: String::from_utf8_lossy(path).into_owned(),
            })?;
            files.push(PathEntry {
                path: path.to_owned(),
                length,
            });
            rest = after;
        }
        if !rest.is_empty() {
            return Err(PathTableError::Bytes);
        }
        Self::new(files)
    }

    /// Reads a table that zeros follow to the end of `bytes`.
    ///
    /// # Errors
    /// [`PathTableError`].
    pub fn parse_padded(bytes: &[u8]) -> Result<Self, PathTableError> {
        let start = bytes.first_chunk().ok_or(PathTableError::Bytes)?;
        let length = Self::stated_len(start)?;
        let (table, padding) = bytes
            .split_at_checked(length)
            .ok_or(PathTableError::Bytes)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(PathTableError::Padding);
        }
        Self::parse(table)
    }

    /// How many bytes a table that begins so has, these included: at most [`MAX_LEN`].
    ///
    /// # Errors
    /// Another version, or more files or bytes than a table may have.
    pub fn stated_len(start: &[u8; START_LEN]) -> Result<usize, PathTableError> {
        read_start(start).map(|(_, length)| length)
    }

    /// The files in order.
    pub fn files(&self) -> &[PathEntry] {
        &self.files
    }

    /// Bytes of all files together.
    pub const fn content(&self) -> u64 {
        self.content
    }

    /// The length in bytes of the packed stream of this table and its files, before padding;
    /// `None` where it overflows.
    pub fn packed_len(&self) -> Option<u64> {
        self.content.checked_add(self.encoded_len() as u64)
    }

    /// Checks that the table is that of files of these lengths, which have no names.
    ///
    /// # Errors
    /// [`PathTableError::OtherFiles`].
    pub fn check_files(&self, lengths: impl Iterator<Item = u64>) -> Result<(), PathTableError> {
        if self.files.iter().map(|file| file.length).eq(lengths) {
            return Ok(());
        }
        Err(PathTableError::OtherFiles)
    }

    /// Checks that a packed stream of `length` bytes holds the table and all files; where
    /// `exact` is known, that without padding it has so many.
    ///
    /// # Errors
    /// [`PathTableError::OtherFiles`].
    pub fn check_packed(&self, length: u64, exact: Option<u64>) -> Result<(), PathTableError> {
        let packed = self.packed_len().filter(|packed| *packed <= length);
        if packed.is_some() && exact.is_none_or(|exact| packed == Some(exact)) {
            return Ok(());
        }
        Err(PathTableError::OtherFiles)
    }

    /// The files with the byte of the packed stream at which each begins.
    pub fn packed(&self) -> impl Iterator<Item = (u64, &PathEntry)> {
        let mut next = self.encoded_len() as u64;
        self.files.iter().map(move |file| {
            let start = next;
            next = next.saturating_add(file.length);
            (start, file)
        })
    }

    /// Bytes of the table.
    pub fn encoded_len(&self) -> usize {
        let entries = self.files.iter().map(|file| ENTRY_LEN + file.path.len());
        START_LEN + entries.sum::<usize>()
    }

    /// The table's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let length = self.encoded_len();
        let mut bytes = Vec::with_capacity(length);
        bytes.push(VERSION);
        // `new` has compared both with caps that fit.
        bytes.extend_from_slice(&(self.files.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&((length - START_LEN) as u32).to_be_bytes());
        for file in &self.files {
            bytes.extend_from_slice(&file.length.to_be_bytes());
            bytes.extend_from_slice(&(file.path.len() as u16).to_be_bytes());
            bytes.extend_from_slice(file.path.as_bytes());
        }
        bytes
    }

    /// The table's bytes with zeros up to a power of two, at least [`MIN_PADDED_LEN`]: what the
    /// host sees of the paths of a folder whose number of files it knows.
    pub fn encode_padded(&self) -> Vec<u8> {
        let mut bytes = self.encode();
        let padded = bytes.len().next_power_of_two().max(MIN_PADDED_LEN);
        bytes.resize(padded, 0);
        bytes
    }
}

/// Whether `path` is relative and stays below its folder: no empty, `.` or `..` part, no part of
/// more than 255 bytes, no backslash, no control character, at most 1,024 bytes.
pub fn is_clean_path(path: &str) -> bool {
    path.len() <= MAX_PATH
        && path
            .split('/')
            .all(|part| !part.is_empty() && part.len() <= MAX_PART && part != "." && part != "..")
        && !path.chars().any(|c| c == '\\' || c.is_control())
}

/// The number of files and of all bytes.
fn read_start(start: &[u8; START_LEN]) -> Result<(usize, usize), PathTableError> {
    let [found, a, b, c, d, e, f, g, h] = *start;
    if found != VERSION {
        return Err(PathTableError::Version { found });
    }
    let count = u32::from_be_bytes([a, b, c, d]) as usize;
    if count > MAX_FILES {
        return Err(PathTableError::Files { found: count });
    }
    let entries = u32::from_be_bytes([e, f, g, h]) as usize;
    let found = entries.saturating_add(START_LEN);
    if found > MAX_LEN {
        return Err(PathTableError::TooLong { found });
    }
    if entries < count * ENTRY_LEN {
        return Err(PathTableError::Bytes);
    }
    Ok((count, found))
}

/// The first entry's length and path, and what follows it.
fn read_entry(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (path, rest) = rest.split_first_chunk()?;
    let (path, rest) = rest.split_at_checked(u16::from_be_bytes(*path).into())?;
    Some((u64::from_be_bytes(*length), path, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&str]) -> Result<PathTable, PathTableError> {
        let entry = |(at, path): (usize, &&str)| PathEntry {
            path: (*path).to_owned(),
            length: at as u64,
        };
        PathTable::new(paths.iter().enumerate().map(entry).collect())
    }

    /// Bytes that no check has passed.
    fn raw(paths: &[&[u8]]) -> Vec<u8> {
        let mut entries = Vec::new();
        for path in paths {
            entries.extend_from_slice(&7_u64.to_be_bytes());
            entries.extend_from_slice(&(path.len() as u16).to_be_bytes());
            entries.extend_from_slice(path);
        }
        let count = (paths.len() as u32).to_be_bytes();
        let length = (entries.len() as u32).to_be_bytes();
        [&[1][..], &count, &length, &entries].concat()
    }

    #[test]
    fn a_table_survives_its_bytes_padded_and_not() {
        for paths in [&[][..], &["a", "b/c", "b/ä"]] {
            let table = table(paths).unwrap();
            let bytes = table.encode();
            assert_eq!(bytes.len(), table.encoded_len());
            assert_eq!(PathTable::parse(&bytes).unwrap(), table);
            let padded = table.encode_padded();
            assert_eq!(padded.len(), 4096);
            assert_eq!(PathTable::parse_padded(&padded).unwrap(), table);
            assert_eq!(PathTable::parse(&padded), Err(PathTableError::Bytes));
            let mut filled = padded;
            filled[4095] = 1;
            assert_eq!(
                PathTable::parse_padded(&filled),
                Err(PathTableError::Padding)
            );
        }
        let table = table(&["a", "b/c", "d"]).unwrap();
        let starts: Vec<u64> = table.packed().map(|(start, _)| start).collect();
        let length = table.encoded_len() as u64;
        assert_eq!(starts, [length, length, length + 1]);
        assert_eq!(table.packed_len(), Some(length + 3));
    }

    #[test]
    fn paths_that_leave_the_folder_or_collide_are_refused() {
        let bad: [&[&str]; 13] = [
            &["../x"],
            &["/x"],
            &["x/"],
            &["a/../b"],
            &["a/./b"],
            &["a//b"],
            &[""],
            &["a\\b"],
            &["a\nb"],
            &["b", "a"],
            &["a", "a"],
            &["a", "a/b"],
            &["a", "a!", "a/b"],
        ];
        for paths in bad {
            assert!(table(paths).is_err(), "{paths:?}");
            let paths: Vec<&[u8]> = paths.iter().map(|path| path.as_bytes()).collect();
            assert!(PathTable::parse(&raw(&paths)).is_err(), "{paths:?}");
        }
        assert!(PathTable::parse(&raw(&[b"a", b"b"])).is_ok());
        assert!(PathTable::parse(&raw(&[b"\xff"])).is_err());
        let long = "x/".repeat(512);
        assert!(table(&[&long[..1023]]).is_ok());
        assert!(table(&[&format!("{long}x")]).is_err());
        assert!(table(&[&"x".repeat(256)]).is_err());
    }

    #[test]
    fn what_a_table_states_is_compared_before_anything_is_allocated() {
        let start = |count: u32, entries: u32| {
            [&[1][..], &count.to_be_bytes(), &entries.to_be_bytes()].concat()
        };
        let files = MAX_FILES as u32 + 1;
        for (count, entries, expected) in [
            (files, files * 10, PathTableError::Files { found: 32_769 }),
            (
                1,
                u32::MAX,
                PathTableError::TooLong {
                    found: u32::MAX as usize + START_LEN,
                },
            ),
            (2, 10, PathTableError::Bytes),
            (1, 10, PathTableError::Bytes),
        ] {
            let found = PathTable::parse(&start(count, entries));
            assert_eq!(found, Err(expected), "{count} {entries}");
        }
        let version = [&[2][..], &[0; 8]].concat();
        assert_eq!(
            PathTable::parse(&version),
            Err(PathTableError::Version { found: 2 })
        );
        let both = table(&["a", "b"]).unwrap();
        assert!(both.check_files([0, 1].into_iter()).is_ok());
        for lengths in [&[0][..], &[0, 2], &[0, 1, 2]] {
            assert!(both.check_files(lengths.iter().copied()).is_err());
        }
        let packed = both.packed_len().unwrap();
        assert!(both.check_packed(packed, Some(packed)).is_ok());
        assert!(both.check_packed(packed + 7, None).is_ok());
        assert!(both.check_packed(packed - 1, None).is_err());
        assert!(both.check_packed(packed + 7, Some(packed + 7)).is_err());
        let overflow = [("a", u64::MAX), ("b", 1)].map(|(path, length)| PathEntry {
            path: path.to_owned(),
            length,
        });
        assert_eq!(PathTable::new(overflow.into()), Err(PathTableError::Bytes));
    }
}
