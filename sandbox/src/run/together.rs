//! Several instances of one component at the same time, with streams between them.
//!
//! Each has a store, files and a thread of its own, so that they compute at the same time and one
//! that was woken by another runs at once. Tasks of the async runtime would not do: a task that
//! another wakes is queued behind the one that woke it, on the same thread, until that one's
//! epoch ends.

use std::sync::Arc;
use std::thread;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{RunOutcome, RunSpec, run_seated};
use crate::component::MeasuredComponent;
use crate::failure::Failure;
use crate::files::{Output, OutputFile};
use crate::limits::{Budgets, PEERS};
use crate::peers::{FirstFailure, Peers};

/// How several instances ended: all with success, or all at once.
#[derive(Debug)]
pub struct TogetherOutcome {
    /// Success of all, or the first reason why not.
    pub result: Result<(), Failure>,
    /// The instance that failed first; none where it was no single one.
    pub failed: Option<usize>,
    /// What they used together of what the next step does not get anew.
    pub used: Used,
    /// What each left, in the order of ranks, at least one. An instance that was stopped because
    /// of another counts as cancelled.
    pub instances: Vec<RunOutcome>,
}

/// Bytes that a job has once, however many steps it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Of outputs, streams and messages, at the end.
    pub output: u64,
    /// Of `/tmp`, at most at one time.
    pub scratch: u64,
}

impl Used {
    fn of(budgets: &Budgets) -> Self {
        Self {
            output: budgets.output.used(),
            scratch: budgets.scratch.peak(),
        }
    }
}

impl TogetherOutcome {
    /// The output of this name, put together from all instances: a file is one instance's, a
    /// folder has files of any of them, sorted by path. None where no instance left it.
    ///
    /// # Errors
    /// [`Failure::RepeatedOutput`] where two instances left it, or the same file of it.
    pub fn output(&self, name: &str) -> Result<Option<Output>, Failure> {
        let repeated = || Failure::RepeatedOutput(name.to_owned());
        let mut found: Option<Output> = None;
        let outputs = self
            .instances
            .iter()
            .filter_map(|instance| instance.outputs.get(name));
        for output in outputs {
            found = match (found, output) {
                (None, output) => Some(output.clone()),
                (Some(Output::Folder(mut files)), Output::Folder(more)) => {
                    files.extend_from_slice(more);
                    Some(Output::Folder(files))
                }
                (Some(_), _) => return Err(repeated()),
            };
        }
        if let Some(Output::Folder(files)) = &mut found {
            files.sort_by(|a, b| a.0.cmp(&b.0));
            if files.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return Err(repeated());
            }
        }
        Ok(found)
    }

    /// What the first instance printed: what the others print there reaches nobody.
    pub fn stdout(&self) -> Option<&OutputFile> {
        self.instances.first().map(|instance| &instance.stdout)
    }

    /// What each instance wrote to standard error, in the order of ranks.
    pub fn stderr(&self) -> impl Iterator<Item = &OutputFile> {
        self.instances.iter().map(|instance| &instance.stderr)
    }

    /// What the instance that failed first says about it; what the first one says where none did.
    pub fn error_text(&self) -> &[u8] {
        self.instances
            .get(self.failed.unwrap_or(0))
            .map_or(&[], |instance| &instance.error_text)
    }
}

/// Runs an instance for each of `specs`, all at once, within the limits of the first together.
///
/// The first that fails stops the others; so does the first's cancellation, and a state in which
/// all that are left wait for each other. Dropping the future ends all of them.
///
/// # Errors
/// As [`run`](super::run()), and [`Failure::MemoryLimit`] where not even the streams have room.
pub async fn run_together(
    component: &Arc<MeasuredComponent>,
    mut specs: Vec<RunSpec>,
) -> Result<TogetherOutcome, Failure> {
    let size = specs.len();
    let Some(first) = specs.first().filter(|_| size <= PEERS) else {
        return Err(Failure::Internal(format!(
            "{size} instances, expected 1 to {PEERS}"
        )));
    };
    let budgets = Budgets::new(&first.limits);
    let _inputs = budgets.hold_memory(first.inputs.weight())?;
    if size == 1
        && let Some(spec) = specs.pop()
    {
        let outcome = run_seated(component, spec, &budgets, None).await?;
        let result = outcome.result.clone();
        return Ok(TogetherOutcome {
            failed: result.is_err().then_some(0),
            result,
            used: Used::of(&budgets),
            instances: vec![outcome],
        });
    }
    several(component, specs, &budgets).await
}

async fn several(
    component: &Arc<MeasuredComponent>,
    specs: Vec<RunSpec>,
    budgets: &Budgets,
) -> Result<TogetherOutcome, Failure> {
    let size = specs.len();
    let _streams = budgets.hold_memory(Peers::bytes(size))?;
    let cancellation = specs[0].cancellation.clone();
    let peers = Peers::new(size);
    let _stop = StopOnDrop(Arc::clone(&peers));
    let ends: Vec<_> = specs
        .into_iter()
        .enumerate()
        .map(|(rank, spec)| start(component, spec, budgets, &peers, rank))
        .collect();
    let mut ended = join_all(ends);
    let all = cancellation.unless_cancelled(&mut ended).await;
    let ended = match all {
        Some(ended) => ended,
        None => {
            peers.fail(None, Failure::Cancelled);
            ended.await
        }
    };
    let mut instances = Vec::with_capacity(size);
    for outcome in ended {
        // A thread that tells nothing could not start, or panicked.
        instances.push(outcome.map_err(|_| lost())??);
    }
    let (failed, result) = match peers.failure() {
        None => (None, Ok(())),
        Some(FirstFailure { rank, failure }) => (rank, Err(failure)),
    };
    Ok(TogetherOutcome {
        result,
        failed,
        used: Used::of(budgets),
        instances,
    })
}

/// Runs one of them on a thread of its own, which tells how it ended.
fn start(
    component: &Arc<MeasuredComponent>,
    mut spec: RunSpec,
    budgets: &Budgets,
    peers: &Arc<Peers>,
    rank: usize,
) -> oneshot::Receiver<Result<RunOutcome, Failure>> {
    let (tell, told) = oneshot::channel();
    let seat = peers.seat(rank);
    spec.cancellation = peers.stop().clone();
    let (component, budgets, handle) = (Arc::clone(component), budgets.clone(), Handle::current());
    // Where no thread starts, the closure is dropped, and the seat in it fails them all.
    let _ = thread::Builder::new()
        .name(format!("instance-{rank}"))
        .spawn(move || {
            // What is dropped here may have to tell the host so.
            let _entered = handle.enter();
            let run = run_seated(&component, spec, &budgets, Some(seat));
            // Nobody is told where the whole step was dropped.
            let _ = tell.send(handle.block_on(run));
        });
    told
}

fn lost() -> Failure {
    Failure::Internal("an instance's thread ended early".to_owned())
}

/// Ends the threads of a step that nobody waits for any more.
struct StopOnDrop(Arc<Peers>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.fail(None, Failure::Cancelled);
    }
}

#[cfg(test)]
#[path = "together_tests.rs"]
mod tests;
