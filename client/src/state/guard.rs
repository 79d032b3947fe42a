//! Whose a state folder is, and who else can look into it.
//!
//! What lies in it is a person's identity and what that person believes: whoever can write there is
//! that person. So a folder of somebody else, or one that others can enter, is not used at all.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use rustix::process::geteuid;

use super::error::StateError;
use crate::files::failed;

/// What nobody but the owner may have.
const OTHERS: u32 = 0o077;

/// Refuses a state folder that is not this user's alone; one that is not there yet is good.
pub(crate) fn check(root: &Path) -> Result<(), StateError> {
    let own = geteuid().as_raw();
    let found = match fs::symlink_metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed("look at", root))?,
    };
    let owner = |found: u32| {
        let path = root.to_owned();
        let mend = format!("sudo chown -R {own} {}", quoted(root));
        StateError::Owner {
            path,
            found,
            own,
            mend,
        }
    };
    // Somebody else's link leads where they like tomorrow; the system's own links are the
    // administrator's.
    if found.is_symlink() && ![own, 0].contains(&found.uid()) {
        return Err(owner(found.uid()));
    }
    let found = fs::metadata(root).map_err(failed("look at", root))?;
    if !found.is_dir() {
        let path = root.to_owned();
        return Err(StateError::NotAFolder { path });
    }
    if found.uid() != own {
        return Err(owner(found.uid()));
    }
    if found.mode() & OTHERS != 0 {
        return Err(StateError::Mode {
            path: root.to_owned(),
            found: found.mode() & 0o7777,
            mend: format!("chmod 700 {}", quoted(root)),
        });
    }
    Ok(())
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder(mode: u32) -> tempfile::TempDir {
        tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(mode))
            .tempdir()
            .unwrap()
    }

    #[test]
    fn a_state_folder_others_can_enter_is_refused_with_the_line_that_mends_it() {
        for mode in [0o750, 0o705, 0o701, 0o770, 0o777] {
            let folder = folder(0o700);
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            let error = check(folder.path()).unwrap_err();
            assert!(matches!(error, StateError::Mode { .. }), "{error}");
            let mend = format!("chmod 700 {}", folder.path().display());
            assert!(error.to_string().contains(&mend), "{error}");
            // Whatever is made in it is made only after this check.
            let state = State::at(folder.path().to_owned());
            assert!(state.default_identity().is_err());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
        check(folder(0o700).path()).unwrap();
    }

    #[test]
    fn a_state_folder_of_somebody_else_is_refused() {
        if !geteuid().is_root() {
            // Only root can give a folder away.
            return;
        }
        let folder = folder(0o700);
        std::os::unix::fs::chown(folder.path(), Some(1), None).unwrap();
        let error = check(folder.path()).unwrap_err();
        assert!(
            matches!(error, StateError::Owner { found: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("sudo chown -R 0 "), "{error}");

        // Nor one that somebody else's link leads to.
        let own = self::folder(0o700);
        let link = own.path().join("link");
        std::os::unix::fs::symlink(self::folder(0o700).path(), &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(1), None).unwrap();
        let error = check(&link).unwrap_err();
        assert!(
            matches!(error, StateError::Owner { found: 1, .. }),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_folder_is_refused_and_what_is_not_there_is_not() {
        let folder = folder(0o700);
        let file = folder.path().join("file");
        check(&file).unwrap();
        fs::write(&file, "").unwrap();
        assert!(matches!(check(&file), Err(StateError::NotAFolder { .. })));
    }

    #[test]
    fn a_path_is_quoted_as_a_shell_reads_it() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
