//! How new the vendors' collateral was that a verifier accepted, and since when it knows.

use serde::{Deserialize, Serialize};

use crate::{tee::Mark, time::UnixSeconds};

/// So many numbers of one list or document are kept, five years of monthly ones; then the oldest goes.
const MAX_OF_ONE: usize = 64;

/// Every mark that raised what was known, with its time: what a verifier knew by an earlier date, it
/// can say later.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct History(Vec<Seen>);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    of: String,
    number: u64,
    /// When it was accepted, by this verifier's clock, in seconds since 1970.
    since: u64,
}

impl History {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The newest of each.
    pub(super) fn newest(&self) -> Vec<Mark> {
        let mut newest: Vec<Mark> = Vec::new();
        for seen in &self.0 {
            match newest.iter_mut().find(|mark| mark.of == seen.of) {
                Some(mark) => mark.number = mark.number.max(seen.number),
                None => newest.push(Mark {
                    of: seen.of.clone(),
                    number: seen.number,
                }),
            }
        }
        newest
    }

    /// Whether nothing in these marks is newer than what was seen.
    pub(super) fn has(&self, marks: &[Mark]) -> bool {
        let known = |mark: &Mark| {
            let mut of_it = self.0.iter().filter(|seen| seen.of == mark.of);
            of_it.any(|seen| seen.number >= mark.number)
        };
        marks.iter().all(known)
    }

    /// Notes what of these marks is newer than what was seen.
    pub(super) fn note(&mut self, marks: &[Mark], now: UnixSeconds) {
        for mark in marks {
            if self.has(std::slice::from_ref(mark)) {
                continue;
            }
            self.0.push(Seen {
                of: mark.of.clone(),
                number: mark.number,
                since: now.0,
            });
            let of_it = || self.0.iter().filter(|seen| seen.of == mark.of);
            if of_it().count() > MAX_OF_ONE {
                let oldest = of_it().map(|seen| seen.number).min();
                let goes = |seen: &Seen| seen.of == mark.of && Some(seen.number) == oldest;
                self.0.retain(|seen| !goes(seen));
            }
        }
    }

    /// What was known at `time`.
    pub(super) fn by(mut self, time: UnixSeconds) -> Self {
        self.0.retain(|seen| seen.since <= time.0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: u64) -> [Mark; 1] {
        [Mark::new("a list", number)]
    }

    /// Row 35: what was there by a date is known of that date, and what came later is not.
    #[test]
    fn what_was_seen_by_a_date_is_told_from_what_was_seen_since() {
        let mut history = History::default();
        // One that is older than what is known does not count, whenever it comes.
        for (number, time) in [(5, 100), (7, 200), (6, 250), (9, 300)] {
            history.note(&mark(number), UnixSeconds(time));
        }
        let by = |time| history.clone().by(UnixSeconds(time)).newest();
        assert!(by(99).is_empty());
        assert_eq!(by(100), mark(5));
        assert_eq!(by(199), mark(5));
        assert_eq!(by(299), mark(7));
        assert_eq!(by(300), mark(9));
    }

    #[test]
    fn of_one_list_the_newest_numbers_are_kept() {
        let mut history = History::default();
        history.note(&[Mark::new("another", 1)], UnixSeconds(1));
        for number in 1..=200 {
            history.note(&mark(number), UnixSeconds(number));
        }
        assert_eq!(history.0.len(), MAX_OF_ONE + 1);
        assert!(history.has(&mark(200)) && history.has(&[Mark::new("another", 1)]));
        assert!(history.clone().by(UnixSeconds(136)).newest().len() == 1);
        let kept = history.by(UnixSeconds(137)).newest();
        assert_eq!(kept[1], mark(137)[0]);
    }
}
