//! A run against somebody who wants it to end.

use std::{
    pin::pin,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use mc2_protocol::Identity;

use super::error::RunError;
use crate::{
    event::{Observer, Phase, RunEvent},
    session::Running,
    stop::Stop,
    terminal::printable,
};

/// How long an enclave may take to stop a job.
pub(crate) const CANCEL: Duration = Duration::from_secs(3);

/// How far a run is.
#[derive(Default)]
pub(crate) struct Course(AtomicU8);

impl Course {
    /// Its job is being sent, and may run from now on.
    const SUBMITTED: u8 = 1;
    /// Its job was taken.
    const TAKEN: u8 = 2;
    /// Its job has ended.
    const ENDED: u8 = 3;

    pub(crate) fn submits(&self) {
        self.0.store(Self::SUBMITTED, Ordering::Relaxed);
    }

    pub(crate) fn is_taken(&self) {
        self.0.store(Self::TAKEN, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) {
        self.0.store(Self::ENDED, Ordering::Relaxed);
    }

    /// Whether its job was taken, ended or not.
    pub(crate) fn was_taken(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::TAKEN
    }

    fn may_run(&self) -> bool {
        matches!(
            self.0.load(Ordering::Relaxed),
            Self::SUBMITTED | Self::TAKEN
        )
    }
}

/// Waits for what nothing has to be stopped for, or until somebody asks it to end.
///
/// # Errors
/// The future's, or that it was stopped.
pub(crate) async fn unless_asked<T>(
    what: impl Future<Output = Result<T, RunError>>,
    stop: &Stop,
) -> Result<T, RunError> {
    tokio::select! {
        result = what => result,
        exit = stop.asked() => Err(RunError::Stopped(exit)),
    }
}

/// Goes through a run to its end, or until somebody asks it to end. Where its job may run by then, the
/// flow itself stops that first, within the time that takes.
///
/// # Errors
/// The flow's, or that it was stopped.
pub(crate) async fn unless_stopped<T>(
    flow: impl Future<Output = Result<T, RunError>>,
    course: &Course,
    stop: &Stop,
) -> Result<T, RunError> {
    let mut flow = pin!(flow);
    tokio::select! {
        result = &mut flow => result,
        exit = stop.asked() => {
            if course.may_run() {
                return tokio::time::timeout(2 * CANCEL, flow)
                    .await
                    .unwrap_or(Err(RunError::Stopped(exit)));
            }
            Err(RunError::Stopped(exit))
        }
    }
}

/// Waits for the end of a job, answering for its start where that is this party's to do, and stops it
/// where it is asked to end.
///
/// # Errors
/// What keeps it from its end, or that it was stopped.
pub(crate) async fn wait(
    job: &Running<'_, '_>,
    submitter: &Identity,
    observer: &Observer,
    stop: &Stop,
) -> Result<(), RunError> {
    let waiting = job.wait(submitter, |event| {
        observer(RunEvent::Done(Phase::Run, event.permille.into()));
        observer(RunEvent::Progress(&printable(&event.text)));
    });
    let starting = async {
        match job.answer_own_start(submitter).await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    tokio::select! {
        ended = waiting => { ended?; }
        error = starting => return Err(error.into()),
        exit = stop.asked() => {
            // Whether it is told in time or not, nothing more is done here.
            let _ = job.cancel(submitter).await;
            return Err(RunError::Stopped(exit));
        }
    }
    Ok(())
}
