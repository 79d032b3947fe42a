//! SHA-256 of bytes, files and folders; and what a register holds that digests were measured into.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256, Sha384};

use crate::process::{Doing, Outcome};

/// Lower-case hex of the SHA-256 of `bytes`.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Lower-case hex of the SHA-256 of the file's content.
pub(crate) fn file(path: &Path) -> Outcome<String> {
    Ok(bytes(
        &fs::read(path).doing(format_args!("reading {}", path.display()))?,
    ))
}

/// One digest for the regular files below each of `folders`, over their
/// relative names in byte order and their contents; times and modes don't count.
pub(crate) fn tree(root: &Path, folders: &[&str]) -> Outcome<String> {
    let mut files = Vec::new();
    for folder in folders {
        list(&root.join(folder), &mut files)?;
    }
    of_files(root, files)
}

/// As [`tree`], over a given list of files below `root`.
pub(crate) fn of_files(root: &Path, mut files: Vec<PathBuf>) -> Outcome<String> {
    files.sort();
    files.dedup();
    let mut all = Sha256::new();
    for path in files {
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        all.update((name.len() as u64).to_be_bytes());
        all.update(name.as_bytes());
        all.update(file(&path)?.as_bytes());
    }
    Ok(hex::encode(all.finalize()))
}

/// Appends every regular file below `folder`, links not followed.
pub(crate) fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    let entries = fs::read_dir(folder).doing(format_args!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry.doing(format_args!("reading {}", folder.display()))?;
        let kind = entry
            .file_type()
            .doing(format_args!("reading {}", entry.path().display()))?;
        if kind.is_dir() {
            list(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// What a register of SHA-384 holds that began as zero and was extended by each of these digests, as
/// `mc2_protocol::evidence::Register384`, which this crate does not link, computes it.
pub(crate) fn extended(digests: impl IntoIterator<Item = [u8; 48]>) -> [u8; 48] {
    digests.into_iter().fold([0; 48], |register, digest| {
        let sum = Sha384::new().chain_update(register);
        sum.chain_update(digest).finalize().into()
    })
}

#[cfg(test)]
mod tests {
    use mc2_attestation::trust::RegisterValue;

    use super::*;

    #[test]
    fn a_register_is_extended_as_verifiers_compute_it() {
        for digests in [&[[7; 48]][..], &[[1; 48], [2; 48], [3; 48]]] {
            let events = digests.iter().map(|digest| vec![*digest]).collect();
            let held = RegisterValue::of_events(events).unwrap();
            assert!(held.is(&extended(digests.iter().copied())));
            assert!(!held.is(&extended(digests.iter().rev().skip(1).copied())));
        }
    }
}
