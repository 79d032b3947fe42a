//! `cargo xtask layout`: whether the sources stand as `ARCHITECTURE.md` and `CONTRIBUTING.md` say.
//!
//! Between the crates the arrows of `ARCHITECTURE.md` and no others ([`arrows`]), no `name.rs`
//! beside `name/`, and no circles of imports ([`circles`]). The sources are read as they stand:
//! nothing is built.

mod arrows;
mod circles;
mod imports;
mod modules;
mod tokens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::machine::Machine;
use crate::process::{Failure, Outcome, say};
use crate::sources;

use modules::Modules;

/// `cargo xtask layout`.
pub(crate) fn run(machine: &Machine) -> Outcome<()> {
    let packages = sources::packages(machine)?;
    let mut wrong = arrows::check(machine, &packages)?;
    let mut read = 0;
    for package in &packages {
        let files = package.rust_files("", &packages)?;
        read += files.len();
        let shown = |path: &Path| {
            let path = path.strip_prefix(&machine.root).unwrap_or(path);
            path.display().to_string()
        };
        wrong.extend(beside(&files).map(|file| {
            let file = shown(file);
            format!("{file} stands beside the folder of its name: make it that folder's mod.rs")
        }));
        for root in roots(&files) {
            let modules = Modules::read(&below(&files, root)?);
            let circles = circles::find(&modules).into_iter();
            wrong.extend(circles.map(|circle| format!("in {}, {circle}", shown(root))));
        }
    }
    if wrong.is_empty() {
        say(format_args!(
            "{read} files of {} crates: no circles of imports, and ARCHITECTURE.md's arrows",
            packages.len()
        ));
        return Ok(());
    }
    Err(Failure::new(format!(
        "the sources are not laid out as ARCHITECTURE.md and CONTRIBUTING.md say:\n  {}",
        wrong.join("\n  ")
    )))
}

/// The files with a folder of sources of the same name beside them.
fn beside(files: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    files.iter().filter(|file| {
        let folder = file.with_extension("");
        files.iter().any(|other| other.starts_with(&folder))
    })
}

/// The folders that a library's or program's root file is in.
fn roots(files: &[PathBuf]) -> Vec<&Path> {
    let is_root = |file: &&PathBuf| file.ends_with("lib.rs") || file.ends_with("main.rs");
    let mut roots: Vec<&Path> = files
        .iter()
        .filter(is_root)
        .filter_map(|file| file.parent())
        .collect();
    roots.sort();
    roots.dedup();
    roots
}

/// The text of each file below a root by its path there, without those of programs beside it.
fn below(files: &[PathBuf], root: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for file in files {
        if let Ok(own) = file.strip_prefix(root)
            && !own.starts_with("bin")
        {
            texts.insert(own.display().to_string(), sources::text(file)?);
        }
    }
    Ok(texts)
}
