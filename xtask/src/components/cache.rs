//! Components kept between checkouts, by everything that decides their bytes.
//!
//! The key is SHA-256 over: versions and features of every crate in the
//! package's dependency graph; names and contents of the files of every crate
//! of this workspace in it; the root manifest's package and profile sections;
//! the toolchain lock, the sysroot's name, compiler, clang and wasm-opt versions; and what
//! Cargo is told of profiles from elsewhere, by its configuration files and the
//! environment.
//!
//! Tests, benchmarks, examples and Markdown of those crates don't count. That
//! no other file took part is checked after a build, against rustc's own list.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{FEATURES, Package, TARGET, copy_whole};
use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture};
use crate::setup::Tools;

/// Raise it when the build itself changes.
const RECIPE: &str = "1";
const UNUSED_IS_OLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a component is made of.
pub(crate) struct Source {
    root: PathBuf,
    files: BTreeSet<PathBuf>,
    folder: PathBuf,
    components: Vec<String>,
    /// Names of the workspace's crates among what it is made of.
    pub(crate) own: BTreeSet<String>,
}

impl Source {
    /// Reads everything that counts and derives the key.
    pub(crate) fn read(machine: &Machine, tools: &Tools, package: &Package) -> Outcome<Self> {
        let graph = Graph::read(machine, package)?;
        let mut files = Vec::new();
        for folder in &graph.folders {
            list(folder, &mut files)?;
        }
        let manifest = machine.root.join("Cargo.toml");
        let manifest =
            fs::read_to_string(&manifest).doing(format_args!("reading {}", manifest.display()))?;
        let parts = [
            RECIPE,
            FEATURES,
            package.profile,
            &package.name,
            &graph.crates.join("\n"),
            &digest::of_files(&machine.root, files.clone())?,
            &sections(&manifest, &["workspace.package", "profile."]),
            &configuration(&machine.root, &machine.cargo_home),
            &tools.lock.text,
            &tools.sysroot.name(),
            &tools.clang.version,
            tools.wasm_opt.as_ref().map_or("none", |tool| &tool.version),
            &machine.rustc_version,
        ];
        let key = digest::bytes(parts.join("\0").as_bytes());
        Ok(Self {
            root: machine.root.clone(),
            files: files.into_iter().collect(),
            folder: machine.cache.join("components").join(key),
            components: package.files().collect(),
            own: graph.own,
        })
    }

    /// Copies the kept components, if all are there, to `workloads`.
    pub(crate) fn copy_to(&self, workloads: &Path) -> Outcome<bool> {
        if !self
            .components
            .iter()
            .all(|name| self.folder.join(name).is_file())
        {
            return Ok(false);
        }
        for name in &self.components {
            let (kept, goal) = (self.folder.join(name), workloads.join(name));
            if !same_file(&kept, &goal) {
                copy_whole(&kept, &goal)?;
            }
        }
        // The folder's time is when it was last of use.
        if let Ok(folder) = fs::File::open(&self.folder) {
            // A cache on a read-only disk serves as well.
            let _ = folder.set_modified(SystemTime::now());
        }
        Ok(true)
    }

    /// Keeps what was built, and lets go of what nobody used for a month.
    pub(crate) fn keep(&self, built: &Path) -> Outcome<()> {
        fs::create_dir_all(&self.folder).doing(format_args!("making {}", self.folder.display()))?;
        for name in &self.components {
            copy_whole(&built.join(name), &self.folder.join(name))?;
        }
        let Some(all) = self.folder.parent() else {
            return Ok(());
        };
        for entry in fs::read_dir(all)
            .doing(format_args!("reading {}", all.display()))?
            .flatten()
        {
            let unused = entry
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > UNUSED_IS_OLD));
            if unused {
                // Another process may be removing it too.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }

    /// Fails where the compiler read a file of the workspace that is not in the key.
    pub(crate) fn check_complete(&self, built: &Path) -> Outcome<()> {
        for name in &self.components {
            let list = built.join(name).with_extension("d");
            let text =
                fs::read_to_string(&list).doing(format_args!("reading {}", list.display()))?;
            for file in dependencies(&text) {
                let ours = file.starts_with(&self.root);
                if ours && !self.files.contains(&file) {
                    return Err(Failure::new(format!(
                        "{name} was built with {}, which its cache key does not cover; \
                         see xtask/src/components/cache.rs",
                        file.display(),
                    )));
                }
            }
        }
        Ok(())
    }
}

/// A package's crates as cargo resolves them.
struct Graph {
    /// `name vVERSION features`, sorted.
    crates: Vec<String>,
    /// Folders of the crates of this workspace.
    folders: BTreeSet<PathBuf>,
    /// Their names.
    own: BTreeSet<String>,
}

impl Graph {
    fn read(machine: &Machine, package: &Package) -> Outcome<Self> {
        let text = capture(
            machine
                .cargo()
                .args([
                    "tree",
                    "--locked",
                    "--target",
                    TARGET,
                    "--edges",
                    "normal,build",
                ])
                .args([
                    "--prefix",
                    "none",
                    "--format",
                    "{p}|{f}",
                    "--package",
                    &package.name,
                ]),
        )?;
        let mut graph = Self {
            crates: Vec::new(),
            folders: BTreeSet::new(),
            own: BTreeSet::new(),
        };
        for line in text.lines() {
            let line = line.trim_end_matches(" (*)");
            let (name, features) = line.split_once('|').unwrap_or((line, ""));
            let mut words = name.splitn(3, ' ');
            let (name, version) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            // `(/the/folder)` for a crate of the workspace, `(proc-macro)` for some others.
            for note in words.next().unwrap_or("").split(['(', ')']) {
                if note.starts_with('/') {
                    graph.folders.insert(PathBuf::from(note));
                    graph.own.insert(name.to_owned());
                }
            }
            graph.crates.push(format!("{name} {version} {features}"));
        }
        graph.crates.sort();
        graph.crates.dedup();
        Ok(graph)
    }
}

/// The files of a crate that may decide its code.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(folder).doing(format_args!("reading {}", folder.display()))? {
        let entry = entry.doing(format_args!("reading {}", folder.display()))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry
            .file_type()
            .doing(format_args!("reading {}", entry.path().display()))?;
        if kind.is_dir() {
            let skipped = ["tests", "benches", "examples", "target"];
            if !skipped.contains(&&*name) && !name.starts_with('.') {
                list(&entry.path(), files)?;
            }
        } else if kind.is_file() && !name.ends_with(".md") {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Cargo's configuration files that hold for this workspace, from its folder upwards, and the
/// variables that stand for such files: either may change a profile.
fn configuration(root: &Path, cargo_home: &Path) -> String {
    let folders = root.ancestors().map(|folder| folder.join(".cargo"));
    let files = folders
        .chain([cargo_home.to_owned()])
        .flat_map(|folder| ["config.toml", "config"].map(|name| folder.join(name)))
        // One that is not there changes nothing.
        .filter_map(|file| fs::read_to_string(file).ok());
    let variables = env::vars()
        .filter(|(name, _)| name.starts_with("CARGO_PROFILE_"))
        .map(|(name, value)| format!("{name}={value}"));
    let all: BTreeSet<String> = files.chain(variables).collect();
    Vec::from_iter(all).join("\n")
}

/// The sections of a manifest whose names start with one of `prefixes`.
fn sections(manifest: &str, prefixes: &[&str]) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in manifest.lines() {
        if let Some(name) = line.trim().strip_prefix('[') {
            inside = prefixes.iter().any(|prefix| name.starts_with(prefix));
        }
        if inside {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// The files named in a `.d` file, in which a space is written `\ `.
fn dependencies(text: &str) -> Vec<PathBuf> {
    let files = text
        .split_once(": ")
        .map_or("", |(_, files)| files)
        .replace("\\ ", "\0");
    files
        .split_whitespace()
        .map(|file| PathBuf::from(file.replace('\0', " ")))
        .collect()
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sections_that_decide_the_code_are_in_the_key() {
        let manifest = "[workspace]\nmembers = []\n[workspace.package]\nedition = \"2024\"\n\n\
                        [profile.release]\nopt-level = 3\n[workspace.lints.rust]\nx = 1\n";
        assert_eq!(
            sections(manifest, &["workspace.package", "profile."]),
            "[workspace.package]\nedition = \"2024\"\n\n[profile.release]\nopt-level = 3\n"
        );
    }

    #[test]
    fn a_configuration_file_of_a_folder_above_is_in_the_key() {
        let above = tempfile::tempdir().unwrap();
        let root = above.path().join("checkout");
        let (home, profile) = (
            above.path().join("home"),
            "[profile.release]\nlto = false\n",
        );
        let before = configuration(&root, &home);
        fs::create_dir(above.path().join(".cargo")).unwrap();
        fs::write(above.path().join(".cargo/config.toml"), profile).unwrap();
        assert!(!before.contains(profile));
        assert!(configuration(&root, &home).contains(profile));
    }

    #[test]
    fn names_with_spaces_in_a_list_of_dependencies_are_whole() {
        assert_eq!(
            dependencies("/t/a.wasm: /src/main.rs /my\\ src/lib.rs\n"),
            [
                PathBuf::from("/src/main.rs"),
                PathBuf::from("/my src/lib.rs")
            ]
        );
    }
}
