//! Making, listing, renaming and removing folders.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;

use mc2_guest::Result;

use crate::Case;
use crate::check::{World, content, equal, fails, fails_as_not_empty, holds, names};

pub(crate) const CASES: &[Case] = &[
    ("folder_create_and_list", create_and_list),
    ("folder_create_existing_is_refused", create_existing),
    (
        "folder_create_below_nothing_is_not_found",
        create_below_nothing,
    ),
    ("folder_create_all_and_remove_all", all),
    ("folder_entries_know_their_kind", entries),
    ("folder_list_missing_is_not_found", list_missing),
    ("folder_opened_for_writing_is_a_directory", open_for_writing),
    ("folder_removed_as_file_is_refused", remove_as_file),
    ("folder_remove", remove),
    ("folder_remove_non_empty_is_refused", remove_non_empty),
    ("folder_rename_takes_its_content_along", rename),
    ("folder_rename_over_empty", rename_over_empty),
    (
        "folder_rename_over_non_empty_is_refused",
        rename_over_non_empty,
    ),
    (
        "folder_and_file_do_not_replace_each_other",
        rename_across_kinds,
    ),
    ("folder_rename_into_itself_is_refused", rename_into_itself),
    ("folder_removed_while_listed", removed_while_listed),
];

fn create_and_list(world: &World<'_>) -> Result {
    for folder in ["b", "a", "a/c"] {
        fs::create_dir(world.path(folder))?;
    }
    world.file("a/f", b"")?;
    equal(
        names(&world.folder)?,
        vec!["a".to_owned(), "b".to_owned()],
        "the names",
    )?;
    equal(
        names(&world.path("a"))?,
        vec!["c".to_owned(), "f".to_owned()],
        "the names in a",
    )?;
    equal(names(&world.path("b"))?, vec![], "the names in b")
}

fn create_existing(world: &World<'_>) -> Result {
    fs::create_dir(world.path("d"))?;
    world.file("f", b"")?;
    fails(
        fs::create_dir(world.path("d")),
        &[ErrorKind::AlreadyExists],
        "over a folder",
    )?;
    fails(
        fs::create_dir(world.path("f")),
        &[ErrorKind::AlreadyExists],
        "over a file",
    )
}

fn create_below_nothing(world: &World<'_>) -> Result {
    fails(
        fs::create_dir(world.path("no/d")),
        &[ErrorKind::NotFound],
        "create_dir",
    )
}

fn all(world: &World<'_>) -> Result {
    let path = world.path("a/b/c/d");
    fs::create_dir_all(&path)?;
    fs::create_dir_all(&path)?;
    for file in ["a/1", "a/b/2", "a/b/c/d/3"] {
        world.file(file, file.as_bytes())?;
    }
    fs::remove_dir_all(world.path("a"))?;
    equal(names(&world.folder)?, vec![], "what is left")
}

fn entries(world: &World<'_>) -> Result {
    world.file("f", b"12345")?;
    fs::create_dir(world.path("d"))?;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&world.folder)? {
        let entry = entry?;
        let (kind, metadata) = (entry.file_type()?, entry.metadata()?);
        holds(
            kind.is_dir() == metadata.is_dir(),
            "entry and metadata agree",
        )?;
        holds(!kind.is_symlink(), "an entry is no link")?;
        let length = if kind.is_dir() {
            None
        } else {
            Some(metadata.len())
        };
        found.insert(entry.file_name().to_string_lossy().into_owned(), length);
    }
    let expected = [("d".to_owned(), None), ("f".to_owned(), Some(5))];
    equal(found, expected.into(), "the entries")
}

fn list_missing(world: &World<'_>) -> Result {
    fails(
        fs::read_dir(world.path("d")),
        &[ErrorKind::NotFound],
        "read_dir",
    )
}

fn open_for_writing(world: &World<'_>) -> Result {
    fs::create_dir(world.path("d"))?;
    let kinds = &[ErrorKind::IsADirectory];
    let write = OpenOptions::new().write(true).open(world.path("d"));
    fails(write, kinds, "open for writing")?;
    fails(File::create(world.path("d")), kinds, "create")?;
    fails(fs::read(world.path("d")), &[], "read")
}

fn remove_as_file(world: &World<'_>) -> Result {
    fs::create_dir(world.path("d"))?;
    // POSIX lets a system choose.
    let kinds = &[ErrorKind::IsADirectory, ErrorKind::PermissionDenied];
    fails(fs::remove_file(world.path("d")), kinds, "remove_file")
}

fn remove(world: &World<'_>) -> Result {
    fs::create_dir(world.path("d"))?;
    fs::remove_dir(world.path("d"))?;
    fails(
        fs::remove_dir(world.path("d")),
        &[ErrorKind::NotFound],
        "once more",
    )?;
    fs::create_dir(world.path("d"))?;
    equal(names(&world.path("d"))?, vec![], "the names in a new one")
}

fn remove_non_empty(world: &World<'_>) -> Result {
    fs::create_dir(world.path("d"))?;
    world.file("d/f", b"abc")?;
    fails_as_not_empty(fs::remove_dir(world.path("d")), "remove_dir")?;
    content(&world.path("d/f"), b"abc")
}

fn rename(world: &World<'_>) -> Result {
    fs::create_dir_all(world.path("a/b"))?;
    world.file("a/b/f", b"abc")?;
    fs::create_dir(world.path("c"))?;
    fs::rename(world.path("a"), world.path("c/d"))?;
    content(&world.path("c/d/b/f"), b"abc")?;
    equal(names(&world.folder)?, vec!["c".to_owned()], "the names")?;
    fails(
        File::open(world.path("a/b/f")),
        &[ErrorKind::NotFound],
        "open under the old name",
    )
}

fn rename_over_empty(world: &World<'_>) -> Result {
    fs::create_dir(world.path("a"))?;
    fs::create_dir(world.path("b"))?;
    world.file("a/f", b"abc")?;
    fs::rename(world.path("a"), world.path("b"))?;
    content(&world.path("b/f"), b"abc")?;
    equal(names(&world.folder)?, vec!["b".to_owned()], "the names")
}

fn rename_over_non_empty(world: &World<'_>) -> Result {
    for (folder, file) in [("a", "a/f"), ("b", "b/g")] {
        fs::create_dir(world.path(folder))?;
        world.file(file, file.as_bytes())?;
    }
    fails_as_not_empty(fs::rename(world.path("a"), world.path("b")), "rename")?;
    content(&world.path("a/f"), b"a/f")?;
    content(&world.path("b/g"), b"b/g")
}

fn rename_across_kinds(world: &World<'_>) -> Result {
    fs::create_dir(world.path("d"))?;
    let file = world.file("f", b"abc")?;
    let kinds = &[ErrorKind::IsADirectory];
    fails(
        fs::rename(&file, world.path("d")),
        kinds,
        "a file over a folder",
    )?;
    let kinds = &[ErrorKind::NotADirectory];
    fails(
        fs::rename(world.path("d"), &file),
        kinds,
        "a folder over a file",
    )?;
    content(&file, b"abc")?;
    equal(names(&world.path("d"))?, vec![], "the names in the folder")
}

fn rename_into_itself(world: &World<'_>) -> Result {
    fs::create_dir_all(world.path("a/b"))?;
    let renamed = fs::rename(world.path("a"), world.path("a/b/c"));
    fails(renamed, &[ErrorKind::InvalidInput], "rename")?;
    equal(names(&world.path("a"))?, vec!["b".to_owned()], "the names")
}

/// A listing that began is one moment's; what is removed meanwhile does not end it.
fn removed_while_listed(world: &World<'_>) -> Result {
    for number in 0..50 {
        world.file(&format!("f{number}"), b"")?;
    }
    let mut removed = 0;
    for entry in fs::read_dir(&world.folder)? {
        fs::remove_file(entry?.path())?;
        removed += 1;
    }
    equal(removed, 50, "entries seen")?;
    equal(names(&world.folder)?, vec![], "what is left")
}
