//! The test functions of the workspace, read from its sources as `rustfmt` leaves them.

use std::path::Path;

use crate::machine::Machine;
use crate::process::Outcome;
use crate::sources;

use super::table::Named;

/// Every test function there is.
pub(super) struct Sources(Vec<Test>);

/// One test function.
#[derive(Debug)]
struct Test {
    krate: String,
    /// Its modules, outermost first, and its name.
    path: Vec<String>,
    /// Below the checkout.
    file: String,
}

/// What a name in the table leads to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    One(&'a str),
    None,
    Several(Vec<&'a str>),
}

impl Sources {
    /// Reads every package of the workspace.
    pub(super) fn read(machine: &Machine) -> Outcome<Self> {
        let packages = sources::packages(machine)?;
        let mut tests = Vec::new();
        for package in &packages {
            for part in ["src", "tests"] {
                // The package `tests` keeps its suites in a folder of the same name.
                for file in package.rust_files(part, &packages)? {
                    let shown = file.strip_prefix(&machine.root).unwrap_or(&file);
                    let own = file.strip_prefix(package.folder.join(part));
                    let modules = modules(own.unwrap_or(&file));
                    let functions = functions(&sources::text(&file)?);
                    tests.extend(functions.into_iter().map(|path| Test {
                        krate: package.name.clone(),
                        path: modules.iter().cloned().chain(path).collect(),
                        file: shown.display().to_string(),
                    }));
                }
            }
        }
        Ok(Self(tests))
    }

    /// The test a name in the table means.
    pub(super) fn find(&self, named: &Named) -> Found<'_> {
        let files: Vec<&str> = self
            .0
            .iter()
            .filter(|test| test.krate == named.krate && test.path.ends_with(&named.path))
            .map(|test| test.file.as_str())
            .collect();
        match files.as_slice() {
            [] => Found::None,
            [file] => Found::One(file),
            _ => Found::Several(files),
        }
    }
}

/// `a/b/mod.rs` and `a/b.rs` are the module `a::b`.
fn modules(file: &Path) -> Vec<String> {
    let mut parts: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if parts
        .last()
        .is_some_and(|last| ["lib", "main", "mod"].contains(&last.as_str()))
    {
        parts.pop();
    }
    parts
}

/// The test functions of one file, each behind the module of the file it stands in.
fn functions(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut module: Option<String> = None;
    let mut is_test = false;
    for line in text.lines() {
        if line == "}" {
            module = None;
        } else if let Some(rest) = line.strip_prefix("mod ") {
            module = rest.strip_suffix(" {").map(str::to_owned);
        }
        let line = line.trim_start();
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            // One that does not run guards nothing.
            is_test = false;
        } else if let Some(name) = function(line).filter(|_| is_test) {
            found.push(module.iter().cloned().chain([name]).collect());
            is_test = false;
        }
    }
    found
}

fn function(line: &str) -> Option<String> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
#[test]
fn outside() {}

fn helper() {}

#[cfg(test)]
mod tests {
    /// Row 1.
    #[tokio::test(flavor = \"multi_thread\", worker_threads = 2)]
    async fn inside() {
        fn helper() {}
    }

    #[test]
    #[ignore = \"slow\"]
    fn left_out() {}

    // #[test]
    fn commented_out() {}
}

proptest! {
    #[test]
    fn drawn(seed in any::<u64>()) {}
}
";

    #[test]
    fn test_functions_are_found_and_others_are_not() {
        let found = functions(FILE);
        assert_eq!(
            found,
            [vec!["outside"], vec!["tests", "inside"], vec!["drawn"]]
        );
    }

    #[test]
    fn a_name_is_found_by_as_many_modules_as_it_gives() {
        let test = |path: &str, file: &str| Test {
            krate: "mc2-x".to_owned(),
            path: path.split("::").map(str::to_owned).collect(),
            file: file.to_owned(),
        };
        let sources = Sources(vec![
            test("a::tests::same", "a"),
            test("b::tests::same", "b"),
            test("b::tests::other", "b"),
        ]);
        let find = |text: &str| sources.find(&Named::parse(text));
        assert!(matches!(find("mc2-x: other"), Found::One("b")));
        assert!(matches!(find("mc2-x: a::tests::same"), Found::One("a")));
        assert!(matches!(find("mc2-x: same"), Found::Several(_)));
        assert!(matches!(find("mc2-x: ame"), Found::None));
        assert!(matches!(find("mc2-y: other"), Found::None));
        assert!(matches!(find("b::other"), Found::None));
    }

    #[test]
    fn files_are_modules() {
        assert_eq!(modules(Path::new("lib.rs")), Vec::<String>::new());
        assert_eq!(modules(Path::new("a/b.rs")), ["a", "b"]);
        assert_eq!(modules(Path::new("a/mod.rs")), ["a"]);
    }
}
