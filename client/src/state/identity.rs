//! Identity files: a comment with the card's name and fingerprint, then the secret line.

use std::path::{Path, PathBuf};

use mc2_protocol::Identity;
use zeroize::Zeroizing;

use crate::files::{FileError, read_secret};

const MAX_LEN: usize = 64 * 1024;

/// Why an identity file was refused.
#[derive(Debug, thiserror::Error)]
pub enum IdentityFileError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// No line of it is an identity. The error holds nothing of the file.
    #[error(
        "{} is not an identity file: expected one line that starts with mc2secret1, found {found}",
        path.display()
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: &'static str,
    },
}

/// The text of an identity's file.
pub fn file_text(identity: &Identity) -> Zeroizing<String> {
    let card = identity.card();
    Zeroizing::new(format!(
        "# The identity of the MC2 party {}. Whoever has this file is that party: keep it to\n\
         # yourself and keep a copy, for nothing sealed to it opens without it.\n\
         # card fingerprint: {}\n{}\n",
        card.name(),
        card.fingerprint(),
        identity.to_text().as_str(),
    ))
}

/// Reads an identity's file: the one line that is neither empty nor a comment.
///
/// # Errors
/// [`IdentityFileError`].
pub fn read_file(path: &Path) -> Result<Identity, IdentityFileError> {
    let bytes = read_secret(path, MAX_LEN)?;
    let invalid = |found| IdentityFileError::Invalid {
        path: path.to_owned(),
        found,
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| invalid("bytes that are no text"))?;
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or_else(|| invalid("none"))?;
    if lines.next().is_some() {
        return Err(invalid("several lines"));
    }
    Identity::from_text(line).map_err(|_| invalid("another line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_comments_is_read_and_a_broken_one_is_not_quoted() {
        let identity = Identity::generate("alice".parse().unwrap(), &mut crate::random());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.key");
        std::fs::write(&path, file_text(&identity).as_bytes()).unwrap();
        assert_eq!(read_file(&path).ok().unwrap().card(), identity.card());

        let secret = identity.to_text();
        std::fs::write(&path, &secret[..secret.len() - 100]).unwrap();
        let error = read_file(&path).err().unwrap().to_string();
        assert!(error.contains("not an identity file"), "{error}");
        assert!(!error.contains(&secret[12..40]), "{error}");
    }
}
