//! Real evidence, for tests: inside crates of the registry, or in a folder beside the project that
//! is not part of it.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// This crate's folder in the checkout that runs: the one it was compiled in may be gone, since a
/// target folder is kept for other checkouts.
///
/// # Panics
/// Where cargo does not run this.
pub fn package() -> PathBuf {
    let folder = env::var_os("CARGO_MANIFEST_DIR");
    let Some(folder) = folder else {
        panic!("CARGO_MANIFEST_DIR is not set: run this by cargo");
    };
    PathBuf::from(folder)
}

/// The file `path` of the crate `name` as the registry ships it.
///
/// # Panics
/// Where cargo cannot say where that crate is, or it has no such file.
pub fn in_crate(name: &str, path: &str) -> Vec<u8> {
    static FOLDERS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let folders = FOLDERS.get_or_init(crates);
    let Some(folder) = folders.get(name) else {
        panic!("cargo metadata does not name the crate {name}");
    };
    let file = folder.join(path);
    fs::read(&file).unwrap_or_else(|error| panic!("reading {}: {error}", file.display()))
}

/// The file `path` of the folder `shared/vectors` beside the project; `None`, and a line that says
/// that a test is skipped, where that folder is not there.
///
/// # Panics
/// Where the folder is there and the file is not.
pub fn shared(path: &str) -> Option<Vec<u8>> {
    let project = package().join("..");
    let candidates = ["../shared/vectors", "../../shared/vectors"];
    let folder = candidates
        .iter()
        .map(|candidate| project.join(candidate))
        .find(|folder| folder.is_dir());
    let Some(folder) = folder else {
        eprintln!("skipped: {path} is in ../shared/vectors, which is not here");
        return None;
    };
    let file = folder.join(path);
    Some(fs::read(&file).unwrap_or_else(|error| panic!("reading {}: {error}", file.display())))
}

/// Where each crate of this workspace's graph is unpacked.
fn crates() -> HashMap<String, PathBuf> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // Of this machine's kind alone: crates for others were perhaps never fetched.
    let platform = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(["--filter-platform", &platform])
        .current_dir(package())
        .output()
        .unwrap_or_else(|error| panic!("running cargo metadata: {error}"));
    let text: serde_json::Value = serde_json::from_slice(&metadata.stdout)
        .unwrap_or_else(|error| panic!("reading cargo metadata: {error}"));
    let packages = text["packages"].as_array().into_iter().flatten();
    packages
        .filter_map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str()?);
            let name = package["name"].as_str()?.to_owned();
            Some((name, manifest.parent()?.to_owned()))
        })
        .collect()
}
