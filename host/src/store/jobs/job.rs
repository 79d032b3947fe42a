//! One job that has not ended: its events, and who waits for news of it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use bytes::Bytes;
use mc2_protocol::documents::{
    control::JobState,
    storage::{JobStatus, MAX_EVENT_LEN, SealedEvent, StartQuestion},
};
use tokio::sync::watch;

use crate::{refusal::Refusal, store::files::private_folder, waiting::lock};

/// The code of the refusal for what is told of a job after its end.
pub(super) const JOB_ENDED: &str = "job-ended";

/// Most events kept of one job.
const MAX_EVENTS: usize = 100_000;
/// Most bytes of them.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of events after which one answer ends.
const ANSWER: usize = 4 * 1024 * 1024;

/// One job.
pub(super) struct Job {
    /// Where its events are.
    events: PathBuf,
    pub(super) record: Mutex<Record>,
    /// Held while its receipt is stored.
    pub(super) storing: Mutex<()>,
    /// Counts what changed.
    pub(super) changes: watch::Sender<u64>,
}

impl Job {
    pub(super) fn new(events: PathBuf, state: JobState) -> Self {
        let record = Mutex::new(Record {
            state,
            unstored: false,
            receipt: None,
            question: None,
            begun: false,
            events: None,
        });
        Self {
            events,
            record,
            storing: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// One that was heard of just now: unless it was before, it has no events yet. May block.
    pub(super) fn announced(events: PathBuf) -> Self {
        let none = matches!(fs::exists(&events), Ok(false));
        let job = Self::new(events, JobState::Running);
        if none {
            lock(&job.record).events = Some(Vec::new());
        }
        job
    }

    /// What [`status`](Self::status) says of one that is known to have no events: that is in memory.
    pub(super) fn status_now(&self) -> Option<JobStatus> {
        let record = lock(&self.record);
        let none = record.events.as_ref().is_some_and(Vec::is_empty);
        none.then(|| Answered::new(record.told(), 0).status)
    }

    /// Its receipt, where it ended while somebody waited for that.
    pub(super) fn receipt(&self) -> Option<Bytes> {
        lock(&self.record).receipt.clone()
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Notes what the job waits for before it starts. One that has begun waits for nothing any more,
    /// however late word of it comes.
    pub(super) fn asks(&self, question: StartQuestion) -> Result<(), Refusal> {
        let mut record = lock(&self.record);
        record.running()?;
        if !record.begun {
            record.question = Some(question);
        }
        drop(record);
        self.changed();
        Ok(())
    }

    /// Notes that it runs.
    pub(super) fn begins(&self) -> Result<(), Refusal> {
        let mut record = lock(&self.record);
        record.running()?;
        record.begun = true;
        let waited = record.question.take().is_some();
        drop(record);
        if waited {
            self.changed();
        }
        Ok(())
    }

    /// What it waits for before it starts, if it does.
    pub(super) fn question(&self) -> Option<StartQuestion> {
        let record = lock(&self.record);
        record.question.clone().filter(|_| record.running().is_ok())
    }

    pub(super) fn append(&self, mut line: Vec<u8>) -> Result<(), Refusal> {
        line.push(b'\n');
        let mut record = lock(&self.record);
        record.running()?;
        let events = record.events(&self.events)?;
        if events.len() >= MAX_EVENTS {
            let message = format!("at most {MAX_EVENTS} events of a job are kept");
            return Err(Refusal::conflict("events", message));
        }
        let end = events
            .last()
            .map_or(0, |(offset, length)| offset + *length as u64 + 1);
        if end + line.len() as u64 > MAX_BYTES {
            let message = format!("at most {MAX_BYTES} bytes of a job's events are kept");
            return Err(Refusal::conflict("events", message));
        }
        let file = open_to_append(&self.events)?;
        // Whatever an earlier failure left behind the last whole line.
        file.set_len(end)?;
        (&file).write_all(&line)?;
        events.push((end, line.len() - 1));
        drop(record);
        self.changed();
        Ok(())
    }

    /// How far it is, and its events after the first `after`, as many as one answer has.
    pub(super) fn status(&self, after: u64) -> Result<JobStatus, Refusal> {
        let mut record = lock(&self.record);
        let mut answer = Answered::new(record.told(), after);
        if record.running().is_err() {
            // No more come, and where each lies is not kept.
            drop(record);
            let mut number = 0;
            each_line(&self.events, |_, line| {
                number += 1;
                number <= after || answer.take(line)
            })?;
            answer.status.next = answer.status.next.min(number);
            return Ok(answer.status);
        }
        let events = record.events(&self.events)?;
        let first = usize::try_from(after)
            .unwrap_or(usize::MAX)
            .min(events.len());
        answer.status.next = first as u64;
        let wanted = events[first..].to_vec();
        drop(record);
        if wanted.is_empty() {
            return Ok(answer.status);
        }
        let file = File::open(&self.events)?;
        for (offset, length) in wanted {
            let mut line = vec![0; length];
            file.read_exact_at(&mut line, offset)?;
            if !answer.take(&line) {
                break;
            }
        }
        Ok(answer.status)
    }
}

/// An answer that grows.
struct Answered {
    status: JobStatus,
    size: usize,
}

impl Answered {
    fn new(state: JobState, next: u64) -> Self {
        let status = JobStatus {
            state,
            events: Vec::new(),
            next,
            receipt: None,
        };
        Self { status, size: 0 }
    }

    /// Adds the next event; `false` where it would be too much.
    fn take(&mut self, line: &[u8]) -> bool {
        self.size += line.len();
        if self.size > ANSWER {
            return false;
        }
        self.status.next += 1;
        match SealedEvent::parse(line) {
            Ok(event) => self.status.events.push(event),
            Err(error) => tracing::error!(%error, "a stored event was damaged"),
        }
        true
    }
}

/// What is known of it.
pub(super) struct Record {
    pub(super) state: JobState,
    /// Whether the job has ended and that could not be stored: the runtime has its receipt still, unless
    /// it is lost.
    pub(super) unstored: bool,
    /// Its receipt once it has ended, for those who wait: it is forgotten with the last of them.
    pub(super) receipt: Option<Bytes>,
    /// What it waits for before it starts. Not stored: its runtime asks again after a new start.
    question: Option<StartQuestion>,
    /// Whether it is known to run.
    begun: bool,
    /// Where in the file of events each lies; read from it on the first question.
    events: Option<Vec<(u64, usize)>>,
}

impl Record {
    pub(super) fn running(&self) -> Result<(), Refusal> {
        if self.state == JobState::Running {
            return Ok(());
        }
        let message = format!("the job has ended: it is {}", word(self.state));
        Err(Refusal::conflict(JOB_ENDED, message))
    }

    /// The state that is told of it.
    pub(super) const fn told(&self) -> JobState {
        match self.state {
            JobState::Running if self.question.is_some() => JobState::Waiting,
            state => state,
        }
    }

    fn events(&mut self, path: &Path) -> io::Result<&mut Vec<(u64, usize)>> {
        if self.events.is_none() {
            self.events = Some(find_lines(path)?);
        }
        Ok(self.events.get_or_insert_default())
    }
}

const fn word(state: JobState) -> &'static str {
    match state {
        JobState::Waiting | JobState::Running => "running",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Lost => "lost",
    }
}

/// The file, and its folder where it is the first of its session.
fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), private_folder)?;
            options.open(path)
        }
        other => other,
    }
}

/// Offset and length without the line's end of every whole line.
fn find_lines(path: &Path) -> io::Result<Vec<(u64, usize)>> {
    let mut lines = Vec::new();
    each_line(path, |offset, line| {
        lines.push((offset, line.len()));
        true
    })?;
    Ok(lines)
}

/// Hands on every whole line without its end, and where it is, until `goes_on` says no more. One is in
/// memory at a time; one that is longer than an event is left out.
fn each_line(path: &Path, mut goes_on: impl FnMut(u64, &[u8]) -> bool) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    let mut line = Vec::new();
    let mut offset = 0;
    loop {
        line.clear();
        let longest = MAX_EVENT_LEN as u64 + 1;
        let read = (&mut reader).take(longest).read_until(b'\n', &mut line)?;
        let start = offset;
        offset += read as u64;
        if line.pop() == Some(b'\n') {
            if !goes_on(start, &line) {
                return Ok(());
            }
        } else if read <= MAX_EVENT_LEN {
            return Ok(());
        } else {
            offset += reader.skip_until(b'\n')? as u64;
        }
    }
}
