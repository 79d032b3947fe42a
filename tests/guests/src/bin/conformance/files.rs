//! Opening, creating, appending, truncating, removing and renaming files.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

use mc2_guest::Result;

use crate::Case;
use crate::check::{World, bytes, content, equal, fails, holds, names, read_write};

pub(crate) const CASES: &[Case] = &[
    ("file_create_and_read_back", create_and_read_back),
    ("file_create_empties_what_was_there", create_empties),
    ("file_create_new_refuses_what_is_there", create_new),
    ("file_open_missing_is_not_found", open_missing),
    ("file_open_for_writing_keeps_the_rest", open_keeps_the_rest),
    ("file_append_writes_at_the_end", append),
    ("file_append_ignores_the_cursor", append_ignores_the_cursor),
    ("file_zero_length_reads_and_writes", zero_length),
    ("file_read_at_end_is_empty_again_and_again", read_at_end),
    ("file_read_only_handle_cannot_write", read_only_handle),
    ("file_write_only_handle_cannot_read", write_only_handle),
    ("file_vectored_reads_and_writes", vectored),
    ("file_sync", sync),
    ("file_metadata", metadata),
    ("file_copy", copy),
    ("file_remove", remove),
    ("file_remove_missing_is_not_found", remove_missing),
    ("file_rename", rename),
    ("file_rename_over_existing", rename_over_existing),
    ("file_rename_to_itself", rename_to_itself),
    ("file_rename_missing_is_not_found", rename_missing),
    ("file_as_folder_is_not_a_directory", as_folder),
    ("file_large_64_mib", large),
    ("file_many_small_ones", many),
];

fn create_and_read_back(world: &World<'_>) -> Result {
    let path = world.path("f");
    let mut file = File::create(&path)?;
    file.write_all(b"one ")?;
    file.write_all(b"two")?;
    drop(file);
    content(&path, b"one two")
}

fn create_empties(world: &World<'_>) -> Result {
    let path = world.file("f", b"long content")?;
    let file = File::create(&path)?;
    equal(file.metadata()?.len(), 0, "length after create")?;
    drop(file);
    content(&path, b"")
}

fn create_new(world: &World<'_>) -> Result {
    let path = world.path("f");
    File::create_new(&path)?.write_all(b"first")?;
    fails(
        File::create_new(&path),
        &[ErrorKind::AlreadyExists],
        "create_new of a file",
    )?;
    fails(
        File::create_new(&world.folder),
        &[ErrorKind::AlreadyExists, ErrorKind::IsADirectory],
        "create_new of a folder",
    )?;
    content(&path, b"first")
}

fn open_missing(world: &World<'_>) -> Result {
    fails(File::open(world.path("f")), &[ErrorKind::NotFound], "open")?;
    let write = OpenOptions::new().write(true).open(world.path("f"));
    fails(write, &[ErrorKind::NotFound], "open for writing")?;
    fails(
        File::create(world.path("no/f")),
        &[ErrorKind::NotFound],
        "create in no folder",
    )?;
    fails(
        fs::metadata(world.path("f")),
        &[ErrorKind::NotFound],
        "metadata",
    )?;
    equal(names(&world.folder)?, vec![], "what is there afterwards")
}

fn open_keeps_the_rest(world: &World<'_>) -> Result {
    let path = world.file("f", b"0123456789")?;
    OpenOptions::new()
        .write(true)
        .open(&path)?
        .write_all(b"abc")?;
    content(&path, b"abc3456789")
}

fn append(world: &World<'_>) -> Result {
    let path = world.file("f", b"one ")?;
    let mut file = OpenOptions::new().append(true).open(&path)?;
    file.write_all(b"two ")?;
    file.write_all(b"three")?;
    content(&path, b"one two three")?;
    let mut created = OpenOptions::new()
        .append(true)
        .create(true)
        .open(world.path("g"))?;
    created.write_all(b"new")?;
    content(&world.path("g"), b"new")
}

fn append_ignores_the_cursor(world: &World<'_>) -> Result {
    let path = world.file("f", b"0123")?;
    let mut appending = OpenOptions::new().append(true).open(&path)?;
    appending.write_all(b"45")?;
    OpenOptions::new()
        .append(true)
        .open(&path)?
        .write_all(b"67")?;
    appending.write_all(b"89")?;
    content(&path, b"0123456789")
}

fn zero_length(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    let mut file = read_write(&path)?;
    equal(file.read(&mut [])?, 0, "an empty read")?;
    equal(file.write(&[])?, 0, "an empty write")?;
    let mut all = Vec::new();
    file.read_to_end(&mut all)?;
    equal(all, b"abc".to_vec(), "what is read after them")
}

fn read_at_end(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    let mut file = File::open(&path)?;
    let mut buffer = [0; 8];
    equal(file.read(&mut buffer)?, 3, "the first read")?;
    for _ in 0..3 {
        equal(file.read(&mut buffer)?, 0, "a read at the end")?;
    }
    // What grows behind a reader is there once it seeks; until then wasi-libc keeps to the end.
    OpenOptions::new()
        .append(true)
        .open(&path)?
        .write_all(b"de")?;
    file.seek(SeekFrom::Start(3))?;
    equal(file.read(&mut buffer)?, 2, "a read after the file grew")
}

fn read_only_handle(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    let mut file = File::open(&path)?;
    fails(file.write(b"x"), &[], "write")?;
    fails(file.set_len(0), &[], "set_len")?;
    content(&path, b"abc")
}

fn write_only_handle(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    let mut file = OpenOptions::new().write(true).open(path)?;
    fails(file.read(&mut [0; 3]), &[], "read")
}

fn vectored(world: &World<'_>) -> Result {
    use std::io::{IoSlice, IoSliceMut};
    let path = world.path("f");
    let mut file = read_write(&path)?;
    // A short count is allowed; what counts must be the start of what was given.
    let written = file.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cdef")])?;
    holds(
        (1..=6).contains(&written),
        "a vectored write writes something",
    )?;
    content(&path, &b"abcdef"[..written])?;
    fs::write(&path, b"abcdef")?;
    let (mut a, mut b) = ([0; 2], [0; 4]);
    let mut file = File::open(&path)?;
    let read = file.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)])?;
    holds((1..=6).contains(&read), "a vectored read reads something")?;
    let all = [&a[..], &b[..]].concat();
    equal(&all[..read], &b"abcdef"[..read], "what it read")
}

fn sync(world: &World<'_>) -> Result {
    let path = world.path("f");
    let mut file = File::create(&path)?;
    file.write_all(b"abc")?;
    file.flush()?;
    file.sync_data()?;
    file.sync_all()?;
    content(&path, b"abc")
}

fn metadata(world: &World<'_>) -> Result {
    let path = world.file("f", &bytes(12_345))?;
    let metadata = fs::metadata(&path)?;
    equal(metadata.len(), 12_345, "length")?;
    holds(metadata.is_file() && !metadata.is_dir(), "a file is a file")?;
    equal(
        fs::symlink_metadata(&path)?.len(),
        12_345,
        "length without following links",
    )?;
    let mut file = OpenOptions::new().append(true).open(&path)?;
    file.write_all(b"x")?;
    equal(file.metadata()?.len(), 12_346, "length of an open file")?;
    let folder = fs::metadata(&world.folder)?;
    holds(folder.is_dir() && !folder.is_file(), "a folder is a folder")?;
    holds(
        path.exists() && !world.path("g").exists(),
        "only what exists exists",
    )
}

fn copy(world: &World<'_>) -> Result {
    let all = bytes(300_000);
    let path = world.file("f", &all)?;
    equal(fs::copy(path, world.path("g"))?, 300_000, "bytes copied")?;
    content(&world.path("g"), &all)
}

fn remove(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    fs::remove_file(&path)?;
    fails(File::open(&path), &[ErrorKind::NotFound], "open")?;
    world.file("f", b"again")?;
    content(&path, b"again")
}

fn remove_missing(world: &World<'_>) -> Result {
    fails(
        fs::remove_file(world.path("f")),
        &[ErrorKind::NotFound],
        "remove_file",
    )
}

fn rename(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    fs::create_dir(world.path("d"))?;
    fs::rename(&path, world.path("d/g"))?;
    content(&world.path("d/g"), b"abc")?;
    fails(
        File::open(&path),
        &[ErrorKind::NotFound],
        "open under the old name",
    )
}

fn rename_over_existing(world: &World<'_>) -> Result {
    let path = world.file("f", b"new")?;
    let other = world.file("g", b"old and longer")?;
    let mut open = File::open(&other)?;
    fs::rename(path, &other)?;
    content(&other, b"new")?;
    equal(names(&world.folder)?, vec!["g".to_owned()], "what is there")?;
    let mut old = Vec::new();
    open.read_to_end(&mut old)?;
    equal(
        old,
        b"old and longer".to_vec(),
        "a handle on the file that was replaced",
    )
}

fn rename_to_itself(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    fs::rename(&path, &path)?;
    content(&path, b"abc")
}

fn rename_missing(world: &World<'_>) -> Result {
    let renamed = fs::rename(world.path("f"), world.path("g"));
    fails(renamed, &[ErrorKind::NotFound], "rename of nothing")?;
    let path = world.file("f", b"abc")?;
    let renamed = fs::rename(&path, world.path("no/g"));
    fails(renamed, &[ErrorKind::NotFound], "rename into no folder")?;
    content(&path, b"abc")
}

fn as_folder(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    let kinds = &[ErrorKind::NotADirectory];
    fails(File::open(path.join("g")), kinds, "open below a file")?;
    fails(File::create(path.join("g")), kinds, "create below a file")?;
    fails(
        fs::create_dir(path.join("g")),
        kinds,
        "create_dir below a file",
    )?;
    fails(fs::read_dir(&path), kinds, "read_dir of a file")?;
    fails(fs::remove_dir(&path), kinds, "remove_dir of a file")?;
    content(&path, b"abc")
}

fn large(world: &World<'_>) -> Result {
    const MIB: usize = 1 << 20;
    let path = world.path("f");
    let all = bytes(MIB + 17);
    let mut file = File::create(&path)?;
    for _ in 0..64 {
        file.write_all(&all[..MIB])?;
    }
    drop(file);
    equal(fs::metadata(&path)?.len(), 64 << 20, "length")?;
    let mut file = File::open(&path)?;
    let mut piece = vec![0; MIB];
    for number in 0..64 {
        file.read_exact(&mut piece)?;
        holds(piece == all[..MIB], &format!("MiB {number} is as written"))?;
    }
    equal(file.read(&mut piece)?, 0, "a read at the end")?;
    Ok(fs::remove_file(&path)?)
}

fn many(world: &World<'_>) -> Result {
    let name = |number: u32| format!("file-{number:04}");
    for number in 0..1_000 {
        world.file(&name(number), &number.to_le_bytes())?;
    }
    equal(
        names(&world.folder)?,
        (0..1_000).map(name).collect(),
        "the names",
    )?;
    for number in (0..1_000).rev() {
        content(&world.path(&name(number)), &number.to_le_bytes())?;
        fs::remove_file(world.path(&name(number)))?;
    }
    equal(names(&world.folder)?, vec![], "the names at the end")
}
