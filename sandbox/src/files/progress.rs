//! `/run/mc2/progress`: what the guest says while it runs, line by line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::file::{File, Place, WriteError};
use super::space::Space;
use crate::limits::{PROGRESS_EVENTS, PROGRESS_TEXT_BYTES};

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

    /// All events so far, one a line.
    pub(crate) fn log(&self) -> Bytes {
        Bytes::copy_from_slice(&self.lines().log)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
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

impl File for Progress {
    fn size(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn try_write(&self, _place: Place, data: &[u8]) -> Result<usize, WriteError> {
        self.space.charge_output(data.len() as u64)?;
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        let mut lines = self.lines();
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
        Ok(data.len())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Budgets;
    use crate::limits::Limits;

    fn space() -> Arc<Space> {
        Space::new(&Budgets::new(&Limits::default()), 0, None)
    }

    fn progress() -> (Progress, ProgressReceiver) {
        let (sender, receiver) = progress_channel();
        (Progress::new(space(), Some(sender)), receiver)
    }

    fn write(progress: &Progress, data: &[u8]) -> Result<usize, WriteError> {
        progress.try_write(Place::End, data)
    }

    #[test]
    fn lines_become_events_wherever_the_writes_are_cut() {
        let (progress, mut events) = progress();
        write(&progress, b"0.4").unwrap();
        write(&progress, b"2 joined orders\n1").unwrap();
        write(
            &progress,
            b"\nnonsense\n7 too much\n-1 x\nNaN y\n0.5 t\x1b[31mail\n",
        )
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
            write(&progress, format!("0.1 {}\n", "é".repeat(1000)).as_bytes()).unwrap();
        }
        let mut count = 0;
        while let Ok(event) = events.try_recv() {
            assert!(event.text.len() <= PROGRESS_TEXT_BYTES);
            count += 1;
        }
        assert_eq!(count, PROGRESS_EVENTS);
        assert!(progress.log().len() <= LOG_BYTES);
    }
}
