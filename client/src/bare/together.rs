//! Several instances of a bare run, each on a thread of its own.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use super::{BareError, engine::Guest, peers::Streams, stage::Stage};

/// How the first instance that did not succeed ended.
pub(super) struct First {
    /// Its number.
    pub(super) instance: u32,
    /// `false` where it said itself that it failed.
    pub(super) ended: Result<bool, BareError>,
}

/// What stops all of them.
struct Stop {
    asked: watch::Sender<bool>,
    first: Mutex<Option<First>>,
}

impl Stop {
    fn first(&self) -> MutexGuard<'_, Option<First>> {
        // It is only ever set, once.
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs all of them to their ends, or until the first does not succeed; says which that was.
pub(super) async fn run(
    guests: Vec<Guest>,
    timeout: Option<Duration>,
    streams: &Arc<Streams>,
    stage: &Arc<Stage>,
) -> Result<Option<First>, BareError> {
    let stop = Arc::new(Stop {
        asked: watch::Sender::new(false),
        first: Mutex::default(),
    });
    let _stop = StopOnDrop(Some(Arc::clone(&stop)));
    let (ended, mut all) = mpsc::unbounded_channel::<()>();
    for (instance, mut guest) in (0..).zip(guests) {
        let (stop, streams) = (Arc::clone(&stop), Arc::clone(streams));
        // The folders stay as long as anybody is at work in them.
        let (ended, handle, stage) = (ended.clone(), Handle::current(), Arc::clone(stage));
        let work = move || {
            let mut armed = StopOnDrop(Some(Arc::clone(&stop)));
            let mut stopped = stop.asked.subscribe();
            let result = handle.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped.wait_for(|stopped| *stopped) => None,
                    result = guest.run(timeout) => Some(result),
                }
            });
            match result {
                Some(Ok(true)) => {
                    streams.ended(instance);
                    armed.0 = None;
                }
                Some(result) => {
                    let ended = result;
                    stop.first().get_or_insert(First { instance, ended });
                }
                None => {}
            }
            // All are told before its streams close, which would look like their end.
            drop(armed);
            drop(guest);
            drop((stage, ended));
        };
        thread::Builder::new()
            .name(format!("instance-{instance}"))
            .spawn(work)
            .map_err(|error| BareError::Engine(error.to_string()))?;
    }
    drop(ended);
    // Nothing is ever sent: it ends when the last instance has.
    all.recv().await;
    let first = stop.first().take();
    if first.is_none() && *stop.asked.borrow() {
        return Err(BareError::Engine(
            "an instance's thread panicked".to_owned(),
        ));
    }
    Ok(first)
}

struct StopOnDrop(Option<Arc<Stop>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(stop) = &self.0 {
            stop.asked.send_replace(true);
        }
    }
}
