//! The programs that images hold and releases publish, linked statically: the same source gives the
//! same bytes anywhere.
//!
//! They are built apart from everything else for the host's own target, which Cargo then keeps apart
//! from build scripts, against Debian's static glibc; musl's is not to be had where rustup's server
//! cannot be reached. No path of this machine is in their bytes, which is checked.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::components::contains;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, clean_environment, run};
use crate::setup::sysroot::{remap, rustflags};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Made here and not in `Cargo.toml`, whose profiles decide the components' bytes.
const PROFILE: [&str; 3] = [
    "profile.image.inherits='release'",
    "profile.image.strip=true",
    "profile.image.incremental=false",
];

/// A program that is built so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The runtime.
    Runtime,
    /// What the runtime starts to compile a component.
    Compile,
    /// The simulated runtime, for the test that boots an image where there is no TEE. NOT SECURE.
    Simulator,
    /// The command `mc2`, which loads no PKCS#11 module.
    Mc2,
    /// The same linked dynamically, for whoever has such a module: it takes the machine's C library.
    Mc2Pkcs11,
    /// The command `mc2-run`.
    Mc2Run,
    /// The host.
    Host,
}

impl Program {
    /// Those of people and hosts.
    pub(crate) const COMMANDS: [Self; 4] = [Self::Mc2, Self::Mc2Pkcs11, Self::Mc2Run, Self::Host];

    /// As it is published.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Runtime => "mc2-runtime",
            Self::Compile => "mc2-compile",
            Self::Simulator => "mc2-runtime-sim",
            Self::Mc2 => "mc2",
            Self::Mc2Pkcs11 => "mc2-pkcs11",
            Self::Mc2Run => "mc2-run",
            Self::Host => "mc2-host",
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Mc2 | Self::Mc2Pkcs11 | Self::Mc2Run => "mc2-client",
            Self::Runtime | Self::Compile | Self::Simulator | Self::Host => self.name(),
        }
    }

    /// As its package calls it.
    const fn binary(self) -> &'static str {
        match self {
            Self::Mc2Pkcs11 => Self::Mc2.name(),
            _ => self.name(),
        }
    }

    const fn is_static(self) -> bool {
        !matches!(self, Self::Mc2Pkcs11)
    }
}

/// The folders a build takes place in; none of them may show in the result.
pub(crate) struct Place {
    pub(crate) workspace: PathBuf,
    pub(crate) cargo_home: PathBuf,
    pub(crate) target_dir: PathBuf,
}

impl Place {
    /// In this checkout.
    pub(crate) fn here(machine: &Machine) -> Outcome<Self> {
        Ok(Self {
            workspace: machine.root.clone(),
            cargo_home: machine.cargo_home.clone(),
            target_dir: machine.target_dir()?.join("static"),
        })
    }

    /// Builds the program; gives its file.
    ///
    /// Each by itself: of several at once every one would have what any of them asks for of the
    /// crates they share, the compiler first of all.
    pub(crate) fn build(
        &self,
        machine: &Machine,
        program: Program,
        more: &[&str],
    ) -> Outcome<PathBuf> {
        let target_dir = self.target_dir(program);
        let mut command = machine.cargo();
        self.prepare(machine, program, &mut command)?;
        run(command
            .args(["build", "--locked", "--target", TARGET])
            .args(["--profile", "image", "--package", program.package()])
            .args(["--bin", program.binary()])
            .args(PROFILE.iter().flat_map(|setting| ["--config", setting]))
            .args(more))?;
        let file = target_dir.join(TARGET).join("image").join(program.binary());
        self.check(machine, program, &file)?;
        Ok(file)
    }

    /// What is linked otherwise is built apart: it would end up in the same file.
    fn target_dir(&self, program: Program) -> PathBuf {
        if program.is_static() {
            self.target_dir.clone()
        } else {
            self.target_dir.join("dynamic")
        }
    }

    fn prepare(&self, machine: &Machine, program: Program, command: &mut Command) -> Outcome<()> {
        let commit = machine.rustc_says("commit-hash")?;
        let source = machine.sysroot.join("lib/rustlib/src/rust");
        let linked = if program.is_static() { "+" } else { "-" };
        let flags = rustflags(&[
            format!("-Ctarget-feature={linked}crt-static").into(),
            "-Clink-arg=-Wl,--build-id=none".into(),
            remap(&self.workspace, "/mc2/source"),
            remap(&self.target_dir, "/mc2/target"),
            remap(&self.cargo_home, "/cargo"),
            // Where the library's source is installed, rustc names it instead of what it was
            // compiled as.
            remap(&source, &format!("/rustc/{commit}")),
        ]);
        let mut c_flags = OsString::new();
        for (from, to) in [
            (&self.workspace, "/mc2/source"),
            (&self.target_dir, "/mc2/target"),
            (&self.cargo_home, "/cargo"),
        ] {
            c_flags.push("-ffile-prefix-map=");
            c_flags.push(from);
            c_flags.push("=");
            c_flags.push(to);
            c_flags.push(" ");
        }
        clean_environment(command);
        command
            .current_dir(&self.workspace)
            .env("CARGO_HOME", &self.cargo_home)
            .env("CARGO_TARGET_DIR", self.target_dir(program))
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .env("RUSTC", machine.rustc())
            .env("CFLAGS_x86_64_unknown_linux_gnu", c_flags);
        Ok(())
    }

    /// Refuses a program that needs anything beside the kernel (and one that is linked dynamically, if it
    /// needs more than the C library), or holds a path of this machine.
    fn check(&self, machine: &Machine, program: Program, file: &Path) -> Outcome<()> {
        let headers = capture(
            Command::new("readelf")
                .args(["--wide", "--program-headers", "--dynamic"])
                .arg(file),
        )?;
        if let Some(line) = needs(&headers, program.is_static()) {
            return Err(Failure::new(format!(
                "{} needs more of a machine than a release may: readelf shows {line}",
                file.display()
            )));
        }
        let bytes = fs::read(file).doing(format_args!("reading {}", file.display()))?;
        for folder in [
            &self.workspace,
            &self.cargo_home,
            &self.target_dir,
            &machine.sysroot,
        ] {
            if contains(&bytes, folder.as_os_str().as_encoded_bytes()) {
                return Err(Failure::new(format!(
                    "{} holds the path {}; what images hold must not depend on where it is built",
                    file.display(),
                    folder.display(),
                )));
            }
        }
        Ok(())
    }
}

/// The first line of readelf's by which a program needs something that it may not.
fn needs(headers: &str, is_static: bool) -> Option<&str> {
    const OF_THE_C_LIBRARY: [&str; 4] = ["libc.so.", "libm.so.", "libgcc_s.so.", "ld-linux-"];
    headers.lines().map(str::trim).find(|line| {
        let of_the_c_library = || OF_THE_C_LIBRARY.iter().any(|name| line.contains(name));
        if is_static {
            line.starts_with("INTERP") || line.contains("(NEEDED)")
        } else {
            line.contains("(NEEDED)") && !of_the_c_library()
        }
    })
}

/// What of this machine decides the programs' bytes beside the source: versions for `SHA256SUMS` and
/// for whoever compares.
pub(crate) fn tools(machine: &Machine) -> Outcome<String> {
    let version = |package: &str| {
        capture(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]))
            .unwrap_or_else(|_| "not Debian's".to_owned())
    };
    Ok(format!(
        "rustc {}, libc6-dev {}, gcc-12 {}",
        machine.rustc_says("release")?,
        version("libc6-dev"),
        version("gcc-12"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_needs_beside_the_kernel_is_seen() {
        let dynamic = "\
            Program Headers:\n  \
            INTERP         0x000350 0x0000000000000350 0x0000000000000350 0x00001c 0x00001c R   0x1\n\
            Dynamic section at offset 0x1de4c8 contains 28 entries:\n \
            0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n";
        assert!(needs(dynamic, true).unwrap().starts_with("INTERP"));
        assert_eq!(needs(dynamic, false), None);
        let more =
            format!("{dynamic} 0x0000000000000001 (NEEDED)  Shared library: [libssl.so.3]\n");
        assert!(needs(&more, false).unwrap().contains("libssl"));
        let alone = "Program Headers:\n  LOAD  0x000000 R E 0x1000\n 0x1e (FLAGS)  NOW\n";
        assert_eq!(needs(alone, true), None);
    }
}
