//! What instances do to each other.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::process;
use std::thread;
use std::time::Duration;

use mc2_guest::{Error, Job, Options, Result};
use mc2_test_guests::at;

use crate::required;

const MIB: usize = 1 << 20;

/// One fails in its own way while all others wait for it.
pub(crate) fn fail(job: &Job, mut options: Options) -> Result {
    let rank: u32 = required(&mut options, "RANK")?;
    let how: String = required(&mut options, "HOW")?;
    options.finish()?;
    let peers = job.peers()?;
    if peers.rank() != rank {
        let mut byte = [0];
        peers.receive_from(rank)?.read_exact(&mut byte)?;
        return Err(Error::new("the wait ended"));
    }
    let streams: Vec<_> = peers
        .others()
        .map(|other| peers.send_to(other))
        .collect::<Result<_>>()?;
    thread::sleep(Duration::from_millis(50));
    eprintln!("rank {rank} fails by {how}");
    match how.as_str() {
        #[cfg(target_family = "wasm")]
        "trap" => core::arch::wasm32::unreachable(),
        "exit" => process::exit(3),
        // Its streams are dropped on the way out.
        "error" => Err(Error::new(format!("rank {rank} gives up"))),
        "early-exit" => {
            for stream in streams {
                stream.finish()?;
            }
            Ok(())
        }
        _ => Err(Error::new("HOW is trap, exit, error or early-exit")),
    }
}

/// The first writes to one that never reads, and ends.
pub(crate) fn never_read(job: &Job, mut options: Options) -> Result {
    let mib: usize = required(&mut options, "MIB")?;
    options.finish()?;
    let peers = job.peers()?;
    if peers.rank() > 0 {
        thread::sleep(Duration::from_millis(100));
        return Ok(());
    }
    let mut stream = peers.send_to(1)?;
    let piece = vec![0; MIB];
    for _ in 0..mib {
        if let Err(error) = stream.write_all(&piece) {
            println!("refused: {:?}", error.kind());
            return Ok(());
        }
    }
    println!("written");
    Ok(())
}

/// Everybody waits for somebody who waits.
pub(crate) fn deadlock(job: &Job, mut options: Options) -> Result {
    let how: String = required(&mut options, "HOW")?;
    options.finish()?;
    let peers = job.peers()?;
    let (rank, size) = (peers.rank(), peers.size());
    let mut bytes = vec![0; MIB];
    match how.as_str() {
        "read" => {
            for other in peers.others() {
                peers.receive_from(other)?.read_exact(&mut bytes)?;
            }
        }
        "write" => {
            for other in peers.others() {
                peers.send_to(other)?.write_all(&bytes)?;
            }
        }
        // One ends well, and the others wait in a ring.
        "ring" if rank == 0 => return Ok(()),
        "ring" => {
            let next = if rank + 1 == size { 1 } else { rank + 1 };
            peers.receive_from(next)?.read_exact(&mut bytes)?;
        }
        _ => return Err(Error::new("HOW is read, write or ring")),
    }
    Err(Error::new("the wait ended"))
}

/// Looks for itself among its peers.
pub(crate) fn own(job: &Job, options: Options) -> Result {
    options.finish()?;
    let peers = job.peers()?;
    let (rank, size) = (peers.rank(), peers.size());
    for other in [rank, size, u32::MAX] {
        if peers.send_to(other).is_ok() || peers.receive_from(other).is_ok() {
            return Err(Error::new(format!("{rank} of {size} has a peer {other}")));
        }
        let folder = at("/run/mc2/peers").join(other.to_string());
        if File::open(folder.join("in")).is_ok() || folder.exists() {
            return Err(Error::new(format!("{} is there", folder.display())));
        }
    }
    let listed = fs::read_dir(at("/run/mc2/peers"));
    let mut names: Vec<String> = listed
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    println!("{rank} of {size} has {names:?}");
    Ok(())
}

/// All write the same output.
pub(crate) fn both_write(job: &Job, mut options: Options) -> Result {
    let what: String = required(&mut options, "WHAT")?;
    options.finish()?;
    let mut output = if what == "file" {
        job.output("result")?
    } else {
        job.output_folder("parts")?.file("same")?
    };
    write!(output, "by {}", job.peers()?.rank())?;
    output.finish()
}

/// All allocate at the same time.
pub(crate) fn alloc(job: &Job, mut options: Options) -> Result {
    let mib: usize = required(&mut options, "MIB")?;
    options.finish()?;
    let mut all = job.peers()?.collective()?;
    let mut bytes: Vec<u8> = Vec::new();
    bytes.resize(mib * MIB, 1);
    // Nobody lets go before all have it.
    all.allgather(b"")?;
    println!("all got {} MiB", bytes.len() / MIB);
    Ok(())
}

/// All print without end.
pub(crate) fn flood(_: &Job, options: Options) -> Result {
    options.finish()?;
    loop {
        println!("{}", "flood ".repeat(1000));
    }
}

/// All fill their scratch folders.
pub(crate) fn scratch(job: &Job, mut options: Options) -> Result {
    let mib: usize = required(&mut options, "MIB")?;
    options.finish()?;
    let mut all = job.peers()?.collective()?;
    fs::write(
        job.scratch().join("mine"),
        vec![all.rank() as u8; mib * MIB],
    )?;
    all.allgather(b"")?;
    let mine = fs::read(job.scratch().join("mine"))?;
    if mine != vec![all.rank() as u8; mib * MIB] || fs::read_dir(job.scratch())?.count() != 1 {
        return Err(Error::new("the scratch folder is not its own"));
    }
    Ok(())
}

/// The first writes byte by byte, the second reads byte by byte.
pub(crate) fn small_writes(job: &Job, mut options: Options) -> Result {
    let count: usize = required(&mut options, "BYTES")?;
    options.finish()?;
    let rank = job.peers()?.rank();
    if rank == 0 {
        let mut out = OpenOptions::new()
            .write(true)
            .open(at("/run/mc2/peers/1/out"))?;
        for i in 0..count {
            out.write_all(&[i as u8])?;
        }
    } else if rank == 1 {
        let mut into = File::open(at("/run/mc2/peers/0/in"))?;
        let mut byte = [0];
        let mut read = 0;
        while into.read(&mut byte)? == 1 {
            if byte[0] != read as u8 {
                return Err(Error::new(format!("byte {read} is {}", byte[0])));
            }
            read += 1;
        }
        if read != count {
            return Err(Error::new(format!("{read} bytes of {count}")));
        }
    }
    Ok(())
}

/// A stream that has ended is opened again, and a reader is opened twice.
pub(crate) fn reopen(job: &Job, options: Options) -> Result {
    options.finish()?;
    let peers = job.peers()?;
    if peers.rank() == 0 {
        fs::write(at("/run/mc2/peers/1/out"), b"once")?;
        let again = OpenOptions::new()
            .write(true)
            .open(at("/run/mc2/peers/1/out"))
            .and_then(|mut out| out.write_all(b"twice"));
        match again {
            Ok(()) => return Err(Error::new("an ended stream was written")),
            Err(error) => println!("refused: {:?}", error.kind()),
        }
    } else {
        let mut half = [0; 2];
        File::open(at("/run/mc2/peers/0/in"))?.read_exact(&mut half)?;
        let mut rest = Vec::new();
        File::open(at("/run/mc2/peers/0/in"))?.read_to_end(&mut rest)?;
        if half != *b"on" || rest != b"ce" {
            return Err(Error::new("a reader lost something"));
        }
    }
    Ok(())
}
