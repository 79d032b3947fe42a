//! What a name may be, and how paths are resolved.

use std::fs::{self, File};
use std::io::ErrorKind;

use mc2_guest::Result;

use crate::Case;
use crate::check::{World, content, equal, fails, names};

pub(crate) const CASES: &[Case] = &[
    ("name_unicode_spaces_and_dots", unusual),
    ("name_case_counts", case),
    ("name_of_255_bytes", longest),
    ("name_too_long_is_refused", too_long),
    ("name_with_a_zero_byte_is_refused", zero_byte),
    ("path_dots_and_double_slashes", dots),
    ("path_parent_inside", parent_inside),
    ("path_through_missing_is_not_found", through_missing),
    ("path_through_a_file_is_not_a_directory", through_a_file),
    ("path_empty_is_refused", empty),
];

fn unusual(world: &World<'_>) -> Result {
    // Control characters are not among them: the sandbox refuses them, as its objects do.
    let mut unusual = [
        "größe",
        "数据",
        "🦀",
        "two words",
        ".hidden",
        "...",
        "a\\b",
        "-",
        "~",
        "*?\"'",
    ];
    for name in unusual {
        world.file(name, name.as_bytes())?;
    }
    for name in unusual {
        content(&world.path(name), name.as_bytes())?;
    }
    unusual.sort_unstable();
    let expected = unusual.map(str::to_owned).to_vec();
    equal(names(&world.folder)?, expected, "the names as listed")
}

fn case(world: &World<'_>) -> Result {
    let (lower, upper) = (world.file("f", b"lower")?, world.file("F", b"upper")?);
    content(&lower, b"lower")?;
    content(&upper, b"upper")
}

fn longest(world: &World<'_>) -> Result {
    let name = "n".repeat(255);
    let path = world.file(&name, b"abc")?;
    content(&path, b"abc")?;
    equal(names(&world.folder)?, vec![name], "the names")
}

fn too_long(world: &World<'_>) -> Result {
    let path = world.path(&"n".repeat(256));
    fails(
        File::create(&path),
        &[ErrorKind::InvalidFilename],
        "a file's name",
    )?;
    fails(
        fs::create_dir(&path),
        &[ErrorKind::InvalidFilename],
        "a folder's name",
    )?;
    let other = world.file("f", b"")?;
    fails(
        fs::rename(other, &path),
        &[ErrorKind::InvalidFilename],
        "a new name",
    )
}

fn zero_byte(world: &World<'_>) -> Result {
    fails(
        File::create(world.path("a\0b")),
        &[ErrorKind::InvalidInput],
        "create",
    )
}

fn dots(world: &World<'_>) -> Result {
    fs::create_dir(world.path("d"))?;
    let path = world.file("d/f", b"abc")?;
    for other in ["./d/f", "d/./f", "d//f", "./d/.//f"] {
        content(&world.path(other), b"abc")?;
    }
    equal(
        names(&world.path("d/."))?,
        vec!["f".to_owned()],
        "the names",
    )?;
    content(&path, b"abc")
}

fn parent_inside(world: &World<'_>) -> Result {
    fs::create_dir_all(world.path("a/b"))?;
    world.file("f", b"abc")?;
    content(&world.path("a/../f"), b"abc")?;
    content(&world.path("a/b/../../f"), b"abc")?;
    world.file("a/b/../g", b"def")?;
    content(&world.path("a/g"), b"def")
}

fn through_missing(world: &World<'_>) -> Result {
    world.file("f", b"abc")?;
    fails(
        File::open(world.path("no/../f")),
        &[ErrorKind::NotFound],
        "open",
    )
}

fn through_a_file(world: &World<'_>) -> Result {
    world.file("f", b"abc")?;
    world.file("g", b"abc")?;
    fails(
        File::open(world.path("f/../g")),
        &[ErrorKind::NotADirectory],
        "open",
    )
}

fn empty(_: &World<'_>) -> Result {
    fails(File::open(""), &[ErrorKind::NotFound], "open")
}
