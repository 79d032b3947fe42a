//! configfs-tsm and a TD's registers, as Linux's `drivers/virt/coco/guest/report.c` and
//! `tsm-mr.c` have them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use mc2_protocol::evidence::Register384;

use super::machine::{Device, Errno, Files, Maker, Parts, Text, rest};

/// Where the entries are.
const REPORTS: &str = "sys/kernel/config/tsm/report";
/// Where a TD's register is.
const RTMR3: &str = "sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384";
/// Most bytes that are asked for.
const MAX_ASKED: usize = 64;

/// What a provider answers: report, and what comes with it.
pub(crate) type Answer = Result<(Vec<u8>, Vec<u8>), Errno>;

/// Makes a report over 64 bytes.
type Reporting = dyn Fn(&[u8; 64]) -> Answer + Send + Sync;

/// A provider of reports, and how it goes wrong.
pub(crate) struct Provider {
    /// Its name.
    pub name: &'static str,
    /// Makes a report over 64 bytes.
    pub report: Box<Reporting>,
    /// What else happens in an entry.
    pub trouble: Trouble,
}

/// What happens in an entry besides what its owner does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// Somebody else writes into it before the report is read.
    Meddler,
    /// Somebody else writes the same as its owner after the report was read.
    LateMeddler,
    /// What is written is not taken, and closing the file does not say so.
    Deaf,
}

/// The reports of a provider.
pub(crate) fn reports(parts: Parts, provider: Provider) -> Parts {
    let provider = Arc::new(provider);
    let maker: Maker = Arc::new(move || Ok(entry(&provider)));
    parts.folder(REPORTS, Some(maker))
}

/// The interface without a provider.
pub(crate) fn without_provider(parts: Parts) -> Parts {
    let maker: Maker = Arc::new(|| Err(Errno::ENXIO));
    parts.folder(REPORTS, Some(maker))
}

/// A TD's register, which `register` sees.
pub(crate) fn register(parts: Parts, register: &Arc<Rtmr>) -> Parts {
    let device: Arc<dyn Device> = Arc::<Rtmr>::clone(register);
    parts.file(RTMR3, device)
}

fn entry(provider: &Arc<Provider>) -> Files {
    let entry = Arc::new(Entry {
        provider: Arc::clone(provider),
        state: Mutex::default(),
    });
    let file = |what| -> Arc<dyn Device> {
        let (entry, buffers) = (Arc::clone(&entry), Mutex::default());
        Arc::new(EntryFile {
            entry,
            what,
            buffers,
        })
    };
    let mut files: Files = vec![
        ("provider", Arc::new(Text(provider.name))),
        ("inblob", file(What::Asked)),
        ("outblob", file(What::Report)),
        ("generation", file(What::Generation)),
    ];
    // Only this provider has something to add.
    if provider.name.starts_with("sev_guest") {
        files.push(("auxblob", file(What::Extra)));
    }
    files
}

struct Entry {
    provider: Arc<Provider>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    asked: Vec<u8>,
    writes: u64,
    /// The report, and the count of writes it was made at.
    made: Option<(u64, Vec<u8>, Vec<u8>)>,
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("never poisoned")
    }

    fn ask(&self, bytes: Vec<u8>) {
        if self.provider.trouble == Trouble::Deaf {
            return;
        }
        let mut state = self.state();
        state.writes += 1;
        state.asked = bytes;
    }

    /// Report and addition, made where what is asked for is not what was.
    fn answer(&self) -> Answer {
        let mut state = self.state();
        if self.provider.trouble == Trouble::Meddler {
            state.writes += 1;
            state.asked = vec![0xee; MAX_ASKED];
        }
        if state.asked.is_empty() {
            return Err(Errno::EINVAL);
        }
        if let Some((at, report, extra)) = &state.made
            && *at == state.writes
        {
            return Ok((report.clone(), extra.clone()));
        }
        let mut asked = [0; MAX_ASKED];
        asked[..state.asked.len()].copy_from_slice(&state.asked);
        let (report, extra) = (self.provider.report)(&asked)?;
        state.made = Some((state.writes, report.clone(), extra.clone()));
        if self.provider.trouble == Trouble::LateMeddler {
            state.writes += 1;
        }
        Ok((report, extra))
    }
}

#[derive(Clone, Copy)]
enum What {
    Asked,
    Report,
    Extra,
    Generation,
}

struct EntryFile {
    entry: Arc<Entry>,
    what: What,
    /// What each opening wrote, or reads.
    buffers: Mutex<HashMap<u64, Vec<u8>>>,
}

impl EntryFile {
    fn buffers(&self) -> MutexGuard<'_, HashMap<u64, Vec<u8>>> {
        self.buffers.lock().expect("never poisoned")
    }
}

impl Device for EntryFile {
    fn read(&self, opening: u64, offset: u64) -> Result<Vec<u8>, Errno> {
        // An opening reads one report, whatever is asked for meanwhile.
        if let Some(bytes) = self.buffers().get(&opening) {
            return Ok(rest(bytes, offset));
        }
        let bytes = match self.what {
            What::Asked => return Err(Errno::EINVAL),
            What::Report => self.entry.answer()?.0,
            What::Extra => self.entry.answer()?.1,
            What::Generation => format!("{}\n", self.entry.state().writes).into_bytes(),
        };
        self.buffers().insert(opening, bytes.clone());
        Ok(rest(&bytes, offset))
    }

    fn write(&self, opening: u64, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        if !matches!(self.what, What::Asked) {
            return Err(Errno::EINVAL);
        }
        let mut buffers = self.buffers();
        let buffer = buffers.entry(opening).or_default();
        let offset = usize::try_from(offset).expect("a small offset");
        if offset + bytes.len() > MAX_ASKED {
            return Err(Errno::EFBIG);
        }
        buffer.resize(buffer.len().max(offset + bytes.len()), 0);
        buffer[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// What was written is taken only now, as configfs does.
    fn close(&self, opening: u64) {
        let buffer = self.buffers().remove(&opening);
        if let (What::Asked, Some(bytes)) = (self.what, buffer) {
            self.entry.ask(bytes);
        }
    }
}

/// RTMR3.
#[derive(Default)]
pub(crate) struct Rtmr(Mutex<Register384>);

impl Rtmr {
    /// What it holds.
    pub(crate) fn held(&self) -> [u8; 48] {
        self.0.lock().expect("never poisoned").0
    }
}

impl Device for Rtmr {
    fn read(&self, _opening: u64, offset: u64) -> Result<Vec<u8>, Errno> {
        Ok(rest(&self.held(), offset))
    }

    fn write(&self, _opening: u64, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        if offset != 0 || bytes.len() != 48 {
            return Err(Errno::EINVAL);
        }
        self.0.lock().expect("never poisoned").extend(bytes);
        Ok(())
    }
}
