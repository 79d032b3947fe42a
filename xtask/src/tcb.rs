//! `cargo xtask tcb`: what a verifier trusts when it trusts `mc2-runtime`, counted.
//!
//! Lines are those of every crate of this workspace that `cargo tree -p mc2-runtime -e normal`
//! names, comments and blank lines included, tests left out. Crates are all that it names, the
//! ones that only run while compiling included.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::machine::Machine;
use crate::process::{Failure, Outcome, capture};
use crate::sources;

/// Prints the lines of each own crate, then the names of all others.
pub(crate) fn run(machine: &Machine) -> Outcome<()> {
    let mut total = 0;
    let crates = linked(machine, "mc2-runtime")?;
    for one in crates.iter().filter(|one| one.path.is_some()) {
        let lines = one.lines()?;
        println!("{lines:>7}  {}", one.name);
        total += lines;
    }
    println!("{total:>7}  lines of own code");
    println!("{:>7}  crates in all:", crates.len());
    let others = crates.iter().filter(|one| one.path.is_none());
    for one in others {
        println!("         {}", one.name);
    }
    let compiler = linked(machine, "mc2-compile")?;
    let known: BTreeSet<&str> = crates.iter().map(|one| one.name.as_str()).collect();
    let more = compiler
        .iter()
        .filter(|one| !known.contains(one.name.as_str()));
    println!(
        "{:>7}  crates more in mc2-compile, the compiling program beside it",
        more.count()
    );
    Ok(())
}

/// A crate with its version, and its folder where it is one of ours.
struct Linked {
    name: String,
    path: Option<PathBuf>,
}

impl Linked {
    fn lines(&self) -> Outcome<usize> {
        let Some(path) = &self.path else { return Ok(0) };
        lines_below(&path.join("src"))
    }
}

fn linked(machine: &Machine, package: &str) -> Outcome<Vec<Linked>> {
    let tree = capture(machine.cargo().args([
        "tree",
        "--locked",
        "--edges=normal",
        "--prefix=none",
        "--package",
        package,
    ]))?;
    let lines: BTreeSet<&str> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty())
        .collect();
    lines.into_iter().map(parse).collect()
}

/// `NAME vVERSION`, with `(proc-macro)` or a folder behind it.
fn parse(line: &str) -> Outcome<Linked> {
    let mut words = line.splitn(3, ' ');
    let (Some(name), Some(version)) = (words.next(), words.next()) else {
        return Err(Failure::new(format!(
            "`cargo tree` wrote {line:?}, expected a crate's name and version"
        )));
    };
    let folder = words.next().and_then(|rest| {
        let path = rest.trim_start_matches('(').trim_end_matches(')');
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    Ok(Linked {
        name: format!("{name} {version}"),
        path: folder,
    })
}

fn lines_below(folder: &Path) -> Outcome<usize> {
    let mut lines = 0;
    for file in sources::rust_files(folder, &[])? {
        let own = file.strip_prefix(folder).unwrap_or(&file);
        let is_test = own.iter().any(|part| part == "tests") || own.ends_with("tests.rs");
        if !is_test {
            lines += count(&sources::text(&file)?);
        }
    }
    Ok(lines)
}

/// Lines of a module without its tests, which stand at its end.
fn count(text: &str) -> usize {
    let tests = text.find("\n#[cfg(test)]\nmod tests {");
    text[..tests.unwrap_or(text.len())].lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_s_tests_are_not_counted() {
        assert_eq!(
            count("//! A.\n\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"),
            3
        );
        assert_eq!(count("#[cfg(test)]\nmod tests;\nfn a() {}\n"), 3);
    }

    #[test]
    fn own_crates_are_known_by_their_folder() {
        let own = parse("mc2-runtime v0.1.0 (/src/runtime)").unwrap();
        assert_eq!(own.path.as_deref(), Some(Path::new("/src/runtime")));
        assert!(
            parse("serde_derive v1.0.229 (proc-macro)")
                .unwrap()
                .path
                .is_none()
        );
        assert!(parse("serde v1.0.229").unwrap().path.is_none());
    }
}
