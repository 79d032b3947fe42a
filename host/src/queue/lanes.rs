//! Whose turn it is: a lane for each party of each session, taken in turns within a runtime.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use mc2_protocol::{Digest, documents::hosting::TicketId};
use tokio::sync::watch;

use crate::runtime_id::RuntimeId;

/// Messages of one queue that are being passed on to one runtime at once.
const AT_ONCE: usize = 8;
/// The first wait after a runtime had no place for a job; each next one is twice as long. Word of a
/// job's end cuts it short, but may come before the place is free.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest such wait: a job's end may go unheard.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A party in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub(super) session: Digest,
    /// Digest of the party's card.
    pub(super) party: Digest,
}

/// How much a queue holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) of_lane: usize,
    pub(super) bytes: usize,
}

/// What of a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The lane.
    Lane,
    /// All of it.
    Queue,
}

/// Who has no place for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// The session.
    Session,
    /// The whole process.
    Process,
}

/// A message whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) ticket: TicketId,
    pub(super) lane: Lane,
}

/// All lanes.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: HashMap<Lane, VecDeque<TicketId>>,
    runtimes: HashMap<RuntimeId, Turns>,
    sessions: HashMap<Digest, Pause>,
    places: HashMap<TicketId, Place>,
    bytes: usize,
    came: u64,
}

/// The lanes of one runtime that have messages.
#[derive(Default)]
struct Turns {
    round: VecDeque<Lane>,
    passing: usize,
    pause: Pause,
}

/// Where a message is that was not answered yet.
struct Place {
    runtime: RuntimeId,
    bytes: usize,
    /// How many came to the queue before it.
    came: u64,
    /// Dropped with the place, which wakes those who wait.
    answered: watch::Sender<()>,
}

#[derive(Clone, Copy, Default)]
struct Pause {
    until: Option<Instant>,
    step: Duration,
}

impl Pause {
    fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn longer(&mut self, now: Instant) -> Instant {
        self.step = (self.step * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let until = now + self.step;
        self.until = Some(until);
        until
    }
}

impl Lanes {
    /// Whether a message would be taken now.
    pub(super) fn room_for(&self, lane: Lane, bytes: usize, room: Room) -> Result<(), Full> {
        if self.places.len() >= room.messages || self.bytes.saturating_add(bytes) > room.bytes {
            return Err(Full::Queue);
        }
        if self.lanes.get(&lane).map_or(0, VecDeque::len) >= room.of_lane {
            return Err(Full::Lane);
        }
        Ok(())
    }

    /// Puts a message at the end of its lane.
    pub(super) fn push(
        &mut self,
        runtime: RuntimeId,
        turn: Turn,
        bytes: usize,
        room: Room,
    ) -> Result<(), Full> {
        self.room_for(turn.lane, bytes, room)?;
        let lane = self.lanes.entry(turn.lane).or_default();
        if lane.is_empty() {
            let turns = self.runtimes.entry(runtime).or_default();
            turns.round.push_back(turn.lane);
        }
        lane.push_back(turn.ticket);
        self.bytes += bytes;
        let place = Place {
            runtime,
            bytes,
            came: self.came,
            answered: watch::Sender::new(()),
        };
        self.came += 1;
        self.places.insert(turn.ticket, place);
        Ok(())
    }

    /// The message of a runtime whose turn it is, if one may be passed on now.
    pub(super) fn next(&mut self, runtime: RuntimeId, now: Instant) -> Option<Turn> {
        let turns = self.runtimes.get_mut(&runtime)?;
        if turns.passing >= AT_ONCE || turns.pause.holds(now) {
            return None;
        }
        for _ in 0..turns.round.len() {
            let lane = turns.round.pop_front()?;
            let paused = self.sessions.get(&lane.session);
            if paused.is_some_and(|pause| pause.holds(now)) {
                turns.round.push_back(lane);
                continue;
            }
            let waiting = self.lanes.get_mut(&lane)?;
            let ticket = waiting.pop_front();
            if waiting.is_empty() {
                self.lanes.remove(&lane);
            } else {
                turns.round.push_back(lane);
            }
            if let Some(ticket) = ticket {
                turns.passing += 1;
                return Some(Turn { ticket, lane });
            }
        }
        None
    }

    /// Takes a message back that found no place; it is before those that came to its lane later. Says
    /// when to try again; `None` where the message is gone.
    pub(super) fn put_back(&mut self, turn: Turn, busy: Busy, now: Instant) -> Option<Instant> {
        let &Place { runtime, came, .. } = self.places.get(&turn.ticket)?;
        let turns = self.runtimes.get_mut(&runtime)?;
        turns.passing = turns.passing.saturating_sub(1);
        let lane = self.lanes.entry(turn.lane).or_default();
        if lane.is_empty() {
            turns.round.push_front(turn.lane);
        }
        // Others of its lane may have been passed on with it, and come back before it.
        let before = before(lane, &self.places, came);
        lane.insert(before, turn.ticket);
        let pause = match busy {
            Busy::Process => &mut turns.pause,
            Busy::Session => self.sessions.entry(turn.lane.session).or_default(),
        };
        Some(pause.longer(now))
    }

    /// A message was answered: nobody waits for it any more.
    pub(super) fn answered(&mut self, turn: Turn) {
        let Some(place) = self.places.remove(&turn.ticket) else {
            return;
        };
        self.bytes -= place.bytes;
        // A place was found, so the next wait is short again.
        self.sessions.remove(&turn.lane.session);
        if let Some(turns) = self.runtimes.get_mut(&place.runtime) {
            turns.passing = turns.passing.saturating_sub(1);
            turns.pause = Pause::default();
            if turns.passing == 0 && turns.round.is_empty() {
                self.runtimes.remove(&place.runtime);
            }
        }
    }

    /// A job of this session ended: there may be a place now.
    pub(super) fn job_ended(&mut self, runtime: RuntimeId, session: &Digest) {
        self.sessions.remove(session);
        if let Some(turns) = self.runtimes.get_mut(&runtime) {
            turns.pause = Pause::default();
        }
    }

    /// How many messages were not answered yet.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The runtimes that messages wait for.
    pub(super) fn runtimes(&self) -> Vec<RuntimeId> {
        self.runtimes.keys().copied().collect()
    }

    /// A runtime is gone: its messages, which wait no more.
    pub(super) fn gone(&mut self, runtime: RuntimeId) -> Vec<Turn> {
        let Some(turns) = self.runtimes.remove(&runtime) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for lane in turns.round {
            self.sessions.remove(&lane.session);
            let waiting = self.lanes.remove(&lane).unwrap_or_default();
            all.extend(waiting.into_iter().map(|ticket| Turn { ticket, lane }));
        }
        all
    }

    /// Whether this message was not answered yet, and then the most messages that may be passed on
    /// before it, and what is dropped when it is answered.
    pub(super) fn place(&self, turn: Turn) -> Option<(usize, watch::Receiver<()>)> {
        let place = self.places.get(&turn.ticket)?;
        let lane = self.lanes.get(&turn.lane);
        let before = lane.map_or(0, |lane| before(lane, &self.places, place.came));
        let lanes = self
            .runtimes
            .get(&place.runtime)
            .map_or(1, |turns| turns.round.len().max(1));
        // As many of each lane as of its own go before it, and one more of each that is ahead.
        let most = before.saturating_add(1).saturating_mul(lanes) - 1;
        let position = most.min(self.places.len() - 1);
        Some((position, place.answered.subscribe()))
    }
}

/// How many of a lane's messages, which are in the order in which they came, came before this one.
fn before(lane: &VecDeque<TicketId>, places: &HashMap<TicketId, Place>, came: u64) -> usize {
    lane.partition_point(|other| places.get(other).is_some_and(|other| other.came < came))
}

#[cfg(test)]
mod tests {
    use mc2_protocol::encoding::Hex;

    use super::*;

    const ROOM: Room = Room {
        messages: 100,
        of_lane: 10,
        bytes: 1000,
    };
    const RUNTIME: RuntimeId = RuntimeId([1; 16]);

    fn turn(session: u8, party: u8, number: u8) -> Turn {
        Turn {
            ticket: Hex([
                session, party, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ]),
            lane: Lane {
                session: Digest::from_bytes([session; 32]),
                party: Digest::from_bytes([party; 32]),
            },
        }
    }

    fn push(lanes: &mut Lanes, turns: impl IntoIterator<Item = Turn>) {
        for turn in turns {
            lanes.push(RUNTIME, turn, 1, ROOM).unwrap();
        }
    }

    fn served(lanes: &mut Lanes, now: Instant) -> Vec<Turn> {
        let mut served = Vec::new();
        while let Some(turn) = lanes.next(RUNTIME, now) {
            served.push(turn);
            lanes.answered(turn);
        }
        served
    }

    #[test]
    fn parties_take_turns_however_much_each_has_waiting() {
        let mut lanes = Lanes::default();
        push(&mut lanes, (0..5).map(|number| turn(1, 1, number)));
        push(&mut lanes, (0..2).map(|number| turn(1, 2, number)));
        push(&mut lanes, [turn(2, 1, 0)]);
        let expected = [
            turn(1, 1, 0),
            turn(1, 2, 0),
            turn(2, 1, 0),
            turn(1, 1, 1),
            turn(1, 2, 1),
            turn(1, 1, 2),
            turn(1, 1, 3),
            turn(1, 1, 4),
        ];
        let (position, _) = lanes.place(turn(1, 2, 1)).unwrap();
        assert!((4..8).contains(&position), "{position}");
        assert_eq!(served(&mut lanes, Instant::now()), expected);
        assert_eq!((lanes.places.len(), lanes.bytes), (0, 0));
        assert!(lanes.runtimes.is_empty() && lanes.lanes.is_empty());
    }

    #[test]
    fn each_party_and_the_whole_queue_have_their_bounds() {
        let mut lanes = Lanes::default();
        push(&mut lanes, (0..10).map(|number| turn(1, 1, number)));
        assert_eq!(
            lanes.push(RUNTIME, turn(1, 1, 10), 1, ROOM),
            Err(Full::Lane)
        );
        push(&mut lanes, [turn(1, 2, 0)]);
        let small = Room {
            messages: 11,
            ..ROOM
        };
        assert_eq!(
            lanes.push(RUNTIME, turn(2, 1, 0), 1, small),
            Err(Full::Queue)
        );
        assert_eq!(
            lanes.push(RUNTIME, turn(2, 1, 0), 990, ROOM),
            Err(Full::Queue)
        );
        assert_eq!(lanes.push(RUNTIME, turn(2, 1, 0), 989, ROOM), Ok(()));
    }

    #[test]
    fn a_message_that_found_no_place_keeps_its_turn_and_holds_only_its_session_up() {
        let mut lanes = Lanes::default();
        let now = Instant::now();
        push(&mut lanes, [turn(1, 1, 0), turn(1, 1, 1), turn(2, 1, 0)]);
        let first = lanes.next(RUNTIME, now).unwrap();
        assert_eq!(first, turn(1, 1, 0));
        let again = lanes.put_back(first, Busy::Session, now).unwrap();
        assert!(again > now);
        assert_eq!(served(&mut lanes, now), [turn(2, 1, 0)]);
        assert_eq!(lanes.next(RUNTIME, now), None);
        lanes.job_ended(RUNTIME, &turn(1, 1, 0).lane.session);
        assert_eq!(served(&mut lanes, now), [turn(1, 1, 0), turn(1, 1, 1)]);

        push(&mut lanes, [turn(1, 1, 0), turn(2, 1, 0)]);
        let first = lanes.next(RUNTIME, now).unwrap();
        let again = lanes.put_back(first, Busy::Process, now).unwrap();
        assert_eq!(lanes.next(RUNTIME, now), None);
        assert_eq!(served(&mut lanes, again), [turn(1, 1, 0), turn(2, 1, 0)]);
    }

    #[test]
    fn messages_that_come_back_in_any_order_keep_that_of_their_lane() {
        let mut lanes = Lanes::default();
        let now = Instant::now();
        let all: Vec<Turn> = (0..5).map(|number| turn(1, 1, number)).collect();
        push(&mut lanes, all[..4].iter().copied());
        let passed = [(); 4].map(|()| lanes.next(RUNTIME, now).unwrap());
        push(&mut lanes, [turn(1, 1, 4)]);
        let mut again = now;
        for came_back in [1, 0, 3, 2] {
            again = lanes
                .put_back(passed[came_back], Busy::Process, now)
                .unwrap();
        }
        assert_eq!(served(&mut lanes, again), all);
    }

    #[test]
    fn who_waits_is_woken_by_the_answer_and_by_the_end_of_the_runtime() {
        let mut lanes = Lanes::default();
        let now = Instant::now();
        push(&mut lanes, [turn(1, 1, 0), turn(1, 1, 1), turn(2, 1, 0)]);
        let waits = |lanes: &Lanes, turn| lanes.place(turn).map(|(_, waits)| waits);
        let first = waits(&lanes, turn(1, 1, 0)).unwrap();
        let second = waits(&lanes, turn(1, 1, 1)).unwrap();
        let passed = lanes.next(RUNTIME, now).unwrap();
        lanes.answered(passed);
        assert!(first.has_changed().is_err() && second.has_changed().is_ok());
        let gone = lanes.gone(RUNTIME);
        assert_eq!(gone, [turn(2, 1, 0), turn(1, 1, 1)]);
        for turn in gone {
            lanes.answered(turn);
        }
        assert!(second.has_changed().is_err());
        assert_eq!((lanes.places.len(), lanes.bytes), (0, 0));
    }
}
