//! Cursors, offsets, holes and lengths.

use std::fs;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};

use mc2_guest::Result;
use mc2_test_guests::{Random, read_at, write_at};

use crate::Case;
use crate::check::{World, bytes, content, equal, fails, holds, read_write, same};

pub(crate) const CASES: &[Case] = &[
    ("position_seek_from_start_current_and_end", seek),
    (
        "position_seek_past_the_end_reads_nothing",
        seek_past_the_end,
    ),
    (
        "position_seek_before_the_start_is_refused",
        seek_before_the_start,
    ),
    ("position_write_past_the_end_leaves_zeros", sparse),
    ("position_seek_back_and_overwrite", overwrite),
    ("position_read_and_write_share_the_cursor", shared_cursor),
    ("position_pread_leaves_the_cursor", pread),
    ("position_pread_at_and_past_the_end", pread_at_the_end),
    ("position_pwrite_leaves_the_cursor", pwrite),
    (
        "position_pwrite_past_the_end_leaves_zeros",
        pwrite_past_the_end,
    ),
    ("position_set_len_shrinks", shrink),
    ("position_set_len_grows_with_zeros", grow),
    ("position_shrunk_then_grown_is_zero", shrink_then_grow),
    ("position_random_writes_equal_a_buffer", random_writes),
];

fn seek(world: &World<'_>) -> Result {
    let path = world.file("f", b"0123456789")?;
    let mut file = read_write(&path)?;
    let mut byte = [0];
    let found = |position, byte| (position, char::from(byte));
    for (to, expected) in [
        (SeekFrom::Start(3), (3, '3')),
        (SeekFrom::Current(2), (6, '6')),
        (SeekFrom::Current(-7), (0, '0')),
        (SeekFrom::End(-1), (9, '9')),
    ] {
        let position = file.seek(to)?;
        file.read_exact(&mut byte)?;
        equal(found(position, byte[0]), expected, &format!("{to:?}"))?;
    }
    equal(file.seek(SeekFrom::End(0))?, 10, "the end")?;
    equal(file.stream_position()?, 10, "the position")
}

fn seek_past_the_end(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    let mut file = read_write(&path)?;
    equal(
        file.seek(SeekFrom::Start(1 << 40))?,
        1 << 40,
        "the position",
    )?;
    equal(file.read(&mut [0; 8])?, 0, "a read there")?;
    equal(
        fs::metadata(&path)?.len(),
        3,
        "the length, which seeking does not change",
    )
}

fn seek_before_the_start(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    let mut file = read_write(&path)?;
    file.seek(SeekFrom::Start(1))?;
    let kinds = &[ErrorKind::InvalidInput];
    fails(file.seek(SeekFrom::Current(-2)), kinds, "from the cursor")?;
    equal(file.stream_position()?, 1, "the position afterwards")?;
    // Here wasi-libc leaves the cursor at the end.
    fails(file.seek(SeekFrom::End(-4)), kinds, "from the end")
}

fn sparse(world: &World<'_>) -> Result {
    const HOLE: usize = 3 << 20;
    let path = world.file("f", b"start")?;
    let mut file = read_write(&path)?;
    file.seek(SeekFrom::Start(HOLE as u64))?;
    file.write_all(b"end")?;
    let mut expected = vec![0; HOLE];
    expected[..5].copy_from_slice(b"start");
    expected.extend_from_slice(b"end");
    content(&path, &expected)
}

fn overwrite(world: &World<'_>) -> Result {
    let mut expected = bytes(200_000);
    let path = world.file("f", &expected)?;
    let mut file = read_write(&path)?;
    for (offset, length) in [(0, 10), (65_530, 12), (131_072, 65_536), (199_990, 30)] {
        let new = bytes(length);
        file.seek(SeekFrom::Start(offset as u64))?;
        file.write_all(&new)?;
        expected.resize(expected.len().max(offset + length), 0);
        expected[offset..offset + length].copy_from_slice(&new);
    }
    content(&path, &expected)
}

fn shared_cursor(world: &World<'_>) -> Result {
    let path = world.file("f", b"0123456789")?;
    let mut file = read_write(&path)?;
    file.read_exact(&mut [0; 4])?;
    file.write_all(b"ab")?;
    let mut rest = String::new();
    file.read_to_string(&mut rest)?;
    equal(rest.as_str(), "6789", "what is read after the write")?;
    content(&path, b"0123ab6789")
}

fn pread(world: &World<'_>) -> Result {
    let all = bytes(150_000);
    let path = world.file("f", &all)?;
    let mut file = read_write(&path)?;
    file.seek(SeekFrom::Start(7))?;
    let mut piece = [0; 100];
    for offset in [0, 65_500, 149_900, 1] {
        let read = read_at(&file, &mut piece, offset as u64)?;
        equal(read, 100, "bytes read")?;
        same(&piece, &all[offset..offset + 100], "what pread read")?;
    }
    equal(file.stream_position()?, 7, "the cursor")
}

fn pread_at_the_end(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    let file = read_write(&path)?;
    let mut piece = [0; 8];
    equal(read_at(&file, &mut piece, 1)?, 2, "bytes before the end")?;
    equal(&piece[..2], b"bc", "those bytes")?;
    equal(read_at(&file, &mut piece, 3)?, 0, "bytes at the end")?;
    equal(
        read_at(&file, &mut piece, 1 << 40)?,
        0,
        "bytes far past the end",
    )
}

fn pwrite(world: &World<'_>) -> Result {
    let path = world.file("f", b"0123456789")?;
    let mut file = read_write(&path)?;
    file.seek(SeekFrom::Start(2))?;
    equal(write_at(&file, b"xyz", 5)?, 3, "bytes written")?;
    equal(file.stream_position()?, 2, "the cursor")?;
    content(&path, b"01234xyz89")
}

fn pwrite_past_the_end(world: &World<'_>) -> Result {
    let path = world.file("f", b"ab")?;
    let file = read_write(&path)?;
    equal(write_at(&file, b"z", 5)?, 1, "bytes written")?;
    content(&path, b"ab\0\0\0z")
}

fn shrink(world: &World<'_>) -> Result {
    let all = bytes(100_000);
    let path = world.file("f", &all)?;
    let mut file = read_write(&path)?;
    file.seek(SeekFrom::End(0))?;
    file.set_len(70_000)?;
    equal(file.metadata()?.len(), 70_000, "length")?;
    equal(file.stream_position()?, 100_000, "the cursor, which stays")?;
    equal(file.read(&mut [0; 8])?, 0, "a read past the new end")?;
    content(&path, &all[..70_000])
}

fn grow(world: &World<'_>) -> Result {
    let path = world.file("f", b"abc")?;
    read_write(&path)?.set_len(100_000)?;
    let mut expected = vec![0; 100_000];
    expected[..3].copy_from_slice(b"abc");
    content(&path, &expected)
}

fn shrink_then_grow(world: &World<'_>) -> Result {
    let path = world.file("f", &[7; 100_000])?;
    let file = read_write(&path)?;
    file.set_len(10)?;
    file.set_len(100_000)?;
    let mut expected = vec![0; 100_000];
    expected[..10].fill(7);
    content(&path, &expected)?;
    file.set_len(0)?;
    equal(write_at(&file, b"x", 9)?, 1, "bytes written")?;
    content(&path, b"\0\0\0\0\0\0\0\0\0x")
}

/// Any sequence of writes, reads and lengths leaves what it leaves in a buffer.
fn random_writes(world: &World<'_>) -> Result {
    const SIZE: u64 = 300_000;
    let path = world.path("f");
    let file = read_write(&path)?;
    let mut expected = Vec::new();
    let mut random = Random::new(42);
    for step in 0..400 {
        let start = random.below(SIZE) as usize;
        let mut piece = vec![0; random.below(70_000) as usize];
        match random.below(8) {
            0 => {
                file.set_len(start as u64)?;
                expected.resize(start, 0);
            }
            1..4 => {
                let read = read_at(&file, &mut piece, start as u64)?;
                let there = expected.len().saturating_sub(start).min(piece.len());
                holds(
                    read <= there && (read > 0 || there == 0),
                    "a read's length is plausible",
                )?;
                same(
                    &piece[..read],
                    expected.get(start..start + read).unwrap_or(&[]),
                    "a read",
                )?;
            }
            _ => {
                random.fill(&mut piece);
                let written = write_at(&file, &piece, start as u64)?;
                let end = start + written;
                if written > 0 {
                    expected.resize(expected.len().max(end), 0);
                    expected[start..end].copy_from_slice(&piece[..written]);
                }
            }
        }
        let length = file.metadata()?.len();
        equal(
            length,
            expected.len() as u64,
            &format!("length after step {step}"),
        )?;
    }
    content(&path, &expected)
}
