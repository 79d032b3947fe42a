//! Reading inputs: for figures, and for what the host sees of it.

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

use mc2_guest::{Error, Job, Options, Result};
use mc2_test_guests::Random;

use crate::required;

const PIECE: usize = 64 * 1024;
const PAGE: usize = 4096;

/// Reads an input from start to end in 64 KiB reads and prints its length, a checksum and the
/// time in nanoseconds; `--touch` looks at one byte a page only, to time reading alone.
///
/// The checksum is the wrapping sum of the little-endian 64-bit words, the last one filled up
/// with zeros (of the touched bytes with `--touch`).
pub(crate) fn sum(job: &Job, mut options: Options) -> Result {
    let touch = options.flag("--touch")?;
    let name: String = required(&mut options, "INPUT")?;
    options.finish()?;
    let mut file = File::open(job.input(&name)?.path())?;
    let mut piece = vec![0; PIECE];
    let (mut length, mut sum) = (0, 0_u64);
    let start = Instant::now();
    loop {
        let read = fill(&mut file, &mut piece, touch)?;
        if read == 0 {
            break;
        }
        length += read as u64;
        let more = if touch {
            touched(&piece[..read])
        } else {
            words(&piece[..read])
        };
        sum = sum.wrapping_add(more);
    }
    println!("{length} {sum:016x} {}", start.elapsed().as_nanos());
    Ok(())
}

/// Reads 64 KiB at COUNT random places, each in a segment not read before as long as there are
/// such, then the last one COUNT times again; prints the mean time of both in nanoseconds.
///
/// Whole passes are timed, because the sandbox's clock is coarse.
pub(crate) fn random_read(job: &Job, mut options: Options) -> Result {
    let name: String = required(&mut options, "INPUT")?;
    let count: u64 = required(&mut options, "COUNT")?;
    options.finish()?;
    let file = job.input(&name)?.random()?;
    let places = file.len() / PIECE as u64;
    if count == 0 || places == 0 {
        return Err(Error::new("COUNT is 0, or the input shorter than 64 KiB"));
    }
    let order: Vec<u64> = Random::new(count)
        .order(places)
        .into_iter()
        .cycle()
        .take(count as usize)
        .collect();
    let mut piece = vec![0; PIECE];
    let start = Instant::now();
    for place in &order {
        file.read_exact_at(&mut piece, place * PIECE as u64)?;
        black_box(&piece);
    }
    let first = start.elapsed().as_nanos() / u128::from(count);
    let last = order[order.len() - 1] * PIECE as u64;
    let start = Instant::now();
    for _ in 0..count {
        file.read_exact_at(&mut piece, last)?;
        black_box(&piece);
    }
    let again = start.elapsed().as_nanos() / u128::from(count);
    println!("first {first} again {again}");
    Ok(())
}

/// Tells the host the input's first eight bytes by which of its segments are read: bit `i` is in
/// whether segment `1 + 2i` or `2 + 2i` is.
pub(crate) fn read_pattern(job: &Job, mut options: Options) -> Result {
    let name: String = required(&mut options, "INPUT")?;
    options.finish()?;
    let file = job.input(&name)?.random()?;
    let mut secret = [0; 8];
    file.read_exact_at(&mut secret, 0)?;
    let secret = u64::from_le_bytes(secret);
    let mut byte = [0];
    for bit in 0..64 {
        let segment = 1 + 2 * bit + (secret >> bit & 1);
        // Past the end of a short input there is nothing to tell.
        black_box(file.read_at(&mut byte, segment * PIECE as u64)?);
    }
    Ok(())
}

/// Whole words need whole pieces; a touch does not.
fn fill(file: &mut File, piece: &mut [u8], touch: bool) -> Result<usize> {
    let mut read = 0;
    while read < piece.len() {
        match file.read(&mut piece[read..])? {
            0 => break,
            more => read += more,
        }
        if touch {
            break;
        }
    }
    Ok(read)
}

fn words(bytes: &[u8]) -> u64 {
    let chunks = bytes.chunks_exact(8);
    let rest = chunks.remainder();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    chunks
        // A chunk has eight bytes.
        .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap_or_default()))
        .fold(u64::from_le_bytes(last), u64::wrapping_add)
}

fn touched(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .step_by(PAGE)
        .fold(0, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}
