//! The arrows between crates: those of `ARCHITECTURE.md`, all of them and no others.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::Machine;
use crate::process::Outcome;
use crate::sources::{self, Package};

/// What follows the arrow of a crate that needs no other.
const NOTHING: &str = "nothing";

/// What the arrows of `ARCHITECTURE.md` have wrong. Crates are known by their folders.
pub(super) fn check(machine: &Machine, packages: &[Package]) -> Outcome<Vec<String>> {
    let shown = |package: &Package| {
        let folder = package.folder.strip_prefix(&machine.root);
        folder.unwrap_or(&package.folder).display().to_string()
    };
    let folders: BTreeMap<&str, String> = packages
        .iter()
        .map(|package| (package.name.as_str(), shown(package)))
        .collect();
    let text = sources::text(&machine.root.join("ARCHITECTURE.md"))?;
    let mut stated = stated(&text);
    let mut wrong = Vec::new();
    for package in packages {
        let folder = folders[package.name.as_str()].as_str();
        let needs = package.needs.iter();
        let needs = needs.filter_map(|name| folders.get(name.as_str()).map(String::as_str));
        let needs: BTreeSet<&str> = needs.collect();
        let says = stated.remove(folder);
        if says.as_ref() != Some(&needs) {
            wrong.push(format!(
                "{folder} → {} in its Cargo.toml; in ARCHITECTURE.md {}",
                list(&needs),
                says.map_or("it has no arrow".to_owned(), |says| list(&says)),
            ));
        }
    }
    wrong.extend(
        stated
            .keys()
            .map(|folder| format!("ARCHITECTURE.md has an arrow of {folder}, which is no crate")),
    );
    Ok(wrong)
}

/// The lines `FOLDER → FOLDER, FOLDER`.
fn stated(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let arrows = text.lines().filter_map(|line| {
        let (folder, needs) = line.split_once('→')?;
        let folder = folder.trim();
        let needs = needs.split(',').map(str::trim);
        (!folder.contains(' ')).then(|| (folder, needs.filter(|one| *one != NOTHING).collect()))
    });
    arrows.collect()
}

fn list(folders: &BTreeSet<&str>) -> String {
    if folders.is_empty() {
        return NOTHING.to_owned();
    }
    folders.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::stated;

    #[test]
    fn arrows_are_lines_of_their_own() {
        let text = "client, sim → nobody\n\na → nothing\nb/core   → a, c\nThe map.\n";
        let arrows = stated(text);
        assert_eq!(arrows.len(), 2);
        assert_eq!(arrows["a"], BTreeSet::new());
        assert_eq!(arrows["b/core"], BTreeSet::from(["a", "c"]));
    }
}
