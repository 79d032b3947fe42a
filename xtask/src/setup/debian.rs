//! Files from Debian's packages, for any Debian release and without rights.
//!
//! The mirror is the one in the machine's own apt sources. A package is found
//! by its version in the indexes of the suites that may carry it, so it does
//! not matter when the pool moves on. Indexes and packages come without a
//! signature check; the caller compares what it unpacks with digests of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::digest;
use crate::process::{Doing, Failure, Outcome, on_path, output, run, succeeds};

/// apt's own helper, part of every Debian.
const HELPER: &str = "/usr/lib/apt/apt-helper";
/// Where newer packages than the machine's own are looked for, in this order.
const SUITES: [&str; 4] = ["trixie-backports", "forky", "sid", "trixie"];

/// A package to find: its name and how its version starts.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
}

/// Downloads each package into `folder`, in the order asked for.
pub(super) fn download(wanted: &[Wanted<'_>], folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mirrors = mirrors(Path::new("/etc/apt"));
    if mirrors.is_empty() {
        return Err(Failure::new(
            "apt's sources name no Debian mirror reached by http",
        ));
    }
    let mut found: Vec<Option<PathBuf>> = wanted.iter().map(|_| None).collect();
    for mirror in &mirrors {
        for suite in SUITES {
            for index in ["binary-all", "binary-amd64"] {
                if found.iter().all(Option::is_some) {
                    break;
                }
                let Some(text) = index_text(mirror, suite, index, folder) else {
                    continue;
                };
                for (wanted, found) in wanted.iter().zip(&mut found) {
                    if found.is_none()
                        && let Some(entry) = lookup(&text, wanted)
                    {
                        *found = Some(package(mirror, &entry, folder)?);
                    }
                }
            }
        }
    }
    wanted
        .iter()
        .zip(found)
        .map(|(wanted, found)| {
            found.ok_or_else(|| {
                Failure::new(format!(
                    "{} has no {} {}* in {}",
                    mirrors.join(", "),
                    wanted.name,
                    wanted.version,
                    SUITES.join(", "),
                ))
            })
        })
        .collect()
}

/// Unpacks a package's files below `folder`.
pub(super) fn unpack(package: &Path, folder: &Path) -> Outcome<()> {
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(package)
        .arg(folder))
}

/// Unpacks a `.tar.xz` into `folder`.
pub(super) fn unpack_tar_xz(archive: &Path, folder: &Path) -> Outcome<()> {
    let mut reader = decompressor(archive)
        .stdout(Stdio::piped())
        .spawn()
        .doing("starting xz")?;
    let stream = reader.stdout.take().ok_or("xz has no output")?;
    run(Command::new("tar")
        .arg("-x")
        .arg("-C")
        .arg(folder)
        .stdin(stream))?;
    let status = reader.wait().doing("waiting for xz")?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} is no whole .tar.xz",
            archive.display()
        )))
    }
}

#[derive(Debug, PartialEq)]
struct Entry {
    filename: String,
    sha256: String,
}

/// The entry of `wanted` in the text of a `Packages` file.
fn lookup(index: &str, wanted: &Wanted<'_>) -> Option<Entry> {
    index.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let matches =
            field("Package")? == wanted.name && field("Version")?.starts_with(wanted.version);
        matches.then_some(())?;
        Some(Entry {
            filename: field("Filename")?.to_owned(),
            sha256: field("SHA256")?.to_owned(),
        })
    })
}

fn index_text(mirror: &str, suite: &str, index: &str, folder: &Path) -> Option<String> {
    let file = folder.join(format!("{suite}-{index}.xz"));
    fetch(
        &format!("{mirror}/dists/{suite}/main/{index}/Packages.xz"),
        &file,
    )
    .ok()?;
    let text = output(&mut decompressor(&file)).ok()?;
    text.status
        .success()
        .then(|| String::from_utf8_lossy(&text.stdout).into_owned())
}

fn package(mirror: &str, entry: &Entry, folder: &Path) -> Outcome<PathBuf> {
    let name = entry.filename.rsplit('/').next().unwrap_or("package.deb");
    let file = folder.join(name);
    fetch(&format!("{mirror}/{}", entry.filename), &file)?;
    let found = digest::file(&file)?;
    if found == entry.sha256 {
        Ok(file)
    } else {
        Err(Failure::new(format!(
            "{name} from {mirror} has SHA-256 {found}; its index says {}",
            entry.sha256,
        )))
    }
}

fn fetch(address: &str, file: &Path) -> Outcome<()> {
    let fetched = if Path::new(HELPER).exists() {
        succeeds(
            Command::new(HELPER)
                .args(["download-file", address])
                .arg(file),
        )
    } else if on_path("curl").is_some() {
        let quiet = [
            "--fail",
            "--silent",
            "--location",
            "--max-time",
            "600",
            "--output",
        ];
        succeeds(Command::new("curl").args(quiet).arg(file).arg(address))
    } else {
        succeeds(
            Command::new("wget")
                .args(["--quiet", "-O"])
                .arg(file)
                .arg(address),
        )
    };
    if fetched {
        Ok(())
    } else {
        Err(Failure::new(format!("could not download {address}")))
    }
}

fn decompressor(file: &Path) -> Command {
    let mut command;
    if on_path("xz").is_some() {
        command = Command::new("xz");
        command.args(["--decompress", "--stdout"]).arg(file);
    } else {
        command = Command::new(HELPER);
        command.arg("cat-file").arg(file);
    }
    command
}

/// The Debian archives in apt's sources, in both of their formats.
fn mirrors(etc_apt: &Path) -> Vec<String> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc_apt.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut mirrors = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let addresses = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line(&text),
            Some("sources") => deb822(&text),
            _ => continue,
        };
        for address in addresses {
            let address = address.trim_end_matches('/').to_owned();
            let reached = address.starts_with("http://") || address.starts_with("https://");
            if reached && address.ends_with("/debian") && !mirrors.contains(&address) {
                mirrors.push(address);
            }
        }
    }
    mirrors
}

/// Addresses of `deb [options] ADDRESS SUITE COMPONENT…` lines.
fn one_line(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next()?.trim();
            let rest = line.strip_prefix("deb")?.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            rest.split_whitespace().next().map(str::to_owned)
        })
        .collect()
}

/// Addresses of the `URIs:` fields, continuation lines included.
fn deb822(text: &str) -> Vec<String> {
    let mut addresses = Vec::new();
    let mut inside = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let values = match line.split_once(':') {
            Some((name, values)) if !line.starts_with([' ', '\t']) => {
                inside = name.eq_ignore_ascii_case("URIs");
                values
            }
            _ => line,
        };
        if inside {
            addresses.extend(values.split_whitespace().map(str::to_owned));
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_apt_sources_are_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sources.list.d")).unwrap();
        fs::write(
            folder.path().join("sources.list"),
            "# deb http://no.example/debian x main\n\
             deb [arch=amd64 signed-by=/x] https://one.example/debian/ bookworm main\n\
             deb http://one.example/debian-security bookworm-security main\n",
        )
        .unwrap();
        fs::write(
            folder.path().join("sources.list.d/a.sources"),
            "Types: deb\nURIs: http://two.example/debian\n http://three.example/debian\nSuites: x\n",
        )
        .unwrap();
        fs::write(
            folder.path().join("sources.list.d/b.sources.off"),
            "URIs: http://4/debian\n",
        )
        .unwrap();
        assert_eq!(
            mirrors(folder.path()),
            [
                "https://one.example/debian",
                "http://two.example/debian",
                "http://three.example/debian"
            ]
        );
    }

    #[test]
    fn a_package_is_found_by_how_its_version_starts() {
        let index = "Package: rust-src\nVersion: 1.94.1+dfsg1-1\nFilename: pool/a.deb\nSHA256: aa\n\n\
                     Package: rust-src\nVersion: 1.95.0+dfsg1-2~bpo13+1\nFilename: pool/b.deb\nSHA256: bb\n";
        let wanted = Wanted {
            name: "rust-src",
            version: "1.95.0+",
        };
        assert_eq!(
            lookup(index, &wanted),
            Some(Entry {
                filename: "pool/b.deb".into(),
                sha256: "bb".into()
            })
        );
        assert_eq!(
            lookup(
                index,
                &Wanted {
                    name: "rust-src",
                    version: "1.96.0+"
                }
            ),
            None
        );
    }
}
