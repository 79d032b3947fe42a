//! Saying what the guest was told, by every way out there is.

use std::collections::hash_map::RandomState;
use std::env;
use std::fs::{self, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::time::{Instant, SystemTime};

use mc2_guest::{Job, Options, Result};
use mc2_test_guests::at;

use crate::required;

/// Says a secret by stdout, stderr, progress, failure message, an output and a panic.
pub(crate) fn leak(_: &Job, mut options: Options) -> Result {
    let text: String = required(&mut options, "TEXT")?;
    options.finish()?;
    println!("{text}");
    eprintln!("{text}");
    // Each is tried; which of them exist is the job's affair.
    for path in ["/run/mc2/progress", "/run/mc2/error"] {
        if let Ok(mut file) = OpenOptions::new().write(true).open(at(path)) {
            let _ = writeln!(file, "0.5 {text}");
        }
    }
    let _ = fs::write(at("/out/result"), &text);
    let _ = fs::write(at("/tmp").join(&text), &text);
    panic!("{text}")
}

/// The arguments, a line each, then standard input.
pub(crate) fn echo(job: &Job, _: Options) -> Result {
    for argument in &job.arguments()[1..] {
        println!("{argument}");
    }
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    Ok(io::stdout().write_all(&input)?)
}

/// The environment and the command line as WASI gives them.
pub(crate) fn environment(_: &Job, options: Options) -> Result {
    options.finish()?;
    for (name, value) in env::vars_os() {
        println!("variable {}={}", name.display(), value.display());
    }
    for argument in env::args_os() {
        println!("argument {}", argument.display());
    }
    Ok(())
}

/// A number from the system's randomness, another one in every run.
pub(crate) fn random(_: &Job, options: Options) -> Result {
    options.finish()?;
    println!("{:016x}", RandomState::new().hash_one(0));
    Ok(())
}

/// The smallest step either clock makes, in nanoseconds.
pub(crate) fn clock(_: &Job, options: Options) -> Result {
    options.finish()?;
    let monotonic = (0..20).map(|_| {
        let start = Instant::now();
        loop {
            let elapsed = start.elapsed().as_nanos();
            if elapsed > 0 {
                break elapsed;
            }
        }
    });
    println!("monotonic {}", monotonic.min().unwrap_or_default());
    let start = SystemTime::now();
    let wall = loop {
        match start.elapsed().map(|elapsed| elapsed.as_nanos()) {
            Ok(elapsed) if elapsed > 0 => break elapsed,
            _ => {}
        }
    };
    println!("wall {wall}");
    Ok(())
}

/// What stands under `/run/mc2/keys`, and the bytes of the keys it is asked for; then tries to
/// change what is there.
pub(crate) fn keys(job: &Job, mut options: Options) -> Result {
    let folder = at("/run/mc2/keys");
    let mut names = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(&folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    println!("there: {}", names.join(" "));
    while let Some(name) = options.next::<String>("NAME")? {
        match job.key(&name) {
            Ok(key) => println!("{name} = {:02x?}", key.as_bytes()),
            Err(_) => println!("{name} is none"),
        }
        let path = folder.join(&name);
        let changes = [
            ("write", fs::write(&path, "mine")),
            (
                "append",
                OpenOptions::new().append(true).open(&path).map(drop),
            ),
            ("remove", fs::remove_file(&path)),
            ("rename", fs::rename(&path, folder.join("other"))),
        ];
        for (what, done) in changes {
            let verdict = if done.is_ok() { "GOT" } else { "refused" };
            println!("{verdict} {what} {name}");
        }
    }
    Ok(())
}

/// Sends every peer its own rank times a hundred plus theirs, and prints what came back.
pub(crate) fn peers(job: &Job, options: Options) -> Result {
    options.finish()?;
    let peers = job.peers()?;
    println!("rank {} of {}", peers.rank(), peers.size());
    for rank in peers.others() {
        let mut stream = peers.send_to(rank)?;
        write!(stream, "{}", peers.rank() * 100 + rank)?;
        stream.finish()?;
    }
    for rank in peers.others() {
        let mut text = String::new();
        peers.receive_from(rank)?.read_to_string(&mut text)?;
        println!("from {rank}: {text}");
    }
    Ok(())
}
