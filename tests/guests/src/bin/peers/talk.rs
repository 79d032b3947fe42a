//! What instances do for each other.

use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Instant;

use mc2_guest::{Error, Job, Options, Reduce, Result};
use mc2_test_guests::Random;

use crate::required;

const PIECE: usize = 64 * 1024;

/// Sends every peer a few words and prints those it gets.
pub(crate) fn greet(job: &Job, options: Options) -> Result {
    options.finish()?;
    let peers = job.peers()?;
    for rank in peers.others() {
        let mut stream = peers.send_to(rank)?;
        write!(stream, "{} greets {rank}", peers.rank())?;
        stream.finish()?;
    }
    eprintln!("rank {} of {}", peers.rank(), peers.size());
    for rank in peers.others() {
        let mut text = String::new();
        peers.receive_from(rank)?.read_to_string(&mut text)?;
        eprintln!("{text}");
    }
    Ok(())
}

/// Bytes that go once around: the first checks that they come back as they left.
pub(crate) fn ring(job: &Job, mut options: Options) -> Result {
    let mib: usize = required(&mut options, "MIB")?;
    options.finish()?;
    let peers = job.peers()?;
    let (rank, size) = (peers.rank(), peers.size());
    let mut next = peers.send_to((rank + 1) % size)?;
    let mut previous = peers.receive_from((rank + size - 1) % size)?;
    let mut piece = vec![0; PIECE];
    let start = Instant::now();
    let mut random = Random::new(7);
    for _ in 0..mib * 16 {
        if rank == 0 {
            random.fill(&mut piece);
            next.write_all(&piece)?;
            next.flush()?;
            let sent = piece.clone();
            previous.read_exact(&mut piece)?;
            if piece != sent {
                return Err(Error::new("what came back is not what was sent"));
            }
        } else {
            previous.read_exact(&mut piece)?;
            next.write_all(&piece)?;
            next.flush()?;
        }
    }
    next.finish()?;
    if previous.read(&mut piece)? != 0 {
        return Err(Error::new("more came than was sent"));
    }
    println!(
        "{mib} MiB around {size} in {} ms",
        start.elapsed().as_millis()
    );
    Ok(())
}

/// Sums of wild numbers, which must be the same in all instances to the bit.
pub(crate) fn allreduce(job: &Job, mut options: Options) -> Result {
    let count: usize = required(&mut options, "COUNT")?;
    let rounds: u32 = required(&mut options, "ROUNDS")?;
    options.finish()?;
    let mut all = job.peers()?.collective()?;
    let value = |rank: u32, index: usize| {
        let wild = Random::new(u64::from(rank) << 32 | index as u64).next_u64();
        (wild >> 11) as f64 * 10_f64.powi((wild % 30) as i32 - 20)
    };
    let own: Vec<f64> = (0..count).map(|index| value(all.rank(), index)).collect();
    let mut sums = own.clone();
    let start = Instant::now();
    for _ in 0..rounds {
        sums.copy_from_slice(&own);
        all.allreduce(&mut sums, Reduce::Sum)?;
    }
    let took = start.elapsed();
    for (index, sum) in sums.iter().enumerate() {
        let rest = 1..all.size();
        let expected = rest.fold(value(0, index), |sum, rank| sum + value(rank, index));
        if expected.to_bits() != sum.to_bits() {
            return Err(Error::new(format!(
                "value {index} is {sum}, not {expected}"
            )));
        }
    }
    let bytes: Vec<u8> = sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    if all.allgather(&bytes)?.iter().any(|others| *others != bytes) {
        return Err(Error::new("another instance has other sums"));
    }
    println!("{} us a call", took.as_micros() / u128::from(rounds));
    Ok(())
}

/// A broadcast from each, and a gathering of pieces of different lengths.
pub(crate) fn gather(job: &Job, options: Options) -> Result {
    options.finish()?;
    let mut all = job.peers()?.collective()?;
    for root in 0..all.size() {
        let mut bytes = vec![all.rank() as u8; 300_000];
        all.broadcast(&mut bytes, root)?;
        if bytes != vec![root as u8; 300_000] {
            return Err(Error::new(format!("a broadcast from {root} went wrong")));
        }
    }
    let own = vec![all.rank() as u8; 200_000 * all.rank() as usize];
    for (rank, bytes) in all.allgather(&own)?.iter().enumerate() {
        if *bytes != vec![rank as u8; 200_000 * rank] {
            return Err(Error::new(format!("what {rank} gave went wrong")));
        }
        println!("{rank} gave {}", bytes.len());
    }
    Ok(())
}

/// Computes, and prints how long that took.
pub(crate) fn compute(job: &Job, mut options: Options) -> Result {
    let rounds: u64 = required(&mut options, "ROUNDS")?;
    options.finish()?;
    // All begin together.
    let mut all = job.peers()?.collective()?;
    all.allgather(b"")?;
    let start = Instant::now();
    let mut number = 1_u64;
    for round in 0..rounds {
        number = black_box(
            number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(round),
        );
    }
    all.allgather(&number.to_le_bytes())?;
    println!("{}", start.elapsed().as_millis());
    Ok(())
}

/// Says who it is by every way out.
pub(crate) fn print(job: &Job, options: Options) -> Result {
    options.finish()?;
    let peers = job.peers()?;
    let rank = peers.rank();
    println!("stdout of {rank}");
    let mut all = peers.collective()?;
    for line in 0..3 {
        // In turns, so that what is not kept apart mixes.
        all.allgather(b"")?;
        eprintln!("stderr of {rank}, line {line}");
    }
    job.progress(1.0, &format!("progress of {rank}"));
    Ok(())
}

/// The last leaves a file, each leaves its part of a folder.
pub(crate) fn outputs(job: &Job, options: Options) -> Result {
    options.finish()?;
    let peers = job.peers()?;
    if peers.rank() + 1 == peers.size() {
        let mut result = job.output("result")?;
        write!(result, "by {}", peers.rank())?;
        result.finish()?;
    }
    let name = format!("of/{}", peers.rank());
    let mut part = job.output_folder("parts")?.file(&name)?;
    write!(part, "part {}", peers.rank())?;
    part.finish()
}

/// Says a text to the others again and again, and to nobody else.
pub(crate) fn whisper(job: &Job, mut options: Options) -> Result {
    let text: String = required(&mut options, "TEXT")?;
    let mib: usize = required(&mut options, "MIB")?;
    options.finish()?;
    let mut all = job.peers()?.collective()?;
    let bytes = text.repeat((mib << 20) / text.len()).into_bytes();
    let heard = all.allgather(&bytes)?;
    if heard.iter().any(|heard| *heard != bytes) {
        return Err(Error::new("what was heard is not what was said"));
    }
    println!("heard {}", heard.len());
    Ok(())
}

/// A byte there and a byte back, COUNT times.
pub(crate) fn ping(job: &Job, mut options: Options) -> Result {
    let count: u32 = required(&mut options, "COUNT")?;
    options.finish()?;
    let peers = job.peers()?;
    let other = 1 - peers.rank();
    let (mut out, mut into) = (peers.send_to(other)?, peers.receive_from(other)?);
    let mut byte = [0];
    let start = Instant::now();
    for _ in 0..count {
        if peers.rank() == 0 {
            send(&mut out, &byte)?;
        }
        into.read_exact(&mut byte)?;
        if peers.rank() == 1 {
            send(&mut out, &byte)?;
        }
    }
    let took = start.elapsed().as_micros();
    println!("{} us there and back", took / u128::from(count));
    Ok(())
}

fn send(out: &mut impl Write, bytes: &[u8]) -> Result {
    out.write_all(bytes)?;
    Ok(out.flush()?)
}
