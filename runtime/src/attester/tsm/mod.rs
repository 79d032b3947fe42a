//! configfs-tsm: how Linux (6.7 and newer) gives a confidential VM its reports, whatever the TEE
//! (`Documentation/ABI/testing/configfs-tsm-report`).
//!
//! Each report has an entry of its own, made for it and removed with it, so that requests wait for
//! nobody. What was asked for is taken only once the entry is closed, and whether it was, the kernel
//! does not say: so the entry's generation, which counts writes, must have grown by exactly our own.

mod certificates;
mod rtmr;
mod snp;
mod tdx;

use std::{fs, io, path::PathBuf};

use mc2_protocol::{documents::receipt::MAX_EVIDENCE_LEN, encoding::Hex};

pub(super) use snp::Snp;
pub(super) use tdx::{Tdx, quoted_data};

use super::{
    devices::Devices,
    files::{self, FileError},
};
use crate::random;

/// Where the kernel has the entries.
pub(super) const REPORTS: &str = "sys/kernel/config/tsm/report";
/// Longest line of text in an entry.
const MAX_TEXT: usize = 128;

/// The kernel's reports.
pub(super) struct Tsm {
    folder: PathBuf,
}

/// What the kernel answered.
pub(super) struct Report {
    /// The report.
    out: Vec<u8>,
    /// What came with it, which the host chose.
    aux: Vec<u8>,
}

impl Tsm {
    pub(super) fn of(devices: &Devices) -> Self {
        Self {
            folder: devices.path(REPORTS),
        }
    }

    /// Who makes the reports: `tdx_guest`, `sev_guest`.
    pub(super) fn provider(&self) -> Result<String, TsmError> {
        Entry::make(self)?.text("provider")
    }

    /// A report over these 64 bytes.
    fn report(&self, report_data: &[u8; 64]) -> Result<Report, TsmError> {
        let entry = Entry::make(self)?;
        let before = entry.generation()?;
        files::write(&entry.0.join("inblob"), report_data)?;
        let out = entry.bytes("outblob")?;
        let aux = match entry.bytes("auxblob") {
            // A provider that has nothing to add has no such file.
            Err(TsmError::File(error)) if error.kind() == Some(io::ErrorKind::NotFound) => {
                Vec::new()
            }
            aux => aux?,
        };
        let after = entry.generation()?;
        if after != before.wrapping_add(1) {
            return Err(TsmError::Generation { before, after });
        }
        if out.is_empty() {
            return Err(TsmError::Empty);
        }
        Ok(Report { out, aux })
    }
}

/// An entry of this request's own, which goes with it.
struct Entry(PathBuf);

impl Entry {
    fn make(tsm: &Tsm) -> Result<Self, TsmError> {
        let path = tsm
            .folder
            .join(format!("mc2-{}", Hex(random::bytes::<8>())));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(TsmError::Entry { path, source }),
        }
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, TsmError> {
        Ok(files::read(&self.0.join(name), MAX_EVIDENCE_LEN)?)
    }

    fn text(&self, name: &str) -> Result<String, TsmError> {
        let bytes = files::read(&self.0.join(name), MAX_TEXT)?;
        Ok(String::from_utf8_lossy(bytes.trim_ascii()).into_owned())
    }

    fn generation(&self) -> Result<u64, TsmError> {
        let text = self.text("generation")?;
        text.parse().map_err(|_| TsmError::NoGeneration { text })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // One that stays behind costs the kernel a page and disturbs nobody.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Why the kernel gave no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum TsmError {
    /// There is no entry to be had.
    #[error("making {}: {source}", path.display())]
    Entry {
        /// The entry.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the entry.
    #[error(transparent)]
    File(#[from] FileError),
    /// The count of writes is none.
    #[error("the entry's generation is {text:?}, where a number was expected")]
    NoGeneration {
        /// What it is.
        text: String,
    },
    /// Somebody else wrote, or our write was not taken.
    #[error(
        "the entry's generation went from {before} to {after} over one write: what was asked for \
         was not taken, or somebody else asked in between"
    )]
    Generation {
        /// Before our write.
        before: u64,
        /// After the report was read.
        after: u64,
    },
    /// Nothing.
    #[error("the report is empty")]
    Empty,
}
