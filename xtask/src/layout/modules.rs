//! The modules of one crate, a file each, and what each takes from which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::imports::{self, Import, Imports};
use super::tokens;

/// Names handed on this often lead nowhere new.
const MOST_HOPS: usize = 8;

/// Where a module is in its crate; empty for the crate's root.
pub(super) type Place = Vec<String>;

/// The modules of one crate.
pub(super) struct Modules {
    by_place: BTreeMap<Place, Module>,
}

struct Module {
    file: String,
    imports: Imports,
}

/// One module takes `name` from another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) name: String,
}

impl Modules {
    /// Reads a crate's files, each with its path below the folder of the crate's root. Those that
    /// are for tests alone are left out.
    pub(super) fn read(files: &BTreeMap<String, String>) -> Self {
        let mut codes = BTreeMap::new();
        for (file, text) in files {
            codes.insert(place(file), (file.clone(), tokens::read(text)));
        }
        let tests: BTreeSet<Place> = codes
            .iter()
            .flat_map(|(place, (_, code))| {
                let below = |name: &String| [place.as_slice(), std::slice::from_ref(name)].concat();
                code.tests.iter().map(below).collect::<Vec<_>>()
            })
            .collect();
        codes.retain(|place, _| (0..=place.len()).all(|to| !tests.contains(&place[..to])));
        let places: Vec<Place> = codes.keys().cloned().collect();
        let by_place = codes.into_iter().map(|(place, (file, code))| {
            let below = |one: &Place| match one.split_last() {
                Some((name, parent)) if parent == place => Some(name.clone()),
                _ => None,
            };
            let children: Vec<String> = places.iter().filter_map(below).collect();
            let imports = imports::read(&code.tokens, &place, &children);
            (place, Module { file, imports })
        });
        Self {
            by_place: by_place.collect(),
        }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.by_place.keys()
    }

    /// The file of a module.
    pub(super) fn file(&self, place: &Place) -> &str {
        self.by_place.get(place).map_or("?", |module| &module.file)
    }

    /// What takes what from where, a name that another module hands on from where it is made.
    pub(super) fn edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for (from, module) in &self.by_place {
            for path in &module.imports.taken {
                let to = self.home(path, MOST_HOPS);
                if to != *from {
                    edges.insert(Edge {
                        from: from.clone(),
                        to,
                        name: path.last().cloned().unwrap_or_default(),
                    });
                }
            }
        }
        edges
    }

    /// The module that what `path` names is written in.
    fn home(&self, path: &[String], hops: usize) -> Place {
        let known = |to: &usize| self.by_place.contains_key(&path[..*to]);
        let length = (0..=path.len()).rev().find(known).unwrap_or(0);
        let (place, rest) = path.split_at(length);
        let (Some((name, rest)), Some(module)) = (rest.split_first(), self.by_place.get(place))
        else {
            return place.to_vec();
        };
        let is_it = |import: &&Import| import.name == *name;
        match module.imports.names.iter().find(is_it) {
            Some(import) if hops > 0 => {
                let mut path = import.path.clone();
                path.extend_from_slice(rest);
                self.home(&path, hops - 1)
            }
            _ => place.to_vec(),
        }
    }
}

fn place(file: &str) -> Place {
    let path = Path::new(file).with_extension("");
    let mut place: Place = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let last = place.last().map(String::as_str);
    if last == Some("mod") || (place.len() == 1 && matches!(last, Some("lib" | "main"))) {
        place.pop();
    }
    place
}
