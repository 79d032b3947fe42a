//! What a bare run leaves: files that get their names when all of it is there, or nothing.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use mc2_sandbox::{Failure, Output, OutputFile, TogetherOutcome};

use super::{error::BareError, inputs::check_name};
use crate::files::{Staged, StagedFolder, failed, folder_of, vacant};

/// The most bytes copied at once.
const PIECE: usize = 1 << 20;

/// Checks names and places before anything runs, so that a long run does not end in vain.
pub(super) fn check(outputs: &[(String, PathBuf)]) -> Result<(), BareError> {
    let mut met = BTreeSet::new();
    for (name, path) in outputs {
        let bare = name.strip_suffix('/').unwrap_or(name);
        check_name("output", bare)?;
        if !met.insert(bare) {
            return Err(BareError::Invalid(format!(
                "two outputs are called {bare:?}"
            )));
        }
        let folder = name.ends_with('/');
        let wrong = if folder {
            vacant(path).is_err()
        } else {
            path.is_dir()
        };
        if wrong || !folder_of(path).is_dir() {
            return Err(BareError::Invalid(format!(
                "the output {name:?} cannot go to {}: expected {} in a folder that exists",
                path.display(),
                if folder {
                    "a new or empty folder"
                } else {
                    "a file"
                },
            )));
        }
    }
    Ok(())
}

/// Writes what all instances left to where the caller wants it. The inner failure is the guest's:
/// an output it did not leave, or left twice.
pub(super) async fn release(
    outcome: &TogetherOutcome,
    outputs: &[(String, PathBuf)],
) -> Result<Result<(), Failure>, BareError> {
    let mut staged = Vec::new();
    for (name, path) in outputs {
        let bare = name.strip_suffix('/').unwrap_or(name);
        let found = match outcome.output(bare) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Err(Failure::MissingOutput(bare.to_owned()))),
            Err(failure) => return Ok(Err(failure)),
        };
        staged.push(match found {
            Output::File(file) => {
                let mut staged = Staged::create(path, 0o666)?;
                copy(&file, staged.file(), path).await?;
                Ready::File(staged)
            }
            Output::Folder(files) => {
                let staged = StagedFolder::create(path)?;
                for (name, file) in files {
                    let target = staged.path().join(name);
                    fs::create_dir_all(folder_of(&target)).map_err(failed("write", &target))?;
                    let mut to = fs::File::create(&target).map_err(failed("write", &target))?;
                    copy(&file, &mut to, &target).await?;
                }
                Ready::Folder(staged)
            }
        });
    }
    for one in staged {
        match one {
            Ready::File(staged) => staged.publish()?,
            Ready::Folder(staged) => staged.publish()?,
        }
    }
    Ok(Ok(()))
}

enum Ready {
    File(Staged),
    Folder(StagedFolder),
}

async fn copy(from: &OutputFile, to: &mut fs::File, path: &Path) -> Result<(), BareError> {
    let mut offset = 0;
    while offset < from.size() {
        let bytes = from
            .read_at(offset, PIECE)
            .await
            .map_err(|failure| failed("write", path)(io::Error::other(failure)))?;
        offset += bytes.len() as u64;
        to.write_all(&bytes).map_err(failed("write", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_refused_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("full")).unwrap();
        fs::write(at("full/x"), "x").unwrap();
        for (name, path) in [
            ("a", at("full")),
            ("a/", at("full")),
            ("a", at("no/a")),
            ("../a", at("a")),
        ] {
            assert!(check(&[(name.to_owned(), path)]).is_err(), "{name}");
        }
        let twice = [("a".to_owned(), at("1")), ("a/".to_owned(), at("2"))];
        assert!(check(&twice).is_err());
        check(&[("a".to_owned(), at("1")), ("b/".to_owned(), at("2"))]).unwrap();
    }
}
