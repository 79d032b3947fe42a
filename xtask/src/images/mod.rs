//! `cargo xtask image`: what boots in a TEE, made of this source and nothing of this machine's.
//!
//! [`static_build`] makes the programs, [`kernel`] the kernel, [`cpio`] the archive they are in, for
//! AWS Nitro [`eif`] one file of all. [`crate::boot`] starts it and runs a job there.

mod cpio;
pub(crate) mod eif;
pub(crate) mod kernel;
pub(crate) mod reproduce;
pub(crate) mod static_build;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::components::copy_whole;
use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Outcome, say};

use cpio::Archive;
use static_build::{Place, Program};

/// Where a machine's parent is that waits for the runtime: a host in the hypervisor.
pub(crate) const HOST: &str = "vsock:2:4050";
/// Where the parent of an enclave of AWS Nitro is.
const NITRO_HOST: &str = "vsock:3:4050";

/// What the kernel of a machine is told for itself.
pub(crate) const KERNEL_WORDS: &str = "console=ttyS0 panic=-1";
/// What that of an enclave of Nitro's is told.
const NITRO_WORDS: &str = "reboot=k panic=-1 pci=off console=ttyS0 random.trust_cpu=on";

/// What a machine is started with. Words that the kernel does not know it hands to the first process;
/// behind two dashes it would hand on those, too, that firmware and hypervisors append.
pub(crate) fn command_line(host: &str, policy_digest: Option<&str>) -> String {
    format!("{KERNEL_WORDS} {}", arguments(host, policy_digest))
}

/// The address of a host that reaches `/init`, and that it can reach. Words that have a dot before any
/// `=` the kernel takes for a module's parameters and drops; behind two dashes they would reach it together
/// with whatever firmware and hypervisor append, which the runtime refuses. IPv6 it has not.
pub(crate) fn host(address: &str) -> Result<String, String> {
    if !address.starts_with("vsock:") {
        return Err(
            "expected vsock:CID:PORT: the images' kernel drops words with a dot in them and knows no \
             IPv6, so the runtime would not be told of a host reached by TCP, or not reach it"
                .to_owned(),
        );
    }
    if address.contains(char::is_whitespace) {
        return Err("expected one word".to_owned());
    }
    Ok(address.to_owned())
}

fn nitro_command_line(policy_digest: Option<&str>) -> String {
    format!("{NITRO_WORDS} {}", arguments(NITRO_HOST, policy_digest))
}

/// The runtime's own; with a policy's digest it serves no other.
pub(crate) fn arguments(host: &str, policy_digest: Option<&str>) -> String {
    let mut words = format!("--host {host} --engine-profile vm");
    if let Some(digest) = policy_digest {
        words.push_str(&format!(" --policy-digest {digest}"));
    }
    words
}

/// SHA-256 as the runtime takes it.
pub(crate) fn policy_digest(text: &str) -> Result<String, String> {
    let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 64 && text.bytes().all(digits) {
        Ok(text.to_owned())
    } else {
        Err("expected 64 lower-case hexadecimal digits".to_owned())
    }
}

#[derive(Args, Default)]
pub(crate) struct Options {
    /// NOT SECURE: the simulated runtime as /init, for tests where there is no TEE
    #[arg(long)]
    pub(crate) simulated: bool,
    /// Only the programs and the archive, without the kernel
    #[arg(long)]
    pub(crate) no_kernel: bool,
    /// The one policy that the enclave of the file for AWS Nitro will serve
    #[arg(long, value_name = "SHA256", value_parser = policy_digest, conflicts_with = "no_kernel")]
    pub(crate) policy_digest: Option<String>,
}

/// What a machine is booted with, and where the programs inside are.
pub(crate) struct Image {
    /// The archive with the runtime as `/init`.
    pub(crate) initramfs: PathBuf,
    /// The runtime in it.
    pub(crate) runtime: PathBuf,
    /// The kernel, unless it was not asked for.
    kernel: Option<PathBuf>,
    /// The one policy of the file for AWS Nitro.
    policy_digest: Option<String>,
}

impl Image {
    /// The kernel's file.
    pub(crate) fn kernel(&self) -> Outcome<&Path> {
        Ok(self.kernel.as_deref().ok_or("an image without a kernel")?)
    }

    /// Everything that is published of it: kernel, archive, the file for AWS Nitro, and the programs
    /// that are in the archive.
    pub(crate) fn files(&self) -> Outcome<Vec<PathBuf>> {
        let eif = self.initramfs.with_file_name("mc2.eif");
        fs::write(&eif, self.eif()?.0).doing(format_args!("writing {}", eif.display()))?;
        Ok(vec![
            self.kernel()?.to_owned(),
            self.initramfs.clone(),
            eif,
            self.runtime.clone(),
            self.runtime.with_file_name(Program::Compile.name()),
        ])
    }

    /// The file for AWS Nitro, and what is measured of it.
    pub(crate) fn eif(&self) -> Outcome<(Vec<u8>, eif::Registers)> {
        let parts = eif::Parts {
            kernel: &read(self.kernel()?)?,
            command_line: &nitro_command_line(self.policy_digest.as_deref()),
            initramfs: &read(&self.initramfs)?,
        };
        Ok((parts.image(), parts.registers()))
    }
}

/// `cargo xtask image`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    let image = make(machine, options)?;
    say(format_args!("built with {}", static_build::tools(machine)?));
    let files = if options.no_kernel {
        vec![image.initramfs, image.runtime]
    } else {
        image.files()?
    };
    for file in &files {
        println!("{}  {}", digest::file(file)?, file.display());
    }
    Ok(())
}

/// Builds what `options` ask for into a folder of the target folder.
pub(crate) fn make(machine: &Machine, options: &Options) -> Outcome<Image> {
    let (name, program) = if options.simulated {
        ("image-simulated", Program::Simulator)
    } else {
        ("image", Program::Runtime)
    };
    let folder = machine.target_dir()?.join(name);
    fs::create_dir_all(&folder).doing(format_args!("making {}", folder.display()))?;
    say(format_args!("building {} statically", program.name()));
    let place = Place::here(machine)?;
    let kept = |program: Program| -> Outcome<PathBuf> {
        let file = folder.join(program.name());
        copy_whole(&place.build(machine, program, &[])?, &file)?;
        Ok(file)
    };
    let (runtime, compile) = (kept(program)?, kept(Program::Compile)?);
    let initramfs = folder.join("initramfs.cpio");
    fs::write(&initramfs, archive(&runtime, &compile)?)
        .doing(format_args!("writing {}", initramfs.display()))?;
    let kernel = if options.no_kernel {
        None
    } else {
        let file = folder.join("vmlinuz");
        copy_whole(&kernel::ensure(machine, false)?, &file)?;
        Some(file)
    };
    Ok(Image {
        initramfs,
        runtime,
        kernel,
        policy_digest: options.policy_digest.clone(),
    })
}

/// The runtime as the first process, what it starts to compile a component, a console for words,
/// and the folders that the kernel's own file systems are mounted on.
fn archive(runtime: &Path, compile: &Path) -> Outcome<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys"] {
        archive.folder(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.program("init", &read(runtime)?);
    archive.program(Program::Compile.name(), &read(compile)?);
    Ok(archive.finish())
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).doing(format_args!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_policy_is_part_of_every_measured_command_line() {
        let digest = policy_digest(&"0a".repeat(32)).unwrap();
        let fixed = format!(" --policy-digest {digest}");
        let whole = command_line(HOST, None) + &fixed;
        assert_eq!(command_line(HOST, Some(&digest)), whole);
        let whole = nitro_command_line(None) + &fixed;
        assert_eq!(nitro_command_line(Some(&digest)), whole);
        for other in ["", "0a", &"0A".repeat(32), &" a".repeat(32)] {
            assert!(policy_digest(other).is_err(), "{other:?}");
        }
    }
}
