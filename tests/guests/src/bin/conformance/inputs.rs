//! `/in`: whole, in order, at random, and never written.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

use mc2_guest::{InputFile, Result};
use mc2_test_guests::{Random, at, read_at};

use crate::Case;
use crate::check::{World, equal, fails, holds, names, same, skip};

pub(crate) const CASES: &[Case] = &[
    ("input_list_is_the_job_s", list),
    ("input_lengths_are_the_job_s", lengths),
    ("input_random_reads_equal_the_sequential_one", random),
    ("input_seeks_equal_the_sequential_read", seeks),
    ("input_ends_where_it_ends", end),
    ("input_two_handles_do_not_disturb_each_other", two_handles),
    ("input_folder_is_read_file_by_file", folder),
    ("input_missing_is_not_found", missing),
    ("input_refuses_writing", writing),
    ("input_refuses_changes_of_names", changes),
];

/// In which way a read-only place refuses is up to it.
const READ_ONLY: &[ErrorKind] = &[ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];

fn list(world: &World<'_>) -> Result {
    let mut expected: Vec<_> = world
        .job
        .inputs()
        .map(|input| input.name().to_owned())
        .collect();
    expected.sort();
    equal(names(&at("/in"))?, expected, "the names")
}

fn lengths(world: &World<'_>) -> Result {
    for input in world.job.inputs() {
        let metadata = fs::metadata(input.path())?;
        equal(
            metadata.is_dir(),
            input.is_folder(),
            &format!("{} is a folder", input.name()),
        )?;
        let mut sum = 0;
        for file in input.files()? {
            let read = std::io::copy(&mut file.reader()?, &mut std::io::sink())?;
            equal(read, file.len(), &format!("bytes in {}", file.name()))?;
            sum += read;
        }
        equal(
            sum,
            input.len(),
            &format!("bytes in all of {}", input.name()),
        )?;
    }
    Ok(())
}

fn random(world: &World<'_>) -> Result {
    let (_, all, path) = data(world)?;
    let file = File::open(path)?;
    let mut random = Random::new(7);
    for _ in 0..500 {
        let start = random.below(all.len() as u64 + 10);
        let mut piece = vec![0; random.below(200_000) as usize];
        let read = read_at(&file, &mut piece, start)?;
        let rest = all.get(start as usize..).unwrap_or(&[]);
        holds(
            read > 0 || rest.is_empty() || piece.is_empty(),
            "a read before the end reads",
        )?;
        holds(read <= rest.len(), "a read stops at the end")?;
        same(
            &piece[..read],
            &rest[..read],
            &format!("the bytes from {start}"),
        )?;
    }
    Ok(())
}

fn seeks(world: &World<'_>) -> Result {
    let (_, all, path) = data(world)?;
    let mut file = File::open(path)?;
    let length = all.len() as u64;
    equal(file.seek(SeekFrom::End(0))?, length, "the end")?;
    let mut random = Random::new(8);
    for _ in 0..100 {
        let start = random.below(length);
        let to = match random.below(2) {
            0 => SeekFrom::Start(start),
            _ => SeekFrom::End(start as i64 - length as i64),
        };
        equal(file.seek(to)?, start, "the position")?;
        let mut piece = vec![0; random.below(100_000).min(length - start) as usize];
        file.read_exact(&mut piece)?;
        let start = start as usize;
        same(
            &piece,
            &all[start..start + piece.len()],
            &format!("the bytes from {start}"),
        )?;
    }
    Ok(())
}

fn end(world: &World<'_>) -> Result {
    let (file, all, path) = data(world)?;
    equal(all.len() as u64, file.len(), "length")?;
    let mut open = File::open(path)?;
    open.seek(SeekFrom::Start(file.len()))?;
    equal(open.read(&mut [0; 16])?, 0, "bytes at the end")?;
    equal(open.read(&mut [])?, 0, "an empty read at the end")?;
    equal(
        read_at(&open, &mut [0; 16], file.len() + 100_000)?,
        0,
        "bytes past the end",
    )?;
    let last = file.len() - 1;
    equal(
        read_at(&open, &mut [0; 16], last)?,
        1,
        "bytes at the last one",
    )
}

fn two_handles(world: &World<'_>) -> Result {
    let (_, all, path) = data(world)?;
    let (mut a, mut b) = (File::open(&path)?, File::open(&path)?);
    let half = all.len() / 2;
    a.seek(SeekFrom::Start(half as u64))?;
    let (mut first, mut second) = (Vec::new(), vec![0; half]);
    b.read_exact(&mut second)?;
    a.read_to_end(&mut first)?;
    same(&first, &all[half..], "the first handle's half")?;
    same(&second, &all[..half], "the second handle's half")
}

fn folder(world: &World<'_>) -> Result {
    let Some(input) = world.job.inputs().find(|input| input.is_folder()) else {
        return skip("no input is a folder");
    };
    let mut found = 0;
    for file in input.files()? {
        let whole = fs::read(file.path())?;
        equal(whole.len() as u64, file.len(), file.name())?;
        let reader = file.random()?;
        let start = file.len() / 3;
        let mut piece = vec![0; whole.len() - start as usize];
        reader.read_exact_at(&mut piece, start)?;
        same(&piece, &whole[start as usize..], file.name())?;
        found += 1;
    }
    holds(found > 0, "there is a file in it")?;
    fails(
        File::create(input.path().join("new")),
        READ_ONLY,
        "a new file in it",
    )
}

fn missing(_: &World<'_>) -> Result {
    fails(
        File::open(at("/in/no-such-input")),
        &[ErrorKind::NotFound],
        "open",
    )?;
    fails(
        fs::metadata(at("/in/no-such-input")),
        &[ErrorKind::NotFound],
        "metadata",
    )
}

fn writing(world: &World<'_>) -> Result {
    let (_, all, path) = data(world)?;
    fails(
        OpenOptions::new().write(true).open(&path),
        READ_ONLY,
        "open for writing",
    )?;
    fails(
        OpenOptions::new().append(true).open(&path),
        READ_ONLY,
        "open for appending",
    )?;
    fails(
        OpenOptions::new().read(true).write(true).open(&path),
        READ_ONLY,
        "open for both",
    )?;
    fails(File::create(&path), READ_ONLY, "create over it")?;
    fails(File::open(&path)?.set_len(0), &[], "set_len by a reader")?;
    same(&fs::read(&path)?, &all, "the input afterwards")
}

fn changes(world: &World<'_>) -> Result {
    let (_, all, path) = data(world)?;
    let new = at("/in/new");
    fails(File::create(&new), READ_ONLY, "a new file")?;
    fails(fs::create_dir(&new), READ_ONLY, "a new folder")?;
    fails(fs::remove_file(&path), READ_ONLY, "remove_file")?;
    fails(fs::rename(&path, &new), READ_ONLY, "rename within")?;
    fails(
        fs::rename(&path, world.path("taken")),
        &[],
        "rename out of it",
    )?;
    let own = world.file("f", b"")?;
    fails(fs::rename(own, &new), &[], "rename into it")?;
    same(&fs::read(&path)?, &all, "the input afterwards")
}

/// The input `data`: the file, its bytes and its path.
fn data(world: &World<'_>) -> Result<(InputFile, Vec<u8>, PathBuf)> {
    let input = world.job.input("data")?;
    let file = input.files()?.remove(0);
    let mut all = Vec::new();
    file.reader()?.read_to_end(&mut all)?;
    if all.is_empty() {
        skip("the input `data` is empty")?;
    }
    Ok((file, all, input.path().to_owned()))
}
