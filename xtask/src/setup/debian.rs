//! Files from Debian's packages, for any Debian release and without rights.
//!
//! The mirror is the one in the machine's own apt sources. A package is looked
//! for by its version in the indexes of the suites that may carry it, and where
//! those have moved on, under the name it had in the pool. Indexes and packages
//! come without a signature check; the caller compares what it unpacks with
//! digests of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::digest;
use crate::process::{Doing, Failure, Outcome, on_path, output, run, succeeds};

/// apt's own helper, part of every Debian.
const HELPER: &str = "/usr/lib/apt/apt-helper";
/// Where newer packages than the machine's own are looked for, in this order.
const SUITES: [&str; 4] = ["trixie-backports", "forky", "sid", "trixie"];

/// A package to find: its name, how its version starts, and its file in the pool.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) pool: &'a str,
}

/// The mirrors in apt's sources, and what their indexes say.
pub(super) struct Mirrors {
    folder: PathBuf,
    indexes: Vec<(String, String)>,
    addresses: Vec<String>,
}

impl Mirrors {
    /// Reads the indexes into `folder`.
    ///
    /// # Errors
    /// apt's sources name no mirror.
    pub(super) fn read(folder: &Path) -> Outcome<Self> {
        let addresses = mirrors(Path::new("/etc/apt"));
        if addresses.is_empty() {
            return Err(Failure::new(
                "apt's sources name no Debian mirror reached by http",
            ));
        }
        let mut indexes = Vec::new();
        for mirror in &addresses {
            for suite in SUITES {
                for index in ["binary-all", "binary-amd64"] {
                    if let Some(text) = index_text(mirror, suite, index, folder) {
                        indexes.push((mirror.clone(), text));
                    }
                }
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            indexes,
            addresses,
        })
    }

    /// Downloads the package in the version asked for.
    ///
    /// # Errors
    /// No mirror has it.
    pub(super) fn download(&self, wanted: &Wanted<'_>) -> Outcome<PathBuf> {
        for (mirror, text) in &self.indexes {
            if let Some(entry) =
                entries(text, wanted.name).find(|entry| entry.version.starts_with(wanted.version))
            {
                return package(mirror, &entry, &self.folder);
            }
        }
        let name = wanted.pool.rsplit('/').next().unwrap_or(wanted.pool);
        let file = self.folder.join(name);
        for mirror in &self.addresses {
            if fetch(&format!("{mirror}/{}", wanted.pool), &file).is_ok() {
                return Ok(file);
            }
        }
        Err(Failure::new(format!(
            "{} has no {} {}* in {}, nor {}",
            self.addresses.join(", "),
            wanted.name,
            wanted.version,
            SUITES.join(", "),
            wanted.pool,
        )))
    }

    /// Downloads the package in the newest version before the one asked for, or, where there is
    /// none, in the oldest after it. Debian's snapshots are dated, so their text is their order.
    ///
    /// # Errors
    /// No mirror has any.
    pub(super) fn download_near(&self, wanted: &Wanted<'_>) -> Outcome<PathBuf> {
        let all = self.indexes.iter().flat_map(|(mirror, text)| {
            entries(text, wanted.name).map(move |entry| (mirror.as_str(), entry))
        });
        let Some((mirror, entry)) = nearest(all, wanted.version) else {
            let mirrors = self.addresses.join(", ");
            return Err(Failure::new(format!("{mirrors} has no {}", wanted.name)));
        };
        package(mirror, &entry, &self.folder)
    }
}

fn nearest<'m>(
    all: impl Iterator<Item = (&'m str, Entry)>,
    version: &str,
) -> Option<(&'m str, Entry)> {
    let (before, after): (Vec<_>, Vec<_>) =
        all.partition(|(_, entry)| entry.version.as_str() < version);
    let by_version = |a: &(&str, Entry), b: &(&str, Entry)| a.1.version.cmp(&b.1.version);
    let newest = before.into_iter().max_by(by_version);
    newest.or_else(|| after.into_iter().min_by(by_version))
}

/// Downloads the file at `pool` in Debian's archive into `folder`, if its SHA-256 is that.
///
/// # Errors
/// No mirror has it, or another file in its place.
pub(crate) fn pooled(pool: &str, sha256: &str, folder: &Path) -> Outcome<PathBuf> {
    let name = pool.rsplit('/').next().unwrap_or(pool);
    let file = folder.join(name);
    let addresses = mirrors(Path::new("/etc/apt"));
    for mirror in &addresses {
        if fetch(&format!("{mirror}/{pool}"), &file).is_err() {
            continue;
        }
        let found = digest::file(&file)?;
        if found == sha256 {
            return Ok(file);
        }
        return Err(Failure::new(format!(
            "{name} from {mirror} has SHA-256 {found}, expected {sha256}"
        )));
    }
    Err(Failure::new(format!(
        "no mirror of apt's sources ({}) has {pool}",
        addresses.join(", "),
    )))
}

/// Unpacks a package's files below `folder`.
pub(crate) fn unpack(package: &Path, folder: &Path) -> Outcome<()> {
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
    version: String,
    filename: String,
    sha256: String,
}

/// The entries of the package called `name` in the text of a `Packages` file.
fn entries<'a>(index: &'a str, name: &'a str) -> impl Iterator<Item = Entry> + 'a {
    index.split("\n\n").filter_map(move |stanza| {
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        (field("Package")? == name).then_some(())?;
        Some(Entry {
            version: field("Version")?.to_owned(),
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
    fn every_version_of_a_package_in_an_index_is_seen() {
        let index = "Package: rust-src\nVersion: 1.94.1+dfsg1-1\nFilename: pool/a.deb\nSHA256: aa\n\n\
                     Package: rust-doc\nVersion: 1.95.0+dfsg1-2\nFilename: pool/c.deb\nSHA256: cc\n\n\
                     Package: rust-src\nVersion: 1.95.0+dfsg1-2~bpo13+1\nFilename: pool/b.deb\nSHA256: bb\n";
        let found: Vec<Entry> = entries(index, "rust-src").collect();
        let versions: Vec<&str> = found.iter().map(|entry| entry.version.as_str()).collect();
        assert_eq!(versions, ["1.94.1+dfsg1-1", "1.95.0+dfsg1-2~bpo13+1"]);
        assert_eq!(
            (&*found[1].filename, &*found[1].sha256),
            ("pool/b.deb", "bb")
        );
        assert_eq!(entries(index, "rust").count(), 0);
    }

    #[test]
    fn where_the_version_is_gone_the_one_just_before_it_does() {
        let entry = |version: &str| Entry {
            version: version.into(),
            filename: String::new(),
            sha256: String::new(),
        };
        let all = [
            "0.0~git20241209.5-2",
            "0.0~git20260423.1-2",
            "0.0~git20251114.a-2~bpo13+1",
        ];
        let near = |version, all: &[&str]| {
            let all = all.iter().map(|text| ("mirror", entry(text)));
            nearest(all, version).map(|(_, entry)| entry.version)
        };
        assert_eq!(
            near("0.0~git20260129.ec", &all).as_deref(),
            Some("0.0~git20251114.a-2~bpo13+1")
        );
        assert_eq!(
            near("0.0~git20240101", &all).as_deref(),
            Some("0.0~git20241209.5-2")
        );
        assert_eq!(near("1", &[]), None);
    }
}
