//! The boot in a real TEE, on its owner's machine: the one command of each page under
//! `docs/enclaves/`. What is started is what `cargo xtask measure` measures, and nothing is simulated.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::console::Ends;
use super::scene::Scene;
use super::{Options, PATIENCE, PAUSE};
use crate::images::static_build::{Place, Program};
use crate::images::{self, Image};
use crate::machine::Machine;
use crate::measure::{Shape, Tee};
use crate::process::{Doing, Failure, Outcome, capture, on_path, run as run_command, say};

/// Where the host of an enclave of Nitro's, and of SGX as its manifest has it, waits for the runtime.
const PORT: &str = "4050";
/// The same for a runtime in a process of this machine's.
const LOCAL: &str = "127.0.0.1:4050";
/// A host waits for runtimes of all virtual machines.
const ANY_MACHINE: &str = "vsock:4294967295";
/// AWS's tool, beside which no process of ours keeps an enclave running.
const NITRO: &str = "nitro-cli";

/// Builds, starts and attests, and runs a job.
pub(super) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    let tee = options.tee;
    if let Some(missing) = missing(tee, Path::new("/"), &|name| on_path(name).is_some()) {
        return Err(Failure::new(missing));
    }
    let listen = listen(tee, &options.shape.host)?;
    let mut shape = options.shape.clone();
    let learns = learnt(tee, &mut shape);
    shape.ready(tee)?;
    let image = match tee {
        Tee::Sgx | Tee::AzureVtpm => None,
        _ => Some(images::make(machine, &images::Options::default())?),
    };
    let value = shape.value(machine, tee, image.as_ref(), None)?;
    let folder = tempfile::tempdir().doing("making a folder for the boot's files")?;
    let values = folder.path().join("values.json");
    fs::write(&values, json!([value]).to_string()).doing("writing the reference value")?;

    let scene = Scene::new(machine, folder.path())?;
    let (_host, clients) = scene.host(&listen)?;
    let begun = Instant::now();
    say(format_args!("starting the runtime in {}", tee.name()));
    let mut started = Started::new(machine, options, image.as_ref())?;
    started.dials_in(clients)?;
    say(format_args!(
        "the runtime has dialed in, {:.0} s after its start",
        begun.elapsed().as_secs_f64()
    ));
    run_command(scene.command("mc2").args(["trust", "add"]).arg(&values))?;
    let address = format!("http://127.0.0.1:{clients}");
    let job = ["--verbose", "--host", &address, "--tee", tee.name()];
    let outcome = match scene.train(&job, "model.json") {
        Err(_) if tee != Tee::Nitro => {
            say(
                "refused, as above; where that is for lack of what its vendor says of it, this helps",
            );
            run_command(scene.command("mc2").args(["collateral", "fetch"]))?;
            scene.train(&job, "model.json")
        }
        outcome => outcome,
    };
    match (outcome, learns) {
        (Err(failure), Some(flag)) => Err(Failure::new(format!(
            "{failure}\nthe line `measurement` above says what this machine measures: once you have \
             looked at what that holds, state it with {flag}"
        ))),
        (outcome, _) => outcome,
    }?;
    scene.compare()?;
    say(format_args!(
        "a job over a sealed table ran in an attested enclave ({}), whose reference value is\n{value}",
        tee.name()
    ));
    Ok(())
}

/// What has to be learnt from this very machine and was not stated, by the flag that states it; in its
/// place then stands what no machine measures, so that evidence is refused and says it.
fn learnt(tee: Tee, shape: &mut Shape) -> Option<&'static str> {
    match tee {
        Tee::Tdx if shape.rtmr0.is_none() && shape.rtmr0_log.is_empty() => {
            shape.rtmr0 = Some("0".repeat(96));
            Some("--rtmr0")
        }
        Tee::AzureVtpm if shape.measurement.is_none() => {
            shape.measurement = Some("f".repeat(64));
            Some("--measurement")
        }
        _ => None,
    }
}

/// Where the host waits for a runtime of this TEE's.
fn listen(tee: Tee, host: &str) -> Outcome<String> {
    match tee {
        Tee::Sgx | Tee::AzureVtpm => Ok(format!("tcp:{LOCAL}")),
        Tee::Nitro => Ok(format!("{ANY_MACHINE}:{PORT}")),
        Tee::Sim | Tee::SevSnp | Tee::Tdx => match host.strip_prefix("vsock:2:") {
            Some(port) => Ok(format!("{ANY_MACHINE}:{port}")),
            None => Err(Failure::new(format!(
                "--host {host}: the host is started on this machine, which its guests reach as \
                 vsock:2:PORT"
            ))),
        },
    }
}

/// What a machine lacks that should have this TEE.
fn missing(tee: Tee, root: &Path, on_path: &dyn Fn(&str) -> bool) -> Option<String> {
    const KVM: Need = Need::File("dev/kvm", "enable virtualisation in the machine's firmware");
    const VSOCK: Need = Need::File("dev/vhost-vsock", "modprobe vhost_vsock");
    const QEMU: Need = Need::Program(
        "qemu-system-x86_64",
        "install QEMU (SEV-SNP: 9.1; TDX: 10.1)",
    );
    let needs: &[Need] = match tee {
        Tee::Sim => &[],
        Tee::SevSnp => &[
            Need::On(
                "sys/module/kvm_amd/parameters/sev_snp",
                "enable SEV-SNP in the machine's firmware, and start Linux 6.11 or newer",
            ),
            Need::File("dev/sev", "load the module ccp"),
            KVM,
            VSOCK,
            QEMU,
        ],
        Tee::Tdx => &[
            Need::On(
                "sys/module/kvm_intel/parameters/tdx",
                "enable TDX in the machine's firmware, and start Linux 6.16 or newer with \
                 kvm_intel.tdx=1",
            ),
            KVM,
            VSOCK,
            QEMU,
        ],
        Tee::Nitro => &[
            Need::File(
                "dev/nitro_enclaves",
                "start the instance with --enclave-options Enabled=true, and its allocator service",
            ),
            Need::Program(NITRO, "install aws-nitro-enclaves-cli"),
        ],
        Tee::Sgx => &[
            Need::File(
                "dev/sgx_enclave",
                "enable SGX in the machine's firmware, and start Linux 5.11 or newer",
            ),
            Need::Program("gramine-sgx", "install Gramine 1.8 or newer"),
        ],
        Tee::AzureVtpm => &[Need::File(
            "dev/tpmrm0",
            "start a machine of the sizes DCasv5, ECasv5 or newer with the security type of \
             confidential machines",
        )],
    };
    let need = needs.iter().find(|need| !need.is_met(root, on_path))?;
    Some(format!("this machine cannot start {}: {need}", tee.name()))
}

/// What a machine has to have, and what to do where it has not.
enum Need {
    /// A file below the root.
    File(&'static str, &'static str),
    /// A module's parameter that is on.
    On(&'static str, &'static str),
    Program(&'static str, &'static str),
}

impl Need {
    fn is_met(&self, root: &Path, on_path: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::File(path, _) => root.join(path).exists(),
            Self::On(path, _) => fs::read_to_string(root.join(path))
                .is_ok_and(|text| matches!(text.trim(), "Y" | "1")),
            Self::Program(name, _) => on_path(name),
        }
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, advice) => write!(f, "there is no /{path}; {advice}"),
            Self::On(path, advice) => write!(f, "/{path} does not say Y; {advice}"),
            Self::Program(name, advice) => {
                write!(f, "{name} is not on the search path; {advice}")
            }
        }
    }
}

/// A machine or enclave that ends with this value.
struct Started {
    /// The process it is, unless something else keeps it running.
    process: Option<Ends>,
    /// By which Nitro knows it.
    enclave: Option<String>,
}

impl Started {
    fn new(machine: &Machine, options: &Options, image: Option<&Image>) -> Outcome<Self> {
        let mut command = match (options.tee, image) {
            (Tee::Sgx, _) => {
                let mut command = Command::new("gramine-sgx");
                command
                    .arg("mc2-runtime")
                    .current_dir(machine.target_dir()?.join("sgx"));
                command
            }
            (Tee::AzureVtpm, _) => {
                let place = Place::here(machine)?;
                // The runtime finds it beside itself.
                place.build(machine, Program::Compile, &[])?;
                let mut command = Command::new(place.build(machine, Program::Runtime, &[])?);
                command.args(["--host", &format!("tcp:{LOCAL}"), "--engine-profile", "vm"]);
                command
            }
            (Tee::Nitro, Some(image)) => return Self::nitro(options, image),
            (_, Some(image)) => guest(options, image.kernel()?, &image.initramfs)?,
            (_, None) => return Err(Failure::new("no image was made")),
        };
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self {
            process: Some(Ends(child.doing(format_args!("starting {name}"))?)),
            enclave: None,
        })
    }

    fn nitro(options: &Options, image: &Image) -> Outcome<Self> {
        let files = image.files()?;
        let eif = files.iter().find(|file| file.ends_with("mc2.eif"));
        let said = capture(
            Command::new(NITRO)
                .args(["run-enclave", "--eif-path"])
                .arg(eif.ok_or("an image without a file for Nitro")?)
                .args(["--memory", &(options.memory_gib * 1024).to_string()])
                .args(["--cpu-count", &options.shape.processors.to_string()]),
        )?;
        let said: serde_json::Value =
            serde_json::from_str(&said).doing("reading what nitro-cli says")?;
        let enclave = said["EnclaveID"].as_str();
        Ok(Self {
            process: None,
            enclave: Some(enclave.ok_or("nitro-cli named no EnclaveID")?.to_owned()),
        })
    }

    /// Waits until the host of these clients has a runtime.
    fn dials_in(&mut self, clients: u16) -> Outcome<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(Ends(child)) = &mut self.process
                && let Some(status) = child.try_wait().doing("waiting for the runtime")?
            {
                return Err(Failure::new(format!(
                    "it ended ({status}) before its runtime dialed in; its last words are above"
                )));
            }
            if is_ready(clients) {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(Failure::new(
            "the runtime did not dial in: look at the enclave's console",
        ))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(enclave) = &self.enclave {
            // What went wrong before is what is told.
            let _ = Command::new(NITRO)
                .args(["terminate-enclave", "--enclave-id", enclave])
                .status();
        }
    }
}

/// Whether the host takes work, which it does once a runtime has dialed in.
fn is_ready(clients: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", clients))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream
            .write_all(b"GET /v1/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// QEMU with the image as a guest that its processor keeps to itself.
fn guest(options: &Options, kernel: &Path, initramfs: &Path) -> Outcome<Command> {
    let shape = &options.shape;
    let firmware: &PathBuf = shape
        .firmware
        .as_ref()
        .ok_or("name the machine's firmware with --firmware")?;
    let memory = format!("{}G", options.memory_gib);
    let (cpu, machine, objects) = match options.tee {
        Tee::Tdx => (
            "host",
            "q35,confidential-guest-support=tee,memory-backend=ram,kernel-irqchip=split",
            [
                format!("memory-backend-ram,id=ram,size={memory}"),
                json!({
                    "qom-type": "tdx-guest",
                    "id": "tee",
                    "quote-generation-socket": {
                        "type": "vsock",
                        "cid": "2",
                        "port": options.quotes_port.to_string(),
                    },
                })
                .to_string(),
            ],
        ),
        _ => (
            shape.cpu.qemu(),
            "q35,confidential-guest-support=tee,memory-backend=ram",
            [
                format!("memory-backend-memfd,id=ram,size={memory},share=true"),
                // Neither debugging nor a migration agent.
                "sev-snp-guest,id=tee,policy=0x30000,cbitpos=51,reduced-phys-bits=1,\
                 kernel-hashes=on"
                    .to_owned(),
            ],
        ),
    };
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "kvm", "-cpu", cpu])
        .args(["-smp", &shape.processors.to_string(), "-m", &memory])
        .args(["-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-machine", machine])
        .args(objects.iter().flat_map(|object| ["-object", object]))
        .arg("-bios")
        .arg(firmware)
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", &shape.command_line(None)])
        .args(["-device", "vhost-vsock-pci,guest-cid=3"])
        .args(["-serial", "stdio"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use clap::{Command as Line, FromArgMatches as _};

    use super::*;

    fn options(line: &str) -> Options {
        let command = <Options as clap::Args>::augment_args(Line::new("boot").no_binary_name(true));
        let matches = command.try_get_matches_from(line.split(' ')).unwrap();
        Options::from_arg_matches(&matches).unwrap()
    }

    fn words(line: &str) -> Vec<String> {
        let command = guest(&options(line), Path::new("k"), Path::new("i")).unwrap();
        let words = command.get_args();
        words
            .map(|word| word.to_str().unwrap().to_owned())
            .collect()
    }

    /// The word behind `flag`.
    fn after<'a>(words: &'a [String], flag: &str) -> &'a str {
        &words[words.iter().position(|word| word == flag).unwrap() + 1]
    }

    #[test]
    fn what_is_started_is_what_is_measured() {
        let line = "--tee sev-snp --firmware f --processors 4 --cpu epyc-milan --host vsock:2:77";
        let (shape, words) = (options(line).shape, words(line));
        assert_eq!(after(&words, "-append"), shape.command_line(None));
        assert!(after(&words, "-append").contains("vsock:2:77"));
        assert_eq!(after(&words, "-smp"), "4");
        assert_eq!(after(&words, "-cpu"), "EPYC-Milan");
        assert_eq!(after(&words, "-bios"), "f");
        // Without the table of hashes the firmware would start whatever the host gives it.
        assert!(words.iter().any(|word| word.contains("kernel-hashes=on")));
        assert_eq!(
            listen(Tee::SevSnp, &shape.host).unwrap(),
            "vsock:4294967295:77"
        );
        assert!(listen(Tee::Tdx, "vsock:3:77").is_err(), "another machine's");
    }

    #[test]
    fn a_td_is_one_and_finds_the_service_that_signs_its_quotes() {
        let words = words("--tee tdx --firmware f --quotes-port 5000 --memory-gib 8");
        let guest = words
            .iter()
            .find(|word| word.contains("tdx-guest"))
            .unwrap();
        let guest: serde_json::Value = serde_json::from_str(guest).unwrap();
        assert_eq!(guest["quote-generation-socket"]["port"], "5000");
        let machine = after(&words, "-machine");
        assert!(machine.contains("confidential-guest-support=tee"));
        assert_eq!(guest["id"], "tee");
        assert_eq!(after(&words, "-m"), "8G");
    }

    /// What is put in the place of what was not stated must refuse evidence, and say how to state it.
    #[test]
    fn what_only_the_machine_itself_can_say_is_asked_for_by_its_flag() {
        let learns = |line: &str| {
            let Options { tee, mut shape, .. } = options(line);
            (learnt(tee, &mut shape), shape)
        };
        let (flag, shape) = learns("--tee tdx --firmware f");
        assert_eq!(flag, Some("--rtmr0"));
        assert_eq!(shape.rtmr0, Some("0".repeat(96)));
        assert_eq!(learns("--tee tdx --firmware f --rtmr0-log g").0, None);
        let (flag, shape) = learns("--tee azure-vtpm");
        assert_eq!(flag, Some("--measurement"));
        assert_eq!(shape.measurement, Some("f".repeat(64)));
        let stated = "ab".repeat(32);
        let (flag, shape) = learns(&format!("--tee azure-vtpm --measurement {stated}"));
        assert_eq!((flag, shape.measurement), (None, Some(stated)));
    }

    #[test]
    fn a_machine_without_the_tee_is_told_what_it_lacks_one_thing_after_the_other() {
        let root = tempfile::tempdir().unwrap();
        let lacks = |programs: bool| missing(Tee::SevSnp, root.path(), &|_| programs);
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let parameter = "sys/module/kvm_amd/parameters/sev_snp";
        assert!(lacks(true).unwrap().contains(parameter));
        write(parameter, "N\n");
        assert!(lacks(true).unwrap().contains(parameter));
        write(parameter, "Y\n");
        for device in ["dev/sev", "dev/kvm", "dev/vhost-vsock"] {
            assert!(lacks(true).unwrap().contains(device));
            write(device, "");
        }
        assert_eq!(lacks(true), None);
        assert!(lacks(false).unwrap().contains("qemu"));
        for tee in [Tee::Tdx, Tee::Nitro, Tee::Sgx, Tee::AzureVtpm] {
            let said = missing(tee, root.path(), &|_| true).unwrap();
            assert!(said.contains(tee.name()), "{said}");
        }
    }
}
