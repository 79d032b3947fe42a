//! The ledger of key releases: one JSON line a release, each with the digest of the line before.
//!
//! An enclave has no memory between sessions, so owners count. A line is stored before the key
//! leaves and a run is never given back. A second file, the head, holds the number of lines and
//! the digest of the last, so lines that were cut off at the end are missed too. Whoever can write
//! both files can rewrite the past: this guards against accidents and against other programs, not
//! against the owner.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use mc2_protocol::{Digest, Name, encoding::to_json};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
    exit::Exit,
    files::{FileError, failed, folder_of, private_folder, read_capped, write_private_soon},
};

const MAX_LINE: usize = 4096;

/// One release of one data key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Digest of the session the key goes to.
    pub session: Digest,
    /// Digest of the session's policy.
    pub policy: Digest,
    /// Digest of the owner's card.
    pub owner: Digest,
    /// The dataset's name in the policy.
    pub dataset: Name,
    /// The object the key opens.
    pub object: Digest,
    /// For how many runs.
    pub runs: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    version: u32,
    previous: Digest,
    /// Seconds since 1970 by this machine's clock.
    time: u64,
    release: Release,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    lines: u64,
    last: Digest,
}

/// Where releases are recorded.
///
/// ```
/// use mc2_client::state::ledger::Ledger;
///
/// # let folder = tempfile::tempdir()?;
/// let ledger = Ledger::at(folder.path().join("state/ledger.jsonl"));
/// assert!(ledger.releases()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Ledger {
    path: PathBuf,
}

/// Why nothing may be released.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The chain does not hold.
    #[error(
        "the ledger {} is broken at line {line}: {reason}. No key is released while it is; put \
         back a copy of it, or move it away if you accept that earlier releases are forgotten",
        path.display()
    )]
    Broken {
        /// The ledger's file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The runs the policy allows are spent.
    #[error(
        "the dataset {dataset} was released for {spent} of the {allowed} runs this policy allows, \
         so {asked} more are refused; write a policy that allows more"
    )]
    Spent {
        /// The dataset.
        dataset: Name,
        /// Runs released so far.
        spent: u64,
        /// Runs the policy allows.
        allowed: u64,
        /// Runs asked for now.
        asked: u64,
    },
}

impl LedgerError {
    /// How the process ends for it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Spent { .. } => Exit::PolicyRefused,
            _ => Exit::StateBroken,
        }
    }
}

impl Ledger {
    /// A ledger in the file `path`, which is made when first used.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Records releases, all or none, and returns when they are stored.
    ///
    /// `allowed` is how many runs each release's dataset may have under its policy, earlier
    /// releases included.
    ///
    /// # Errors
    /// A broken chain, spent runs, or the system's.
    pub fn record(
        &self,
        releases: &[(Release, u64)],
        now: std::time::SystemTime,
    ) -> Result<(), LedgerError> {
        if releases.is_empty() {
            return Ok(());
        }
        let mut file = self.lock()?;
        let mut chain = self.read(&mut file)?;
        let time = now
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut lines = Vec::new();
        for (release, allowed) in releases {
            let spent: u64 = chain
                .releases
                .iter()
                .filter(|earlier| {
                    (&earlier.policy, &earlier.owner, &earlier.dataset)
                        == (&release.policy, &release.owner, &release.dataset)
                })
                .map(|earlier| u64::from(earlier.runs))
                .sum();
            let asked = u64::from(release.runs);
            if spent.saturating_add(asked) > *allowed {
                return Err(LedgerError::Spent {
                    dataset: release.dataset.clone(),
                    spent,
                    allowed: *allowed,
                    asked,
                });
            }
            let line = to_json(&Line {
                version: mc2_protocol::VERSION,
                previous: chain.head.last,
                time,
                release: release.clone(),
            });
            chain.head.last = Digest::of(&line);
            chain.head.lines += 1;
            chain.releases.push(release.clone());
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        file.seek(SeekFrom::End(0))
            .and_then(|_| file.write_all(&lines))
            .and_then(|()| file.sync_data())
            .map_err(failed("write", &self.path))?;
        // A head that lags behind after a crash is accepted: the chain only went on.
        Ok(write_private_soon(
            &self.head_path(),
            &to_json(&chain.head),
        )?)
    }

    /// Every release so far, once the whole chain is checked.
    ///
    /// # Errors
    /// A broken chain, or the system's.
    pub fn releases(&self) -> Result<Vec<Release>, LedgerError> {
        let mut file = self.lock()?;
        Ok(self.read(&mut file)?.releases)
    }

    fn lock(&self) -> Result<File, LedgerError> {
        private_folder(folder_of(&self.path))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(failed("open", &self.path))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| failed("lock", &self.path)(error.into()))?;
        Ok(file)
    }

    fn read(&self, file: &mut File) -> Result<Chain, LedgerError> {
        let stated = self.stated_head()?;
        let mut chain = Chain {
            head: Head::start(),
            releases: Vec::new(),
        };
        let mut whole = 0;
        let mut torn = false;
        let mut reader = BufReader::new(&mut *file);
        let mut line = Vec::new();
        let mut met_head = stated.lines == 0;
        loop {
            line.clear();
            let read = io::Read::take(&mut reader, MAX_LINE as u64)
                .read_until(b'\n', &mut line)
                .map_err(failed("read", &self.path))?;
            if read == 0 {
                break;
            }
            let broken = |reason: &str| self.broken(chain.head.lines + 1, reason);
            if line.pop() != Some(b'\n') {
                if met_head && read < MAX_LINE {
                    torn = true;
                    break;
                }
                return Err(broken("it is not complete"));
            }
            let parsed: Line =
                serde_json::from_slice(&line).map_err(|error| broken(&error.to_string()))?;
            if parsed.version != mc2_protocol::VERSION {
                return Err(broken("another format version"));
            }
            if parsed.previous != chain.head.last {
                return Err(broken("it does not follow from the line before"));
            }
            chain.head.last = Digest::of(&line);
            chain.head.lines += 1;
            chain.releases.push(parsed.release);
            whole += read as u64;
            if chain.head.lines == stated.lines {
                if chain.head.last != stated.last {
                    return Err(self.broken(stated.lines, "it is not the line the head names"));
                }
                met_head = true;
            }
        }
        if !met_head {
            return Err(self.broken(chain.head.lines + 1, "lines are missing at the end"));
        }
        if torn {
            // A crash while the line was written: its key never left.
            file.set_len(whole).map_err(failed("write", &self.path))?;
        }
        Ok(chain)
    }

    fn stated_head(&self) -> Result<Head, LedgerError> {
        let path = self.head_path();
        match read_capped(&path, MAX_LINE) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(Head::start()),
            bytes => {
                let bytes = bytes?;
                if bytes.is_empty() {
                    // A power cut before it was on the disk, which is not waited for.
                    return Ok(Head::start());
                }
                serde_json::from_slice(&bytes)
                    .map_err(|_| self.broken(0, "its head is not readable"))
            }
        }
    }

    fn head_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".head");
        Path::new(&path).to_owned()
    }

    fn broken(&self, line: u64, reason: &str) -> LedgerError {
        LedgerError::Broken {
            path: self.path.clone(),
            line,
            reason: reason.to_owned(),
        }
    }
}

impl Head {
    /// The head of an empty ledger.
    fn start() -> Self {
        Self {
            lines: 0,
            last: Digest::of(b""),
        }
    }
}

struct Chain {
    head: Head,
    releases: Vec<Release>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn release(runs: u32) -> Release {
        Release {
            session: Digest::of(b"session"),
            policy: Digest::of(b"policy"),
            owner: Digest::of(b"owner"),
            dataset: "data".parse().unwrap(),
            object: Digest::of(b"object"),
            runs,
        }
    }

    fn record(ledger: &Ledger, runs: u32, allowed: u64) -> Result<(), LedgerError> {
        ledger.record(&[(release(runs), allowed)], SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn runs_are_counted_over_all_sessions_of_a_policy() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
        record(&ledger, 2, 3).unwrap();
        assert!(matches!(
            record(&ledger, 2, 3),
            Err(LedgerError::Spent { spent: 2, .. })
        ));
        record(&ledger, 1, 3).unwrap();
        assert!(record(&ledger, 1, 3).is_err());
        assert_eq!(ledger.releases().unwrap(), [release(2), release(1)]);
    }

    #[test]
    fn an_altered_shortened_or_torn_ledger_releases_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let ledger = Ledger::at(path.clone());
        for _ in 0..3 {
            record(&ledger, 1, 100).unwrap();
        }
        let whole = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = whole.lines().collect();
        let broken = [
            whole.replacen("\"runs\":1", "\"runs\":0", 1),
            format!("{}\n{}\n", lines[0], lines[1]),
            format!("{}\n{}\n", lines[0], lines[2]),
            format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2]),
            whole[..whole.len() - 10].to_owned(),
            String::new(),
        ];
        for text in broken {
            std::fs::write(&path, &text).unwrap();
            let error = record(&ledger, 1, 100).unwrap_err();
            assert!(matches!(error, LedgerError::Broken { .. }), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, &whole).unwrap();
        record(&ledger, 1, 100).unwrap();
    }

    #[test]
    fn a_line_torn_by_a_crash_before_its_key_left_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
        record(&ledger, 1, 100).unwrap();
        let head = std::fs::read(ledger.head_path()).unwrap();
        record(&ledger, 1, 100).unwrap();
        std::fs::write(ledger.head_path(), head).unwrap();
        let whole = std::fs::read(&ledger.path).unwrap();
        std::fs::write(&ledger.path, &whole[..whole.len() - 3]).unwrap();
        record(&ledger, 1, 100).unwrap();
        assert_eq!(ledger.releases().unwrap().len(), 2);
    }

    #[test]
    fn a_head_left_behind_by_a_crash_does_not_break_the_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("ledger.jsonl"));
        record(&ledger, 1, 100).unwrap();
        let head = std::fs::read(ledger.head_path()).unwrap();
        record(&ledger, 1, 100).unwrap();
        std::fs::write(ledger.head_path(), head).unwrap();
        record(&ledger, 1, 100).unwrap();
        assert_eq!(ledger.releases().unwrap().len(), 3);
    }
}
