//! Time, memory, stack, handles, folders, host calls.

use std::fs::{self, File};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use mc2_guest::{Job, Options, Result};
use mc2_test_guests::at;

use crate::required;

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;

/// Never ends and never calls the host.
pub(crate) fn spin(_: &Job, options: Options) -> Result {
    options.finish()?;
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Allocates this much at once and touches every page; ends with a trap where it is refused.
pub(crate) fn alloc(_: &Job, mut options: Options) -> Result {
    let mib: usize = required(&mut options, "MIB")?;
    options.finish()?;
    let mut bytes: Vec<u8> = Vec::with_capacity(mib * MIB);
    bytes.resize(mib * MIB, 1);
    println!("got {mib} MiB {}", touch(&mut bytes));
    Ok(())
}

/// Allocates until it is refused, says how much there was, and succeeds.
pub(crate) fn alloc_many(_: &Job, options: Options) -> Result {
    options.finish()?;
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(8 * 1024);
    while blocks.len() < blocks.capacity() {
        let mut block = Vec::new();
        if block.try_reserve_exact(MIB).is_err() {
            break;
        }
        block.resize(MIB, 1);
        touch(&mut block);
        blocks.push(block);
    }
    println!("refused after {} MiB", blocks.len());
    Ok(())
}

/// Calls itself until the call stack is used up; nothing of it is in linear memory.
pub(crate) fn stack(job: &Job, options: Options) -> Result {
    options.finish()?;
    // A depth the compiler can't know.
    println!("{}", deeper(u64::MAX - job.arguments().len() as u64, 3));
    Ok(())
}

/// Calls itself until the guest's own stack, which is in linear memory, is used up.
pub(crate) fn stack_frames(_: &Job, options: Options) -> Result {
    options.finish()?;
    println!("{}", frames(1));
    Ok(())
}

/// Opens files and keeps them, until it is refused.
pub(crate) fn open_files(_: &Job, mut options: Options) -> Result {
    let most: usize = options.next("MOST")?.unwrap_or(1_000_000);
    options.finish()?;
    let mut files = Vec::new();
    while files.len() < most {
        match File::create(at("/tmp").join(format!("file-{}", files.len()))) {
            Ok(file) => files.push(file),
            Err(error) => {
                println!("refused after {}: {error}", files.len());
                return Ok(());
            }
        }
    }
    println!("opened {}", files.len());
    Ok(())
}

/// Makes folders, eight deep, until it is refused.
pub(crate) fn dirs(_: &Job, mut options: Options) -> Result {
    let most: u64 = options.next("MOST")?.unwrap_or(1_000_000);
    options.finish()?;
    let mut made = 0;
    let mut path = at("/tmp");
    while made < most {
        if made % 8 == 0 {
            path = at("/tmp");
        }
        path.push(format!("folder-{made}"));
        if let Err(error) = fs::create_dir(&path) {
            println!("refused after {made}: {error}");
            return Ok(());
        }
        made += 1;
    }
    println!("made {made}");
    Ok(())
}

/// Asks the host for small things, again and again.
pub(crate) fn host_calls(_: &Job, mut options: Options) -> Result {
    let count: u64 = options.next("COUNT")?.unwrap_or(10_000_000);
    options.finish()?;
    let path = at("/tmp");
    for _ in 0..count.div_ceil(2) {
        black_box(Instant::now());
        black_box(fs::metadata(&path)?);
    }
    println!("made {count} calls");
    Ok(())
}

/// Waits in a host call.
pub(crate) fn sleep(_: &Job, mut options: Options) -> Result {
    let seconds: f64 = required(&mut options, "SECONDS")?;
    options.finish()?;
    thread::sleep(Duration::from_secs_f64(seconds));
    println!("slept {seconds} s");
    Ok(())
}

fn touch(bytes: &mut [u8]) -> u64 {
    let mut sum = 0;
    for byte in bytes.iter_mut().step_by(PAGE) {
        *byte = byte.wrapping_add(1);
        sum += u64::from(*byte);
    }
    black_box(sum)
}

/// What is done after the call is no accumulation, so no loop does the same.
fn deeper(depth: u64, factor: u64) -> u64 {
    if depth == 0 {
        1
    } else {
        deeper(depth - 1, factor).wrapping_mul(factor) ^ depth
    }
}

// The frame is used after the call, so that this is no loop either.
#[allow(unconditional_recursion)]
fn frames(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    frames(depth + 1).wrapping_add(black_box(frame[15]))
}
