//! The boot by software emulation, which any machine can do. There is no TEE in it, so `/init` is the
//! simulated runtime; kernel, archive and all else are those of a real image. NOT SECURE, and the
//! console says so.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::console::{Console, Ends};
use super::scene::{Scene, free_port};
use super::{PATIENCE, PAUSE};
use crate::images::{self, HOST, Image, KERNEL_WORDS, arguments, command_line, make};
use crate::machine::Machine;
use crate::measure::kernel_hashes;
use crate::process::{Doing, Failure, Outcome, run as run_command, say};
use crate::setup;

/// What the kernel says where it has found programs of the host's to run, or runs them.
const AML_WORDS: [&str; 2] = ["AML tables successfully", "ACPI: Interpreter enabled"];
/// What it says where it read tables and turned the rest off.
const TABLES_WORDS: [&str; 2] = ["ACPI: APIC ", "ACPI: Interpreter disabled"];
/// What the kernel says where it takes back sockets of virtual machines.
const NO_VSOCK: &str = "Unregistered PF_VSOCK";
/// A network of QEMU's own, in which 10.0.2.2 is this machine.
const NETWORK: &str = "ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off";

/// The processors' own counters are this machine's, which may stop and move a machine of several
/// emulated processors; after such a move the guest was minutes ahead. QEMU's HPET goes on evenly.
const CLOCK: &str = "clocksource=hpet";

/// Boots, and runs a job; `processors` in the machine. With a firmware, it has to bring the runtime up,
/// too, in the way it does in a real machine.
pub(super) fn run(machine: &Machine, processors: u32, firmware: Option<&Path>) -> Outcome<()> {
    setup::emulator()?;
    let image = make(
        machine,
        &images::Options {
            simulated: true,
            ..images::Options::default()
        },
    )?;
    let folder = tempfile::tempdir().doing("making a folder for the boot's files")?;
    let scene = Scene::new(machine, folder.path())?;
    let runtimes = free_port()?;
    let (_host, clients) = scene.host(&format!("tcp:127.0.0.1:{runtimes}"))?;
    let own = Emulated {
        image: &image,
        processors,
        arguments: Vec::new(),
    };
    own.without_host()?;
    if let Some(firmware) = firmware {
        say(format_args!("by the firmware {}", firmware.display()));
        own.by(firmware, folder.path())?.without_host()?;
    }
    let begun = Instant::now();
    say("booting the image by software emulation");
    // The kernel keeps words with a dot in them to itself, unless they are behind two dashes.
    let arguments = arguments(&format!("tcp:10.0.2.2:{runtimes}"), None);
    let words = format!("{NETWORK} {CLOCK} {KERNEL_WORDS} -- {arguments}");
    let mut emulated = own.boot(&words)?;
    let console = Console::of(&mut emulated.0)?;
    let key = console.until(key_in)?;
    say(format_args!(
        "the runtime runs {:.0} s after the machine was started",
        begun.elapsed().as_secs_f64()
    ));
    let mut trust = scene.command("mc2");
    trust.args(["trust", "add", "--simulator", &key, "--runtime"]);
    run_command(trust.arg(&image.runtime))?;
    // By name, since that is what a static program looks up in its own way.
    let address = format!("http://localhost:{clients}");
    scene.train(
        &["--quiet", "--host", &address, "--allow-simulated"],
        "model.json",
    )?;
    scene.compare()?;
    // The kernel reads tables, and never runs what is in them.
    console.never(&AML_WORDS)?;
    console.said(&TABLES_WORDS)?;
    say(format_args!(
        "a job over a sealed table ran in the booted image, {:.0} s after its machine was started",
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// A machine without disk and screen that starts the image, by QEMU's own firmware unless its further
/// arguments say another.
struct Emulated<'a> {
    image: &'a Image,
    processors: u32,
    arguments: Vec<OsString>,
}

impl Emulated<'_> {
    /// The same by this firmware. One for SEV starts what a table in memory says and nothing else; QEMU
    /// makes that for real guests alone, so here it is ours, kept in `folder`.
    fn by(&self, firmware: &Path, folder: &Path) -> Outcome<Self> {
        let mut arguments = vec!["-bios".into(), firmware.into()];
        let table = kernel_hashes(firmware, self.image, &command_line(HOST, None))?;
        if let Some((place, table)) = table {
            let file = folder.join("hashes");
            fs::write(&file, table).doing(format_args!("writing {}", file.display()))?;
            let mut loader = OsString::from(format!("loader,addr={place:#x},force-raw=on,file="));
            loader.push(file);
            arguments.extend(["-device".into(), loader]);
        }
        Ok(Self { arguments, ..*self })
    }

    /// With the command line that is published, the runtime starts; and where nobody listens for it the
    /// machine ends with it. What OVMF appends to the command line does not reach the runtime, which
    /// would refuse it.
    fn without_host(&self) -> Outcome<()> {
        say("booting the image where there is no host for it");
        let mut emulated = self.boot(&command_line(HOST, None))?;
        let console = Console::of(&mut emulated.0)?;
        console.until(key_in)?;
        console.until(|line| line.contains("and so does this machine").then_some(()))?;
        console.never(&[NO_VSOCK])?;
        console.never(&AML_WORDS)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let ended = emulated.0.try_wait();
            if ended.doing("waiting for the machine's end")?.is_some() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(Failure::new("the machine did not end with the runtime"))
    }

    fn boot(&self, words: &str) -> Outcome<Ends> {
        Command::new("qemu-system-x86_64")
            .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max"])
            .args(["-smp", &self.processors.to_string(), "-m", "3G"])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-serial", "stdio"])
            .args(["-netdev", "user,id=net"])
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .args(&self.arguments)
            .arg("-kernel")
            .arg(self.image.kernel()?)
            .arg("-initrd")
            .arg(&self.image.initramfs)
            .args(["-append", words])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map(Ends)
            .doing("starting qemu-system-x86_64")
    }
}

/// The key that a simulator states at its start.
fn key_in(line: &str) -> Option<String> {
    Some(line.split_once("MC2-SIM-KEY ")?.1.trim().to_owned())
}
