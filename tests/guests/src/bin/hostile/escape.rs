//! Reaching what is out of reach.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::Duration;

use mc2_guest::{Error, Job, Options, Result};
use mc2_test_guests::{at, symlink};

/// Files of a host, and of this guest's neighbours, by every kind of path.
const FILES: &[&str] = &[
    "/etc/passwd",
    "/etc/hostname",
    "/tmp/../etc/passwd",
    "/tmp/../../../../etc/passwd",
    "/in/../../etc/passwd",
    "/in/../etc/passwd",
    "/out/../../etc/passwd",
    "/run/mc2/../../etc/passwd",
    "/run/mc2/peers/../../../../etc/passwd",
    "../etc/passwd",
    "../../../../etc/passwd",
    "etc/passwd",
    "//etc/passwd",
    "/./etc/passwd",
    "/proc/self/environ",
    "/proc/self/maps",
    "/proc/1/cmdline",
    "/sys/kernel/notes",
    "/dev/null",
    "/dev/urandom",
    "/dev/fd/0",
    "/run/mc2/keys/any",
];

/// Folders that are nobody's business.
const FOLDERS: &[&str] = &[
    "/etc",
    "/proc",
    "/home",
    "/root",
    "/var",
    "/usr",
    "/dev",
    "/tmp/..",
    "/in/..",
    "/tmp/../..",
];

/// Paths to make something at.
const PLACES: &[&str] = &[
    "/made",
    "/in/made",
    "/run/made",
    "/run/mc2/made",
    "/tmp/../made",
];

/// Names the folder `/` may have.
const ROOT: &[&str] = &["in", "out", "tmp", "run"];

/// Tries all of it: files, folders, links, environment, network (`ADDRESS:PORT` is somebody who
/// listens, if the caller has one).
pub(crate) fn escape(_: &Job, mut options: Options) -> Result {
    let address: Option<String> = options.next("ADDRESS:PORT")?;
    options.finish()?;
    if !cfg!(target_family = "wasm") {
        return Err(Error::new(
            "a native program is not contained: this would succeed",
        ));
    }
    let mut attempts = Attempts::default();
    files(&mut attempts);
    links(&mut attempts);
    environment(&mut attempts);
    network(&mut attempts, address.as_deref());
    attempts.verdict()
}

/// Tries to change every input.
pub(crate) fn write_in(job: &Job, options: Options) -> Result {
    options.finish()?;
    let mut attempts = Attempts::default();
    for file in job.files()? {
        let (name, path) = (file.name(), file.path());
        // Nothing is written: where the sandbox fails, the tester's file is spared.
        let open = |options: &mut OpenOptions| options.open(path);
        attempts.note(
            format!("write {name}"),
            open(OpenOptions::new().write(true)),
        );
        attempts.note(
            format!("append to {name}"),
            open(OpenOptions::new().append(true)),
        );
        let reader = File::open(path)?;
        attempts.note(format!("set_len of {name}"), reader.set_len(file.len()));
        attempts.note(
            format!("rename {name}"),
            fs::rename(path, path.with_extension("renamed")),
        );
    }
    attempts.note("create /in/new", File::create(at("/in/new")));
    attempts.note("create_dir /in/new", fs::create_dir(at("/in/new")));
    attempts.verdict()
}

/// Tries to make outputs the job does not declare.
pub(crate) fn undeclared_output(_: &Job, options: Options) -> Result {
    options.finish()?;
    let mut attempts = Attempts::default();
    attempts.note(
        "create /out/undeclared",
        File::create(at("/out/undeclared")),
    );
    attempts.note("create_dir /out/folder", fs::create_dir(at("/out/folder")));
    fs::write(at("/tmp/file"), b"moved")?;
    attempts.note(
        "rename to /out/moved",
        fs::rename(at("/tmp/file"), at("/out/moved")),
    );
    attempts.verdict()
}

fn files(attempts: &mut Attempts) {
    for path in FILES {
        attempts.note(format!("read {path}"), fs::read(path));
        attempts.note(format!("metadata {path}"), fs::metadata(path));
    }
    for path in FOLDERS {
        attempts.note(format!("list {path}"), fs::read_dir(path));
    }
    for path in PLACES {
        attempts.note(format!("create {path}"), File::create(path));
        attempts.note(format!("create_dir {path}"), fs::create_dir(path));
    }
    // Listing `/` is no escape while it shows nothing but the guest's own folders.
    let foreign = fs::read_dir("/").and_then(|entries| {
        let names = entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        let own = |name: &OsString| ROOT.iter().any(|own| name == own);
        if names.iter().all(own) {
            Err(ErrorKind::NotFound.into())
        } else {
            Ok(())
        }
    });
    attempts.note("list /", foreign);
}

fn links(attempts: &mut Attempts) {
    let link = at("/tmp/link");
    for target in [
        "/etc/passwd",
        "../etc/passwd",
        "../../../../etc/passwd",
        "/",
        ".",
        "/in",
    ] {
        attempts.note(format!("symlink to {target}"), symlink(target, &link));
        attempts.note(format!("read through {target}"), fs::read(&link));
        attempts.note(format!("list through {target}"), fs::read_dir(&link));
        // Only plain Wasmtime has made one.
        let _ = fs::remove_file(&link);
    }
    for original in ["/etc/passwd", "/tmp/../etc/passwd", "/in/data"] {
        attempts.note(
            format!("hard link to {original}"),
            fs::hard_link(original, &link),
        );
        let _ = fs::remove_file(&link);
    }
}

fn environment(attempts: &mut Attempts) {
    for (name, _) in env::vars_os() {
        attempts.note::<()>(format!("environment {}", name.display()), Ok(()));
    }
    if env::vars_os().next().is_none() {
        attempts.note::<()>("environment", Err(ErrorKind::NotFound.into()));
    }
    let folder = env::current_dir().and_then(|folder| match folder == Path::new("/") {
        true => Err(ErrorKind::NotFound.into()),
        false => Ok(()),
    });
    attempts.note("a working folder but /", folder);
}

fn network(attempts: &mut Attempts, address: Option<&str>) {
    let addresses = [
        "127.0.0.1:22",
        "127.0.0.1:80",
        "169.254.169.254:80",
        "[::1]:22",
    ];
    for address in address.into_iter().chain(addresses) {
        let connected = address
            .parse()
            .map_err(io::Error::other)
            .and_then(|address| {
                TcpStream::connect_timeout(&address, Duration::from_secs(2)).map(drop)
            });
        attempts.note(format!("connect to {address}"), reached(connected));
    }
    attempts.note("listen on a TCP port", TcpListener::bind("127.0.0.1:0"));
    attempts.note("bind a UDP port", UdpSocket::bind("127.0.0.1:0"));
    attempts.note("resolve localhost", ("localhost", 80).to_socket_addrs());
    attempts.note("resolve example.com", ("example.com", 80).to_socket_addrs());
}

/// Whoever is told that nobody listens has reached the network.
fn reached(connected: io::Result<()>) -> io::Result<()> {
    match connected {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::ConnectionReset
                    | ErrorKind::TimedOut
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// What was tried, and what of it worked.
#[derive(Default)]
struct Attempts {
    tried: u32,
    got: u32,
}

impl Attempts {
    fn note<T>(&mut self, what: impl AsRef<str>, result: io::Result<T>) {
        self.tried += 1;
        if result.is_ok() {
            self.got += 1;
        }
        println!(
            "{} {}",
            if result.is_ok() { "GOT" } else { "refused" },
            what.as_ref()
        );
    }

    fn verdict(self) -> Result {
        match self.got {
            0 => Ok(()),
            got => Err(Error::new(format!("got {got} of {} things", self.tried))),
        }
    }
}
