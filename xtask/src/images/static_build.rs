//! The programs that images hold, linked statically: the same source gives the same bytes anywhere.
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

/// A program that is built so: its package, whose only binary has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The runtime.
    Runtime,
    /// What the runtime starts to compile a component.
    Compile,
    /// The simulated runtime, for the test that boots an image where there is no TEE. NOT SECURE.
    Simulator,
}

impl Program {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Runtime => "mc2-runtime",
            Self::Compile => "mc2-compile",
            Self::Simulator => "mc2-runtime-sim",
        }
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
        let mut command = machine.cargo();
        self.prepare(machine, &mut command)?;
        run(command
            .args(["build", "--locked", "--target", TARGET])
            .args(["--profile", "image", "--package", program.name()])
            .args(PROFILE.iter().flat_map(|setting| ["--config", setting]))
            .args(more))?;
        let file = self
            .target_dir
            .join(TARGET)
            .join("image")
            .join(program.name());
        self.check(machine, &file)?;
        Ok(file)
    }

    fn prepare(&self, machine: &Machine, command: &mut Command) -> Outcome<()> {
        let commit = machine.rustc_says("commit-hash")?;
        let source = machine.sysroot.join("lib/rustlib/src/rust");
        let flags = rustflags(&[
            "-Ctarget-feature=+crt-static".into(),
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
            .env("CARGO_TARGET_DIR", &self.target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .env("RUSTC", machine.rustc())
            .env("CFLAGS_x86_64_unknown_linux_gnu", c_flags);
        Ok(())
    }

    /// Refuses a program that needs anything beside the kernel, or holds a path of this machine.
    fn check(&self, machine: &Machine, file: &Path) -> Outcome<()> {
        let headers = capture(
            Command::new("readelf")
                .args(["--wide", "--program-headers", "--dynamic"])
                .arg(file),
        )?;
        for word in ["INTERP", "(NEEDED)"] {
            if headers.contains(word) {
                return Err(Failure::new(format!(
                    "{} is not static: readelf shows {word}",
                    file.display()
                )));
            }
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
