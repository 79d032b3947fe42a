//! `mc2 new NAME`: a workload that builds, runs and passes its own test.
//!
//! Start at [`create`]. The files are those of `client/templates`; the SDK, which no registry has
//! yet, is a folder of the caller's or the copy this program carries.

mod files;
mod name;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use files::{SDK, Values, WORKLOAD};

/// Where a new workload gets the crate `mc2-guest` from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdkSource {
    /// This folder, as in a checkout of the product.
    Path(PathBuf),
    /// The copy in this program, which goes to `vendor/mc2-guest` in the new folder.
    Embedded,
}

/// Why no workload was made. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// A name cargo or a policy would not take.
    #[error("{name:?} is no name for a workload: {reason}; one like \"card-fraud\" is wanted")]
    BadName {
        /// The name given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is something already.
    #[error("{} exists already; choose another name or remove it first", path.display())]
    Exists {
        /// The new workload's folder.
        path: PathBuf,
    },
    /// The folder given as SDK is not the SDK.
    #[error(
        "{} is not the crate mc2-guest: {reason}; --sdk wants the folder guest-sdk of a checkout",
        path.display()
    )]
    NotTheSdk {
        /// The folder given.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A file or folder that could not be made.
    #[error("cannot make {}", path.display())]
    Io {
        /// What was being made.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the folder `name` in `folder`, with a workload in it, and says where it is.
///
/// The folder appears under its name only when whole.
///
/// # Errors
/// A bad name, a folder that exists, a folder that is no SDK, or a file that can't be written; see
/// [`NewError`].
pub fn create(name: &str, folder: &Path, sdk: SdkSource) -> Result<PathBuf, NewError> {
    name::check(name).map_err(|reason| NewError::BadName {
        name: name.to_owned(),
        reason,
    })?;
    let target = folder.join(name);
    if fs::symlink_metadata(&target).is_ok() {
        return Err(NewError::Exists { path: target });
    }
    let sdk_path = match &sdk {
        SdkSource::Path(path) => checked_sdk(path)?,
        SdkSource::Embedded => "vendor/mc2-guest".to_owned(),
    };
    let values = Values::new(name, &sdk_path);

    let draft = draft_in(folder).map_err(|source| NewError::Io {
        path: target.clone(),
        source,
    })?;
    let make = |path: &str, content: &str| {
        write(&draft.path().join(path), content).map_err(|source| NewError::Io {
            path: target.join(path),
            source,
        })
    };
    for (path, template) in WORKLOAD {
        make(path, &values.fill(template))?;
    }
    if sdk == SdkSource::Embedded {
        for (path, content) in SDK {
            make(&format!("vendor/mc2-guest/{path}"), content)?;
        }
    }
    fs::rename(draft.path(), &target).map_err(|source| NewError::Io {
        path: target.clone(),
        source,
    })?;
    Ok(target)
}

/// The folder's absolute path, if the crate `mc2-guest` is in it.
fn checked_sdk(path: &Path) -> Result<String, NewError> {
    let refused = |reason: String| NewError::NotTheSdk {
        path: path.to_owned(),
        reason,
    };
    let folder = fs::canonicalize(path).map_err(|error| refused(error.to_string()))?;
    let manifest = fs::read_to_string(folder.join("Cargo.toml"))
        .map_err(|error| refused(format!("its Cargo.toml: {error}")))?;
    let manifest: toml::Table = manifest.parse().map_err(|error: toml::de::Error| {
        refused(format!("its Cargo.toml: {}", error.message()))
    })?;
    let package = manifest
        .get("package")
        .and_then(|package| package.get("name"));
    match package.and_then(toml::Value::as_str) {
        Some("mc2-guest") => {}
        Some(other) => return Err(refused(format!("it is the crate {other}"))),
        None => return Err(refused("its Cargo.toml names no package".to_owned())),
    }
    folder
        .into_os_string()
        .into_string()
        .map_err(|_| refused("its path is not UTF-8".to_owned()))
}

/// A folder beside the target, so that renaming it is one step; removed where that is not reached.
fn draft_in(folder: &Path) -> io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new()
        .prefix(".mc2-new-")
        // An ordinary folder: what the user's own mask leaves of it.
        .permissions(fs::Permissions::from_mode(0o777))
        .tempdir_in(folder)
}

fn write(path: &Path, content: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)
}
