//! Files with the same columns, in whatever order, as one table.

use std::collections::{BTreeMap, BTreeSet};

use super::{FolderError, Scanned, Seen, Type};

/// A table of one or several files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Names and types, in the order of the first file and then of the one with most columns.
    pub columns: Vec<(String, Type)>,
    /// The files by the order of their columns.
    pub groups: Vec<Group>,
    types: BTreeMap<String, Type>,
}

/// Files with the same header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The header.
    pub names: Vec<String>,
    /// Which of the files.
    pub files: Vec<usize>,
}

impl Folder {
    /// Brings files together by the names of their columns.
    ///
    /// A file may lack columns that another has. Two files that each lack one of the other's are
    /// refused: one of them has a column misspelt or no header.
    ///
    /// # Errors
    ///
    /// Names two files and what only the one and only the other has.
    pub fn new(files: &[(&str, Scanned)]) -> Result<Self, FolderError> {
        let mut groups: Vec<Group> = Vec::new();
        for (index, (_, file)) in files.iter().enumerate() {
            match groups.iter_mut().find(|group| group.names == file.names) {
                Some(group) => group.files.push(index),
                None => groups.push(Group {
                    names: file.names.clone(),
                    files: vec![index],
                }),
            }
        }
        let no_columns = Vec::new();
        // Of several as wide the first.
        let widest = groups.iter().rev().max_by_key(|group| group.names.len());
        let first = groups.first().map_or(&no_columns, |group| &group.names);
        let names = widest.map_or(&no_columns, |group| &group.names);
        for group in &groups {
            if let Some(missing) = lacking(names, &group.names) {
                return Err(FolderError::Columns {
                    file: name_of(files, widest),
                    other: name_of(files, Some(group)),
                    // A set that is not the wider one's and no larger lacks something of it.
                    column: lacking(&group.names, names).unwrap_or_default(),
                    missing,
                });
            }
        }
        let of_first: BTreeSet<&String> = first.iter().collect();
        let more = names.iter().filter(|name| !of_first.contains(name));
        let types = common(files);
        let columns = first.iter().chain(more).map(|name| {
            let common = types.get(name).copied().unwrap_or(Type::Null);
            (name.clone(), common)
        });
        Ok(Self {
            columns: columns.collect(),
            groups,
            types,
        })
    }

    /// The type of the column of this name.
    pub fn type_of(&self, name: &str) -> Option<Type> {
        self.types.get(name).copied()
    }
}

/// A name of `some` that is not in `all`.
fn lacking(all: &[String], some: &[String]) -> Option<String> {
    let all: BTreeSet<&String> = all.iter().collect();
    some.iter().find(|name| !all.contains(name)).cloned()
}

fn name_of(files: &[(&str, Scanned)], group: Option<&Group>) -> String {
    let file = group.and_then(|group| group.files.first());
    file.and_then(|index| files.get(*index))
        .map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// The type of each column, by its name.
fn common(files: &[(&str, Scanned)]) -> BTreeMap<String, Type> {
    let mut all: BTreeMap<&String, (Seen, bool)> = BTreeMap::new();
    for (_, file) in files {
        for (name, column) in file.names.iter().zip(&file.columns) {
            let (seen, whole) = all.entry(name).or_insert((Seen::default(), true));
            seen.merge(column);
            *whole &= file.whole;
        }
    }
    let types = all.into_iter().map(|(name, (seen, whole))| {
        let common = match seen.common() {
            // Rows that were not looked at may have values of any kind.
            Type::Null if !whole => Type::Text,
            common => common,
        };
        (name.clone(), common)
    });
    types.collect()
}
