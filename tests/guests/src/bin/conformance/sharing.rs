//! Several handles on one file, and files that are gone while open.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

use mc2_guest::Result;

use crate::Case;
use crate::check::{World, content, equal, fails, names, read_write};

pub(crate) const CASES: &[Case] = &[
    ("sharing_two_handles_see_one_file", two_handles),
    ("sharing_cursors_are_independent", independent_cursors),
    ("sharing_truncation_is_seen_by_all", truncation),
    (
        "sharing_a_file_removed_while_open_lives_on",
        removed_while_open,
    ),
    (
        "sharing_a_file_renamed_while_open_is_the_same",
        renamed_while_open,
    ),
    ("sharing_a_hundred_handles", hundred_handles),
];

fn two_handles(world: &World<'_>) -> Result {
    let path = world.path("f");
    let mut writer = read_write(&path)?;
    let mut reader = File::open(&path)?;
    writer.write_all(b"one")?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    equal(text.as_str(), "one", "what the reader sees")?;
    writer.write_all(b" two")?;
    text.clear();
    reader.read_to_string(&mut text)?;
    equal(text.as_str(), " two", "what it sees next")
}

fn independent_cursors(world: &World<'_>) -> Result {
    let path = world.file("f", b"0123456789")?;
    let (mut a, mut b) = (File::open(&path)?, File::open(&path)?);
    let mut piece = [0; 4];
    a.seek(SeekFrom::Start(6))?;
    b.read_exact(&mut piece)?;
    equal(&piece, b"0123", "the second handle's bytes")?;
    a.read_exact(&mut piece)?;
    equal(&piece, b"6789", "the first handle's bytes")
}

fn truncation(world: &World<'_>) -> Result {
    let path = world.file("f", b"0123456789")?;
    let mut reader = File::open(&path)?;
    reader.seek(SeekFrom::Start(2))?;
    let truncating = OpenOptions::new().write(true).truncate(true).open(&path)?;
    equal(reader.read(&mut [0; 4])?, 0, "bytes after the truncation")?;
    equal(reader.metadata()?.len(), 0, "length by the other handle")?;
    drop(truncating);
    content(&path, b"")
}

fn removed_while_open(world: &World<'_>) -> Result {
    let path = world.file("f", b"still ")?;
    let mut file = read_write(&path)?;
    fs::remove_file(&path)?;
    fails(File::open(&path), &[ErrorKind::NotFound], "open by name")?;
    equal(names(&world.folder)?, vec![], "the names")?;
    // A file of the same name is another one.
    world.file("f", b"other")?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(b"there")?;
    file.seek(SeekFrom::Start(0))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    equal(text.as_str(), "still there", "what the open handle reads")?;
    content(&path, b"other")
}

fn renamed_while_open(world: &World<'_>) -> Result {
    let path = world.file("f", b"")?;
    let mut file = read_write(&path)?;
    fs::rename(&path, world.path("g"))?;
    file.write_all(b"follows")?;
    content(&world.path("g"), b"follows")?;
    fails(
        File::open(&path),
        &[ErrorKind::NotFound],
        "open under the old name",
    )
}

fn hundred_handles(world: &World<'_>) -> Result {
    let mut files = Vec::new();
    for number in 0..100_u8 {
        let mut file = read_write(&world.path(&format!("f{number}")))?;
        file.write_all(&[number])?;
        files.push(file);
    }
    for (number, file) in files.iter_mut().enumerate() {
        let mut byte = [0];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut byte)?;
        equal(usize::from(byte[0]), number, "a handle's own byte")?;
    }
    Ok(())
}
