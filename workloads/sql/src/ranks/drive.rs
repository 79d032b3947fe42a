//! The loop that runs an instance's tasks and moves its bytes where all of them wait.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use mc2_guest::Context as _;

use super::{Ranks, lock};

/// Wakes the whole, and knows that it did: the runtime's own hook is called after that too.
#[derive(Default)]
struct Whole {
    woken: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Wake for Whole {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        if let Some(waker) = &*lock(&self.waker) {
            waker.wake_by_ref();
        }
    }
}

/// Runs a future and all it spawns. Where each waits for other instances it waits for their streams.
pub(crate) fn block_on<F, T>(ranks: &Arc<Ranks>, future: F) -> mc2_guest::Result<T>
where
    F: Future<Output = mc2_guest::Result<T>>,
{
    let whole = Arc::new(Whole::default());
    let mut builder = tokio::runtime::Builder::new_current_thread();
    if ranks.size > 1 {
        let (ranks, whole) = (Arc::clone(ranks), Arc::clone(&whole));
        builder.on_thread_park(move || wait(&ranks, &whole));
    }
    let runtime = builder.build().context("starting the engine")?;
    runtime.block_on(async {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::clone(&whole));
        poll_fn(|context| {
            *lock(&whole.waker) = Some(context.waker().clone());
            whole.woken.store(false, Ordering::Relaxed);
            future.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await
    })
}

/// Moves bytes until somebody can go on.
fn wait(ranks: &Ranks, whole: &Arc<Whole>) {
    // Nothing is to be run at this time but perhaps the whole.
    ranks.mux().take_woken();
    while !whole.woken.load(Ordering::Relaxed) {
        let moved = lock(&ranks.links).pump(&mut ranks.mux());
        if let Err(words) = &moved {
            // The streams are of no use any more, and what waits for them learns that.
            let mut mux = ranks.mux();
            ranks.others().for_each(|rank| mux.ended(rank));
            eprintln!("{words}");
        }
        if ranks.mux().take_woken() {
            // Who was woken may have ended before; the runtime must find something to do.
            whole.wake_by_ref();
            return;
        }
        if !moved.unwrap_or(false) && !lock(&ranks.links).wait(&ranks.mux()) {
            return;
        }
    }
}
