//! `cargo xtask measure`: what the release runtimes measure to, as the reference values that a
//! verifier's trust store holds (`mc2 trust add`).
//!
//! Every value is computed from files: the image that `cargo xtask image` makes of this source, and
//! the firmware that a cloud publishes. Nothing is read from a machine but what TDX's RTMR0 holds of
//! that machine's own tables ([`tdx`], [`log`]), and what a machine of Azure's measures, whose firmware
//! nobody else has.

mod firmware;
mod log;
mod sgx;
mod snp;
mod tdx;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::build;
use crate::digest;
use crate::images::{self, Image};
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, say};

use firmware::Firmware;

#[derive(Args)]
pub(crate) struct Options {
    /// For which TEE; may be given more than once
    #[arg(long = "tee", value_enum, default_values_t = [Tee::Sim])]
    tees: Vec<Tee>,
    /// The one policy the runtime will serve, which is part of the command line, too
    #[arg(long, value_name = "SHA256", value_parser = images::policy_digest)]
    policy_digest: Option<String>,
    #[command(flatten)]
    shape: Shape,
}

/// What of a machine is measured beside the image.
#[derive(Args, Clone)]
pub(crate) struct Shape {
    /// The firmware of the machine, OVMF's file (SNP, TDX; `boot` also boots an emulated machine by it)
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware: Option<PathBuf>,
    /// Where the runtime finds its host, which is part of the command line and so of the measurement
    #[arg(long, value_name = "ADDRESS", value_parser = images::host, default_value = images::HOST)]
    pub(crate) host: String,
    /// How many processors the machine has (measured by SNP)
    #[arg(long, default_value_t = 2)]
    pub(crate) processors: u32,
    /// Which processors, as QEMU's -cpu names them (SNP)
    #[arg(long, value_enum, default_value_t = Cpu::Genoa)]
    pub(crate) cpu: Cpu,
    /// SEV_FEATURES as the hypervisor sets them; 0x21 where it swaps debug registers (SNP)
    #[arg(long, value_parser = number, default_value = "0x1")]
    guest_features: u64,
    /// RTMR0 of such a machine, 96 hexadecimal digits: it measures the tables QEMU makes for it (TDX)
    #[arg(long, value_name = "HEX", value_parser = register)]
    pub(crate) rtmr0: Option<String>,
    /// The firmware's log of such a machine (/sys/firmware/acpi/tables/data/CCEL), in --rtmr0's place:
    /// its events are then what is known; may be given more than once, for machines that differ in
    /// their tables (TDX)
    #[arg(long, value_name = "FILE")]
    pub(crate) rtmr0_log: Vec<PathBuf>,
    /// What such a machine measures to, 64 hexadecimal digits: Azure's firmware is in it, so it is read
    /// from evidence of one, and not computed (Azure)
    #[arg(long, value_name = "HEX", value_parser = measurement)]
    pub(crate) measurement: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tee {
    /// NOT SECURE
    Sim,
    Sgx,
    SevSnp,
    Tdx,
    Nitro,
    AzureVtpm,
}

impl Tee {
    /// As policies and reference values name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Sgx => "sgx",
            Self::SevSnp => "sev-snp",
            Self::Tdx => "tdx",
            Self::Nitro => "nitro",
            Self::AzureVtpm => "azure-vtpm",
        }
    }

    /// Whether the runtime is in an image that is built here.
    const fn has_image(self) -> bool {
        matches!(self, Self::SevSnp | Self::Tdx | Self::Nitro)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Cpu {
    #[value(name = "epyc-milan")]
    Milan,
    #[value(name = "epyc-genoa")]
    Genoa,
    #[value(name = "epyc-turin")]
    Turin,
}

impl Cpu {
    const fn signature(self) -> u32 {
        match self {
            Self::Milan => snp::signature(25, 1, 1),
            Self::Genoa => snp::signature(25, 17, 0),
            Self::Turin => snp::signature(26, 0, 0),
        }
    }

    /// As QEMU's -cpu has it.
    pub(crate) const fn qemu(self) -> &'static str {
        match self {
            Self::Milan => "EPYC-Milan",
            Self::Genoa => "EPYC-Genoa",
            Self::Turin => "EPYC-Turin",
        }
    }
}

/// Prints a JSON array of reference values (docs/attestation.md).
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    let values = values(machine, options)?;
    let text = serde_json::to_string_pretty(&values);
    println!("{}", text.doing("writing the reference values as JSON")?);
    Ok(())
}

fn values(machine: &Machine, options: &Options) -> Outcome<Vec<Value>> {
    let in_image = |tee: &Tee| tee.has_image();
    if options.policy_digest.is_some() && !options.tees.iter().all(in_image) {
        return Err(Failure::new(
            "--policy-digest is measured with the command line of an image: the simulator and Azure's \
             machines have none of ours, and for SGX it goes into loader.argv of the manifest",
        ));
    }
    for tee in &options.tees {
        options.shape.ready(*tee)?;
    }
    let image = options
        .tees
        .iter()
        .any(in_image)
        .then(|| {
            let options = images::Options {
                policy_digest: options.policy_digest.clone(),
                ..images::Options::default()
            };
            images::make(machine, &options)
        })
        .transpose()?;
    let value = |tee: &Tee| {
        let policy_digest = options.policy_digest.as_deref();
        options
            .shape
            .value(machine, *tee, image.as_ref(), policy_digest)
    };
    options.tees.iter().map(value).collect()
}

/// The simulator's measurement is the SHA-256 of its executable.
fn simulator(machine: &Machine) -> Outcome<Value> {
    let runtime = build::binaries(machine)?.join("mc2-runtime-sim");
    let mut value = reference_value(Tee::Sim, &digest::file(&runtime)?, json!({}));
    value["runtime"] = json!("mc2-runtime-sim");
    Ok(value)
}

/// What Nitro's security module has in its first registers.
pub(crate) fn nitro(image: &Image) -> Outcome<Value> {
    let registers = image.eif()?.1;
    Ok(reference_value(
        Tee::Nitro,
        &hex::encode(registers.pcr0),
        json!({ "PCR1": hex::encode(registers.pcr1), "PCR2": hex::encode(registers.pcr2) }),
    ))
}

/// What QEMU puts into the memory of an SNP guest for a firmware that starts by it alone: where, and the
/// table of hashes.
pub(crate) fn kernel_hashes(
    firmware: &Path,
    image: &Image,
    command_line: &str,
) -> Outcome<Option<(u32, Vec<u8>)>> {
    let bytes = read(firmware)?;
    let Some(place) = snp::place_of_table(&Firmware::parse(&bytes)?) else {
        return Ok(None);
    };
    let payload = snp::Payload {
        kernel: &read(image.kernel()?)?,
        initrd: &read(&image.initramfs)?,
        command_line,
    };
    Ok(Some((place, payload.table())))
}

impl Shape {
    /// Whether what this TEE's value is computed from is stated and there, before anything is built.
    pub(crate) fn ready(&self, tee: Tee) -> Outcome<()> {
        match tee {
            Tee::Sim | Tee::Nitro => Ok(()),
            Tee::Sgx => sgx::tools(),
            Tee::SevSnp => self.firmware().map(drop),
            Tee::Tdx => {
                self.firmware()?;
                self.knows_rtmr0()
            }
            Tee::AzureVtpm => self.azure().map(drop),
        }
    }

    /// The reference value of a machine like this with this image; the image is not needed for SGX,
    /// the simulator and Azure's machines.
    pub(crate) fn value(
        &self,
        machine: &Machine,
        tee: Tee,
        image: Option<&Image>,
        policy_digest: Option<&str>,
    ) -> Outcome<Value> {
        let words = self.command_line(policy_digest);
        match (tee, image) {
            (Tee::Sim, _) => simulator(machine),
            (Tee::Sgx, _) => {
                let mrenclave = sgx::mrenclave(machine)?;
                Ok(reference_value(tee, &mrenclave, json!({})))
            }
            (Tee::AzureVtpm, _) => Ok(reference_value(tee, self.azure()?, json!({}))),
            (_, None) => Err(Failure::new("no image was made")),
            (Tee::SevSnp, Some(image)) => self.snp(image, &words),
            (Tee::Tdx, Some(image)) => self.tdx(image, &words),
            (Tee::Nitro, Some(image)) => nitro(image),
        }
    }

    /// What the kernel of such a machine is told.
    pub(crate) fn command_line(&self, policy_digest: Option<&str>) -> String {
        images::command_line(&self.host, policy_digest)
    }

    fn snp(&self, image: &Image, command_line: &str) -> Outcome<Value> {
        let bytes = self.firmware_bytes()?;
        let digest = snp::launch_digest(
            &Firmware::parse(&bytes)?,
            Some(&snp::Payload {
                kernel: &read(image.kernel()?)?,
                initrd: &read(&image.initramfs)?,
                command_line,
            }),
            &snp::Processors {
                count: self.processors,
                signature: self.cpu.signature(),
                features: self.guest_features,
            },
        )?;
        Ok(reference_value(
            Tee::SevSnp,
            &hex::encode(digest),
            json!({}),
        ))
    }

    fn tdx(&self, image: &Image, command_line: &str) -> Outcome<Value> {
        let bytes = self.firmware_bytes()?;
        let rtmr0 = self.rtmr0()?;
        let registers = tdx::registers(
            &Firmware::parse(&bytes)?,
            &read(image.kernel()?)?,
            &read(&image.initramfs)?,
            command_line,
        )?;
        Ok(reference_value(
            Tee::Tdx,
            &hex::encode(registers.mrtd),
            json!({
                "RTMR0": rtmr0,
                "RTMR1": hex::encode(registers.rtmr1),
                "RTMR2": hex::encode(registers.rtmr2),
            }),
        ))
    }

    fn knows_rtmr0(&self) -> Outcome<()> {
        if self.rtmr0.is_some() || !self.rtmr0_log.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            "RTMR0 measures the tables that QEMU makes for one machine: give the log of its firmware \
             with --rtmr0-log, or state the register with --rtmr0, as `mc2 appraise` shows it for \
             evidence of that machine",
        ))
    }

    /// What RTMR0 must hold: what is stated, or what the events of these logs give. With both, one of
    /// the logs must give what is stated.
    fn rtmr0(&self) -> Outcome<Value> {
        self.knows_rtmr0()?;
        let logs: Outcome<Vec<_>> = self.rtmr0_log.iter().map(|path| logged(path)).collect();
        let logs = logs?;
        let stated = self.rtmr0.as_ref();
        let gives = |stated: &String| {
            let mut all = logs.iter().map(|events| hex::encode(log::replayed(events)));
            all.any(|register| register == *stated)
        };
        match stated {
            Some(stated) if logs.is_empty() => Ok(json!(stated)),
            Some(stated) if !gives(stated) => Err(Failure::new(format!(
                "none of the firmware's logs gives the RTMR0 that --rtmr0 states, {stated}: they are \
                 not of that machine, or were altered"
            ))),
            _ => {
                let hex = |known: &Vec<[u8; 48]>| known.iter().map(hex::encode).collect::<Vec<_>>();
                Ok(json!(
                    log::known(&logs)?.iter().map(hex).collect::<Vec<_>>()
                ))
            }
        }
    }

    fn azure(&self) -> Outcome<&str> {
        self.measurement.as_deref().ok_or_else(|| {
            Failure::new(
                "what a machine of Azure's measures has Azure's own firmware in it, so there is nothing \
                 to compute it from: state it with --measurement, as `mc2 appraise --tee az-snp` shows \
                 it for evidence of a machine that you booted and looked at",
            )
        })
    }

    fn firmware(&self) -> Outcome<&Path> {
        let path = self.firmware.as_deref().ok_or(
            "the machine's firmware is measured first: name its file with --firmware (OVMF, built for \
             AMD SEV or for Intel TDX: some distributions have it as OVMF.amdsev.fd and \
             OVMF.inteltdx.fd; a cloud publishes its own)",
        )?;
        if path.is_file() {
            return Ok(path);
        }
        Err(Failure::new(format!(
            "the machine's firmware is measured first, and there is no file {}",
            path.display()
        )))
    }

    /// The firmware, its digest said: it is part of what is measured, and comes from elsewhere.
    fn firmware_bytes(&self) -> Outcome<Vec<u8>> {
        let path = self.firmware()?;
        let bytes = read(path)?;
        say(format_args!(
            "firmware {} has SHA-256 {}",
            path.display(),
            digest::bytes(&bytes)
        ));
        Ok(bytes)
    }
}

/// The fields of `mc2_attestation::ReferenceValue`, which this crate does not link.
fn reference_value(tee: Tee, measurement: &str, registers: Value) -> Value {
    let mut value = json!({
        "tee": tee.name(),
        "measurement": measurement,
        "runtime": "mc2-runtime",
        "version": env!("CARGO_PKG_VERSION"),
        "revoked": false,
    });
    if registers.as_object().is_some_and(|all| !all.is_empty()) {
        value["registers"] = registers;
    }
    value
}

/// What a firmware's log says of RTMR0, each event said, for who compares it with another machine's.
fn logged(path: &Path) -> Outcome<Vec<log::Event>> {
    let events = log::rtmr0(&read(path)?)?;
    say(format_args!("{} has of RTMR0", path.display()));
    for event in &events {
        let digest = hex::encode(event.digest);
        say(format_args!("  {digest} {}", event.shown()));
    }
    Ok(events)
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).doing(format_args!("reading {}", path.display()))
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

fn register(text: &str) -> Result<String, String> {
    digits::<48>(text)
}

fn measurement(text: &str) -> Result<String, String> {
    digits::<32>(text)
}

/// So many bytes in hexadecimal digits, written as everywhere.
fn digits<const LENGTH: usize>(text: &str) -> Result<String, String> {
    match hex::decode(text) {
        Ok(bytes) if bytes.len() == LENGTH => Ok(hex::encode(bytes)),
        _ => Err(format!("expected {} hexadecimal digits", 2 * LENGTH)),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    /// Whether a command line of `cargo xtask measure` is one.
    fn is_taken(line: &str) -> bool {
        let command = Options::augment_args(Command::new("measure").no_binary_name(true));
        command.try_get_matches_from(line.split(' ')).is_ok()
    }

    fn shape(line: &str) -> Shape {
        let command = Options::augment_args(Command::new("measure").no_binary_name(true));
        let matches = command.get_matches_from(line.split_whitespace());
        Options::from_arg_matches(&matches).unwrap().shape
    }

    #[test]
    fn what_is_missing_to_measure_is_said_before_anything_is_built() {
        let lacks = |tee, line: &str| {
            let failure = shape(line).ready(tee).err();
            failure.map_or_else(String::new, |failure| failure.to_string())
        };
        assert_eq!(lacks(Tee::Nitro, ""), "");
        assert!(lacks(Tee::SevSnp, "").contains("--firmware"));
        assert!(lacks(Tee::SevSnp, "--firmware nowhere.fd").contains("nowhere.fd"));
        assert_eq!(lacks(Tee::SevSnp, "--firmware Cargo.toml"), "");
        assert!(lacks(Tee::Tdx, "--firmware Cargo.toml").contains("--rtmr0-log"));
        let stated = format!("--firmware Cargo.toml --rtmr0 {}", "00".repeat(48));
        assert_eq!(lacks(Tee::Tdx, &stated), "");
        assert_eq!(lacks(Tee::Tdx, "--firmware Cargo.toml --rtmr0-log a"), "");
        assert!(lacks(Tee::AzureVtpm, "").contains("--measurement"));
        let stated = format!("--measurement {}", "ab".repeat(32));
        assert_eq!(lacks(Tee::AzureVtpm, &stated), "");
        assert!(!is_taken(&format!("--measurement {}", "ab".repeat(48))));
    }

    #[test]
    fn a_host_that_the_runtime_is_not_told_of_or_cannot_reach_is_not_measured() {
        assert!(is_taken("--host vsock:2:4050"));
        assert!(!is_taken("--host tcp:10.0.0.4:4050"));
        assert!(!is_taken("--host tcp:[fd00::1]:4050"));
        assert!(!is_taken("--host=vsock:2:4050\t--engine-profile"));
    }

    #[test]
    fn the_policy_that_is_stated_is_in_the_command_line_that_is_measured() {
        let digest = "0a".repeat(32);
        let command = Options::augment_args(Command::new("measure").no_binary_name(true));
        let matches = command.get_matches_from(["--policy-digest", &digest]);
        let options = Options::from_arg_matches(&matches).unwrap();
        let words = options.shape.command_line(options.policy_digest.as_deref());
        assert!(words.ends_with(&digest));
    }
}
