//! `cargo xtask kernel`: the kernel of the images for TDX and SEV-SNP, from Debian's source of it.
//!
//! `host/images/kernel/` holds all there is to say: which source, which options, and the one change
//! of it. The same tools make the same bytes anywhere; whoever has others gets a kernel that works
//! and measures to something else, and is told so. Built once, it is kept in
//! `CACHE/kernel/KEY/vmlinuz`, by everything that decides its bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde::Deserialize;

use crate::components::copy_whole;
use crate::digest;
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, clean_environment, run, say};
use crate::setup::{self, debian};

const FOLDER: &str = "host/images/kernel";
/// The folder with the source's package, where no mirror has it any more.
const SOURCE_VARIABLE: &str = "MC2_KERNEL_SOURCE";
/// Who built it, where and when, which a kernel states about itself.
const STAMP: [(&str, &str); 5] = [
    ("KBUILD_BUILD_TIMESTAMP", "1970-01-01T00:00:00Z"),
    ("KBUILD_BUILD_USER", "mc2"),
    ("KBUILD_BUILD_HOST", "mc2"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("LC_ALL", "C"),
];

#[derive(Args)]
pub(crate) struct Options {
    /// Build it even where it was built before, and compare
    #[arg(long)]
    pub(crate) no_cache: bool,
}

/// `host/images/kernel/source.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    version: String,
    pool: String,
    sha256: String,
    archive: String,
    folder: String,
    built: Built,
}

/// What the published kernel was built with, and what it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Built {
    tools: Tools,
    sha256: String,
}

/// `cargo xtask kernel`.
pub(crate) fn run_command(machine: &Machine, options: &Options) -> Outcome<()> {
    let kernel = ensure(machine, options.no_cache)?;
    println!("{}", kernel.display());
    Ok(())
}

/// The kernel's file, built where it is not there yet.
pub(crate) fn ensure(machine: &Machine, no_cache: bool) -> Outcome<PathBuf> {
    let folder = machine.root.join(FOLDER);
    let source = Source::read(&folder)?;
    let cache = machine.cache.join("kernel");
    let (config, change) = (folder.join("config"), folder.join("no-aml.patch"));
    let tools = Tools::found();
    let parts = [
        source.sha256.clone(),
        digest::file(&config)?,
        digest::file(&change)?,
        tools.text(),
    ];
    let key = &digest::bytes(parts.join("\n").as_bytes())[..32];
    let kept = cache.join(key).join("vmlinuz");
    let before = kept.is_file().then(|| digest::file(&kept)).transpose()?;
    if before.is_none() || no_cache {
        setup::kernel_tools()?;
        fs::create_dir_all(kept.parent().unwrap_or(&cache))
            .doing(format_args!("making {}", cache.display()))?;
        build(&source, &cache, [&config, &change], &kept)?;
    }
    let found = digest::file(&kept)?;
    if before.is_some_and(|before| before != found) {
        return Err(Failure::new(format!(
            "the kernel was built a second time and is not the same: now SHA-256 {found}"
        )));
    }
    source.compare(&tools, &found)?;
    Ok(kept)
}

impl Source {
    fn read(folder: &Path) -> Outcome<Self> {
        let path = folder.join("source.toml");
        let text = fs::read_to_string(&path).doing(format_args!("reading {}", path.display()))?;
        toml::from_str(&text).doing(format_args!("reading {}", path.display()))
    }

    /// Says whether this is the published kernel.
    fn compare(&self, tools: &Tools, found: &str) -> Outcome<()> {
        let built = &self.built;
        if found == built.sha256 {
            say(format_args!("the kernel is the published one, {found}"));
            return Ok(());
        }
        if *tools == built.tools {
            return Err(Failure::new(format!(
                "the kernel has SHA-256 {found}; with these tools ({}) it should have {}",
                tools.text(),
                built.sha256,
            )));
        }
        say(format_args!(
            "the kernel was built with {}, the published one with {}: it has SHA-256 {found} and measures \
             to something else",
            tools.text(),
            built.tools.text(),
        ));
        Ok(())
    }

    fn package(&self, cache: &Path) -> Outcome<PathBuf> {
        if let Some(folder) = std::env::var_os(SOURCE_VARIABLE) {
            let name = self.pool.rsplit('/').next().unwrap_or(&self.pool);
            let file = PathBuf::from(folder).join(name);
            let found = digest::file(&file)?;
            return if found == self.sha256 {
                Ok(file)
            } else {
                Err(Failure::new(format!(
                    "{} has SHA-256 {found}, expected {}",
                    file.display(),
                    self.sha256,
                )))
            };
        }
        say(format_args!("downloading Linux {}", self.version));
        debian::pooled(&self.pool, &self.sha256, cache).map_err(|failure| {
            Failure::new(format!(
                "{failure}; get the package from Debian's archive of earlier ones into a folder and name that in \
                 {SOURCE_VARIABLE}"
            ))
        })
    }
}

/// The Debian packages whose versions decide the bytes.
#[derive(PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tools {
    gcc: String,
    binutils: String,
}

impl Tools {
    fn found() -> Self {
        let version = |package: &str| {
            let query = ["--show", "--showformat=${Version}", package];
            capture(Command::new("dpkg-query").args(query))
                .unwrap_or_else(|_| "not Debian's".to_owned())
        };
        Self {
            gcc: version("gcc-12"),
            binutils: version("binutils"),
        }
    }

    fn text(&self) -> String {
        format!("gcc {}, binutils {}", self.gcc, self.binutils)
    }
}

fn build(
    source: &Source,
    cache: &Path,
    [config, change]: [&Path; 2],
    kernel: &Path,
) -> Outcome<()> {
    let work = tempfile::Builder::new()
        .prefix("build-")
        .tempdir_in(cache)
        .doing("making a folder to build the kernel in")?;
    let package = source.package(work.path())?;
    debian::unpack(&package, work.path())?;
    run(Command::new("tar")
        .arg("-xf")
        .arg(work.path().join(&source.archive))
        .arg("-C")
        .arg(work.path()))?;
    let tree = work.path().join(&source.folder);
    run(Command::new("patch")
        .args(["--silent", "--strip=1", "--input"])
        .arg(change)
        .current_dir(&tree))?;
    say("building the kernel (a few minutes)");
    let mut setting = std::ffi::OsString::from("KCONFIG_ALLCONFIG=");
    setting.push(config);
    run(make(&tree).arg(setting).arg("allnoconfig"))?;
    check_options(config, &tree.join(".config"))?;
    run(make(&tree).arg("bzImage"))?;
    copy_whole(&tree.join("arch/x86/boot/bzImage"), kernel)
}

fn make(tree: &Path) -> Command {
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut command = Command::new("make");
    clean_environment(&mut command);
    command
        .args([
            "--silent",
            &format!("--jobs={jobs}"),
            "CC=gcc-12",
            "HOSTCC=gcc-12",
        ])
        .envs(STAMP)
        .current_dir(tree);
    command
}

/// The kernel's tools drop an option silently whose condition is not met.
fn check_options(wanted: &Path, made: &Path) -> Outcome<()> {
    let read =
        |path: &Path| fs::read_to_string(path).doing(format_args!("reading {}", path.display()));
    let (wanted, made) = (read(wanted)?, read(made)?);
    match not_met(&wanted, &made) {
        None => Ok(()),
        Some(line) => Err(Failure::new(format!(
            "{FOLDER}/config asks for {line}, which this kernel does not have so"
        ))),
    }
}

/// The first option of `wanted` that `made` has not; or that there are modules after all.
fn not_met<'a>(wanted: &'a str, made: &str) -> Option<&'a str> {
    let has = |line: &str| made.lines().any(|made| made == line);
    if has("CONFIG_MODULES=y") {
        return Some("no modules");
    }
    wanted
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .find(|line| match line.strip_suffix("=n") {
            Some(name) => made
                .lines()
                .any(|made| made.starts_with(&format!("{name}="))),
            None => !has(line),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_the_published_one_or_was_built_with_other_tools() {
        let source = Source::read(&Path::new("..").join(FOLDER)).unwrap();
        let tools = |binutils: &str| Tools {
            gcc: source.built.tools.gcc.clone(),
            binutils: binutils.to_owned(),
        };
        let own = tools(&source.built.tools.binutils);
        let other = digest::bytes(b"another kernel");
        assert!(source.compare(&own, &source.built.sha256).is_ok());
        assert!(source.compare(&own, &other).is_err());
        assert!(source.compare(&tools("another"), &other).is_ok());
    }

    #[test]
    fn an_option_that_the_kernel_dropped_is_seen() {
        let made = "# words\nCONFIG_NET=y\nCONFIG_NR_CPUS=8\n# CONFIG_FOO is not set\n";
        assert_eq!(not_met("CONFIG_NET=y\nCONFIG_FOO=n\n", made), None);
        assert_eq!(
            not_met("CONFIG_NET=y\nCONFIG_NR_CPUS=4\n", made),
            Some("CONFIG_NR_CPUS=4")
        );
        assert_eq!(not_met("CONFIG_FOO=y", made), Some("CONFIG_FOO=y"));
        assert_eq!(not_met("CONFIG_NET=n", made), Some("CONFIG_NET=n"));
        assert_eq!(not_met("", "CONFIG_MODULES=y\n"), Some("no modules"));
    }
}
