//! Waiting for the client library without holding Python: progress is told meanwhile, and Ctrl-C, or a
//! stopped cell, stops what is waited for.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use mc2_client::{
    event::{Observer, Phase},
    exit::Exit,
    run::{RunError, RunEvent, Stop},
    stop,
};
use pyo3::prelude::*;
use tokio::runtime::Handle;

use crate::raising::{internal, raise};

/// How often Python is asked whether somebody pressed Ctrl-C.
const ASK: Duration = Duration::from_millis(50);
/// How long something that was asked to stop may take: a job is cancelled in order.
const STOPPING: Duration = Duration::from_secs(10);

/// What is told beside the phases of a run: for whom it waits, say; and what is approved next, whole.
const NOTICE: &str = "notice";
const APPROVE: &str = "approve";

/// Stops a call from another thread, or another task.
#[pyclass(frozen, module = "mc2")]
pub(crate) struct Stopper {
    stop: Stop,
    stopper: stop::Stopper,
}

#[pymethods]
impl Stopper {
    #[new]
    pub(crate) fn new() -> Self {
        let (stop, stopper) = Stop::by_hand();
        Self { stop, stopper }
    }

    /// Asks the calls it was given to to end.
    fn stop(&self) {
        self.stopper.stop(Exit::Terminated);
    }
}

impl Stopper {
    /// What a call listens to.
    pub(crate) fn listen(&self) -> Stop {
        self.stop.clone()
    }
}

/// What is heard while something is waited for.
enum Heard<T> {
    /// A phase's name, how much of it is done, and how much there is.
    Progress(&'static str, Option<u64>, Option<u64>),
    /// Words: of the guest, of what is approved, or for the person, by a phase's name.
    Said(&'static str, String),
    /// It ended.
    Ended(T),
}

/// Runs what `make` makes, given somebody to tell of its progress, and waits for it. `progress` is called
/// with `(phase, done, total, words)`.
///
/// # Errors
/// What it ends with, `progress` raises, or a signal's handler does: then it is stopped first.
pub(crate) fn wait<T, F>(
    py: Python<'_>,
    runtime: &Handle,
    stopper: &Stopper,
    progress: Option<&Py<PyAny>>,
    make: impl FnOnce(Observer) -> F,
) -> PyResult<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, RunError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel();
    let future = make(observer(sender.clone(), progress.is_some()));
    runtime.spawn(async move {
        let result = future.await;
        // Who does not wait any more hears nothing.
        let _ = sender.send(Heard::Ended(result));
    });
    let receiver = Mutex::new(receiver);
    // What is shown goes on while nothing is told: a component may say nothing for an hour.
    let tick = progress.and_then(|told| told.bind(py).getattr("tick").ok());
    let mut stopping: Option<(PyErr, Instant)> = None;
    loop {
        let heard = py.detach(|| {
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.recv_timeout(ASK)
        });
        let told = match heard {
            Ok(Heard::Ended(result)) => {
                return match (stopping, result) {
                    (Some((why, _)), _) => Err(why),
                    (None, result) => result.map_err(|error| raise(py, &error)),
                };
            }
            Ok(_) if stopping.is_some() => Ok(()),
            Ok(heard) => progress.map_or(Ok(()), |told| tell(py, told, heard)),
            Err(RecvTimeoutError::Timeout) => {
                let tick = tick.as_ref().filter(|_| stopping.is_none());
                tick.map_or(Ok(()), |tick| tick.call0().map(drop))
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(internal(py, "what was waited for ended without a word"));
            }
        };
        stopping = match stopping {
            Some((why, asked)) if asked.elapsed() > STOPPING => return Err(why),
            Some(asked) => Some(asked),
            None => match told.and_then(|()| py.check_signals()) {
                Ok(()) => None,
                Err(why) => {
                    stopper.stopper.stop(Exit::Interrupted);
                    Some((why, Instant::now()))
                }
            },
        };
    }
}

fn observer<T: Send + 'static>(sender: mpsc::Sender<Heard<T>>, wanted: bool) -> Observer {
    let sender = Mutex::new(sender);
    Arc::new(move |event: RunEvent<'_>| {
        let heard = match event {
            _ if !wanted => return,
            RunEvent::Begun(phase, total) => Heard::Progress(phase.name(), None, total),
            RunEvent::Done(phase, done) => Heard::Progress(phase.name(), Some(done), None),
            RunEvent::Progress(words) => Heard::Said(Phase::Run.name(), words.to_owned()),
            RunEvent::Notice(words) => Heard::Said(NOTICE, words.to_owned()),
            RunEvent::Approving(text) => Heard::Said(APPROVE, text.to_owned()),
            _ => return,
        };
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
        // Who does not wait any more hears nothing.
        let _ = sender.send(heard);
    })
}

fn tell<T>(py: Python<'_>, told: &Py<PyAny>, heard: Heard<T>) -> PyResult<()> {
    match heard {
        Heard::Progress(phase, done, total) => told.call1(py, (phase, done, total, "")),
        Heard::Said(phase, words) => told.call1(py, (phase, None::<u64>, None::<u64>, words)),
        Heard::Ended(_) => return Ok(()),
    }
    .map(drop)
}
