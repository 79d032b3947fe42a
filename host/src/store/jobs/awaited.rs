//! Who waits for jobs that were not announced yet: each hears of its own job, and of no other.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;

/// Most who wait in one session. Who waits longest goes first, so that those who ask for jobs that
/// never come keep nobody out.
const MOST: usize = 256;

/// Those who wait in one session.
#[derive(Default)]
pub(super) struct Awaited {
    /// By when they came.
    waiting: BTreeMap<u64, Entry>,
    /// The jobs they wait for, and when who waits for each came.
    jobs: BTreeSet<(u64, u64)>,
    /// How many ever came.
    came: u64,
}

struct Entry {
    job: u64,
    /// Dropped to wake who waits.
    _wakes: oneshot::Sender<()>,
}

/// One who waits. What it waits on closes when its job is announced, when the session is over or goes
/// on, and when others take its place: then it is time to look.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) closed: oneshot::Receiver<()>,
}

impl Awaited {
    /// One more who waits, until its place is [given up](Self::give_up).
    pub(super) fn wait(&mut self, job: u64) -> Waiter {
        if self.waiting.len() >= MOST
            && let Some((number, longest)) = self.waiting.pop_first()
        {
            self.jobs.remove(&(longest.job, number));
        }
        self.came += 1;
        let (wakes, closed) = oneshot::channel();
        let entry = Entry { job, _wakes: wakes };
        self.waiting.insert(self.came, entry);
        self.jobs.insert((job, self.came));
        Waiter {
            number: self.came,
            closed,
        }
    }

    /// Wakes those who wait for this job.
    pub(super) fn announced(&mut self, job: u64) {
        let own = self.jobs.range((job, 0)..=(job, u64::MAX));
        for (job, number) in own.copied().collect::<Vec<_>>() {
            self.jobs.remove(&(job, number));
            self.waiting.remove(&number);
        }
    }

    /// Wakes all of them.
    pub(super) fn wake_all(&mut self) {
        self.waiting.clear();
        self.jobs.clear();
    }

    /// Gives up the place of this number, where it is not closed.
    pub(super) fn give_up(&mut self, number: u64) {
        if let Some(entry) = self.waiting.remove(&number) {
            self.jobs.remove(&(entry.job, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(waiter: &mut Waiter) -> bool {
        waiter.closed.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn who_waits_for_a_job_hears_of_it_and_of_no_other() {
        let mut awaited = Awaited::default();
        let mut waiters = [7, 8, 7, 9].map(|job| awaited.wait(job));
        let mut closed = || waiters.each_mut().map(is_closed);
        for job in [1, 6, 10] {
            awaited.announced(job);
        }
        assert_eq!(closed(), [false; 4]);
        awaited.announced(7);
        assert_eq!(closed(), [true, false, true, false]);
        awaited.wake_all();
        assert_eq!(closed(), [true; 4]);
        assert!(awaited.waiting.is_empty() && awaited.jobs.is_empty());
    }

    #[test]
    fn those_who_wait_for_jobs_that_never_come_keep_nobody_out() {
        let mut awaited = Awaited::default();
        let mut strangers: Vec<Waiter> = (0..MOST as u64)
            .map(|job| awaited.wait(1000 + job))
            .collect();
        let mut own = awaited.wait(1);
        let closed: Vec<bool> = strangers.iter_mut().map(is_closed).collect();
        let gone = closed.iter().filter(|closed| **closed).count();
        assert!(closed[0] && gone == 1);
        assert_eq!((awaited.waiting.len(), awaited.jobs.len()), (MOST, MOST));
        awaited.announced(1);
        assert!(is_closed(&mut own));
        for waiter in strangers {
            awaited.give_up(waiter.number);
        }
        assert!(awaited.waiting.is_empty() && awaited.jobs.is_empty());
    }
}
