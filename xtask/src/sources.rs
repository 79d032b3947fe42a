//! The workspace's own packages and their Rust files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome};

/// A package of the workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// The names of the packages it is built from, its tests' own aside.
    pub(crate) needs: Vec<String>,
}

/// Every package of the workspace.
pub(crate) fn packages(machine: &Machine) -> Outcome<Vec<Package>> {
    let metadata = machine.metadata()?;
    let packages = metadata["packages"].as_array();
    let packages = packages.into_iter().flatten().map(Package::read);
    packages.collect::<Option<_>>().ok_or_else(|| {
        Failure::new("`cargo metadata` has a package without name, manifest or dependencies")
    })
}

impl Package {
    fn read(package: &Value) -> Option<Self> {
        let dependencies = package["dependencies"].as_array()?.iter();
        let needs = dependencies
            .filter(|one| one["kind"] != "dev")
            .map(|one| one["name"].as_str().map(str::to_owned));
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            folder: Path::new(package["manifest_path"].as_str()?)
                .parent()?
                .to_owned(),
            needs: needs.collect::<Option<_>>()?,
        })
    }

    /// Its Rust files below `part` of its folder, without those of packages inside it.
    pub(crate) fn rust_files(&self, part: &str, all: &[Self]) -> Outcome<Vec<PathBuf>> {
        let others = all.iter().map(|other| other.folder.as_path());
        let inside: Vec<&Path> = others.filter(|other| *other != self.folder).collect();
        rust_files(&self.folder.join(part), &inside)
    }
}

/// The Rust files below `folder`, in order, but for what is below the folders of `leave`.
pub(crate) fn rust_files(folder: &Path, leave: &[&Path]) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        if !folder.is_dir() || leave.contains(&folder.as_path()) {
            continue;
        }
        let doing = format!("listing {}", folder.display());
        for entry in fs::read_dir(&folder).doing(&doing)? {
            let path = entry.doing(&doing)?.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A file's text.
pub(crate) fn text(file: &Path) -> Outcome<String> {
    fs::read_to_string(file).doing(format_args!("reading {}", file.display()))
}
