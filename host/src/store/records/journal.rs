//! A journal: changes in the order they were acknowledged, each group whole or not there.
//!
//! A group is its length (4 bytes, big-endian), 8 bytes of SHA-256 over the journal's number and
//! the group, and the group: for each change the table's number, the key's length (4 bytes) and
//! bytes, 1 and the value's length and bytes, or 0.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Change, Table};

/// Bytes before each group.
const HEAD: usize = 12;
const PREFIX: &str = "journal-";

/// The journal that is being written.
pub(super) struct Journal {
    file: File,
    number: u64,
    length: u64,
}

impl Journal {
    /// Begins the journal of this number.
    pub(super) fn begin(folder: &Path, number: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        Ok(Self {
            file: options.open(path(folder, number))?,
            number,
            length: 0,
        })
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Appends a group, whole or not at all.
    pub(super) fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut group = vec![0; HEAD];
        for change in changes {
            group.push(change.table as u8);
            write_bytes(&mut group, &change.key)?;
            group.push(u8::from(change.value.is_some()));
            if let Some(value) = &change.value {
                write_bytes(&mut group, value)?;
            }
        }
        let length = length_of(&group[HEAD..])?;
        let checksum = checksum(self.number, &group[HEAD..]);
        group[..4].copy_from_slice(&length);
        group[4..HEAD].copy_from_slice(&checksum);
        let written = self.file.write_all_at(&group, self.length);
        if written.is_err() {
            // A part of a group would hide the groups after it.
            let _ = self.file.set_len(self.length);
        } else {
            self.length += group.len() as u64;
        }
        written
    }
}

/// What journals say that the database does not know of.
pub(super) struct LeftOver {
    /// The journals' numbers and changes, in their order.
    pub(super) journals: Vec<(u64, Vec<Change>)>,
    /// Whether the last of these was torn.
    pub(super) torn: bool,
}

/// The journals after number `applied`. What stands after a tear, or after a journal that is
/// missing, is left out.
///
/// # Errors
/// A journal cannot be read, or has a whole group that this host does not understand.
pub(super) fn left_over(folder: &Path, applied: u64) -> io::Result<LeftOver> {
    let mut journals = Vec::new();
    for number in applied + 1.. {
        let bytes = match fs::read(path(folder, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            other => Bytes::from(other?),
        };
        let (changes, torn) = read(number, bytes)?;
        journals.push((number, changes));
        if torn {
            return Ok(LeftOver { journals, torn });
        }
    }
    Ok(LeftOver {
        journals,
        torn: false,
    })
}

/// Removes one journal.
pub(super) fn remove(folder: &Path, number: u64) -> io::Result<()> {
    match fs::remove_file(path(folder, number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes all journals after number `last`; whether there were any.
pub(super) fn remove_after(folder: &Path, last: u64) -> io::Result<bool> {
    let mut any = false;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let number = number.and_then(|number| number.parse::<u64>().ok());
        if number.is_some_and(|number| number > last) {
            fs::remove_file(entry.path())?;
            any = true;
        }
    }
    Ok(any)
}

/// Where the journal of this number is.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number}"))
}

fn write_bytes(group: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    group.extend(length_of(bytes)?);
    group.extend(bytes);
    Ok(())
}

fn length_of(bytes: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len());
    let length = length.map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    Ok(length.to_be_bytes())
}

fn checksum(number: u64, group: &[u8]) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(number.to_be_bytes());
    hash.update(group);
    let hash: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    [a, b, c, d, e, f, g, h]
}

/// The changes of a journal up to its end or first tear, and whether it was a tear.
fn read(number: u64, mut bytes: Bytes) -> io::Result<(Vec<Change>, bool)> {
    let mut changes = Vec::new();
    while !bytes.is_empty() {
        let Some(group) = read_group(number, &mut bytes) else {
            return Ok((changes, true));
        };
        let group = read_changes(group).ok_or_else(|| {
            // It is as it was written, so no power cut is to blame.
            let message = format!(
                "{PREFIX}{number} has changes that this host does not understand: expected those \
                 of its own release; start the host that wrote them, or restore a backup"
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        changes.extend(group);
    }
    Ok((changes, false))
}

fn read_changes(mut group: Bytes) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !group.is_empty() {
        changes.push(read_change(&mut group)?);
    }
    Some(changes)
}

fn read_group(number: u64, bytes: &mut Bytes) -> Option<Bytes> {
    let length = take_array(bytes).map(u32::from_be_bytes)? as usize;
    let expected = take_array(bytes)?;
    let group = take(bytes, length)?;
    (checksum(number, &group) == expected).then_some(group)
}

fn read_change(group: &mut Bytes) -> Option<Change> {
    let [table] = take_array(group)?;
    let key = read_bytes(group)?.to_vec();
    let value = match take_array(group)? {
        [0] => None,
        [1] => Some(read_bytes(group)?),
        _ => return None,
    };
    Some(Change {
        table: Table::from_number(table)?,
        key,
        value,
    })
}

fn read_bytes(group: &mut Bytes) -> Option<Bytes> {
    let length = take_array(group).map(u32::from_be_bytes)? as usize;
    take(group, length)
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn take_array<const N: usize>(bytes: &mut Bytes) -> Option<[u8; N]> {
    take(bytes, N)?.as_ref().try_into().ok()
}

/// Makes the checksum of a journal's only group good.
#[cfg(test)]
pub(super) fn sign(number: u64, bytes: &mut [u8]) {
    let checksum = checksum(number, &bytes[HEAD..]);
    bytes[4..HEAD].copy_from_slice(&checksum);
}
