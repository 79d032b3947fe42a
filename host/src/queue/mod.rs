//! The queue: messages that submit jobs, kept for clients until a runtime has a place for them.
//!
//! A client hands a sealed `submit` message in and gets a ticket at once. The queue passes messages
//! on as places become free, in turns between the parties of all sessions of a runtime, and keeps
//! each answer for a while. A ticket that was given survives the host's end, as the
//! [records](crate::store::records) do; one whose runtime is gone is answered with a problem.
//! A runtime that is asked for the queue says that it has no place before it opens the message, so
//! that its sequence number is not spent (protocol.md §9).

mod lanes;
mod ticket;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;
use mc2_protocol::{
    Digest,
    documents::{control, hosting::TicketId},
    encoding::Hex,
};
use mc2_wire::{Request, routes::queued_messages_path};

use lanes::{Busy, Full, Lane, Lanes, Room, Turn};
pub(crate) use ticket::Outcome;
use ticket::Ticket;

use crate::{
    config::{HostConfig, Launcher},
    refusal::{Refusal, blocking},
    runtime_id::RuntimeId,
    runtimes::{Runtime, Runtimes},
    store::{
        Store,
        records::{Change, Table},
    },
    waiting::lock,
};

/// Most messages of one party in one session: a session remembers 1,024 sequence numbers of each.
const OF_PARTY: usize = 512;
/// Most bytes of all messages that wait.
const BYTES: usize = 1 << 30;
/// Most answers kept.
const ANSWERS: usize = 4096;
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(600);
/// Seconds after which who found the queue full may ask again.
const AGAIN: u32 = 2;

/// The queue; a clone is the same.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Inner>);

struct Inner {
    store: Arc<Store>,
    runtimes: Arc<Runtimes>,
    /// Most messages that wait.
    messages: usize,
    /// How long a runtime may take for an answer.
    relay: Duration,
    lanes: Mutex<Lanes>,
    /// Answers that are kept, oldest first.
    answers: Mutex<VecDeque<(Instant, TicketId)>>,
    /// Numbers tickets in the order they were given.
    serial: Mutex<u64>,
}

/// What became of a queued message.
pub(crate) enum Progress {
    /// It waits, and at most so many may be passed on before it.
    Queued { position: usize },
    /// It was passed on, or never will be.
    Ended(Outcome),
}

impl Queue {
    /// Opens the queue with what the last host left in it. Must be called within a Tokio runtime.
    pub(crate) fn open(
        config: &HostConfig,
        store: Arc<Store>,
        runtimes: Arc<Runtimes>,
    ) -> std::io::Result<Self> {
        let inner = Arc::new(Inner {
            store,
            runtimes,
            messages: config.max_queued,
            relay: config.timeouts.relay,
            lanes: Mutex::default(),
            answers: Mutex::default(),
            serial: Mutex::new(0),
        });
        let queue = Self(inner);
        queue.resume()?;
        let patience = match config.launcher {
            // Those that served the last host ended with it.
            Launcher::Spawn(_) => Duration::ZERO,
            Launcher::Connect => config.timeouts.absence,
        };
        tokio::spawn(follow_arrivals(Arc::downgrade(&queue.0), patience));
        Ok(queue)
    }

    /// Takes a sealed message of `party` in, to be passed on to the session's runtime when it is its
    /// turn.
    ///
    /// # Errors
    /// 429 where the party's lane or the queue is full, 403 for a card that the session's policy
    /// does not name, and what says that there is no such session or that it is over.
    pub(crate) async fn submit(
        &self,
        session: Digest,
        party: Digest,
        message: Bytes,
    ) -> Result<TicketId, Refusal> {
        let inner = &self.0;
        let runtime = inner.runtimes.serving(&session)?;
        if !inner.store.jobs.names(&session, &party) {
            let message = format!("the session's policy names no card {party}");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "not-a-party", message));
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(std::io::Error::other)?;
        let turn = Turn {
            ticket: Hex(id),
            lane: Lane { session, party },
        };
        let room = Room {
            messages: inner.messages,
            of_lane: OF_PARTY,
            bytes: BYTES,
        };
        let serial = {
            let mut serial = lock(&inner.serial);
            *serial += 1;
            *serial
        };
        let length = message.len();
        let ticket = Ticket::queued(turn.lane, serial, message);
        // Full queues are not written to the disk first.
        let lanes_room = lock(&inner.lanes).room_for(turn.lane, length, room);
        lanes_room.map_err(full)?;
        let this = self.clone();
        blocking(move || {
            let change = Change::put(Table::Tickets, turn.ticket.0, ticket.to_bytes());
            Ok(this.0.store.records.write(vec![change])?)
        })
        .await?;
        let pushed = lock(&inner.lanes).push(runtime.id, turn, length, room);
        if let Err(error) = pushed {
            self.forget(vec![turn.ticket]).await?;
            return Err(full(error));
        }
        self.watch(&runtime);
        self.pass_on(&runtime);
        Ok(turn.ticket)
    }

    /// What became of a message; waits up to `wait` for its answer.
    ///
    /// # Errors
    /// 404 where no such ticket was given in that session, or its answer is kept no more.
    pub(crate) async fn ticket(
        &self,
        session: Digest,
        ticket: TicketId,
        wait: Duration,
    ) -> Result<Progress, Refusal> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let found = self.find(ticket).await?;
            let unknown = || {
                let message = format!("no ticket {ticket} is known in session {session}");
                Refusal::not_found("unknown-ticket", message)
            };
            let found = found.filter(|found| found.lane.session == session);
            let found = found.ok_or_else(unknown)?;
            if let Some(outcome) = found.outcome {
                return Ok(Progress::Ended(outcome));
            }
            let turn = Turn {
                ticket,
                lane: found.lane,
            };
            // Where it has no place any more it was answered just now.
            let Some((position, mut answered)) = lock(&self.0.lanes).place(turn) else {
                continue;
            };
            if tokio::time::timeout_at(deadline, answered.changed())
                .await
                .is_err()
            {
                return Ok(Progress::Queued { position });
            }
        }
    }

    /// How many messages wait, or are being passed on.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0.lanes).len()
    }

    /// Notes that a job of a session ended, so that there may be a place for another.
    pub(crate) fn job_ended(&self, runtime: &Arc<Runtime>, session: &Digest) {
        lock(&self.0.lanes).job_ended(runtime.id, session);
        self.pass_on(runtime);
    }

    /// Passes on what may be passed on now.
    fn pass_on(&self, runtime: &Arc<Runtime>) {
        loop {
            let next = lock(&self.0.lanes).next(runtime.id, Instant::now());
            let Some(turn) = next else { return };
            let (this, runtime) = (self.clone(), Arc::clone(runtime));
            tokio::spawn(async move { this.pass(runtime, turn).await });
        }
    }

    /// Passes one message on.
    async fn pass(&self, runtime: Arc<Runtime>, turn: Turn) {
        let outcome = match self.ask(&runtime, turn).await {
            Ok(Asked::Answered(outcome)) => outcome,
            Ok(Asked::Busy(busy)) => {
                let again = lock(&self.0.lanes).put_back(turn, busy, Instant::now());
                match again {
                    Some(again) => {
                        // Word of a job's end may come sooner.
                        self.pass_on(&runtime);
                        tokio::time::sleep_until(again.into()).await;
                        return self.pass_on(&runtime);
                    }
                    None => Outcome::over(),
                }
            }
            Err(_) if runtime.is_gone() => Outcome::over(),
            Err(refusal) => Outcome::Refused(refusal.into_problem()),
        };
        self.end(vec![(turn, outcome)]).await;
        self.pass_on(&runtime);
    }

    async fn find(&self, ticket: TicketId) -> Result<Option<Ticket>, Refusal> {
        // Most are asked for within a second.
        if let Some(recent) = self.0.store.records.recent(Table::Tickets, &ticket.0) {
            return Ok(recent.and_then(Ticket::parse));
        }
        let this = self.clone();
        blocking(move || {
            let found = this.0.store.records.get(Table::Tickets, &ticket.0)?;
            Ok(found.and_then(Ticket::parse))
        })
        .await
    }

    async fn ask(&self, runtime: &Runtime, turn: Turn) -> Result<Asked, Refusal> {
        let found = self.find(turn.ticket).await?;
        let message = found.map(|found| found.message).unwrap_or_default();
        let path = queued_messages_path(&turn.lane.session);
        let request = Request::post(path, message, control::MAX_LEN).within(self.0.relay);
        let answer = match runtime.ask(&request, self.0.relay).await {
            // As many requests as it takes wait for it.
            Err(refusal) if refusal.code == "busy" => return Ok(Asked::Busy(Busy::Process)),
            other => other?,
        };
        if answer.status.is_success() {
            if let Some(number) = answer.job {
                // Known before its submitter asks for it; where that fails, word of it comes again.
                let _ = self.0.store.jobs.taken(turn.lane.session, number).await;
            }
            return Ok(Asked::Answered(Outcome::Answered(answer.body)));
        }
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let session = answer.is_problem("session-busy");
            return Ok(Asked::Busy(if session {
                Busy::Session
            } else {
                Busy::Process
            }));
        }
        Ok(Asked::Answered(Outcome::Refused(answer.into_problem())))
    }

    /// Keeps the outcomes of these messages, and lets old ones go.
    async fn end(&self, ended: Vec<(Turn, Outcome)>) {
        let mut changes = Vec::new();
        for (turn, outcome) in &ended {
            let ticket = Ticket::ended(turn.lane, outcome.clone());
            changes.push(Change::put(
                Table::Tickets,
                turn.ticket.0,
                ticket.to_bytes(),
            ));
        }
        {
            let mut answers = lock(&self.0.answers);
            let now = Instant::now();
            answers.extend(ended.iter().map(|(turn, _)| (now, turn.ticket)));
            while answers.len() > ANSWERS || answers.front().is_some_and(|(at, _)| now - *at > KEPT)
            {
                let Some((_, old)) = answers.pop_front() else {
                    break;
                };
                changes.push(Change::remove(Table::Tickets, old.0));
            }
        }
        let this = self.clone();
        let written = blocking(move || Ok(this.0.store.records.write(changes)?)).await;
        if let Err(error) = written {
            // The message was passed on all the same; whoever waits is told that it waits no more.
            tracing::error!(%error, "the answer to a queued message could not be kept");
        }
        let mut lanes = lock(&self.0.lanes);
        for (turn, _) in ended {
            lanes.answered(turn);
        }
    }

    async fn forget(&self, tickets: Vec<TicketId>) -> Result<(), Refusal> {
        let this = self.clone();
        blocking(move || {
            let changes = tickets
                .iter()
                .map(|id| Change::remove(Table::Tickets, id.0));
            Ok(this.0.store.records.write(changes.collect())?)
        })
        .await
    }

    /// Has the messages of a runtime answered once it is gone.
    fn watch(&self, runtime: &Arc<Runtime>) {
        if !runtime.begin_watch() {
            return;
        }
        let (this, runtime) = (Arc::downgrade(&self.0), Arc::clone(runtime));
        tokio::spawn(async move {
            runtime.until_gone().await;
            if let Some(inner) = this.upgrade() {
                Self(inner).runtime_gone(runtime.id).await;
            }
        });
    }

    async fn runtime_gone(&self, runtime: RuntimeId) {
        let over = lock(&self.0.lanes).gone(runtime);
        if !over.is_empty() {
            tracing::warn!(%runtime, messages = over.len(), "queued messages are over with their runtime");
            let over = over.into_iter().map(|turn| (turn, Outcome::over()));
            self.end(over.collect()).await;
        }
    }

    /// Finds what the last host left.
    fn resume(&self) -> std::io::Result<()> {
        let inner = &self.0;
        let mut queued = Vec::new();
        let now = Instant::now();
        for (key, value) in inner
            .store
            .records
            .range(Table::Tickets, &[], &[], usize::MAX)?
        {
            let (Ok(id), Some(ticket)) = (key.try_into(), Ticket::parse(value)) else {
                continue;
            };
            let turn = Turn {
                ticket: Hex(id),
                lane: ticket.lane,
            };
            if ticket.outcome.is_some() {
                lock(&inner.answers).push_back((now, turn.ticket));
            } else {
                queued.push((ticket.serial, turn, ticket.message.len()));
            }
        }
        queued.sort_unstable_by_key(|(serial, ..)| *serial);
        *lock(&inner.serial) = queued.last().map_or(0, |(serial, ..)| *serial);
        let everything = Room {
            messages: usize::MAX,
            of_lane: usize::MAX,
            bytes: usize::MAX,
        };
        for (_, turn, length) in queued {
            let owner = inner.store.jobs.owner(&turn.lane.session);
            let runtime = owner.map_or(NOBODY, |owner| RuntimeId(owner.runtime.0));
            // There is room for everything.
            let _ = lock(&inner.lanes).push(runtime, turn, length, everything);
        }
        Ok(())
    }
}

/// The runtime of sessions that are not known any more.
const NOBODY: RuntimeId = RuntimeId([0; 16]);

/// Passes on what waits for runtimes that dial in again, and gives the others up.
async fn follow_arrivals(queue: Weak<Inner>, patience: Duration) {
    let Some(mut arrivals) = queue.upgrade().map(|inner| inner.runtimes.arrivals()) else {
        return;
    };
    let mut given_up = std::pin::pin!(tokio::time::sleep(patience));
    let mut giving_up = true;
    loop {
        let Some(inner) = queue.upgrade() else { return };
        let queue_now = Queue(inner);
        let waiting = lock(&queue_now.0.lanes).runtimes();
        for id in waiting {
            if let Some(runtime) = queue_now.0.runtimes.registry().get(id) {
                queue_now.watch(&runtime);
                queue_now.pass_on(&runtime);
            } else if !giving_up {
                queue_now.runtime_gone(id).await;
            }
        }
        drop(queue_now);
        if !giving_up {
            // Later arrivals are found by those who submit to them.
            return;
        }
        tokio::select! {
            arrived = arrivals.changed() => {
                if arrived.is_err() {
                    return;
                }
            }
            () = &mut given_up => giving_up = false,
        }
    }
}

/// What came of passing a message on.
enum Asked {
    Answered(Outcome),
    Busy(Busy),
}

fn full(full: Full) -> Refusal {
    let message = match full {
        Full::Lane => format!(
            "{OF_PARTY} messages of this party wait in this session; submit again when some are answered"
        ),
        Full::Queue => "the host's queue is full; submit again later".to_owned(),
    };
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "queue-full", message).later(AGAIN)
}
