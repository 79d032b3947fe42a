//! `cargo xtask dist`: what a release publishes, in one folder.
//!
//! | file | what |
//! |---|---|
//! | `mc2-VERSION-x86_64-linux.tar.gz` | commands and host, the runtime and its compiler, components, images |
//! | `SHA256SUMS` | digests of every file beside it, and of every file in it |
//! | `sbom.cdx.json` | every crate, as CycloneDX 1.6 ([`sbom`]) |
//! | `reference-values.json` | what the images measure to, where that depends on no machine |
//! | `releases.json` | the list of releases with this one on top, to be signed ([`signing`]) |
//! | `provenance.json` | an in-toto Statement over all of these, to be signed ([`provenance`]) |
//!
//! All programs are static and hold no path of this machine, but for `mc2-pkcs11`: that is `mc2` for
//! whoever keeps keys in a PKCS#11 token, whose module takes the machine's own C library.

mod provenance;
mod sbom;
pub(crate) mod signing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::{Value, json};

use crate::build;
use crate::components::copy_whole;
use crate::digest;
use crate::images::{
    self,
    static_build::{Place, Program},
};
use crate::machine::Machine;
use crate::measure;
use crate::process::{Doing, Failure, Outcome, capture, run as run_command, say};
use crate::setup;
use crate::source_date;

const COMPONENTS: [&str; 3] = ["sql", "xgboost", "wordcount"];

#[derive(Args)]
pub(crate) struct Options {
    /// The number of the release list: one more than the last
    #[arg(long)]
    number: u64,
    /// The release list before this one, as it was signed or not; none for the first
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// More reference values of this release, JSON as `cargo xtask measure` prints: those that depend
    /// on a cloud's firmware; may be given more than once
    #[arg(long, value_name = "FILE")]
    values: Vec<PathBuf>,
}

/// `cargo xtask dist`.
pub(crate) fn run(machine: &Machine, options: &Options) -> Outcome<()> {
    clean(machine)?;
    source_date::check(machine)?;
    let tools = setup::run(machine)?;
    let components = build::Options {
        components: COMPONENTS.map(str::to_owned).to_vec(),
        ..build::Options::default()
    };
    build::everything(machine, &tools, &components)?;
    let image = images::make(machine, &images::Options::default())?;

    let folder = machine.target_dir()?.join("dist");
    let _ = fs::remove_dir_all(&folder);
    let name = format!("mc2-{}-x86_64-linux", env!("CARGO_PKG_VERSION"));
    let inside = folder.join(&name);
    fs::create_dir_all(&inside).doing(format_args!("making {}", inside.display()))?;
    let place = Place::here(machine)?;
    for program in Program::COMMANDS {
        say(format_args!("building {}", program.name()));
        let file = inside.join(program.name());
        copy_whole(&place.build(machine, program, &[])?, &file)?;
        runs(&file)?;
    }
    let workloads = machine.workloads()?;
    let components = COMPONENTS.map(|name| workloads.join(format!("{name}.wasm")));
    for file in components.iter().chain(&image.files()?) {
        let name = file.file_name().ok_or("a file without a name")?;
        copy_whole(file, &inside.join(name))?;
    }
    for name in ["LICENSE", "README.md", "SECURITY.md"] {
        copy_whole(&machine.root.join(name), &inside.join(name))?;
    }
    let contents = digests(&inside, &folder)?;
    archive(&folder, &name)?;
    fs::remove_dir_all(&inside).doing("removing what was packed")?;

    let mut values = vec![measure::nitro(&image)?];
    for path in &options.values {
        values.extend(list(&read_json(path)?, path)?);
    }
    write_json(&folder.join("reference-values.json"), &json!(values))?;
    write_json(&folder.join("sbom.cdx.json"), &sbom::of(machine)?)?;
    let previous = options.previous.as_deref().map(read_json).transpose()?;
    let releases = releases(options.number, values, previous)?;
    write_json(&folder.join("releases.json"), &releases)?;
    let published = digests(&folder, &folder)?;
    let statement = provenance::of(machine, &published)?;
    write_json(&folder.join("provenance.json"), &statement)?;
    let sums = folder.join("SHA256SUMS");
    let lines: Vec<String> = digests(&folder, &folder)?
        .into_iter()
        .chain(contents)
        .map(|(name, digest)| format!("{digest}  {name}\n"))
        .collect();
    fs::write(&sums, lines.concat()).doing(format_args!("writing {}", sums.display()))?;
    say(format_args!(
        "{} is what to publish, once releases.json and provenance.json are signed \
         (docs/releasing.md)",
        folder.display()
    ));
    Ok(())
}

/// A program that links and does not start is none.
fn runs(program: &Path) -> Outcome<()> {
    let version = capture(Command::new(program).arg("--version"))?;
    if version.contains(env!("CARGO_PKG_VERSION")) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} --version says {version:?}, expected {}",
        program.display(),
        env!("CARGO_PKG_VERSION")
    )))
}

/// A release is of a commit.
fn clean(machine: &Machine) -> Outcome<()> {
    let changes = capture(
        Command::new("git")
            .arg("-C")
            .arg(&machine.root)
            .args(["status", "--porcelain"]),
    )?;
    if changes.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "a release is made of a commit, and there are changes that are in none:\n{changes}"
        )))
    }
}

/// Name below `root` and SHA-256 of every file below `folder`, by name.
fn digests(folder: &Path, root: &Path) -> Outcome<Vec<(String, String)>> {
    let mut files = Vec::new();
    digest::list(folder, &mut files)?;
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(root).unwrap_or(&file);
            Ok((name.display().to_string(), digest::file(&file)?))
        })
        .collect()
}

/// The same archive for the same files, whenever and by whomever it is made.
fn archive(folder: &Path, name: &str) -> Outcome<()> {
    run_command(
        Command::new("tar")
            .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0"])
            .args(["--numeric-owner", "--mode=u=rwX,go=rX", "--format=ustar"])
            .args(["--use-compress-program=gzip --no-name -9"])
            .args(["--create", "--file", &format!("{name}.tar.gz"), name])
            .current_dir(folder),
    )
}

/// The list with this release's values, and those of before whose measurements are others.
fn releases(number: u64, values: Vec<Value>, previous: Option<Value>) -> Outcome<Value> {
    let (mut releases, mut revoked) = (values, json!([]));
    if let Some(previous) = previous {
        let list = signing::payload(previous)?;
        let before = list["number"]
            .as_u64()
            .ok_or("the list before has no number")?;
        if number <= before {
            return Err(Failure::new(format!(
                "the list before has number {before}; this one needs a larger one than {number}"
            )));
        }
        let known: Vec<Value> = releases
            .iter()
            .map(|value| value["measurement"].clone())
            .collect();
        let kept = list["releases"].as_array().cloned().unwrap_or_default();
        releases.extend(
            kept.into_iter()
                .filter(|value| !known.contains(&value["measurement"])),
        );
        revoked = list["revoked_components"].clone();
    }
    Ok(json!({
        "version": 1,
        "number": number,
        "releases": releases,
        "revoked_components": revoked,
    }))
}

fn list(value: &Value, path: &Path) -> Outcome<Vec<Value>> {
    value.as_array().cloned().ok_or_else(|| {
        Failure::new(format!(
            "{} is no JSON list of reference values",
            path.display()
        ))
    })
}

fn read_json(path: &Path) -> Outcome<Value> {
    let doing = format!("reading {}", path.display());
    serde_json::from_slice(&fs::read(path).doing(&doing)?).doing(&doing)
}

fn write_json(path: &Path, value: &Value) -> Outcome<()> {
    let doing = format!("writing {}", path.display());
    let text = serde_json::to_string_pretty(value).doing(&doing)?;
    fs::write(path, text + "\n").doing(&doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_what_was_published_before_and_grows_in_number() {
        let before = json!({
            "version": 1,
            "number": 4,
            "releases": [{"measurement": "aa", "version": "1"}, {"measurement": "bb", "version": "1"}],
            "revoked_components": ["cc"],
        });
        let new = vec![json!({"measurement": "bb", "version": "2"})];
        let list = releases(5, new.clone(), Some(before.clone())).unwrap();
        assert_eq!(
            list["releases"],
            json!([{"measurement": "bb", "version": "2"}, {"measurement": "aa", "version": "1"}])
        );
        assert_eq!(list["revoked_components"], json!(["cc"]));
        assert!(releases(4, new, Some(before)).is_err());
    }

    #[test]
    fn the_same_files_make_the_same_archive_later_and_with_other_rights() {
        let made = |mode: u32| {
            use std::os::unix::fs::PermissionsExt as _;
            let folder = tempfile::tempdir().unwrap();
            let inside = folder.path().join("mc2");
            fs::create_dir(&inside).unwrap();
            for name in ["b", "a"] {
                fs::write(inside.join(name), name).unwrap();
                let rights = fs::Permissions::from_mode(mode);
                fs::set_permissions(inside.join(name), rights).unwrap();
            }
            archive(folder.path(), "mc2").unwrap();
            digest::file(&folder.path().join("mc2.tar.gz")).unwrap()
        };
        let first = made(0o600);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(first, made(0o664));
    }
}
