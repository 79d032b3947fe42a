//! `/run/mc2`: what the job says to the guest, and the guest about the job.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::file::File;
use super::space::{Space, WriteError};
use super::tree::{BadName, Tree, TreeKind};
use crate::limits::{ERROR_BYTES, PROGRESS_EVENTS, PROGRESS_TEXT_BYTES};
use crate::peers::{PeerIn, PeerOut};

/// A line the guest wrote to `/run/mc2/progress`. Both parts are the guest's own
/// words: an output like any other, for whom the policy names.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgressEvent {
    /// How much is done, from 0 to 1.
    pub fraction: f64,
    /// What is being done, 256 bytes at most, without control characters.
    pub text: String,
}

/// Gives a job's progress events while it runs. Events nobody fetches are dropped,
/// so a slow reader slows nothing down.
pub type ProgressReceiver = mpsc::Receiver<ProgressEvent>;

/// A sender for [`RunSpec`](crate::RunSpec) and its receiver.
pub fn progress_channel() -> (mpsc::Sender<ProgressEvent>, ProgressReceiver) {
    mpsc::channel(PROGRESS_EVENTS)
}

/// What stands in it.
pub(crate) struct RunDir {
    pub(crate) job: Bytes,
    pub(crate) progress: Arc<Progress>,
    pub(crate) error: Arc<ErrorText>,
    /// The other instances, each with the streams from and to it.
    pub(crate) peers: Vec<(usize, PeerIn, PeerOut)>,
}

impl RunDir {
    pub(super) fn tree(self) -> Result<Tree, BadName> {
        let mut tree = Tree::new(TreeKind::Run);
        tree.plant("job.json", File::Text(self.job))?;
        tree.plant("progress", File::Progress(self.progress))?;
        tree.plant("error", File::Error(self.error))?;
        for (rank, from, to) in self.peers {
            tree.plant(&format!("peers/{rank}/in"), File::PeerIn(from))?;
            tree.plant(&format!("peers/{rank}/out"), File::PeerOut(to))?;
        }
        Ok(tree)
    }
}

/// Collects progress, line by line.
pub(crate) struct Progress {
    space: Arc<Space>,
    events: Option<mpsc::Sender<ProgressEvent>>,
    written: AtomicU64,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    /// The line being written, as far as it is kept.
    line: Vec<u8>,
    /// Everything well formed, as the output `progress`.
    log: Vec<u8>,
}

/// Bytes of progress kept for the output; a job that says more says nothing new.
const LOG_BYTES: usize = 1 << 20;

impl Progress {
    pub(crate) fn new(space: Arc<Space>, events: Option<mpsc::Sender<ProgressEvent>>) -> Self {
        Self {
            space,
            events,
            written: AtomicU64::new(0),
            lines: Mutex::default(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// All events so far, one a line.
    pub(crate) fn log(&self) -> Bytes {
        Bytes::copy_from_slice(&lock(&self.lines).log)
    }

    pub(crate) fn write(&self, data: &[u8]) -> Result<(), WriteError> {
        self.space
            .charge_output(data.len() as u64)
            .map_err(WriteError::Limit)?;
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        let mut lines = lock(&self.lines);
        for byte in data {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut lines.line);
                    self.event(&mut lines, &line);
                }
                byte if lines.line.len() < 32 + PROGRESS_TEXT_BYTES => lines.line.push(*byte),
                _ => {}
            }
        }
        Ok(())
    }

    fn event(&self, lines: &mut Lines, line: &[u8]) {
        let Some(event) = parse(line) else { return };
        let entry = format!("{} {}\n", event.fraction, event.text);
        if lines.log.len() + entry.len() <= LOG_BYTES {
            lines.log.extend_from_slice(entry.as_bytes());
        }
        if let Some(events) = &self.events {
            // Full or closed: the reader is slow or gone, and the job goes on.
            let _ = events.try_send(event);
        }
    }
}

/// `0.42 joined orders`, the text optional. Anything else is no progress.
fn parse(line: &[u8]) -> Option<ProgressEvent> {
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    let (fraction, text) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let fraction: f64 = fraction.parse().ok()?;
    if !(0.0..=1.0).contains(&fraction) {
        return None;
    }
    let mut text: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(PROGRESS_TEXT_BYTES));
    Some(ProgressEvent { fraction, text })
}

/// Collects what the guest says about its failure, up to a cap.
pub(crate) struct ErrorText {
    space: Arc<Space>,
    text: Mutex<Vec<u8>>,
}

impl ErrorText {
    pub(crate) fn new(space: Arc<Space>) -> Self {
        Self {
            space,
            text: Mutex::default(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        lock(&self.text).len() as u64
    }

    pub(crate) fn clear(&self) {
        lock(&self.text).clear();
    }

    pub(crate) fn text(&self) -> Bytes {
        Bytes::copy_from_slice(&lock(&self.text))
    }

    pub(crate) fn write(&self, data: &[u8]) -> Result<(), WriteError> {
        self.space
            .charge_output(data.len() as u64)
            .map_err(WriteError::Limit)?;
        let mut text = lock(&self.text);
        let room = ERROR_BYTES - text.len();
        text.extend_from_slice(&data[..data.len().min(room)]);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Budgets;
    use crate::limits::Limits;

    fn space() -> Arc<Space> {
        Space::new(&Budgets::new(&Limits::default()), 0, None).unwrap()
    }

    fn progress() -> (Progress, ProgressReceiver) {
        let (sender, receiver) = progress_channel();
        (Progress::new(space(), Some(sender)), receiver)
    }

    #[test]
    fn lines_become_events_wherever_the_writes_are_cut() {
        let (progress, mut events) = progress();
        progress.write(b"0.4").unwrap();
        progress.write(b"2 joined orders\n1").unwrap();
        progress
            .write(b"\nnonsense\n7 too much\n-1 x\nNaN y\n0.5 t\x1b[31mail\n")
            .unwrap();
        let event = |fraction, text: &str| ProgressEvent {
            fraction,
            text: text.to_owned(),
        };
        assert_eq!(events.try_recv().unwrap(), event(0.42, "joined orders"));
        assert_eq!(events.try_recv().unwrap(), event(1.0, ""));
        assert_eq!(events.try_recv().unwrap(), event(0.5, "t[31mail"));
        assert!(events.try_recv().is_err());
        assert_eq!(
            progress.log()[..],
            *b"0.42 joined orders\n1 \n0.5 t[31mail\n"
        );
    }

    #[test]
    fn a_flood_of_progress_is_cut_and_blocks_nobody() {
        let (progress, mut events) = progress();
        for _ in 0..10_000 {
            progress
                .write(format!("0.1 {}\n", "é".repeat(1000)).as_bytes())
                .unwrap();
        }
        let mut count = 0;
        while let Ok(event) = events.try_recv() {
            assert!(event.text.len() <= PROGRESS_TEXT_BYTES);
            count += 1;
        }
        assert_eq!(count, PROGRESS_EVENTS);
        assert!(progress.log().len() <= LOG_BYTES);
    }

    #[test]
    fn error_text_is_capped_and_can_be_replaced() {
        let error = ErrorText::new(space());
        error.write(&vec![b'x'; ERROR_BYTES + 5]).unwrap();
        assert_eq!(error.len(), ERROR_BYTES as u64);
        error.clear();
        error.write(b"no column `fare`").unwrap();
        assert_eq!(error.text()[..], *b"no column `fare`");
    }
}
