//! What is out of reach.

use std::fs::{self, File};

use mc2_guest::Result;
use mc2_test_guests::{at, symlink};

use crate::Case;
use crate::check::{World, content, equal, fails, holds, names, skip};

pub(crate) const CASES: &[Case] = &[
    ("isolation_parent_of_a_folder_is_refused", parent),
    ("isolation_absolute_paths_outside_are_refused", absolute),
    ("isolation_renames_out_are_refused", renames),
    ("isolation_symbolic_links_are_refused", symbolic_links),
    ("isolation_hard_links_are_refused", hard_links),
];

fn parent(_: &World<'_>) -> Result {
    if !cfg!(target_family = "wasm") {
        return skip("a native program is not contained");
    }
    for path in [
        "/tmp/../etc/passwd",
        "/tmp/../../etc/passwd",
        "/in/../../etc/passwd",
        "/out/../etc/passwd",
        "/in/data/../../../etc/passwd",
        "../etc/passwd",
    ] {
        fails(fs::read(path), &[], path)?;
    }
    fails(fs::read_dir("/tmp/../.."), &[], "listing /tmp/../..")?;
    fails(fs::create_dir("/tmp/../made"), &[], "making /tmp/../made")
}

fn absolute(_: &World<'_>) -> Result {
    if !cfg!(target_family = "wasm") {
        return skip("a native program is not contained");
    }
    for path in [
        "/etc/passwd",
        "/proc/self/status",
        "/dev/null",
        "/root",
        "/home",
        "/usr/bin",
    ] {
        fails(fs::metadata(path), &[], path)?;
        fails(File::open(path), &[], path)?;
    }
    fails(File::create("/made"), &[], "making /made")
}

fn renames(world: &World<'_>) -> Result {
    if !cfg!(target_family = "wasm") {
        return skip("a native program is not contained");
    }
    let path = world.file("f", b"abc")?;
    fails(
        fs::rename(&path, "/tmp/../moved"),
        &[],
        "rename to /tmp/../moved",
    )?;
    fails(fs::rename(&path, "/moved"), &[], "rename to /moved")?;
    content(&path, b"abc")
}

fn symbolic_links(world: &World<'_>) -> Result {
    if !world.sandbox {
        return skip("plain Wasmtime makes links within a folder");
    }
    world.file("f", b"abc")?;
    for target in ["f", "../f", "/etc/passwd", "/in/data"] {
        fails(symlink(target, &world.path("link")), &[], target)?;
    }
    equal(names(&world.folder)?, vec!["f".to_owned()], "the names")?;
    holds(fs::read_link(world.path("f")).is_err(), "a file is no link")
}

fn hard_links(world: &World<'_>) -> Result {
    if !world.sandbox {
        return skip("plain Wasmtime makes links within a folder");
    }
    let path = world.file("f", b"abc")?;
    fails(
        fs::hard_link(&path, world.path("g")),
        &[],
        "to a file in /tmp",
    )?;
    fails(
        fs::hard_link(at("/in/data"), world.path("g")),
        &[],
        "to an input",
    )?;
    equal(names(&world.folder)?, vec!["f".to_owned()], "the names")
}
