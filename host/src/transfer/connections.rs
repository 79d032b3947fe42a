//! The connections of one side: at most so many, and the one that has kept the host waiting
//! longest goes when there is no place for a new one.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{sync::Notify, time::Instant};

use crate::waiting::lock;

/// The places of one side.
pub(crate) struct Connections {
    most: usize,
    table: Mutex<Table>,
    left: Notify,
}

impl Connections {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            table: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// A place for a new connection: a free one, else that of a connection which waits for its
    /// peer, else the next that becomes free.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        loop {
            if let Some(place) = self.try_take() {
                return place;
            }
            self.left.notified().await;
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.table().open.len()
    }

    /// Ends the connection that has kept the host waiting longest, if there is one.
    pub(crate) fn end_one(&self) {
        self.table().end_one();
    }

    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.table();
        if table.open.len() >= self.most && !table.end_one() {
            return None;
        }
        let number = table.next;
        table.next += 1;
        let activity = Arc::new(Activity {
            phase: Mutex::new((Phase::Idle, Instant::now())),
            unwanted: Notify::new(),
        });
        table.open.insert(number, Arc::clone(&activity));
        Some(Place {
            number,
            connections: Arc::clone(self),
            activity,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Activity>>,
}

impl Table {
    fn end_one(&mut self) -> bool {
        let phases = self.open.iter().map(|(number, one)| (one.phase(), *number));
        let waiting = phases.filter(|((phase, _), _)| *phase != Phase::Working);
        // Those without a request go first.
        let longest = waiting.min_by_key(|((phase, since), _)| (*phase != Phase::Idle, *since));
        let Some((_, number)) = longest else {
            return false;
        };
        if let Some(unwanted) = self.open.remove(&number) {
            unwanted.unwanted.notify_one();
        }
        true
    }
}

/// The place of one connection, given back when dropped.
pub(crate) struct Place {
    number: u64,
    connections: Arc<Connections>,
    pub(crate) activity: Arc<Activity>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.number);
        self.connections.left.notify_one();
    }
}

/// What a connection is doing, and since when.
pub(crate) struct Activity {
    phase: Mutex<(Phase, Instant)>,
    unwanted: Notify,
}

impl Activity {
    /// Comes back once the place is another's.
    pub(crate) async fn until_unwanted(&self) {
        self.unwanted.notified().await;
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *lock(&self.phase) = (phase, Instant::now());
    }

    fn phase(&self) -> (Phase, Instant) {
        *lock(&self.phase)
    }
}

/// Who is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The peer: it has not begun a request.
    Idle,
    /// The peer: it is sending one.
    Receiving,
    /// The peer: it is being sent an answer.
    Sending,
    /// The host. Such a connection is never ended for another's sake.
    Working,
}

/// A body whose end begins the next phase of its connection.
pub(crate) struct Followed {
    body: Body,
    activity: Arc<Activity>,
    then: Phase,
}

impl Followed {
    /// The same body, followed to its end.
    pub(crate) fn body(body: Body, activity: &Arc<Activity>, then: Phase) -> Body {
        Body::new(Self {
            body,
            activity: Arc::clone(activity),
            then,
        })
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.activity.enter(self.then);
    }
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_takes_the_place_of_the_one_that_kept_the_host_waiting_longest() {
        let connections = Connections::new(4);
        let mut places = Vec::new();
        for phase in [Phase::Receiving, Phase::Working, Phase::Idle, Phase::Idle] {
            let place = connections.take().await;
            place.activity.enter(phase);
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            places.push(place);
        }
        let ended = |place: &Place| !connections.table().open.contains_key(&place.number);
        for expected in [2, 3, 0] {
            let newcomer = connections.take().await;
            newcomer.activity.enter(Phase::Working);
            assert!(ended(&places[expected]), "{expected}");
            places[expected].activity.until_unwanted().await;
            places.push(newcomer);
        }
        // All that are left are the host's own work.
        assert!(!ended(&places[1]));
        assert!(connections.try_take().is_none());
        drop(places.remove(1));
        connections.take().await;
    }
}
