//! `/out`: under `/tmp`'s rules until the job ends, but for what the job declares.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

use mc2_guest::Result;
use mc2_test_guests::at;

use crate::Case;
use crate::check::{World, bytes, content, equal, fails, holds, names, read_write, skip};

pub(crate) const CASES: &[Case] = &[
    ("output_is_rewritten_until_the_end", rewritten),
    ("output_removed_may_be_made_again", removed),
    ("output_folder_holds_files_and_folders", folder),
    ("job_description_is_read_only", description),
    ("progress_is_written", progress),
];

/// What is left in `/out/result`.
const RESULT: &[u8] = b"what the conformance suite leaves\n";

fn rewritten(_: &World<'_>) -> Result {
    let path = at("/out/result");
    let mut expected = bytes(200_000);
    let mut file = File::create(&path)?;
    file.write_all(&expected)?;
    drop(file);
    content(&path, &expected)?;

    let mut file = read_write(&path)?;
    file.seek(SeekFrom::Start(65_000))?;
    file.write_all(&[7; 2_000])?;
    expected[65_000..67_000].fill(7);
    file.set_len(150_000)?;
    expected.truncate(150_000);
    file.seek(SeekFrom::Start(0))?;
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    holds(found == expected, "what is read back by the same handle")?;
    file.seek(SeekFrom::Start(180_000))?;
    file.write_all(b"end")?;
    expected.resize(180_000, 0);
    expected.extend_from_slice(b"end");
    drop(file);
    content(&path, &expected)?;

    fs::write(&path, RESULT)?;
    content(&path, RESULT)
}

fn removed(_: &World<'_>) -> Result {
    let path = at("/out/result");
    fs::write(&path, b"first")?;
    fs::remove_file(&path)?;
    fails(File::open(&path), &[ErrorKind::NotFound], "open")?;
    fs::write(&path, RESULT)?;
    content(&path, RESULT)
}

fn folder(world: &World<'_>) -> Result {
    let outputs = &world.job.description().outputs;
    if !outputs.is_empty() && !outputs.iter().any(|output| output.name == "files") {
        return skip("the job declares no output folder `files`");
    }
    let mut file = world.job.output_folder("files")?.file("sub/b.txt")?;
    file.write_all(b"b")?;
    file.finish()?;
    let path = at("/out/files");
    fs::write(path.join("temporary"), b"a")?;
    fs::rename(path.join("temporary"), path.join("a.txt"))?;
    fs::write(path.join("gone"), b"c")?;
    fs::remove_file(path.join("gone"))?;
    fs::rename(path.join("sub"), path.join("under"))?;
    equal(
        names(&path)?,
        vec!["a.txt".to_owned(), "under".to_owned()],
        "the names",
    )?;
    content(&path.join("a.txt"), b"a")?;
    content(&path.join("under/b.txt"), b"b")
}

fn description(world: &World<'_>) -> Result {
    let path = at("/run/mc2/job.json");
    if !path.exists() {
        return skip("there is no description");
    }
    equal(
        fs::metadata(&path)?.len(),
        fs::read(&path)?.len() as u64,
        "its length",
    )?;
    if !world.sandbox {
        return Ok(());
    }
    fails(fs::write(&path, b"{}"), &[], "writing it")?;
    fails(fs::remove_file(&path), &[], "removing it")?;
    fails(File::create(at("/run/mc2/other")), &[], "a file beside it")
}

fn progress(world: &World<'_>) -> Result {
    if !world.sandbox {
        return skip("plain Wasmtime takes no progress");
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(at("/run/mc2/progress"))?;
    file.write_all(b"0.25 a quarter\n")?;
    Ok(file.write_all(b"0.50 half\n")?)
}
