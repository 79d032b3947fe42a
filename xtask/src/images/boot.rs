//! `cargo xtask boot`: the image boots in an emulated machine, and a job runs in it.
//!
//! There is no TEE in an emulated machine, so `/init` is the simulated runtime; kernel, archive and
//! all else are those of a real image. NOT SECURE, and the console says so. A host on this machine
//! waits for the runtime to dial in over virtio, the table is sealed by `mc2-run`, and the model has
//! to be, byte for byte, the one that the same component trains without an enclave.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use clap::Args;

use super::{Image, KERNEL_WORDS, arguments, command_line, make};
use crate::build;
use crate::components;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, run as run_command, say};
use crate::setup;

/// Emulation is slow, and this machine may be busy.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// What the kernel says where it has found programs of the host's to run, or runs them.
const AML_WORDS: [&str; 2] = ["AML tables successfully", "ACPI: Interpreter enabled"];
/// What the kernel says where it takes back sockets of virtual machines.
const NO_VSOCK: &str = "Unregistered PF_VSOCK";
const ROWS: u32 = 500;
/// A network of QEMU's own, in which 10.0.2.2 is this machine.
const NETWORK: &str = "ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off";

#[derive(Args)]
pub(crate) struct Options {
    /// How many processors the machine has
    #[arg(long, default_value_t = 2)]
    processors: u32,
}

/// `cargo xtask boot`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    setup::emulator()?;
    let binaries = given("MC2_BINARIES", || build::binaries(machine))?;
    let workloads = given("MC2_WORKLOADS", || component(machine))?;
    let image = make(
        machine,
        &super::Options {
            simulated: true,
            ..super::Options::default()
        },
    )?;
    let folder = tempfile::tempdir().doing("making a folder for the boot's files")?;
    let scene = Scene {
        binaries,
        xgboost: workloads.join("xgboost.wasm"),
        folder: folder.path().to_owned(),
    };
    scene.table()?;
    scene.train(&["--bare"], "expected.json")?;

    let (host, clients, runtimes) = scene.host()?;
    let _host = Ends(host);
    without_host(&image, options.processors)?;
    let begun = Instant::now();
    say("booting the image by software emulation");
    // The kernel keeps words with a dot in them to itself, unless they are behind two dashes.
    let arguments = arguments(&format!("tcp:10.0.2.2:{runtimes}"), None);
    let words = format!("{NETWORK} {KERNEL_WORDS} -- {arguments}");
    let mut emulated = boot(&image, &words, options.processors)?;
    let console = Console::of(&mut emulated)?;
    let _emulated = Ends(emulated);
    let key = console.until(key_in)?;
    say(format_args!(
        "the runtime runs {:.0} s after the machine was started",
        begun.elapsed().as_secs_f64()
    ));
    let mut trust = scene.command("mc2");
    trust.args(["trust", "add", "--simulator", &key, "--runtime"]);
    run_command(trust.arg(&image.runtime))?;
    let address = format!("http://127.0.0.1:{clients}");
    scene.train(&["--host", &address, "--allow-simulated"], "model.json")?;
    scene.compare()?;
    console.no_aml()?;
    say(format_args!(
        "a job over a sealed table ran in the booted image, {:.0} s after its machine was started",
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// With the command line that is published, the runtime starts; and where nobody listens for it the
/// machine ends with it.
fn without_host(image: &Image, processors: u32) -> Outcome<()> {
    say("booting the image where there is no host for it");
    let mut emulated = boot(image, &command_line(super::HOST, None), processors)?;
    let console = Console::of(&mut emulated)?;
    let mut emulated = Ends(emulated);
    console.until(key_in)?;
    console.until(|line| line.contains("and so does this machine").then_some(()))?;
    console.never(&[NO_VSOCK])?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if emulated
            .0
            .try_wait()
            .doing("waiting for the machine's end")?
            .is_some()
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(Failure::new("the machine did not end with the runtime"))
}

/// The key that a simulator states at its start.
fn key_in(line: &str) -> Option<String> {
    Some(line.split_once("MC2-SIM-KEY ")?.1.trim().to_owned())
}

/// What the environment names, else what is built.
fn given(variable: &str, build: impl FnOnce() -> Outcome<PathBuf>) -> Outcome<PathBuf> {
    env::var_os(variable).map_or_else(build, |folder| Ok(PathBuf::from(folder)))
}

fn component(machine: &Machine) -> Outcome<PathBuf> {
    let tools = setup::run(machine)?;
    let workloads = machine.workloads()?;
    for package in components::packages(machine)? {
        if package.name == "xgboost" {
            components::build(machine, &tools, &package, &workloads, false)?;
        }
    }
    Ok(workloads)
}

/// The commands of one person with a folder of their own.
struct Scene {
    binaries: PathBuf,
    xgboost: PathBuf,
    folder: PathBuf,
}

impl Scene {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command
            .current_dir(&self.folder)
            .env("MC2_HOME", self.folder.join("home"))
            .stdin(Stdio::null());
        command
    }

    /// A table that is the same every time, and not empty of meaning.
    fn table(&self) -> Outcome<()> {
        let mut text = String::from("bought,age,visits\n");
        for row in 0..ROWS {
            let (age, visits) = (row * 37 % 71 + 18, row * 101 % 13);
            let bought = u32::from(age > 40 && visits > 4 || row % 17 == 0);
            text.push_str(&format!("{bought},{age},{visits}\n"));
        }
        fs::write(self.folder.join("train.csv"), text).doing("writing the table")
    }

    fn train(&self, options: &[&str], model: &str) -> Outcome<()> {
        let mut command = self.command("mc2-run");
        command
            .args(["--quiet", "--memory", "1GiB"])
            .args(options)
            .arg(&self.xgboost)
            .args([
                "--in",
                "train=train.csv",
                "--out",
                &format!("model={model}"),
            ])
            .args(["--", "train", "--label", "bought", "--model-out", "model"])
            .args(["--objective", "binary:logistic", "--rounds", "5"])
            .stdout(Stdio::null());
        run_command(&mut command)
    }

    /// A host that starts no runtime; with the ports of clients and of runtimes.
    fn host(&self) -> Outcome<(Child, u16, u16)> {
        let (clients, runtimes) = (free_port()?, free_port()?);
        let mut command = self.command("mc2-host");
        command
            .args(["serve", "--folder", "host"])
            .args(["--listen", &format!("127.0.0.1:{clients}")])
            .args(["--runtime-listen", &format!("tcp:127.0.0.1:{runtimes}")])
            .stdout(Stdio::piped());
        let mut host = command.spawn().doing("starting mc2-host")?;
        let lines = lines_of(&mut host)?;
        let listens = lines.iter().any(|line| line.contains("listens"));
        if !listens {
            return Err(Failure::new("mc2-host ended before it listened"));
        }
        std::thread::spawn(move || lines.iter().for_each(drop));
        Ok((host, clients, runtimes))
    }

    fn compare(&self) -> Outcome<()> {
        let read =
            |name: &str| fs::read(self.folder.join(name)).doing(format_args!("reading {name}"));
        if read("model.json")? == read("expected.json")? {
            return Ok(());
        }
        Err(Failure::new(
            "the booted image trained another model than the component does without an enclave",
        ))
    }
}

/// Starts a machine that has no disk and no screen.
fn boot(image: &Image, words: &str, processors: u32) -> Outcome<Child> {
    Command::new("qemu-system-x86_64")
        .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max"])
        .args(["-smp", &processors.to_string(), "-m", "3G"])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-no-reboot", "-serial", "stdio"])
        .args([
            "-netdev",
            "user,id=net",
            "-device",
            "virtio-net-pci,netdev=net,romfile=",
        ])
        .arg("-kernel")
        .arg(image.kernel()?)
        .arg("-initrd")
        .arg(&image.initramfs)
        .args(["-append", words])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .doing("starting qemu-system-x86_64")
}

/// What the machine says.
struct Console {
    lines: Receiver<String>,
    said: std::cell::RefCell<Vec<String>>,
}

impl Console {
    fn of(machine: &mut Child) -> Outcome<Self> {
        Ok(Self {
            lines: lines_of(machine)?,
            said: std::cell::RefCell::default(),
        })
    }

    /// What `wanted` finds in the first line in which it finds something.
    fn until<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Outcome<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).map_err(|_| {
                Failure::new(format!(
                    "the machine ended, or said nothing in time; its last words:\n{}",
                    self.last_words()
                ))
            })?;
            let found = wanted(&line);
            self.said.borrow_mut().push(line);
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    fn last_words(&self) -> String {
        let said = self.said.borrow();
        said[said.len().saturating_sub(30)..].join("\n")
    }

    /// Fails where the machine said one of these.
    fn never(&self, words: &[&str]) -> Outcome<()> {
        self.said.borrow_mut().extend(self.lines.try_iter());
        let said = self.said.borrow();
        let has = |line: &&String| words.iter().any(|words| line.contains(words));
        match said.iter().find(has) {
            Some(line) => Err(Failure::new(format!("the machine said: {line}"))),
            None => Ok(()),
        }
    }

    /// The kernel reads tables, and never runs what is in them.
    fn no_aml(&self) -> Outcome<()> {
        self.never(&AML_WORDS)?;
        let said = self.said.borrow();
        for words in ["ACPI: APIC ", "ACPI: Interpreter disabled"] {
            if !said.iter().any(|line| line.contains(words)) {
                return Err(Failure::new(format!(
                    "the kernel did not say {words:?}, so nothing is known about AML"
                )));
            }
        }
        Ok(())
    }
}

fn lines_of(process: &mut Child) -> Outcome<Receiver<String>> {
    let stdout = process.stdout.take().ok_or("no standard output")?;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    Ok(lines)
}

/// A port that was free a moment ago.
fn free_port() -> Outcome<u16> {
    let doing = "finding a free port";
    let listener = TcpListener::bind("127.0.0.1:0").doing(doing)?;
    Ok(listener.local_addr().doing(doing)?.port())
}

/// A process that ends with this value.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
